//! A message that came back from a broker.

use std::net::SocketAddr;

use bytes::Bytes;
use proto::Text;
use proto::message::{
    BodyCompression, OffsetMessageId, Properties, RecordError, StoredMessage, property, records,
    split_keys,
};

/// A stored message. Body and properties are slices of the answer they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub topic: Text,
    pub queue: i32,
    pub offset: i64,
    pub offset_id: OffsetMessageId,
    pub born_ms: i64,
    pub born_host: SocketAddr,
    pub stored_ms: i64,
    /// How often its group has had it before.
    pub reconsumed: i32,
    pub compression: BodyCompression,
    /// As stored; see [`compression`](Self::compression).
    pub body: Bytes,
    properties: Bytes,
}

impl Received {
    /// Every record of an answer's body.
    pub(crate) fn all(body: &Bytes) -> Result<Vec<Self>, RecordError> {
        records(body)
            .map(|record| Ok(Self::new(&record?, body)))
            .collect()
    }

    fn new(record: &StoredMessage<'_>, answer: &Bytes) -> Self {
        Self {
            topic: record.topic.into(),
            queue: record.queue_id.0.cast_signed(),
            offset: record.queue_offset.0.cast_signed(),
            offset_id: record.offset_id(),
            born_ms: record.born_timestamp,
            born_host: record.born_host,
            stored_ms: record.store_timestamp,
            reconsumed: record.reconsume_times,
            compression: record.sys_flag.compression(),
            body: answer.slice_ref(record.body),
            properties: answer.slice_ref(record.properties.as_bytes()),
        }
    }

    /// All properties, RocketMQ's own and the user's.
    pub fn properties(&self) -> Properties<'_> {
        Properties::from_bytes(&self.properties)
    }

    /// The value of one property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties().find(name)
    }

    /// The id that its producer gave it.
    pub fn id(&self) -> Option<&str> {
        self.property(property::UNIQUE_KEY)
    }

    pub fn tag(&self) -> Option<&str> {
        self.property(property::TAGS)
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        split_keys(self.property(property::KEYS).unwrap_or_default())
    }
}
