//! Records on their way to the log: encoded, placed, not yet written.
//!
//! Owns the buffer that appenders fill under one short lock and that the writer takes as a whole.
//! Offsets are given out here, so log order, queue order and time order are one order. The buffer
//! holds whole records only; where the log skips to a new segment, a new run begins.
//!
//! Invariant: batches follow each other without a gap, see [`Batch::assert_follows`].

use std::sync::Arc;

use proto::message::{
    BLANK_BYTES, Draft, LogOffset, Placement, QueueOffset, blank_record, seal_crc,
};

use crate::append::{Appended, ReadyDraft};
use crate::queue::Queue;
use crate::sync::atomic::Ordering;

/// Why nothing more is taken in; the worse reason comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Halt {
    /// What is staged is still written.
    Closed,
    /// Nothing is.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) batch: Batch,
    /// Where the next record goes.
    pub(crate) end: u64,
    pub(crate) halt: Option<Halt>,
    /// The store time of the newest record; times never go back.
    last_timestamp: i64,
}

/// What the writer took in one go, and what the dispatcher needs to know of it.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) runs: Vec<Run>,
    pub(crate) placed: Vec<Placed>,
    pub(crate) key_hashes: Vec<i32>,
    pub(crate) end: LogOffset,
}

/// Bytes that lie together in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) log_offset: u64,
    /// Where the run begins in the buffer.
    pub(crate) begin: usize,
}

/// One record of a batch.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) queue: Arc<Queue>,
    pub(crate) log_offset: u64,
    pub(crate) queue_offset: u64,
    pub(crate) tags_code: i64,
    pub(crate) store_timestamp: i64,
    pub(crate) size: u32,
    /// Where the record begins in the buffer.
    pub(crate) begin: usize,
    /// How many of the batch's key hashes are this record's.
    pub(crate) keys: usize,
    /// Prepared and rolled-back records have no place in a queue.
    pub(crate) is_queued: bool,
}

impl Batch {
    /// The log offset behind the last record: an append whose `end` is not above it is written.
    #[must_use]
    pub fn end(&self) -> LogOffset {
        self.end
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.placed.len()
    }

    /// Puts in the CRCs of whole records.
    pub(crate) fn seal(&mut self) {
        for placed in &self.placed {
            let end = placed.begin + placed.size as usize;
            seal_crc(&mut self.bytes[placed.begin..end]);
        }
    }

    /// What is to be written where, in the order of the log.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let ends = self.runs.iter().skip(1).map(|run| run.begin);
        let ends = ends.chain([self.bytes.len()]);
        self.runs
            .iter()
            .zip(ends)
            .map(|(run, end)| (run.log_offset, &self.bytes[run.begin..end]))
    }

    /// A batch begins where the log ends, or at the next segment when there is no place for a blank
    /// record, and it has all the bytes up to where the next record goes. One that does not would
    /// be acknowledged without being in the log.
    pub(crate) fn assert_follows(&self, log_end: u64) {
        let begin = self.runs.first().map_or(log_end, |run| run.log_offset);
        let gap = begin.checked_sub(log_end);
        assert!(
            gap.is_some_and(|bytes| bytes < u64::from(BLANK_BYTES)),
            "a batch begins where the log ends: at {log_end}, not at {begin}"
        );
        let end = self
            .pieces()
            .last()
            .map_or(begin, |(at, bytes)| at + bytes.len() as u64);
        assert_eq!(end, self.end.0, "a batch ends where the next one begins");
    }

    /// Empties the batch and keeps its memory, unless a burst made it large and is over: much of it
    /// was not used. Cleared once more, no large memory is kept.
    pub(crate) fn clear(&mut self) {
        const BYTES_KEPT: usize = 8 << 20;
        const RECORDS_KEPT: usize = 8192;
        let is_over = |used, room, kept| room > kept && used < room / 4;
        if is_over(self.bytes.len(), self.bytes.capacity(), BYTES_KEPT)
            || is_over(self.placed.len(), self.placed.capacity(), RECORDS_KEPT)
        {
            *self = Self::default();
            return;
        }
        self.bytes.clear();
        self.runs.clear();
        self.placed.clear();
        self.key_hashes.clear();
    }
}

impl Staging {
    pub(crate) fn new(end: u64, last_timestamp: i64) -> Self {
        Self {
            batch: Batch::default(),
            end,
            halt: None,
            last_timestamp,
        }
    }

    /// Fills the segment that ends at `segment_end` with a blank record.
    pub(crate) fn roll(&mut self, segment_end: u64) {
        let rest = u32::try_from(segment_end - self.end).unwrap_or(u32::MAX);
        if rest >= BLANK_BYTES {
            self.begin_run();
            self.batch.bytes.extend_from_slice(&blank_record(rest));
        }
        self.end = segment_end;
        self.batch.runs.push(Run {
            log_offset: self.end,
            begin: self.batch.bytes.len(),
        });
    }

    /// The first bytes of a batch begin a run.
    fn begin_run(&mut self) {
        if self.batch.runs.is_empty() {
            self.batch.runs.push(Run {
                log_offset: self.end,
                begin: 0,
            });
        }
    }

    /// Gives the record its places and encodes it. There is room up to its end.
    pub(crate) fn push(
        &mut self,
        draft: &Draft<'_>,
        ready: ReadyDraft,
        now_ms: i64,
        record_crc: bool,
    ) -> Appended {
        self.begin_run();
        self.last_timestamp = self.last_timestamp.max(now_ms);
        let is_queued = draft.sys_flag.is_queued();
        // Only changed here, under the lock of the staging buffer.
        let queue_offset = if is_queued {
            ready.queue.next.load(Ordering::Relaxed)
        } else {
            0
        };
        let placement = Placement {
            log_offset: LogOffset(self.end),
            queue_offset: QueueOffset(queue_offset),
            store_timestamp: self.last_timestamp,
            body_crc: ready.body_crc,
            record_crc,
        };
        let begin = self.batch.bytes.len();
        draft.encode(&placement, &mut self.batch.bytes);
        let encoded = self.batch.bytes.len() - begin;
        assert_eq!(encoded, ready.size as usize, "the next record begins here");
        if is_queued {
            ready.queue.next.store(queue_offset + 1, Ordering::Relaxed);
        }
        let keys = ready.keys.as_slice();
        self.batch.key_hashes.extend_from_slice(keys);
        let keys = keys.len();
        self.batch.placed.push(Placed {
            queue: ready.queue,
            log_offset: self.end,
            queue_offset,
            tags_code: draft.tags_code,
            store_timestamp: self.last_timestamp,
            size: ready.size,
            begin,
            keys,
            is_queued,
        });
        self.end += u64::from(ready.size);
        Appended {
            log_offset: placement.log_offset,
            size: ready.size,
            queue_offset: placement.queue_offset,
            end: LogOffset(self.end),
            store_timestamp: self.last_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of 100 bytes is filled to 80, then 30 bytes follow in the next one.
    fn rolled() -> Batch {
        let mut staging = Staging::new(60, 0);
        staging.begin_run();
        staging.batch.bytes.extend([1; 20]);
        staging.end += 20;
        staging.roll(100);
        staging.batch.bytes.extend([2; 30]);
        staging.end += 30;
        let mut batch = staging.batch;
        batch.end = LogOffset(staging.end);
        batch
    }

    #[test]
    fn pieces_are_what_lies_together_in_the_log() {
        let batch = rolled();
        let pieces: Vec<_> = batch
            .pieces()
            .map(|(at, bytes)| (at, bytes.len()))
            .collect();
        assert_eq!(pieces, [(60, 28), (100, 30)]);
        batch.assert_follows(60);
    }

    #[test]
    fn large_memory_is_kept_while_it_is_used() {
        const LARGE: usize = 32 << 20;
        let mut batch = Batch::default();
        for used in [LARGE, LARGE / 4] {
            batch.bytes.resize(used, 1);
            batch.clear();
            assert!(batch.bytes.is_empty() && batch.bytes.capacity() >= LARGE);
        }
        batch.bytes.resize(LARGE / 8, 1);
        batch.clear();
        assert_eq!(batch.bytes.capacity(), 0);
        batch.bytes.resize(1000, 1);
        batch.clear();
        batch.clear();
        assert!(batch.bytes.capacity() > 0, "it is small");
        batch.bytes.resize(LARGE, 1);
        batch.clear();
        batch.clear();
        assert_eq!(batch.bytes.capacity(), 0, "nothing came any more");
    }

    #[test]
    #[should_panic(expected = "a batch begins where the log ends")]
    fn a_batch_behind_one_that_was_lost_is_not_written() {
        rolled().assert_follows(50);
    }

    #[test]
    #[should_panic(expected = "a batch ends where the next one begins")]
    fn a_batch_that_lacks_a_byte_is_not_written() {
        let mut batch = rolled();
        batch.bytes.pop();
        batch.assert_follows(60);
    }
}
