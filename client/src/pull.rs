//! Pulling: the messages of one queue from an offset on, waiting for them if there are none yet.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::Text;
use proto::message::tags_code;
use proto::remoting::pull::{Pull as PullFields, Pulled as PulledFields, SUBSCRIPTION, SUSPEND};
use proto::remoting::{Request, ResponseCode};

use crate::ask::{AskError, granted};
use crate::received::Received;
use crate::{Client, Queue};

/// What an answer may take longer than the wait that was asked for.
const ANSWER_GRACE: Duration = Duration::from_secs(10);

/// Which messages of a topic are wanted, by their tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagFilter(BTreeSet<String>);

impl TagFilter {
    /// Reads `a || b`; `*` and an empty text want everything.
    pub fn parse(expression: &str) -> Self {
        let tags = expression.split("||").map(str::trim);
        let tags: BTreeSet<_> = tags
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect();
        if tags.contains("*") {
            return Self::default();
        }
        Self(tags)
    }

    pub fn wants(&self, tag: Option<&str>) -> bool {
        self.0.is_empty() || tag.is_some_and(|tag| self.0.contains(tag))
    }

    /// As brokers read it.
    fn expression(&self) -> Text {
        if self.0.is_empty() {
            return Text::from_static("*");
        }
        let tags: Vec<_> = self.0.iter().map(String::as_str).collect();
        tags.join(" || ").into()
    }

    /// The codes by which brokers filter; other tags may share one.
    pub fn codes(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map(|tag| tags_code(Some(tag)))
    }
}

/// What to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    pub group: Text,
    pub queue: Queue,
    pub offset: i64,
    /// Brokers may send fewer.
    pub messages_max: i32,
    /// How long the broker may wait for a first message.
    pub wait: Duration,
    pub filter: TagFilter,
}

impl Pull {
    /// Up to 32 messages of any tag, without waiting.
    pub fn new(group: impl Into<Text>, queue: Queue, offset: i64) -> Self {
        Self {
            group: group.into(),
            queue,
            offset,
            messages_max: 32,
            wait: Duration::ZERO,
            filter: TagFilter::default(),
        }
    }
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullStatus {
    Found,
    /// Nothing new yet.
    NothingNew,
    /// There were messages, but none that is wanted: go on at once.
    NothingWanted,
    /// The offset is outside of the queue; `next_offset` is inside.
    OffsetMoved,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    pub status: PullStatus,
    pub messages: Vec<Received>,
    /// Where to go on.
    pub next_offset: i64,
    pub min_offset: i64,
    pub max_offset: i64,
}

impl Client {
    /// The queues of a topic that can be read.
    ///
    /// # Errors
    /// The topic does not exist, or no name server answers.
    pub async fn queues(&self, topic: impl Into<Text>) -> Result<Vec<Queue>, AskError> {
        let topic = topic.into();
        let route = self.0.existing_route(&topic).await?;
        let queues = route.readable.iter().filter_map(|queue| {
            Some(Queue {
                topic: topic.clone(),
                broker: route.broker(*queue)?.name.clone(),
                id: queue.id,
            })
        });
        Ok(queues.collect())
    }

    /// Pulls once.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn pull(&self, pull: &Pull) -> Result<Pulled, AskError> {
        let addr = self.0.reader(&pull.queue).await?;
        let suspend = if pull.wait.is_zero() { 0 } else { SUSPEND };
        let request = Request::Pull(PullFields {
            group: pull.group.clone(),
            topic: pull.queue.topic.clone(),
            queue_id: pull.queue.id,
            queue_offset: pull.offset,
            messages_max: pull.messages_max,
            sys_flag: SUBSCRIPTION | suspend,
            commit_offset: 0,
            suspend_timeout_ms: i64::try_from(pull.wait.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(pull.filter.expression()),
            sub_version: 0,
            expression_type: Some(Text::from_static("TAG")),
            bytes_max: None,
        });
        let reply = self
            .0
            .ask_within(&addr, request, pull.wait + ANSWER_GRACE)
            .await?;
        let status = match reply.code {
            ResponseCode::SUCCESS => PullStatus::Found,
            ResponseCode::PULL_NOT_FOUND => PullStatus::NothingNew,
            ResponseCode::PULL_RETRY_IMMEDIATELY => PullStatus::NothingWanted,
            ResponseCode::PULL_OFFSET_MOVED => PullStatus::OffsetMoved,
            _ => {
                self.0.routes.doubt(&pull.queue.topic);
                return Err(granted(&addr, reply)
                    .err()
                    .unwrap_or(AskError::NoNameServer));
            }
        };
        let unreadable = |why: String| AskError::unreadable(&addr, why);
        let at: PulledFields = reply
            .read()
            .map_err(|error| unreadable(error.to_string()))?;
        let mut messages =
            Received::all(&reply.whole_body()).map_err(|error| unreadable(error.to_string()))?;
        messages.retain(|message| pull.filter.wants(message.tag()));
        Ok(Pulled {
            status,
            messages,
            next_offset: at.next_offset,
            min_offset: at.min_offset,
            max_offset: at.max_offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_name_the_tags_that_are_wanted() {
        let filter = TagFilter::parse(" b ||a|| ");
        assert_eq!(filter.expression(), "a || b");
        assert_eq!(
            [Some("a"), Some("c"), None].map(|tag| filter.wants(tag)),
            [true, false, false]
        );
        for all in ["", "*", "a || *"] {
            assert_eq!(TagFilter::parse(all).expression(), "*");
            assert!(TagFilter::parse(all).wants(None));
        }
    }
}
