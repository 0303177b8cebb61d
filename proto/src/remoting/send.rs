//! Sending: the request of codes 10 (long names), 310 and 320 (letters), and its reply.

use bytes::Bytes;

use crate::{Text, wire_fields};

wire_fields! {
    /// The parameters of a send.
    pub struct SendFields {
        producer_group: Option<Text> = "a" | "producerGroup",
        topic: Text = "b" | "topic",
        default_topic: Text = "c" | "defaultTopic",
        default_topic_queues: i32 = "d" | "defaultTopicQueueNums",
        /// Below 0 the broker chooses.
        queue_id: i32 = "e" | "queueId",
        sys_flag: i32 = "f" | "sysFlag",
        born_timestamp: i64 = "g" | "bornTimestamp",
        flag: i32 = "h" | "flag",
        properties: Option<Text> = "i" | "properties",
        reconsume_times: Option<i32> = "j" | "reconsumeTimes",
        unit_mode: Option<bool> = "k" | "unitMode",
        max_reconsume_times: Option<i32> = "l" | "maxReconsumeTimes",
        batch: Option<bool> = "m" | "batch",
    }

    /// The answer to a send: where the (first) message stands.
    pub struct Sent {
        /// Offset ids, one for each message of a batch, joined by commas.
        message_id: Text = "msgId",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        transaction_id: Option<Text> = "transactionId",
        region: Option<Text> = "MSG_REGION",
        trace_on: Option<Text> = "TRACE_ON",
    }
}

/// One message, or a batch in the layout of [`crate::message::BatchItems`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    pub fields: SendFields,
    pub body: Bytes,
}

impl Send {
    pub fn is_batch(&self) -> bool {
        self.fields.batch == Some(true)
    }

    pub fn properties(&self) -> &str {
        self.fields.properties.as_deref().unwrap_or_default()
    }
}
