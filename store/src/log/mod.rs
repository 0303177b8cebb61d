//! The commit log as a run of segments: places to write at, bytes to read, room ahead.
//!
//! Owns the list of segments and the watermark `ready_to`: below it every block of the log is taken
//! from the file system and holds zeros or data, so that a write there can neither fail for want of
//! space nor wait for an allocation. What is written, and when it may be read, is decided by the
//! callers. The next segment is made as soon as `ready_to` reaches the end of the last one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proto::message::{LogOffset, RecordError, StoredMessage};

use crate::Config;
use crate::files::{Access, Disk, File};
use crate::segment::Segment;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};

/// What is filled with zeros at once. Small, because a flush of the log waits for it.
const FILL_STEP_BYTES: u64 = 512 << 10;
/// Room that is kept ahead of the writer at least. It grows with what is written, so that ten
/// messages take little.
const AHEAD_BYTES_MIN: u64 = 16 << 20;
/// More would only keep the disk busy while senders wait for it.
const AHEAD_BYTES_MAX: u64 = 64 << 20;

static ZEROS: [u8; FILL_STEP_BYTES as usize] = [0; FILL_STEP_BYTES as usize];

/// Takes a record apart if it is whole and at its place. From `sealed_from` on a record without a
/// CRC of its own has lost it.
pub(crate) fn verify(
    record: &[u8],
    at: u64,
    sealed_from: u64,
) -> Result<StoredMessage<'_>, RecordError> {
    let message = StoredMessage::verify(record, LogOffset(at))?;
    if at >= sealed_from && !message.is_sealed() {
        return Err(RecordError::BadRecordCrc);
    }
    Ok(message)
}

#[derive(Debug)]
pub(crate) struct CommitLog {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segment_bytes: u64,
    /// Sorted, without gaps.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Guards making room; the value is `ready_to`.
    filling: Mutex<()>,
    ready_to: AtomicU64,
    /// Records from here on carry a CRC of their own.
    sealed_from: u64,
}

impl CommitLog {
    /// `segments` are sorted and without gaps; writing goes on at `end`.
    pub(crate) fn new(
        config: &Config,
        disk: Arc<dyn Disk>,
        segments: Vec<Arc<Segment>>,
        end: u64,
        sealed_from: u64,
    ) -> Self {
        Self {
            disk,
            folder: config.commit_log_dir.clone(),
            segment_bytes: config.segment_bytes,
            segments: RwLock::new(segments),
            filling: Mutex::new(()),
            ready_to: AtomicU64::new(end),
            sealed_from,
        }
    }

    pub(crate) fn sealed_from(&self) -> u64 {
        self.sealed_from
    }

    /// Takes a record of this log apart if it is whole and at its place.
    pub(crate) fn verify<'r>(
        &self,
        record: &'r [u8],
        at: u64,
    ) -> Result<StoredMessage<'r>, RecordError> {
        verify(record, at, self.sealed_from)
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The end of the segment that an offset lies in.
    pub(crate) fn segment_end(&self, offset: u64) -> u64 {
        (offset / self.segment_bytes + 1) * self.segment_bytes
    }

    /// The first offset of the first segment.
    pub(crate) fn start(&self) -> Option<u64> {
        self.segments.read().first().map(|segment| segment.base)
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    pub(crate) fn segment_at(&self, offset: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let first = segments.first()?.base;
        let number = offset.checked_sub(first)? / self.segment_bytes;
        segments.get(usize::try_from(number).ok()?).cloned()
    }

    /// Bytes of the log, which must not cross a segment. The caller knows that they were written.
    pub(crate) fn slice(&self, offset: u64, bytes: u32) -> Option<Bytes> {
        self.segment_at(offset)?.slice(offset, bytes)
    }

    /// Writes bytes that do not cross a segment.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let segment = self.segment_at(offset).ok_or(io::ErrorKind::NotFound)?;
        segment.file.write_all_at(bytes, offset - segment.base)
    }

    /// Makes everything between two offsets durable.
    pub(crate) fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        for segment in self.segments() {
            if segment.base < to && segment.base + self.segment_bytes > from {
                segment.file.sync_data()?;
            }
        }
        Ok(())
    }

    /// Sees to it that bytes up to `end` can be written. Takes time only when [`CommitLog::prepare`]
    /// was not called in time.
    pub(crate) fn make_ready(&self, end: u64) -> io::Result<()> {
        while self.ready_to.load(Ordering::Acquire) < end {
            let filling = self.filling.lock();
            if self.ready_to.load(Ordering::Acquire) < end {
                self.fill_step()?;
            }
            drop(filling);
        }
        Ok(())
    }

    /// Whether [`CommitLog::prepare`] has something to do when the log ends at `end`.
    pub(crate) fn needs_preparing(&self, end: u64) -> bool {
        self.ready_to.load(Ordering::Acquire) < self.ahead_of(end)
    }

    /// One step of making room ahead of the writer; the file that was filled is yet to be synced,
    /// so that a flush of the log does not find the zeros still to be written.
    pub(crate) fn prepare(&self) -> io::Result<Option<Arc<dyn File>>> {
        let filled = {
            let _filling = self.filling.lock();
            self.fill_step()?
        };
        // Opened anew: a failure to write is told once to each opening, and the flush of the log
        // must not miss it.
        filled
            .map(|segment| self.disk.open(&segment.path, Access::Write))
            .transpose()
    }

    fn ahead_of(&self, end: u64) -> u64 {
        let written = end - self.start().unwrap_or(end);
        end + written
            .clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX)
            .min(self.segment_bytes)
    }

    /// Fills what comes next, or makes the next segment; the segment that was filled.
    fn fill_step(&self) -> io::Result<Option<Arc<Segment>>> {
        let ready_to = self.ready_to.load(Ordering::Acquire);
        let Some(segment) = self.segment_at(ready_to) else {
            let base = ready_to / self.segment_bytes * self.segment_bytes;
            let made = Segment::create(&*self.disk, &self.folder, base, self.segment_bytes)?;
            self.segments.write().push(Arc::new(made));
            return Ok(None);
        };
        let at = ready_to - segment.base;
        let step_end = (at / FILL_STEP_BYTES + 1) * FILL_STEP_BYTES;
        let bytes = step_end.min(self.segment_bytes) - at;
        let zeros = usize::try_from(bytes)
            .ok()
            .and_then(|bytes| ZEROS.get(..bytes));
        segment.file.write_all_at(zeros.unwrap_or(&ZEROS), at)?;
        self.ready_to.store(ready_to + bytes, Ordering::Release);
        Ok(Some(segment))
    }

    /// Takes the oldest segment away; the last one stays.
    pub(crate) fn remove_first(&self) -> io::Result<Option<Arc<Segment>>> {
        let first = {
            let mut segments = self.segments.write();
            if segments.len() < 2 {
                return Ok(None);
            }
            segments.remove(0)
        };
        self.disk.remove_file(&first.path)?;
        self.disk.sync_folder(&self.folder)?;
        Ok(Some(first))
    }
}
