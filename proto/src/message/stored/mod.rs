//! A stored message: the bytes of one record, the same in the log, in pull replies, everywhere.
//!
//! ```text
//!   0  i32 size of the whole record      40  i64 bornTimestamp
//!   4  i32 magic                         48  bornHost: 4 or 16 address bytes, i32 port
//!   8  i32 CRC of the body, 31 bits       +  i64 storeTimestamp
//!  12  i32 queueId                        +  storeHost: 4 or 16 address bytes, i32 port
//!  16  i32 flag                           +  i32 reconsumeTimes
//!  20  i64 queueOffset                    +  i64 preparedTransactionOffset
//!  28  i64 logOffset                      +  i32 length, body
//!  36  i32 sysFlag                        +  u8 (magic V1) or i16 (V2) length, topic
//!                                         +  i16 length, properties
//!
//! blank record, fills a segment:  i32 size | i32 magic | anything
//! last property, optional:        "__CRC32#" 01 ten digits, the lowest first 02
//!                                 = CRC of all bytes before it, 31 bits
//! ```
//!
//! All integers are big-endian. A record is valid when its lengths add up to its size exactly;
//! [`StoredMessage::verify`] also asks for the place and the CRCs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{LogOffset, OffsetMessageId, Properties, QueueId, QueueOffset, SysFlag};

/// Magic of a record with a one-byte topic length.
pub(super) const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a two-byte topic length.
pub(super) const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the record that fills the end of a segment.
pub const BLANK_MAGIC: u32 = 0xCBD4_3194;
/// What is written of a blank record.
pub const BLANK_BYTES: u32 = 8;
/// The least bytes a record can have.
pub const RECORD_BYTES_MIN: u32 = 91;
/// The bytes of the property that holds the CRC of the whole record.
pub const CRC_PROPERTY_BYTES: usize = 20;

/// Why bytes are not a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record is cut off")]
    Truncated,
    #[error("there is no record magic")]
    BadMagic,
    #[error("the lengths inside the record do not add up")]
    BadLength,
    #[error("the record says that it belongs at log offset {0}")]
    WrongOffset(u64),
    #[error("the CRC of the body does not match")]
    BadBodyCrc,
    #[error("the CRC of the record does not match")]
    BadRecordCrc,
    #[error("the topic is empty or not UTF-8")]
    BadTopic,
}

/// What the first eight bytes at a log position say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPrefix {
    /// A message of that many bytes.
    Message(u32),
    /// The rest of the segment is unused: that many bytes.
    Blank(u32),
    /// No record begins here.
    None,
}

impl RecordPrefix {
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return Self::None;
        };
        let Some(magic) = rest.first_chunk::<4>() else {
            return Self::None;
        };
        let size = u32::from_be_bytes(*size);
        if i32::try_from(size).is_err() {
            return Self::None;
        }
        match u32::from_be_bytes(*magic) {
            MAGIC_V1 | MAGIC_V2 if size >= RECORD_BYTES_MIN => Self::Message(size),
            BLANK_MAGIC if size >= BLANK_BYTES => Self::Blank(size),
            _ => Self::None,
        }
    }
}

/// The start of a blank record of `size` bytes.
#[must_use]
pub fn blank_record(size: u32) -> [u8; BLANK_BYTES as usize] {
    let [a, b, c, d] = size.to_be_bytes();
    let [e, f, g, h] = BLANK_MAGIC.to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// One record, taken apart without copying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    pub size: u32,
    pub body_crc: u32,
    pub queue_id: QueueId,
    pub flag: i32,
    pub queue_offset: QueueOffset,
    pub log_offset: LogOffset,
    pub sys_flag: SysFlag,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_timestamp: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    pub topic: &'a str,
    pub properties: Properties<'a>,
}

impl<'a> StoredMessage<'a> {
    /// Takes the record at the start of `bytes` apart; what follows it is left alone.
    ///
    /// # Errors
    /// [`RecordError`] unless magic and lengths are right and the topic is text.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let size = match RecordPrefix::read(bytes) {
            RecordPrefix::Message(size) => size,
            RecordPrefix::Blank(_) => return Err(RecordError::BadMagic),
            RecordPrefix::None if bytes.len() < 8 => return Err(RecordError::Truncated),
            RecordPrefix::None => return Err(RecordError::BadMagic),
        };
        let record = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.get(..size))
            .ok_or(RecordError::Truncated)?;
        let mut fields = Fields(record);
        let (_, magic) = (fields.u32()?, fields.u32()?);
        let body_crc = fields.u32()?;
        let queue_id = QueueId(fields.u32()?);
        let flag = fields.i32()?;
        let queue_offset = QueueOffset(fields.u64()?);
        let log_offset = LogOffset(fields.u64()?);
        let sys_flag = SysFlag(fields.i32()?);
        let born_timestamp = fields.i64()?;
        let born_host = fields.host(sys_flag.born_host_is_v6())?;
        let store_timestamp = fields.i64()?;
        let store_host = fields.host(sys_flag.store_host_is_v6())?;
        let reconsume_times = fields.i32()?;
        let prepared_transaction_offset = fields.i64()?;
        let body_bytes = fields.u32()?;
        let body = fields.slice(body_bytes)?;
        let topic_bytes = if magic == MAGIC_V1 {
            fields.u8()?.into()
        } else {
            fields.u16()?.into()
        };
        let topic = fields.slice(topic_bytes)?;
        let property_bytes = fields.u16()?.into();
        let properties = Properties::from_bytes(fields.slice(property_bytes)?);
        if !fields.0.is_empty() {
            return Err(RecordError::BadLength);
        }
        let topic = str::from_utf8(topic).map_err(|_| RecordError::BadTopic)?;
        if topic.is_empty() {
            return Err(RecordError::BadTopic);
        }
        Ok(Self {
            size,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            log_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// [`StoredMessage::parse`], and the record must say that it lies at `at` and match its CRCs.
    ///
    /// # Errors
    /// [`RecordError`] names the first thing that is wrong.
    pub fn verify(bytes: &'a [u8], at: LogOffset) -> Result<Self, RecordError> {
        let message = Self::parse(bytes)?;
        if message.log_offset != at {
            return Err(RecordError::WrongOffset(message.log_offset.0));
        }
        let size = usize::try_from(message.size).map_err(|_| RecordError::BadLength)?;
        let record = bytes.get(..size).ok_or(RecordError::Truncated)?;
        // A seal covers the body and its CRC, so one pass over the bytes is enough.
        match sealed_crc(message.properties) {
            Some(expected) => {
                let covered = record.split_last_chunk::<CRC_PROPERTY_BYTES>();
                let (covered, _) = covered.ok_or(RecordError::BadLength)?;
                if expected != Some(crc32fast::hash(covered) & 0x7FFF_FFFF) {
                    return Err(RecordError::BadRecordCrc);
                }
            }
            None if crc32fast::hash(message.body) & 0x7FFF_FFFF != message.body_crc => {
                return Err(RecordError::BadBodyCrc);
            }
            None => {}
        }
        Ok(message)
    }

    /// Whether the record carries a CRC over all of its bytes.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        sealed_crc(self.properties).is_some()
    }

    /// The id by which the server finds this message again.
    #[must_use]
    pub fn offset_id(&self) -> OffsetMessageId {
        OffsetMessageId {
            host: self.store_host,
            offset: self.log_offset,
        }
    }
}

/// The store time of a record, without taking the rest of it apart.
#[must_use]
pub fn store_timestamp(record: &[u8]) -> Option<i64> {
    let (_, rest) = record.split_at_checked(36)?;
    let (flag, rest) = rest.split_first_chunk::<4>()?;
    let born_host_bytes = if SysFlag(i32::from_be_bytes(*flag)).born_host_is_v6() {
        20
    } else {
        8
    };
    let (_, rest) = rest.split_at_checked(8 + born_host_bytes)?;
    Some(i64::from_be_bytes(*rest.first_chunk::<8>()?))
}

/// The CRC inside the last property, when there is that property; `Some(None)` when it is broken.
///
/// A few wrong bytes must not make the property look absent, so most of its frame is enough.
fn sealed_crc(properties: Properties<'_>) -> Option<Option<u32>> {
    let (_, last) = properties
        .as_bytes()
        .split_last_chunk::<CRC_PROPERTY_BYTES>()?;
    let frame = b"__CRC32#\x01..........\x02";
    let is_digit = |at: usize| (9..19).contains(&at);
    let differing = (0..CRC_PROPERTY_BYTES).filter(|&at| !is_digit(at) && last[at] != frame[at]);
    match differing.count() {
        0 => {}
        1..=3 => return Some(None),
        _ => return None,
    }
    let digits = last.iter().skip(9).take(10).rev();
    Some(digits.copied().try_fold(0u32, |crc, digit| {
        let digit = u32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        crc.checked_mul(10)?.checked_add(digit)
    }))
}

/// The records of a pull reply, one after the other; after an error it ends.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<StoredMessage<'_>, RecordError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = StoredMessage::parse(rest);
        rest = message
            .ok()
            .and_then(|message| usize::try_from(message.size).ok())
            .and_then(|size| rest.get(size..))
            .unwrap_or(&[]);
        Some(message)
    })
}

/// The part of a record that is not taken apart yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(RecordError::BadLength)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn slice(&mut self, length: u32) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length))
            .ok_or(RecordError::BadLength)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    fn host(&mut self, is_v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if is_v6 {
            IpAddr::from(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::from(Ipv4Addr::from(self.array::<4>()?))
        };
        // compat: MessageDecoder: the port field has 32 bits; what does not fit a port is shown as 0.
        let port = u16::try_from(self.u32()?).unwrap_or(0);
        Ok(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests;
