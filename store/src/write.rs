//! Staged bytes to the file, the file to the disk: the two steps that acknowledgements wait for.
//!
//! Both are called by threads of the broker. After either failed the store takes nothing more in and
//! neither is tried again: what the file holds is then unknown, and a second flush that succeeds
//! would prove nothing about the pages that the first one lost.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::message::LogOffset;

use crate::files::File;
use crate::staging::{Batch, Halt};
use crate::sync::atomic::Ordering;
use crate::{Store, unflushed};

/// Writing or flushing failed: nothing that is written later may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the log could not be written: {0}")]
    Write(io::Error),
    #[error("the log could not be flushed: {0}")]
    Flush(io::Error),
    #[error("{} ends at byte {bytes}: somebody else shortened or removed it", file.display())]
    Shortened { file: PathBuf, bytes: u64 },
    #[error("the store has stopped after a failed write or flush")]
    Stopped,
}

impl Store {
    /// Waits until something is staged and writes all of it. `None`: nothing came in time, or the
    /// store is closing.
    ///
    /// # Errors
    /// [`WriteError`]; then the store has stopped.
    pub fn write_staged(&self, timeout: Duration) -> Result<Option<Batch>, WriteError> {
        let Some(mut batch) = self.take_staged(timeout)? else {
            return Ok(None);
        };
        batch.assert_follows(self.marks.appended_to.load(Ordering::Acquire));
        if self.config.record_crc {
            batch.seal();
        }
        for (log_offset, bytes) in batch.pieces() {
            if let Err(error) = self.log.write_at(log_offset, bytes) {
                self.halt(Halt::Failed);
                return Err(WriteError::Write(error));
            }
        }
        // With async flush to be written is to be acknowledged, and a flush may have failed meanwhile.
        self.check_sound()?;
        self.marks.appended_to.store(batch.end.0, Ordering::Release);
        Ok(Some(batch))
    }

    fn take_staged(&self, timeout: Duration) -> Result<Option<Batch>, WriteError> {
        let mut staging = self.intake.staging.lock();
        if staging.batch.runs.is_empty() && staging.halt.is_none() {
            self.intake.staged.wait_for(&mut staging, timeout);
        }
        if staging.halt == Some(Halt::Failed) {
            return Err(WriteError::Stopped);
        }
        if staging.batch.runs.is_empty() {
            staging.batch.clear();
            if let Some(spare) = self.intake.spare_batch.lock().as_mut() {
                spare.clear();
            }
            return Ok(None);
        }
        let spare = self.intake.spare_batch.lock().take().unwrap_or_default();
        let mut batch = std::mem::replace(&mut staging.batch, spare);
        batch.end = LogOffset(staging.end);
        Ok(Some(batch))
    }

    /// Keeps the memory of a batch for the next one.
    pub(crate) fn recycle(&self, mut batch: Batch) {
        batch.clear();
        *self.intake.spare_batch.lock() = Some(batch);
    }

    /// Makes everything durable that was written before the call; says up to where.
    ///
    /// # Errors
    /// [`WriteError`]; then the store has stopped.
    pub fn flush_once(&self) -> Result<LogOffset, WriteError> {
        let _one_at_a_time = self.steps.flushing.lock();
        self.check_sound()?;
        let from = self.marks.durable_to.load(Ordering::Acquire);
        let to = self.marks.appended_to.load(Ordering::Acquire);
        assert!(from <= to, "only what is written is durable");
        if from < to {
            if let Err(error) = self.log.sync(from, to) {
                self.stop_unflushed();
                return Err(WriteError::Flush(error));
            }
            self.marks.durable_to.store(to, Ordering::Release);
        }
        Ok(LogOffset(to))
    }

    /// Makes the zeros durable that were put into a file of the log. Covers records as well:
    /// when it fails, no flush that was under way succeeds afterwards.
    pub(crate) fn flush_filled(&self, filled: &dyn File) -> Result<(), WriteError> {
        let _one_at_a_time = self.steps.flushing.lock();
        self.check_sound()?;
        filled.sync_data().map_err(|error| {
            self.stop_unflushed();
            WriteError::Flush(error)
        })
    }

    /// After a failed flush: stops, and sees to it that the next start does not trust the system
    /// with what may not have reached the disk.
    pub(crate) fn stop_unflushed(&self) {
        self.halt(Halt::Failed);
        let from = self.marks.durable_to.load(Ordering::Acquire);
        unflushed::note(&*self.disk, &self.paths.abort, from);
    }

    /// Takes nothing more in, and wakes a waiting writer to hear of it.
    pub(crate) fn halt(&self, why: Halt) {
        let mut staging = self.intake.staging.lock();
        staging.halt = staging.halt.max(Some(why));
        drop(staging);
        self.intake.staged.notify_all();
    }

    /// Nothing more is taken in.
    pub(crate) fn is_halted(&self) -> bool {
        self.intake.staging.lock().halt.is_some()
    }

    /// Neither a write nor a flush has failed.
    fn check_sound(&self) -> Result<(), WriteError> {
        match self.intake.staging.lock().halt {
            Some(Halt::Failed) => Err(WriteError::Stopped),
            Some(Halt::Closed) | None => Ok(()),
        }
    }
}
