//! Queues, index and checkpoint to disk, off the path of any acknowledgement; and the clean close.
//!
//! What is persisted here can all be made again from the log; it only decides how much of the log
//! the next start has to read. The order keeps that safe: log durable, then queues and index, then
//! the checkpoint that vouches for them.

use std::io;
use std::time::Duration;

use crate::Store;
use crate::checkpoint::{Checkpoint, Known, Times};
use crate::marks::Dispatched;
use crate::queue::{Queue, Unsynced, snapshot};
use crate::staging::Halt;
use crate::sync::atomic::Ordering;
use crate::write::WriteError;

/// Persisting failed.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// Nothing is lost and the next call tries again.
    #[error("consume queues, index or checkpoint could not be written: {0}")]
    Io(io::Error),
    /// The store has stopped.
    #[error(transparent)]
    Log(#[from] WriteError),
}

/// The memory of one persisting run to the next.
#[derive(Debug, Default)]
pub(crate) struct Persisting {
    pub(crate) unsynced: Unsynced,
    /// What the page on disk says, so that an idle store writes nothing.
    pub(crate) written: Option<Checkpoint>,
}

impl Store {
    /// Writes what is new in queues and index, makes it durable and writes the checkpoint.
    ///
    /// # Errors
    /// [`PersistError`]; only [`PersistError::Log`] is the end.
    pub fn persist_once(&self) -> Result<(), PersistError> {
        self.persist(false)
    }

    fn persist(&self, closed: bool) -> Result<(), PersistError> {
        let mut persisting = self.steps.persisting.lock();
        // Taken first: everything below this end is in a tail or in a file by now.
        let target = *self.marks.dispatched.lock();
        self.persist_to(&mut persisting, target, |_| true, closed)
    }

    /// Makes everything below `target` durable but the queues that are not `wanted`, which have no
    /// units below it.
    pub(crate) fn persist_to(
        &self,
        persisting: &mut Persisting,
        target: Dispatched,
        wanted: impl Fn(&Queue) -> bool,
        closed: bool,
    ) -> Result<(), PersistError> {
        let durable_to = self.flush_once()?;
        assert!(
            target.end <= durable_to.0,
            "queues are made durable behind the log"
        );
        // A queue that cannot be written keeps the others and the index from nothing but a checkpoint.
        let queues = self
            .queue_files
            .write_dirty(&self.queues, wanted, &mut persisting.unsynced);
        let index = self.index.write_backlog(target.end);
        queues.map_err(PersistError::Io)?;
        index.map_err(PersistError::Io)?;
        if let Err(error) = self.sync_caches(&mut persisting.unsynced) {
            self.stop_unflushed();
            return Err(WriteError::Flush(error).into());
        }
        let log_start = self.log.start().unwrap_or(0);
        self.index
            .remove_below(log_start)
            .map_err(PersistError::Io)?;
        let index = self.index.position();
        let checkpoint = Checkpoint {
            times: Times {
                log: target.newest_time,
                queues: target.newest_time,
                index: target.newest_time,
            },
            known: Some(Known {
                good_to: target.end,
                units: target.units,
                starts: Some(*self.expiry.starts.lock()),
                boot_id: self.disk.boot_id(),
                closed,
                lost_power: false,
                index,
                sealed_from: self.log.sealed_from(),
            }),
        };
        if persisting.written != Some(checkpoint) {
            persisting.written = None;
            checkpoint
                .write(&*self.disk, &self.paths.checkpoint)
                .map_err(PersistError::Io)?;
            persisting.written = Some(checkpoint);
        }
        self.marks.persisted_to.store(target.end, Ordering::Release);
        Ok(())
    }

    fn sync_caches(&self, unsynced: &mut Unsynced) -> io::Result<()> {
        unsynced.sync(&*self.disk, &self.config.root)?;
        self.index.sync()
    }

    /// Takes nothing more in, writes and persists everything and marks the store as closed. The
    /// broker has ended its threads before.
    ///
    /// # Errors
    /// [`PersistError`]; then the next start is one after a crash.
    pub fn close(&self) -> Result<(), PersistError> {
        self.halt(Halt::Closed);
        // Who changes files meanwhile has done so, or finds the store halted.
        drop(self.steps.persisting.lock());
        // A writer that ended in between has left a batch unreadable, and this would close over it.
        if self.marks.dispatched.lock().end != self.appended_to().0 {
            return Err(WriteError::Stopped.into());
        }
        while let Some(batch) = self.write_staged(Duration::ZERO)? {
            self.dispatch(batch, &mut |_| {});
        }
        let end = self.appended_to().0;
        // Neither may a batch be lost that a writer took and did not write.
        if self.intake.staging.lock().end != end {
            return Err(WriteError::Stopped.into());
        }
        snapshot::write(&*self.disk, &self.paths.snapshot, &self.queues, end)
            .map_err(PersistError::Io)?;
        self.persist(true)?;
        let remove = || {
            self.disk.remove_file(&self.paths.abort)?;
            self.disk.sync_folder(&self.config.root)
        };
        remove().map_err(PersistError::Io)
    }
}
