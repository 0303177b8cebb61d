//! From written records to queues: who can be read from which queue, found by which key.
//!
//! Works from what the appender knew and never reads the log. A message is readable when this is
//! done; with sync flush the broker calls it after the flush, so nobody reads what may be lost.

use proto::message::QueueId;

use crate::Store;
use crate::index::KeyEntry;
use crate::queue::Unit;
use crate::staging::Batch;
use crate::sync::atomic::Ordering;

/// A message that came into a watched queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    pub topic: &'a str,
    pub queue_id: QueueId,
    pub tags_code: i64,
}

impl Store {
    /// Makes the records of a written batch readable and tells of arrivals in watched queues.
    pub fn dispatch(&self, batch: Batch, arrived: &mut dyn FnMut(Arrival<'_>)) {
        let _one_at_a_time = self.steps.dispatching.lock();
        let mut units = 0;
        let mut newest_time = 0;
        let mut hashes = batch.key_hashes.iter().copied();
        let mut backlog = self.index.backlog();
        for placed in &batch.placed {
            for hash in hashes.by_ref().take(placed.keys) {
                backlog.push(KeyEntry {
                    hash,
                    log_offset: placed.log_offset,
                    store_timestamp: placed.store_timestamp,
                });
            }
            newest_time = placed.store_timestamp;
            if !placed.is_queued {
                continue;
            }
            let unit = Unit {
                log_offset: placed.log_offset,
                size: placed.size,
                tags_code: placed.tags_code,
            };
            if !self.queues.push(&placed.queue, placed.queue_offset, unit) {
                continue;
            }
            units += 1;
            if placed.queue.watched.load(Ordering::Acquire) {
                arrived(Arrival {
                    topic: &placed.queue.topic,
                    queue_id: placed.queue.id,
                    tags_code: placed.tags_code,
                });
            }
        }
        drop(backlog);
        {
            let mut dispatched = self.marks.dispatched.lock();
            batch.assert_follows(dispatched.end);
            assert!(
                batch.end <= self.appended_to(),
                "what is readable is written"
            );
            dispatched.end = batch.end.0;
            dispatched.units += units;
            dispatched.newest_time = dispatched.newest_time.max(newest_time);
        }
        self.recycle(batch);
    }

    /// Asks [`Store::dispatch`] to tell of arrivals in a queue. Whoever asks and then finds the
    /// queue empty does not miss a message.
    pub fn watch(&self, topic: &str, queue_id: QueueId) {
        if let Ok(queue) = self.queues.find_or_make(topic, queue_id) {
            queue.watched.store(true, Ordering::Release);
        }
    }

    /// Takes [`Store::watch`] back.
    pub fn unwatch(&self, topic: &str, queue_id: QueueId) {
        if let Some(queue) = self.queues.find(topic, queue_id) {
            queue.watched.store(false, Ordering::Release);
        }
    }
}
