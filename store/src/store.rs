//! The parts of a store and the plain questions about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{LogOffset, QueueId, QueueOffset};

use crate::Config;
use crate::expire::Expiry;
use crate::files::Disk;
use crate::index::KeyIndex;
use crate::log::CommitLog;
use crate::marks::Marks;
use crate::persist::Persisting;
use crate::queue::{QueueFiles, Queues};
use crate::read::QueueBounds;
use crate::staging::{Batch, Staging};
use crate::sync::atomic::Ordering;
use crate::sync::{Condvar, Mutex};

/// One broker's store. All methods take `&self` and may be called from any thread.
#[derive(Debug)]
pub struct Store {
    pub(crate) config: Config,
    pub(crate) paths: Paths,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log: CommitLog,
    pub(crate) queues: Queues,
    pub(crate) queue_files: QueueFiles,
    pub(crate) index: KeyIndex,
    pub(crate) intake: Intake,
    pub(crate) marks: Marks,
    pub(crate) steps: Steps,
    pub(crate) expiry: Expiry,
    pub(crate) _lock: Box<dyn std::fmt::Debug + Send + Sync>,
}

/// What appenders and the writer share.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) staging: Mutex<Staging>,
    /// Tells the waiting writer that something was staged.
    pub(crate) staged: Condvar,
    pub(crate) spare_batches: Mutex<Vec<Batch>>,
}

/// Each of these steps is taken by one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) flushing: Mutex<()>,
    pub(crate) dispatching: Mutex<()>,
    pub(crate) persisting: Mutex<Persisting>,
}

/// Files that have one fixed place.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) checkpoint: PathBuf,
    pub(crate) abort: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) queues: PathBuf,
    pub(crate) snapshot: PathBuf,
    pub(crate) index: PathBuf,
}

impl Paths {
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            checkpoint: root.join("checkpoint"),
            abort: root.join("abort"),
            lock: root.join("lock"),
            queues: root.join("consumequeue"),
            snapshot: root.join("queues.snapshot"),
            index: root.join("index"),
        }
    }
}

/// One queue and its readable range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueListing {
    pub topic: Arc<str>,
    pub queue_id: QueueId,
    pub bounds: QueueBounds,
}

impl Store {
    /// The log is written up to here.
    #[must_use]
    pub fn appended_to(&self) -> LogOffset {
        LogOffset(self.marks.appended_to.load(Ordering::Acquire))
    }

    /// The log is durable up to here.
    #[must_use]
    pub fn durable_to(&self) -> LogOffset {
        LogOffset(self.marks.durable_to.load(Ordering::Acquire))
    }

    /// Messages are readable up to here.
    #[must_use]
    pub fn dispatched_to(&self) -> LogOffset {
        LogOffset(self.marks.dispatched.lock().end)
    }

    /// The first offset of the log.
    #[must_use]
    pub fn log_start(&self) -> LogOffset {
        LogOffset(self.log.start().unwrap_or_else(|| self.appended_to().0))
    }

    /// All queues, sorted by topic and id.
    #[must_use]
    pub fn queues(&self) -> Vec<QueueListing> {
        let mut listed: Vec<_> = self
            .queues
            .all()
            .into_iter()
            .map(|queue| {
                let state = queue.state.lock();
                let bounds = QueueBounds {
                    min: QueueOffset(state.min),
                    max: QueueOffset(state.end()),
                };
                QueueListing {
                    topic: Arc::clone(&queue.topic),
                    queue_id: queue.id,
                    bounds,
                }
            })
            .collect();
        listed.sort_by(|a, b| (&a.topic, a.queue_id).cmp(&(&b.topic, b.queue_id)));
        listed
    }

    /// Whether [`Store::prepare_once`] has something to do. Cheap enough to ask after each write.
    #[must_use]
    pub fn needs_preparing(&self) -> bool {
        self.log.needs_preparing(self.appended_to().0)
    }

    /// One step of making room in the log ahead of the writer; `true` when there is more to do.
    ///
    /// # Errors
    /// What the disk says; appends go on as long as there is room, and fail when there is none.
    pub fn prepare_once(&self) -> std::io::Result<bool> {
        if !self.needs_preparing() {
            return Ok(false);
        }
        if let Some(filled) = self.log.prepare()?
            && let Err(error) = filled.sync_data()
        {
            // Records were to be written by it as well.
            self.stop_unflushed();
            return Err(error);
        }
        Ok(self.needs_preparing())
    }
}
