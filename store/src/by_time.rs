//! Store times of messages, and messages by store time.

use proto::message::{QueueId, QueueOffset, RecordPrefix, store_timestamp};

use crate::Store;
use crate::queue::Unit;
use crate::read::ReadError;
use crate::sync::atomic::Ordering;

/// Which of the messages around a time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The first one that is not older.
    Lower,
    /// The last one that is not newer.
    Upper,
}

impl Store {
    /// When the message at an offset was stored.
    ///
    /// # Errors
    /// [`ReadError`] when the consume queue cannot be read.
    pub fn message_time(
        &self,
        topic: &str,
        queue_id: QueueId,
        offset: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        let Some(queue) = self.queues.find(topic, queue_id) else {
            return Ok(None);
        };
        let bounds = queue.bounds();
        if offset < bounds.min || offset >= bounds.max {
            return Ok(None);
        }
        let unit = self.unit(&queue, offset.0)?;
        Ok(unit.and_then(|unit| self.time_at(unit.log_offset, unit.size)))
    }

    fn time_at(&self, log_offset: u64, size: u32) -> Option<i64> {
        store_timestamp(&self.log.slice(log_offset, size)?)
    }

    /// When the oldest message of the log was stored.
    #[must_use]
    pub fn earliest_time(&self) -> Option<i64> {
        let start = self.log.start()?;
        if start >= self.marks.appended_to.load(Ordering::Acquire) {
            return None;
        }
        match RecordPrefix::read(&self.log.slice(start, 8)?) {
            RecordPrefix::Message(size) => self.time_at(start, size),
            RecordPrefix::Blank(_) | RecordPrefix::None => None,
        }
    }

    /// The offset in a queue that belongs to a store time.
    ///
    /// compat: `ConsumeQueue#getOffsetInQueueByTime`: behind the last message it is the end (lower)
    /// or the last message (upper); before the first one it is the first (lower) or 0 (upper).
    ///
    /// # Errors
    /// [`ReadError`] when the consume queue cannot be read.
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: QueueId,
        time_ms: i64,
        boundary: Boundary,
    ) -> Result<Option<QueueOffset>, ReadError> {
        let Some(queue) = self.queues.find(topic, queue_id) else {
            return Ok(None);
        };
        let bounds = queue.bounds();
        // The first offset whose message is not older (lower), or is newer (upper).
        let (mut low, mut high) = (bounds.min.0, bounds.max.0);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.unit(&queue, middle)?;
            let time_of = |unit: Unit| self.time_at(unit.log_offset, unit.size);
            let time = match found.and_then(time_of) {
                Some(time) => time,
                // One whose record is gone is older than all.
                None => time_of(self.checked_unit(&queue, middle, found)?).unwrap_or(i64::MIN),
            };
            let is_before = match boundary {
                Boundary::Lower => time < time_ms,
                Boundary::Upper => time <= time_ms,
            };
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some(QueueOffset(match boundary {
            Boundary::Lower => low,
            Boundary::Upper if low == bounds.min.0 => 0,
            Boundary::Upper => low - 1,
        })))
    }
}
