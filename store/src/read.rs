//! Answers from the log: messages of a queue, places by time, single records.
//!
//! Hands out slices of the mapped log, never copies. A record that this run of the store did not
//! write or check itself is checked before it leaves: whatever the disk did to it, nobody gets
//! bytes that nobody sent.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use proto::message::{
    LogOffset, QueueId, QueueOffset, RecordError, RecordPrefix, StoredMessage, store_timestamp,
};

use crate::Store;
use crate::queue::{Queue, UNIT_BYTES, Unit};

/// Units that are looked at together.
const CHUNK_UNITS: usize = 64;
/// compat: `DefaultMessageStore#getMessage` looks at 16,000 bytes of a queue at least.
const SCAN_UNITS_MIN: u64 = 800;

/// How much one read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    pub max_messages: u32,
    /// The first message is returned whatever its size.
    pub max_bytes: u32,
}

/// What a read found; the names and meanings of RocketMQ's statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStatus {
    Found,
    /// There are messages, but none passed the filter.
    NoMatchedMessage,
    /// The messages were just removed from the log.
    MessageWasRemoving,
    NoMatchedLogicQueue,
    NoMessageInQueue,
    OffsetTooSmall,
    /// The offset is where the next message will be.
    OffsetOverflowOne,
    OffsetOverflowBadly,
}

/// The answer to a read.
#[derive(Clone, Debug)]
pub struct Read {
    pub status: ReadStatus,
    /// Where to read on.
    pub next: QueueOffset,
    pub min: QueueOffset,
    pub max: QueueOffset,
    /// Whole records one after the other, in as few pieces as they lie in the log.
    pub records: Vec<Bytes>,
    pub count: u32,
    pub bytes: u64,
}

/// A read that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the record at log offset {log_offset} is damaged: {reason}")]
    Damaged {
        log_offset: LogOffset,
        reason: RecordError,
    },
    #[error("unit {queue_offset} of queue {queue_id} of {topic} points to another record")]
    WrongUnit {
        topic: Arc<str>,
        queue_id: QueueId,
        queue_offset: QueueOffset,
    },
    #[error("the consume queue cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// The readable range of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueBounds {
    /// The first offset that can be read.
    pub min: QueueOffset,
    /// The offset behind the last message.
    pub max: QueueOffset,
}

/// Which of the messages around a time is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The first one that is not older.
    Lower,
    /// The last one that is not newer.
    Upper,
}

impl Queue {
    fn bounds(&self) -> QueueBounds {
        let state = self.state.lock();
        QueueBounds {
            min: QueueOffset(state.min),
            max: QueueOffset(state.end()),
        }
    }
}

/// Records that are being put together.
struct Collected {
    records: Vec<Bytes>,
    /// A run of adjacent records: its offset and length.
    run: Option<(u64, u32)>,
    count: u32,
    bytes: u64,
}

impl Store {
    /// Reads messages of a queue from an offset on. `wanted` decides by tags code.
    ///
    /// # Errors
    /// [`ReadError`] when the very first message cannot be handed out; messages before a damaged
    /// one are returned without it.
    pub fn read(
        &self,
        topic: &str,
        queue_id: QueueId,
        from: QueueOffset,
        limits: &ReadLimits,
        wanted: &dyn Fn(i64) -> bool,
    ) -> Result<Read, ReadError> {
        let queue = self.queues.find(topic, queue_id);
        let bounds = queue
            .as_ref()
            .map(|queue| queue.bounds())
            .unwrap_or_default();
        let empty = |status, next| Read {
            status,
            next,
            min: bounds.min,
            max: bounds.max,
            records: Vec::new(),
            count: 0,
            bytes: 0,
        };
        let Some(queue) = queue else {
            return Ok(empty(ReadStatus::NoMatchedLogicQueue, QueueOffset(0)));
        };
        if bounds.max.0 == 0 {
            return Ok(empty(ReadStatus::NoMessageInQueue, QueueOffset(0)));
        }
        if from < bounds.min {
            return Ok(empty(ReadStatus::OffsetTooSmall, bounds.min));
        }
        if from == bounds.max {
            return Ok(empty(ReadStatus::OffsetOverflowOne, from));
        }
        if from > bounds.max {
            return Ok(empty(ReadStatus::OffsetOverflowBadly, bounds.max));
        }
        let mut found = Collected {
            records: Vec::new(),
            run: None,
            count: 0,
            bytes: 0,
        };
        let (next, removed) =
            self.collect(&queue, from.0, bounds.max.0, limits, wanted, &mut found)?;
        self.end_run(&mut found);
        let status = match (found.count, removed) {
            (0, true) => ReadStatus::MessageWasRemoving,
            (0, false) => ReadStatus::NoMatchedMessage,
            _ => ReadStatus::Found,
        };
        let Collected {
            records,
            count,
            bytes,
            ..
        } = found;
        Ok(Read {
            records,
            count,
            bytes,
            ..empty(status, QueueOffset(next))
        })
    }

    /// Walks over units; the offset behind the last one looked at, and whether all were removed.
    #[expect(
        clippy::too_many_arguments,
        reason = "the inside of `read`, split off for its length"
    )]
    fn collect(
        &self,
        queue: &Queue,
        from: u64,
        max: u64,
        limits: &ReadLimits,
        wanted: &dyn Fn(i64) -> bool,
        found: &mut Collected,
    ) -> Result<(u64, bool), ReadError> {
        let scan_end = max.min(from + SCAN_UNITS_MIN.max(limits.max_messages.into()));
        let mut next = from;
        let mut all_removed = true;
        while next < scan_end {
            let mut units = [None; CHUNK_UNITS];
            let count = self.units(queue, next, scan_end, &mut units)?;
            for unit in units.iter().take(count) {
                let unit = unit.ok_or_else(|| self.wrong_unit(queue, next))?;
                if wanted(unit.tags_code) {
                    if found.count > 0
                        && (found.count >= limits.max_messages
                            || found.bytes + u64::from(unit.size) > limits.max_bytes.into())
                    {
                        return Ok((next, false));
                    }
                    match self.add(queue, next, unit, found) {
                        Ok(ControlFlow::Continue(())) => all_removed = false,
                        Ok(ControlFlow::Break(())) => {}
                        Err(error) if found.count == 0 => return Err(error),
                        Err(_) => return Ok((next, false)),
                    }
                } else {
                    all_removed = false;
                }
                next += 1;
            }
            if count == 0 {
                break;
            }
        }
        Ok((next, all_removed))
    }

    /// Adds one record; breaks when the log has it no more.
    fn add(
        &self,
        queue: &Queue,
        offset: u64,
        unit: Unit,
        found: &mut Collected,
    ) -> Result<ControlFlow<()>, ReadError> {
        let is_there = unit.log_offset >= self.log.start().unwrap_or(0);
        if !is_there {
            return Ok(ControlFlow::Break(()));
        }
        if unit.log_offset < self.verified_from {
            let Some(record) = self.log.slice(unit.log_offset, unit.size) else {
                return Err(self.wrong_unit(queue, offset));
            };
            self.check(queue, offset, unit, &record)?;
        }
        found.run = Some(match found.run {
            Some((start, length)) if start + u64::from(length) == unit.log_offset => {
                (start, length.saturating_add(unit.size))
            }
            _ => {
                self.end_run(found);
                (unit.log_offset, unit.size)
            }
        });
        found.count += 1;
        found.bytes += u64::from(unit.size);
        Ok(ControlFlow::Continue(()))
    }

    fn end_run(&self, found: &mut Collected) {
        if let Some((start, length)) = found.run.take() {
            found.records.extend(self.log.slice(start, length));
        }
    }

    fn check(
        &self,
        queue: &Queue,
        offset: u64,
        unit: Unit,
        record: &Bytes,
    ) -> Result<(), ReadError> {
        let message =
            StoredMessage::verify(record, LogOffset(unit.log_offset)).map_err(|reason| {
                ReadError::Damaged {
                    log_offset: LogOffset(unit.log_offset),
                    reason,
                }
            })?;
        let is_meant = message.size == unit.size
            && message.queue_offset.0 == offset
            && message.queue_id == queue.id
            && message.topic == &*queue.topic;
        if is_meant {
            Ok(())
        } else {
            Err(self.wrong_unit(queue, offset))
        }
    }

    #[expect(clippy::unused_self, reason = "reads as the other steps of a read do")]
    fn wrong_unit(&self, queue: &Queue, offset: u64) -> ReadError {
        ReadError::WrongUnit {
            topic: Arc::clone(&queue.topic),
            queue_id: queue.id,
            queue_offset: QueueOffset(offset),
        }
    }

    /// Units from `from` on, at most up to `to`; a unit that makes no sense is `None`.
    fn units(
        &self,
        queue: &Queue,
        from: u64,
        to: u64,
        units: &mut [Option<Unit>; CHUNK_UNITS],
    ) -> Result<usize, ReadError> {
        let persisted = {
            let state = queue.state.lock();
            if from >= state.persisted {
                let tail = state.in_tail(from);
                let wanted = usize::try_from(to - from).unwrap_or(usize::MAX);
                let count = tail.len().min(CHUNK_UNITS).min(wanted);
                for (place, unit) in units.iter_mut().zip(tail).take(count) {
                    *place = Some(*unit);
                }
                return Ok(count);
            }
            state.persisted
        };
        let count = usize::try_from(to.min(persisted) - from).unwrap_or(usize::MAX);
        let mut bytes = [[0; UNIT_BYTES]; CHUNK_UNITS];
        let (bytes, _) = bytes.split_at_mut(count.min(CHUNK_UNITS));
        let read = self.queue_files.read(&queue.topic, queue.id, from, bytes)?;
        for (place, bytes) in units.iter_mut().zip(bytes.iter()).take(read) {
            *place = Unit::from_bytes(bytes);
        }
        Ok(read)
    }

    pub(crate) fn unit(&self, queue: &Queue, offset: u64) -> Result<Option<Unit>, ReadError> {
        let mut units = [None; CHUNK_UNITS];
        self.units(queue, offset, offset + 1, &mut units)?;
        Ok(units[0])
    }

    /// The readable range of a queue; `None` when it never had a message.
    #[must_use]
    pub fn queue_bounds(&self, topic: &str, queue_id: QueueId) -> Option<QueueBounds> {
        Some(self.queues.find(topic, queue_id)?.bounds())
    }

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
        if start >= self.appended_to.load(Ordering::Acquire) {
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
            let time = self
                .unit(&queue, middle)?
                .and_then(|unit| self.time_at(unit.log_offset, unit.size))
                .ok_or_else(|| self.wrong_unit(&queue, middle))?;
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

    /// The whole record that begins at a log offset, if one does.
    #[must_use]
    pub fn record_at(&self, offset: LogOffset) -> Option<Bytes> {
        let end = self.dispatched_to().0;
        if offset.0 < self.log.start()? || offset.0.checked_add(8)? > end {
            return None;
        }
        let RecordPrefix::Message(size) = RecordPrefix::read(&self.log.slice(offset.0, 8)?) else {
            return None;
        };
        if offset.0.checked_add(size.into())? > end {
            return None;
        }
        let record = self.log.slice(offset.0, size)?;
        // Anybody may ask for any offset, so what lies there is always checked.
        StoredMessage::verify(&record, offset)
            .is_ok()
            .then_some(record)
    }
}
