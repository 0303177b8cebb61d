//! Reading the part of the log that nobody vouches for into the queues, up to its end.

use std::sync::Arc;

use proto::message::{RecordError, StoredMessage, property, split_keys};

use super::survey::Behind;
use super::{OpenError, Recovery, at};
use crate::append::KeyHashes;
use crate::index::KeyEntry;
use crate::queue::{OFFSET_MAX, QueueState};
use crate::segment::{Place, Segment};
use crate::store::Paths;
use crate::sync::atomic::Ordering;
use crate::unflushed;

/// Records whose places are kept in memory while the log is read.
const RECORDS_IN_MEMORY_MAX: u32 = 500_000;

impl Recovery {
    /// Reads records from `from` on into the queues, cuts what is torn; the end of the log. `None`
    /// when the queues turn out to lack messages from before `from`.
    pub(super) fn scan_from(&mut self, from: u64) -> Result<Option<u64>, OpenError> {
        let mut position = from;
        let mut unwritten = 0;
        while let Some(segment) = self.segment_at(position).cloned() {
            match self.take_record(&segment, position) {
                Ok(Step::Record(size)) => position += u64::from(size),
                Ok(Step::Blank) => position = segment.base + self.config.segment_bytes,
                Ok(Step::Gap) => return Ok(None),
                Err(reason) => {
                    self.end_at(&segment, position, reason)?;
                    break;
                }
            }
            unwritten += 1;
            if unwritten == RECORDS_IN_MEMORY_MAX {
                unwritten = 0;
                self.write_caches()?;
            }
        }
        self.make_durable(from, position)?;
        Ok(Some(position))
    }

    /// What was read may be in memory only, and after a failed flush a mere flush does not help.
    fn make_durable(&self, from: u64, end: u64) -> Result<(), OpenError> {
        let abort = Paths::of(&self.config.root).abort;
        let noted = unflushed::noted(&*self.disk, &abort).map_err(at(&abort))?;
        let rewritten_from = noted.unwrap_or(end);
        for segment in &self.segments {
            let segment_end = segment.base + self.config.segment_bytes;
            if segment.base >= end || segment_end <= from.min(rewritten_from) {
                continue;
            }
            let flush = || {
                segment.rewrite(rewritten_from.max(segment.base), end.min(segment_end))?;
                segment.file.sync_data()
            };
            flush().map_err(|error| {
                unflushed::note(&*self.disk, &abort, from);
                at(&segment.path)(error)
            })?;
        }
        Ok(())
    }

    fn take_record(&mut self, segment: &Segment, position: u64) -> Result<Step, RecordError> {
        segment.with_place(position, self.sealed_from, |place| {
            let Place::Record(message) = place else {
                return Step::Blank;
            };
            self.opened.records_read += 1;
            self.newest_time = self.newest_time.max(message.store_timestamp);
            if self.dispatch(&message) {
                Step::Record(message.size)
            } else {
                Step::Gap
            }
        })
    }

    /// Puts a record where the dispatcher would have put it; `false` when messages are missing
    /// before it.
    fn dispatch(&mut self, message: &StoredMessage<'_>) -> bool {
        let log_offset = message.log_offset.0;
        if message.sys_flag.is_lost() && !message.sys_flag.is_queued() {
            return true;
        }
        let queue = self.queues.find_or_make(message.topic, message.queue_id);
        let Some(queue) = queue.ok().filter(|_| message.queue_offset <= OFFSET_MAX) else {
            tracing::warn!(
                log_offset,
                "a topic, queue or place that cannot be: left out of the queues"
            );
            return true;
        };
        let keys = message.properties.find(property::KEYS).unwrap_or("");
        let unique = message.properties.find(property::UNIQUE_KEY);
        let keys = unique.into_iter().chain(split_keys(keys));
        let store_timestamp = message.store_timestamp;
        let keys = keys.filter(|_| log_offset >= self.index_end);
        for &hash in KeyHashes::of(queue.topic_hash, keys).as_slice() {
            self.index.backlog().push(KeyEntry {
                hash,
                log_offset,
                store_timestamp,
            });
        }
        if !message.sys_flag.is_queued() {
            return true;
        }
        let offset = message.queue_offset.0;
        let end = queue.state.lock().end();
        if offset < end && offset > 0 {
            tracing::warn!(
                topic = message.topic,
                offset,
                end,
                log_offset,
                "not a new message"
            );
            return true;
        }
        if offset > end && end > 0 && !self.opened.queues_rebuilt {
            return false;
        }
        if offset != end || end == 0 && self.opened.queues_rebuilt {
            // The topic was deleted and made again, the log before was deleted, or its files stayed.
            self.queue_files.close(message.topic);
            let folder = self
                .queue_files
                .queue_folder(message.topic, message.queue_id);
            if let Err(error) = self.disk.remove_folder(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "an old queue stays");
            }
            *queue.state.lock() = QueueState {
                min: offset,
                persisted: offset,
                ..QueueState::default()
            };
        }
        queue.state.lock().tail.push(self.config.unit_of(message));
        queue.next.store(offset + 1, Ordering::Relaxed);
        self.queues.mark_dirty(&queue);
        true
    }

    /// Writes queues and index while the log is read, so that they never have to fit into memory.
    fn write_caches(&mut self) -> Result<(), OpenError> {
        self.queue_files
            .write_dirty(&self.queues, |_| true, &mut self.unsynced)
            .map_err(at(self.queue_files.folder()))?;
        let written = self.index.write_backlog(u64::MAX);
        written.map_err(at(&self.config.root))?;
        Ok(())
    }

    /// Decides what the bad record at `position` means, and cuts if it is the end.
    fn end_at(
        &mut self,
        segment: &Arc<Segment>,
        position: u64,
        reason: RecordError,
    ) -> Result<(), OpenError> {
        let torn_bytes = match self.behind(segment, position)? {
            Behind::Nothing => return Ok(()),
            Behind::Torn(bytes) => bytes,
            Behind::Log(_) => return Err(OpenError::Damaged(self.damage_from(position)?)),
        };
        tracing::warn!(position, torn_bytes, %reason, "cutting the torn end of the log");
        self.opened.torn_bytes = torn_bytes;
        self.zero_behind(segment, position)?;
        for unused in self.later_than(segment).iter().rev() {
            self.disk
                .remove_file(&unused.path)
                .map_err(at(&unused.path))?;
        }
        self.segments.retain(|kept| kept.base <= segment.base);
        let folder = &self.config.commit_log_dir;
        self.disk.sync_folder(folder).map_err(at(folder))
    }

    /// Makes everything behind the end zero, durably: a later start must not find it.
    fn zero_behind(&self, segment: &Segment, position: u64) -> Result<(), OpenError> {
        let zero = || {
            let mut dirty = Vec::new();
            segment.each_data_chunk(position, |offset, bytes| {
                if bytes.iter().any(|&byte| byte != 0) {
                    dirty.push((offset, bytes.len()));
                }
                None::<()>
            })?;
            for (offset, bytes) in &dirty {
                segment
                    .file
                    .write_all_at(&vec![0; *bytes], offset - segment.base)?;
            }
            if dirty.is_empty() {
                Ok(())
            } else {
                segment.file.sync_data()
            }
        };
        zero().map_err(at(&segment.path))
    }
}

enum Step {
    Record(u32),
    Blank,
    /// The queue of the record does not reach up to it.
    Gap,
}
