//! The parts of a store and the plain questions about it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{LogOffset, QueueId};

use crate::Config;
use crate::expire::{DiskLevel, Expiry};
use crate::files::Disk;
use crate::index::KeyIndex;
use crate::log::CommitLog;
use crate::marks::Marks;
use crate::persist::Persisting;
use crate::queue::{QueueFiles, Queues};
use crate::read::QueueBounds;
use crate::staging::{Batch, Halt, Staging};
use crate::sync::atomic::Ordering;
use crate::sync::{Condvar, Mutex};
use crate::write::WriteError;

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
    /// The memory of the batch before the last, for the next one.
    pub(crate) spare_batch: Mutex<Option<Batch>>,
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
    /// There while a salvage changes the log.
    pub(crate) salvaging: PathBuf,
    /// There while all queues are made again.
    pub(crate) rebuilding: PathBuf,
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
            salvaging: root.join("salvaging"),
            rebuilding: root.join("rebuilding"),
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
            .map(|queue| QueueListing {
                topic: Arc::clone(&queue.topic),
                queue_id: queue.id,
                bounds: queue.bounds(),
            })
            .collect();
        listed.sort_by(|a, b| (&a.topic, a.queue_id).cmp(&(&b.topic, b.queue_id)));
        listed
    }

    /// Gives back the memory that keeps durable parts of the log which are older than the newest
    /// `cache_bytes`. A log that fills all memory would push out everything else, and on virtual
    /// machines whose memory comes from the host page by page, every page that is used for the
    /// first time costs as much as handling ten messages.
    ///
    /// # Errors
    /// What the system says; nothing is lost by it.
    pub fn trim_cache(&self) -> std::io::Result<()> {
        let to = self.durable_to().0.saturating_sub(self.config.cache_bytes);
        self.log.forget(to)
    }

    /// Looks whether somebody else has taken a file of the log away or shortened it: what is written
    /// to it is then lost at the end of the process.
    ///
    /// # Errors
    /// [`WriteError::Shortened`]; then the store has stopped.
    pub fn check_segments(&self) -> Result<(), WriteError> {
        for segment in self.log.segments() {
            // What cannot be asked is not known to be wrong.
            let bytes = match self.disk.exists(&segment.path) {
                Ok(false) => 0,
                _ => segment.file.size_bytes().unwrap_or(segment.bytes),
            };
            if bytes < segment.bytes {
                self.halt(Halt::Failed);
                let file = segment.path.clone();
                return Err(WriteError::Shortened { file, bytes });
            }
        }
        Ok(())
    }

    /// Whether [`Store::prepare_once`] should be called at once. Cheap enough to ask after each
    /// write.
    #[must_use]
    pub fn is_short_of_room(&self) -> bool {
        self.log.is_short(self.appended_to().0)
    }

    /// One step of making room in the log ahead of the writer; `true` when there is more to do. None
    /// is made while the disk is full.
    ///
    /// # Errors
    /// [`WriteError::Write`] when there is no room: appends go on as long as there is some, and fail
    /// when there is none. After any other the store has stopped.
    pub fn prepare_once(&self) -> Result<bool, WriteError> {
        if self.disk_level() == DiskLevel::Full {
            return Ok(false);
        }
        let end = self.appended_to().0;
        if let Some(filled) = self.log.prepare(end).map_err(WriteError::Write)? {
            self.flush_filled(&*filled)?;
        }
        Ok(self.log.needs_preparing(end))
    }
}
