//! Batches: several messages of one topic in one request, stored together or not at all.

use proto::Text;
use proto::message::{BatchItem, encode_batch_item};

use crate::message::{BODY_BYTES_MAX, Message};
use crate::send::{Load, Receipt, SendOptions};
use crate::send_error::SendError;
use crate::{Client, Inner};

/// Messages of one batch.
const BATCH_MAX: usize = 1024;

impl Client {
    /// Sends messages of one topic as one: all are stored, one behind the other in one queue, or
    /// none. The sharding key of the first counts for all.
    ///
    /// # Errors
    /// As for [`send`](Self::send); also when the messages do not make a batch.
    pub async fn send_batch(
        &self,
        messages: Vec<Message>,
        options: &SendOptions,
    ) -> Result<Vec<Receipt>, SendError> {
        let (ids, load) = self.0.load_batch(&messages)?;
        let (way, sent, stored) = self.0.deliver(&load, options).await?;
        let mut offset_ids = sent.message_id.split(',');
        let receipts = ids
            .into_iter()
            .zip(sent.queue_offset..)
            .map(|(id, offset)| Receipt {
                id,
                broker: way.broker.clone(),
                queue: sent.queue_id,
                offset,
                offset_id: offset_ids.next().unwrap_or_default().into(),
                stored,
            });
        Ok(receipts.collect())
    }
}

impl Inner {
    fn load_batch(&self, messages: &[Message]) -> Result<(Vec<Text>, Load), SendError> {
        let [first, ..] = messages else {
            return Err(SendError::Illegal("the batch is empty"));
        };
        if messages.len() > BATCH_MAX {
            return Err(SendError::Illegal("the batch has more than 1,024 messages"));
        }
        let now_ms = runtime::clock::now_ms();
        let mut ids = Vec::with_capacity(messages.len());
        let mut body = Vec::new();
        for message in messages {
            if let Some(fault) = message.fault() {
                return Err(SendError::Illegal(fault));
            }
            if message.topic != first.topic {
                return Err(SendError::Illegal(
                    "the batch has messages of several topics",
                ));
            }
            let id = self.ids.next(now_ms);
            let item = BatchItem {
                flag: 0,
                body: &message.body,
                properties: &message.encode_properties(&id),
            };
            encode_batch_item(&mut body, &item)
                .map_err(|_| SendError::Illegal("the properties are too large"))?;
            if body.len() > BODY_BYTES_MAX {
                return Err(SendError::Illegal("the batch is larger than 4 MiB"));
            }
            ids.push(id.into());
        }
        let load = Load {
            topic: first.topic.clone(),
            sharding_key: first.sharding_key.clone(),
            properties: Text::new(),
            body: body.into(),
            batch: true,
        };
        Ok((ids, load))
    }
}
