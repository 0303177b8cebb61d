//! Consume queues: for each queue of each topic, where its messages lie in the log.
//!
//! Owns a queue's state in memory: what is in its files (units below `persisted`), what is not yet
//! (the tail), and the first offset that may still be read. [`table`] finds queues, [`files`] is
//! the format on disk. A queue without news costs no file handle, no mapping and about 300 bytes.

mod files;
pub(crate) mod snapshot;
mod table;

use std::sync::Arc;

use proto::message::{QueueId, QueueOffset, StoredMessage};

pub(crate) use files::{QueueFiles, Run, UNIT_BYTES, Unsynced};
pub use table::QueueError;
pub(crate) use table::Queues;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64};

/// The last place of a queue: files are found by the byte that they begin with, an `i64` in Java.
pub(crate) const OFFSET_MAX: QueueOffset =
    QueueOffset(i64::MAX.cast_unsigned() / UNIT_BYTES as u64 - 1);

/// One place in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) log_offset: u64,
    pub(crate) size: u32,
    pub(crate) tags_code: i64,
}

impl Unit {
    pub(crate) fn to_bytes(self) -> [u8; UNIT_BYTES] {
        let mut bytes = [0; UNIT_BYTES];
        bytes[..8].copy_from_slice(&self.log_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tags_code.to_be_bytes());
        bytes
    }

    /// compat: `ConsumeQueue#recover` takes offset >= 0 and size > 0 as valid.
    pub(crate) fn from_bytes(bytes: &[u8; UNIT_BYTES]) -> Option<Self> {
        let (log_offset, rest) = bytes.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let tags_code = rest.first_chunk::<8>()?;
        let log_offset = u64::try_from(i64::from_be_bytes(*log_offset)).ok()?;
        let size = u32::try_from(i32::from_be_bytes(*size)).ok()?;
        let tags_code = i64::from_be_bytes(*tags_code);
        (size > 0).then_some(Self {
            log_offset,
            size,
            tags_code,
        })
    }

    /// Stands where messages were that nobody knows any more.
    pub(crate) const FILLER: Self = Self {
        log_offset: 0,
        size: i32::MAX.cast_unsigned(),
        tags_code: 0,
    };

    /// The tags code of a place whose message is lost.
    pub(crate) const LOST: i64 = i64::MIN;

    pub(crate) fn is_filler(self) -> bool {
        self == Self::FILLER
    }

    /// Whether the unit points to this record.
    pub(crate) fn is_of(&self, message: &StoredMessage<'_>) -> bool {
        self.log_offset == message.log_offset.0
            && self.size == message.size
            && (self.tags_code == Self::LOST) == message.sys_flag.is_lost()
    }
}

/// One queue of one topic.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) topic: Arc<str>,
    pub(crate) id: QueueId,
    /// Java's hash of `topic#`, which the hash of every key begins with.
    pub(crate) topic_hash: i32,
    /// The offset that the next message gets, or [`Queue::GONE`]. Changed under the lock of the
    /// staging buffer only.
    pub(crate) next: AtomicU64,
    /// Whether somebody wants to hear of arrivals.
    pub(crate) watched: AtomicBool,
    /// Whether the queue is in the list of those that have units to persist.
    pub(crate) dirty: AtomicBool,
    pub(crate) state: Mutex<QueueState>,
}

impl Queue {
    /// Nothing more comes into this queue: its topic was deleted.
    pub(crate) const GONE: u64 = u64::MAX;
}

#[derive(Debug, Default)]
pub(crate) struct QueueState {
    /// The first offset whose message is still in the log; never above the end.
    pub(crate) min: u64,
    /// Units below are in the files, the tail begins here.
    pub(crate) persisted: u64,
    /// Units below are from an earlier run: what they say is checked against the log.
    pub(crate) loaded_to: u64,
    pub(crate) tail: Vec<Unit>,
    /// The topic was deleted: nothing is persisted any more.
    pub(crate) deleted: bool,
}

impl QueueState {
    /// Of a queue whose messages are all gone.
    pub(crate) fn ended(end: u64) -> Self {
        Self {
            min: end,
            persisted: end,
            loaded_to: end,
            ..Self::default()
        }
    }

    /// The offset behind the last message that can be read.
    pub(crate) fn end(&self) -> u64 {
        self.persisted + self.tail.len() as u64
    }

    /// The unit at an offset, when it is in memory.
    pub(crate) fn in_tail(&self, offset: u64) -> &[Unit] {
        let from = offset
            .checked_sub(self.persisted)
            .and_then(|from| usize::try_from(from).ok());
        from.and_then(|from| self.tail.get(from..)).unwrap_or(&[])
    }
}
