//! A message that came back from a broker, and its body as its producer meant it.

use std::io::{self, Read};
use std::net::SocketAddr;

use bytes::Bytes;
use flate2::read::ZlibDecoder;
use proto::Text;
use proto::message::{
    BodyCompression, OffsetMessageId, Properties, RecordError, StoredMessage, property, records,
    split_keys,
};

use crate::message::BODY_BYTES_MAX;

/// What a body may grow to: as large as one that is sent uncompressed, and no bomb.
const PLAIN_BYTES_MAX: usize = BODY_BYTES_MAX;
const GROWTH_MAX: usize = 100;
/// Up to here any growth is harmless.
const HARMLESS_BYTES: usize = 64 << 10;

/// Why a compressed body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is compressed in a way that is not read here: {0:?}")]
    Unsupported(BodyCompression),
    #[error("the body is larger than {0} bytes when decompressed")]
    TooLarge(usize),
    #[error("the compressed body is broken: {0}")]
    Broken(io::Error),
}

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
    /// As stored; [`plain_body`](Self::plain_body) is as sent.
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

    /// The body as it was before its producer compressed it (Java clients do so from 4 KiB on).
    ///
    /// # Errors
    /// Neither plain nor zlib, broken, or too large.
    pub fn plain_body(&self) -> Result<Bytes, BodyError> {
        match self.compression {
            BodyCompression::None => Ok(self.body.clone()),
            BodyCompression::Zlib => inflate(&self.body).map(Bytes::from),
            other => Err(BodyError::Unsupported(other)),
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

fn inflate(body: &[u8]) -> Result<Vec<u8>, BodyError> {
    let max = body.len().saturating_mul(GROWTH_MAX);
    let max = max.clamp(HARMLESS_BYTES, PLAIN_BYTES_MAX);
    let mut plain = Vec::new();
    // One byte more tells a body that is too large from one that just fits.
    let mut limited = ZlibDecoder::new(body).take(u64::try_from(max).unwrap_or(u64::MAX) + 1);
    limited.read_to_end(&mut plain).map_err(BodyError::Broken)?;
    if plain.len() > max {
        return Err(BodyError::TooLarge(max));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn deflate(plain: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_read() {
        let plain: Vec<u8> = (0..=255).cycle().take(20_000).collect();
        assert_eq!(inflate(&deflate(&plain)).unwrap(), plain);
    }

    #[test]
    fn bombs_and_broken_bodies_are_refused() {
        let bomb = deflate(&vec![0; 20 << 20]);
        assert!(matches!(inflate(&bomb), Err(BodyError::TooLarge(_))));
        let cut = deflate(b"hello, hello, hello");
        assert!(matches!(
            inflate(&cut[..cut.len() - 6]),
            Err(BodyError::Broken(_))
        ));
    }
}
