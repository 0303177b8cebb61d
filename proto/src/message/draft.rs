//! A message that is about to be stored, and how it becomes a record.
//!
//! Owns the writing side of the layout drawn in [`super::stored`]. The caller gives the body's CRC
//! and the places, because it knows them at different moments; the CRC of the whole record is put
//! in last, by [`seal_crc`].

use std::net::{IpAddr, SocketAddr};

use super::stored::{CRC_PROPERTY_BYTES, MAGIC_V1, MAGIC_V2};
use super::{LogOffset, QueueId, QueueOffset, SysFlag, property};

/// A message before it has a place. Borrows everything; properties may come in parts, which are
/// stored one after the other, so that nobody has to join them first.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    pub topic: &'a str,
    pub queue_id: QueueId,
    pub flag: i32,
    /// The address bits are set from the hosts.
    pub sys_flag: SysFlag,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    /// Each part but the last must end with the property separator.
    pub properties: &'a [&'a str],
    /// What the consume queue keeps for filtering; usually `tags_code(TAGS)`.
    pub tags_code: i64,
    /// The value of `UNIQ_KEY`, to be found by.
    pub unique_key: Option<&'a str>,
    /// The value of `KEYS`, separated by spaces, to be found by.
    pub keys: Option<&'a str>,
}

/// Where and when a draft is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub log_offset: LogOffset,
    pub queue_offset: QueueOffset,
    pub store_timestamp: i64,
    /// `crc32fast::hash(body)`.
    pub body_crc: u32,
    /// Whether room for the CRC of the whole record is kept.
    pub record_crc: bool,
}

/// A draft that no record can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("the topic is empty or longer than 255 bytes")]
    TopicLength,
    #[error("the properties are longer than 32767 bytes")]
    PropertiesTooLong,
    #[error("the body is longer than a record can say")]
    BodyTooLong,
}

const TOPIC_BYTES_MAX: usize = 255;
const TOPIC_BYTES_MAX_V1: usize = 127;

impl Draft<'_> {
    /// The bytes that the record takes.
    ///
    /// # Errors
    /// [`DraftError`] names the field that does not fit.
    pub fn record_bytes(&self, record_crc: bool) -> Result<u32, DraftError> {
        if self.topic.is_empty() || self.topic.len() > TOPIC_BYTES_MAX {
            return Err(DraftError::TopicLength);
        }
        let properties = self.property_bytes(record_crc);
        if i16::try_from(properties).is_err() {
            return Err(DraftError::PropertiesTooLong);
        }
        let topic_length = if self.topic.len() > TOPIC_BYTES_MAX_V1 {
            2
        } else {
            1
        };
        let hosts = host_bytes(self.born_host) + host_bytes(self.store_host);
        let rest = hosts + topic_length + self.topic.len() + properties + 74;
        i32::try_from(self.body.len().saturating_add(rest))
            .ok()
            .and_then(|size| u32::try_from(size).ok())
            .ok_or(DraftError::BodyTooLong)
    }

    /// Appends the record. The caller has asked [`Draft::record_bytes`] before.
    pub fn encode(&self, at: &Placement, to: &mut Vec<u8>) {
        let begin = to.len();
        let topic_is_long = self.topic.len() > TOPIC_BYTES_MAX_V1;
        let magic = if topic_is_long { MAGIC_V2 } else { MAGIC_V1 };
        let (born_v6, store_v6) = (self.born_host.is_ipv6(), self.store_host.is_ipv6());
        let sys_flag = self.sys_flag.with_hosts(born_v6, store_v6);

        let mut head = [0; 48];
        // head[0..4], the size, is known at the end.
        put(&mut head, 4, magic.to_be_bytes());
        put(&mut head, 8, (at.body_crc & 0x7FFF_FFFF).to_be_bytes());
        put(&mut head, 12, self.queue_id.0.to_be_bytes());
        put(&mut head, 16, self.flag.to_be_bytes());
        put(&mut head, 20, at.queue_offset.0.to_be_bytes());
        put(&mut head, 28, at.log_offset.0.to_be_bytes());
        put(&mut head, 36, sys_flag.0.to_be_bytes());
        put(&mut head, 40, self.born_timestamp.to_be_bytes());
        to.extend_from_slice(&head);
        push_host(to, self.born_host);
        to.extend_from_slice(&at.store_timestamp.to_be_bytes());
        push_host(to, self.store_host);
        let mut middle = [0; 16];
        put(&mut middle, 0, self.reconsume_times.to_be_bytes());
        put(
            &mut middle,
            4,
            self.prepared_transaction_offset.to_be_bytes(),
        );
        put(&mut middle, 12, low_four(self.body.len()));
        to.extend_from_slice(&middle);
        to.extend_from_slice(self.body);
        let [high, low] = low_two(self.topic.len());
        if topic_is_long {
            to.push(high);
        }
        to.push(low);
        to.extend_from_slice(self.topic.as_bytes());
        self.push_properties(at.record_crc, to);

        let size = low_four(to.len() - begin);
        if let Some(field) = to.get_mut(begin..begin + 4) {
            field.copy_from_slice(&size);
        }
    }

    fn push_properties(&self, record_crc: bool, to: &mut Vec<u8>) {
        to.extend_from_slice(&low_two(self.property_bytes(record_crc)));
        for part in self.properties {
            to.extend_from_slice(part.as_bytes());
        }
        if record_crc {
            if self.lacks_last_separator() {
                to.push(2);
            }
            to.extend_from_slice(property::CRC32.as_bytes());
            to.extend_from_slice(b"\x010000000000\x02");
        }
    }

    fn property_bytes(&self, record_crc: bool) -> usize {
        let given: usize = self.properties.iter().map(|part| part.len()).sum();
        if record_crc {
            given + usize::from(self.lacks_last_separator()) + CRC_PROPERTY_BYTES
        } else {
            given
        }
    }

    fn lacks_last_separator(&self) -> bool {
        let last = self
            .properties
            .iter()
            .rev()
            .find_map(|part| part.as_bytes().last());
        last.is_some_and(|&byte| byte != 2)
    }
}

/// Writes the CRC of a whole record into the room that [`Draft::encode`] kept for it.
pub fn seal_crc(record: &mut [u8]) {
    let Some(covered) = record.len().checked_sub(CRC_PROPERTY_BYTES) else {
        return;
    };
    let (covered, property) = record.split_at_mut(covered);
    let mut crc = crc32fast::hash(covered) & 0x7FFF_FFFF;
    // compat: CommitLog writes the decimal digits of this property backwards.
    for digit in property.iter_mut().skip(property::CRC32.len() + 1).take(10) {
        *digit = b'0'
            + crc
                .checked_rem(10)
                .map_or(0, |digit| digit.to_le_bytes()[0]);
        crc /= 10;
    }
}

fn host_bytes(host: SocketAddr) -> usize {
    if host.is_ipv6() { 20 } else { 8 }
}

fn push_host(to: &mut Vec<u8>, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => to.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => to.extend_from_slice(&ip.octets()),
    }
    to.extend_from_slice(&u32::from(host.port()).to_be_bytes());
}

fn put<const N: usize>(to: &mut [u8], at: usize, bytes: [u8; N]) {
    to[at..at + N].copy_from_slice(&bytes);
}

/// The low bytes of a length that [`Draft::record_bytes`] has checked.
fn low_four(length: usize) -> [u8; 4] {
    let [.., a, b, c, d] = length.to_be_bytes();
    [a, b, c, d]
}

fn low_two(length: usize) -> [u8; 2] {
    let [.., a, b] = length.to_be_bytes();
    [a, b]
}
