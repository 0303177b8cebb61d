//! All queues of a store, by topic and id.
//!
//! Owns the table and the list of queues that have something to persist. A queue comes into being
//! with its first message; its name is checked then, because it becomes a folder.

use std::collections::HashMap;
use std::sync::Arc;

use proto::message::{QueueId, java_string_hash};
use proto::names::{self, NameError};

use super::{Queue, QueueState, Unit};
use crate::checkpoint::Starts;
use crate::staging::Staging;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};

/// The highest queue id of a topic, plus one.
const QUEUES_PER_TOPIC_MAX: u32 = 65_536;

/// A queue that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("queue id {0} is out of range")]
    QueueId(QueueId),
}

#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// The queues of each topic, sorted by id.
    topics: RwLock<HashMap<Arc<str>, Vec<Arc<Queue>>>>,
    dirty: Mutex<Vec<Arc<Queue>>>,
}

impl Queues {
    pub(crate) fn find(&self, topic: &str, id: QueueId) -> Option<Arc<Queue>> {
        let topics = self.topics.read();
        let queues = topics.get(topic)?;
        let at = queues.binary_search_by_key(&id, |queue| queue.id).ok()?;
        queues.get(at).cloned()
    }

    pub(crate) fn find_or_make(&self, topic: &str, id: QueueId) -> Result<Arc<Queue>, QueueError> {
        match self.find(topic, id) {
            Some(queue) => Ok(queue),
            None => self.make(topic, id, QueueState::default()),
        }
    }

    /// Whether there can be such a queue.
    pub(crate) fn check(topic: &str, id: QueueId) -> Result<(), QueueError> {
        names::check_topic(topic)?;
        if id.0 >= QUEUES_PER_TOPIC_MAX {
            return Err(QueueError::QueueId(id));
        }
        Ok(())
    }

    /// The queue as it is, or a new one in the given state.
    pub(crate) fn make(
        &self,
        topic: &str,
        id: QueueId,
        state: QueueState,
    ) -> Result<Arc<Queue>, QueueError> {
        Self::check(topic, id)?;
        let mut topics = self.topics.write();
        let name = topics
            .get_key_value(topic)
            .map_or_else(|| topic.into(), |(name, _)| name.clone());
        let queues = topics.entry(Arc::clone(&name)).or_default();
        match queues.binary_search_by_key(&id, |queue| queue.id) {
            Ok(at) => Ok(Arc::clone(&queues[at])),
            Err(at) => {
                let queue = Arc::new(Queue {
                    topic_hash: java_string_hash(&format!("{topic}#")),
                    topic: name,
                    id,
                    next: AtomicU64::new(state.end()),
                    watched: AtomicBool::new(false),
                    dirty: AtomicBool::new(false),
                    state: Mutex::new(state),
                });
                queues.insert(at, Arc::clone(&queue));
                Ok(queue)
            }
        }
    }

    /// Puts a unit at the end of its queue; `false` when the queue is gone.
    pub(crate) fn push(&self, queue: &Arc<Queue>, offset: u64, unit: Unit) -> bool {
        {
            let mut state = queue.state.lock();
            if state.deleted {
                return false;
            }
            assert_eq!(
                offset,
                state.end(),
                "each place in a queue is given out once"
            );
            state.tail.push(unit);
        }
        self.mark_dirty(queue);
        true
    }

    pub(crate) fn mark_dirty(&self, queue: &Arc<Queue>) {
        if !queue.dirty.swap(true, Ordering::AcqRel) {
            self.dirty.lock().push(Arc::clone(queue));
        }
    }

    /// The queues that have units to persist; each is listed again with its next unit.
    pub(crate) fn take_dirty(&self) -> Vec<Arc<Queue>> {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        for queue in &dirty {
            queue.dirty.store(false, Ordering::Release);
        }
        dirty
    }

    /// All queues, by topic and id.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.topics.read().values().flatten().cloned().collect()
    }

    /// The sum of the ends of all queues.
    pub(crate) fn units(&self) -> u64 {
        let topics = self.topics.read();
        let queues = topics.values().flatten();
        let ends = queues.map(|queue| queue.state.lock().end());
        ends.fold(0, u64::wrapping_add)
    }

    /// Where all queues begin, which is where a log does that begins at `log_start`.
    pub(crate) fn starts(&self, log_start: u64) -> Starts {
        let topics = self.topics.read();
        let queues = topics.values().flatten();
        let begin = queues.map(|queue| queue.state.lock().min);
        let sum = begin.fold(0, u64::wrapping_add);
        Starts { log_start, sum }
    }

    /// Forgets a topic; its queues take nothing more. Between two appends, so that an appender who
    /// found one of them before sees it.
    pub(crate) fn remove_topic(&self, topic: &str, _: &mut Staging) -> Vec<Arc<Queue>> {
        let removed = self.topics.write().remove(topic).unwrap_or_default();
        for queue in &removed {
            queue.next.store(Queue::GONE, Ordering::Relaxed);
            queue.state.lock().deleted = true;
        }
        removed
    }
}
