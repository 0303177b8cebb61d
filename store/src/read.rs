//! Answers from the log: messages of a queue, places by time, single records.
//!
//! Hands out slices of the mapped log, never copies. A record that this run of the store did not
//! write or check itself is checked before it leaves: whatever the disk did to it, nobody gets
//! bytes that nobody sent.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use proto::message::{LogOffset, QueueId, QueueOffset, RecordError, RecordPrefix};

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

impl Queue {
    pub(crate) fn bounds(&self) -> QueueBounds {
        let state = self.state.lock();
        QueueBounds {
            min: QueueOffset(state.min),
            max: QueueOffset(state.end()),
        }
    }
}

/// Records that are being put together.
struct Collector<'a> {
    store: &'a Store,
    queue: &'a Queue,
    /// Units below are checked.
    loaded_to: u64,
    limits: &'a ReadLimits,
    wanted: &'a dyn Fn(i64) -> bool,
    records: Vec<Bytes>,
    /// The log offsets of the first record and behind the last one.
    part: Range<u64>,
    /// A run of adjacent records: its offset and length.
    run: Option<(u64, u32)>,
    count: u32,
    bytes: u64,
    /// All units so far point to records that are gone.
    all_removed: bool,
}

impl Collector<'_> {
    /// Walks over units; the offset behind the last one looked at.
    fn collect(&mut self, from: u64, max: u64) -> Result<u64, ReadError> {
        let (store, queue) = (self.store, self.queue);
        let scan_end = max.min(from + SCAN_UNITS_MIN.max(self.limits.max_messages.into()));
        let mut next = from;
        while next < scan_end {
            let mut units = [None; CHUNK_UNITS];
            let count = store.units(queue, next, scan_end, &mut units)?;
            for unit in units.iter().take(count) {
                let unit = match unit {
                    Some(unit)
                        if !(self.wanted)(unit.tags_code)
                            || next >= self.loaded_to && !unit.is_filler() =>
                    {
                        *unit
                    }
                    unit => match store.checked_unit(queue, next, *unit) {
                        Ok(unit) => unit,
                        Err(error) if self.count == 0 => return Err(error),
                        Err(_) => return Ok(next),
                    },
                };
                if unit.tags_code == Unit::LOST {
                    // Nobody has this message any more; the reader is led over its place.
                } else if !(self.wanted)(unit.tags_code) {
                    self.all_removed = false;
                } else if self.is_full(unit.size) {
                    return Ok(next);
                } else {
                    self.add(unit);
                }
                next += 1;
            }
            if count == 0 {
                break;
            }
        }
        Ok(next)
    }

    fn is_full(&self, size: u32) -> bool {
        self.count > 0
            && (self.count >= self.limits.max_messages
                || self.bytes + u64::from(size) > self.limits.max_bytes.into())
    }

    /// Adds one record, unless the log has it no more.
    fn add(&mut self, unit: Unit) {
        if unit.log_offset < self.store.log.start().unwrap_or(0) {
            return;
        }
        self.all_removed = false;
        self.run = Some(match self.run {
            Some((start, length))
                if start + u64::from(length) == unit.log_offset
                    && !unit
                        .log_offset
                        .is_multiple_of(self.store.log.segment_bytes()) =>
            {
                (start, length.saturating_add(unit.size))
            }
            _ => {
                self.end_run();
                (unit.log_offset, unit.size)
            }
        });
        if self.count == 0 {
            self.part.start = unit.log_offset;
        }
        self.part.end = unit.log_offset + u64::from(unit.size);
        self.count += 1;
        self.bytes += u64::from(unit.size);
    }

    fn end_run(&mut self) {
        if let Some((start, length)) = self.run.take() {
            self.records.extend(self.store.log.slice(start, length));
        }
    }
}

pub(crate) fn wrong_unit(queue: &Queue, offset: u64) -> ReadError {
    ReadError::WrongUnit {
        topic: Arc::clone(&queue.topic),
        queue_id: queue.id,
        queue_offset: QueueOffset(offset),
    }
}

impl Store {
    /// Reads messages of a queue from an offset on. `wanted` decides by tags code.
    ///
    /// # Errors
    /// [`ReadError`] when the very first message cannot be handed out; messages before a damaged
    /// one are returned without it.
    #[expect(clippy::too_many_arguments, reason = "the words of a pull request")]
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
        let mut found = Collector {
            store: self,
            queue: &queue,
            loaded_to: queue.state.lock().loaded_to,
            limits,
            wanted,
            records: Vec::new(),
            part: 0..0,
            run: None,
            count: 0,
            bytes: 0,
            all_removed: true,
        };
        let next = QueueOffset(found.collect(from.0, bounds.max.0)?);
        found.end_run();
        // Only speed is lost when this fails.
        let _ = self.log.fetch_behind(found.part.clone());
        let status = match (found.count, found.all_removed) {
            (0, true) => ReadStatus::MessageWasRemoving,
            (0, false) => ReadStatus::NoMatchedMessage,
            _ => ReadStatus::Found,
        };
        Ok(Read {
            records: found.records,
            count: found.count,
            bytes: found.bytes,
            ..empty(status, next)
        })
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
        let read = self.queue_files.read(queue, from, bytes)?;
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
        let message = self.log.verify(&record, offset.0).ok()?;
        (!message.sys_flag.is_lost()).then_some(record)
    }
}
