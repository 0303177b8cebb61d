//! Where a queue begins and ends, where a moment in time is in it, and how far a group has got.

use proto::Text;
use proto::remoting::pull::{
    OffsetIs, QueryConsumerOffset, QueueOf, SearchOffset, UpdateConsumerOffset,
};
use proto::remoting::{Request, ResponseCode};

use crate::ask::{AskError, granted};
use crate::{Client, Inner, Queue};

/// Which message a time stands for when none was stored in that very millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The first one that is not older.
    Lower,
    /// The last one that is not younger.
    Upper,
}

impl Client {
    /// The offset of the first message that is kept.
    ///
    /// # Errors
    /// No answer, or a refusal; so for all of these.
    pub async fn min_offset(&self, queue: &Queue) -> Result<i64, AskError> {
        self.0.offset(queue, Request::MinOffset(of(queue))).await
    }

    /// The offset that the next message will get.
    ///
    /// # Errors
    /// As above.
    pub async fn max_offset(&self, queue: &Queue) -> Result<i64, AskError> {
        self.0.offset(queue, Request::MaxOffset(of(queue))).await
    }

    /// The offset of the message that was stored at a time.
    ///
    /// # Errors
    /// As above.
    pub async fn offset_at(
        &self,
        queue: &Queue,
        time_ms: i64,
        boundary: Boundary,
    ) -> Result<i64, AskError> {
        let boundary = match boundary {
            Boundary::Lower => "LOWER",
            Boundary::Upper => "UPPER",
        };
        let request = Request::SearchOffset(SearchOffset {
            topic: queue.topic.clone(),
            queue_id: queue.id,
            timestamp_ms: time_ms,
            boundary: Some(Text::from_static(boundary)),
        });
        self.0.offset(queue, request).await
    }

    /// Where a group goes on; `None` if it has never committed.
    ///
    /// # Errors
    /// As above.
    pub async fn committed_offset(
        &self,
        group: impl Into<Text>,
        queue: &Queue,
    ) -> Result<Option<i64>, AskError> {
        let request = Request::QueryConsumerOffset(QueryConsumerOffset {
            group: group.into(),
            topic: queue.topic.clone(),
            queue_id: queue.id,
            set_zero_if_not_found: Some(false),
        });
        match self.0.offset(queue, request).await {
            Ok(offset) => Ok(Some(offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Remembers where a group goes on: the offset behind the last message it is done with.
    ///
    /// # Errors
    /// As above.
    pub async fn commit_offset(
        &self,
        group: impl Into<Text>,
        queue: &Queue,
        offset: i64,
    ) -> Result<(), AskError> {
        let request = Request::UpdateConsumerOffset(UpdateConsumerOffset {
            group: group.into(),
            topic: queue.topic.clone(),
            queue_id: queue.id,
            commit_offset: Some(offset),
        });
        let addr = self.0.master(queue).await?;
        granted(&addr, self.0.ask(&addr, request).await?).map(drop)
    }
}

impl Inner {
    async fn offset(&self, queue: &Queue, request: Request) -> Result<i64, AskError> {
        let addr = self.master(queue).await?;
        let reply = granted(&addr, self.ask(&addr, request).await?)?;
        let is: OffsetIs = reply
            .read()
            .map_err(|why| AskError::unreadable(&addr, why))?;
        Ok(is.offset)
    }

    pub(crate) async fn master(&self, queue: &Queue) -> Result<Text, AskError> {
        let route = self.existing_route(&queue.topic).await?;
        let broker = route.broker_named(&queue.broker);
        let addr = broker.and_then(|broker| broker.master.clone());
        addr.ok_or_else(|| AskError::NoBroker(queue.broker.clone()))
    }

    pub(crate) async fn reader(&self, queue: &Queue) -> Result<Text, AskError> {
        let route = self.existing_route(&queue.topic).await?;
        let broker = route.broker_named(&queue.broker);
        let addr = broker.and_then(|broker| broker.reader.clone());
        addr.ok_or_else(|| AskError::NoBroker(queue.broker.clone()))
    }
}

fn of(queue: &Queue) -> QueueOf {
    QueueOf {
        topic: queue.topic.clone(),
        queue_id: queue.id,
    }
}
