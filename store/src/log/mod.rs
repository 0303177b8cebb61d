//! The commit log as a run of segments: places to write at, bytes to read, room ahead.
//!
//! Owns the list of segments and the watermark `ready_to`: below it every block of the log is taken
//! from the file system, so that a write there can neither fail for want of space nor wait for an
//! allocation. Room is made in two ways: reserved, which takes no time, and filled with zeros, after
//! which a flush changes no metadata but which writes everything twice. What is written, and when it
//! may be read, is decided by the callers.

use std::io;
use std::ops::Range;
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
/// What is reserved at once.
const RESERVE_STEP_BYTES: u64 = 16 << 20;
/// With less room than this ahead of the writer there is no time to fill.
const SHORT_BYTES: u64 = 8 << 20;
/// Zeros are kept ahead of the writer for so many bytes at least. It grows with what is written, so
/// that ten messages take little.
const AHEAD_BYTES_MIN: u64 = 16 << 20;
/// More would only keep the disk busy while senders wait for it.
const AHEAD_BYTES_MAX: u64 = 64 << 20;
/// Memory is given back in multiples of this.
const FORGET_STEP_BYTES: u64 = 4 << 20;
/// What is brought into memory for a reader at once.
const FETCH_STEP_BYTES: u64 = 1 << 20;
/// How many such steps a reader has ahead of it.
const FETCHED_STEPS: u64 = 4;

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

/// How room is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Reserved,
    Zeroed,
}

#[derive(Debug)]
pub(crate) struct CommitLog {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    segment_bytes: u64,
    /// Sorted, without gaps.
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Guards making the next segment, which may take as long as the file system likes.
    creating: Mutex<()>,
    /// Guards making room.
    filling: Mutex<()>,
    ready_to: AtomicU64,
    zero_fill: bool,
    /// Memory that keeps what is below was given back.
    forgotten_to: AtomicU64,
    /// The last part that a reader had brought into memory ahead of it, in steps.
    fetched: AtomicU64,
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
            creating: Mutex::new(()),
            filling: Mutex::new(()),
            ready_to: AtomicU64::new(end),
            zero_fill: config.zero_fill,
            forgotten_to: AtomicU64::new(end),
            fetched: AtomicU64::new(u64::MAX),
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

    /// Writes bytes where room was made for them, which is inside of one segment.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let segment = self.segment_at(offset).ok_or(io::ErrorKind::NotFound)?;
        let end = offset + bytes.len() as u64;
        let room_end = self.ready_to.load(Ordering::Acquire);
        assert!(
            end <= room_end.min(segment.base + self.segment_bytes),
            "room is made before a place is given out"
        );
        segment.file.write_all_at(bytes, offset - segment.base)
    }

    /// Makes everything between two offsets durable.
    pub(crate) fn sync(&self, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let segment = self.segment_at(at).ok_or(io::ErrorKind::NotFound)?;
            segment.file.sync_data()?;
            at = segment.base + self.segment_bytes;
        }
        Ok(())
    }

    /// Sees to it that bytes up to `end` can be written. Takes time only when [`CommitLog::prepare`]
    /// was not called in time.
    pub(crate) fn make_ready(&self, end: u64) -> io::Result<()> {
        while self.ready_to.load(Ordering::Acquire) < end {
            let _filling = self.filling.lock();
            if self.ready_to.load(Ordering::Acquire) < end {
                self.step(Room::Reserved)?;
            }
        }
        Ok(())
    }

    /// Whether [`CommitLog::prepare`] should be called at once when the log ends at `end`.
    pub(crate) fn is_short(&self, end: u64) -> bool {
        self.ready_to.load(Ordering::Acquire) < end + SHORT_BYTES.min(self.segment_bytes)
    }

    /// One step of making room ahead of the writer; the file that it put zeros into, which are still
    /// to be made durable so that a flush of the log does not find them.
    pub(crate) fn prepare(&self, end: u64) -> io::Result<Option<Arc<dyn File>>> {
        if let Some(base) = self.wanted_segment(end) {
            // Without `filling`: whoever only needs room in the last segment does not wait for it.
            self.create_segment(base)?;
            return Ok(None);
        }
        if !self.needs_preparing(end) {
            return Ok(None);
        }
        let _filling = self.filling.lock();
        if self.is_short(end) {
            self.step(Room::Reserved)?;
            return Ok(None);
        }
        // Opened anew: a failure to write is told once to each opening, and the flush of the log
        // must not miss it.
        self.step(Room::Zeroed)?
            .map(|segment| self.disk.open(&segment.path, Access::Write))
            .transpose()
    }

    /// Whether [`CommitLog::prepare`] has something to do when the log ends at `end`.
    pub(crate) fn needs_preparing(&self, end: u64) -> bool {
        self.wanted_segment(end).is_some() || self.is_short(end) || self.wants_zeros(end)
    }

    /// The next segment is made when half of the last one is used: making a name durable can take
    /// a second on a busy disk.
    fn wanted_segment(&self, end: u64) -> Option<u64> {
        let base = self.next_base();
        (end + self.segment_bytes / 2 > base).then_some(base)
    }

    /// Where the next segment will begin.
    fn next_base(&self) -> u64 {
        let segments = self.segments.read();
        let ready_to = || self.ready_to.load(Ordering::Acquire);
        segments.last().map_or_else(
            || ready_to() / self.segment_bytes * self.segment_bytes,
            |last| last.base + self.segment_bytes,
        )
    }

    /// Makes the segment that begins at `base`, unless somebody else just did.
    fn create_segment(&self, base: u64) -> io::Result<()> {
        let _creating = self.creating.lock();
        if self.next_base() != base {
            return Ok(());
        }
        let made = Segment::create(&*self.disk, &self.folder, base, self.segment_bytes)?;
        self.segments.write().push(Arc::new(made));
        Ok(())
    }

    fn wants_zeros(&self, end: u64) -> bool {
        let written = end - self.start().unwrap_or(end);
        let ahead = written
            .clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX)
            .min(self.segment_bytes);
        self.zero_fill && self.ready_to.load(Ordering::Acquire) < end + ahead
    }

    /// Makes room of what comes next, or the next segment; the segment that the room is in.
    fn step(&self, room: Room) -> io::Result<Option<Arc<Segment>>> {
        let ready_to = self.ready_to.load(Ordering::Acquire);
        let Some(segment) = self.segment_at(ready_to) else {
            self.create_segment(self.next_base())?;
            return Ok(None);
        };
        let at = ready_to - segment.base;
        let bytes = |step: u64| ((at / step + 1) * step).min(self.segment_bytes) - at;
        let reserved = bytes(RESERVE_STEP_BYTES);
        let made = match room {
            Room::Reserved if segment.file.reserve(at..at + reserved)? => reserved,
            Room::Reserved | Room::Zeroed => {
                let filled = bytes(FILL_STEP_BYTES);
                let count = usize::try_from(filled).expect("a step is small");
                segment.file.write_all_at(&ZEROS[..count], at)?;
                filled
            }
        };
        self.ready_to.store(ready_to + made, Ordering::Release);
        Ok(Some(segment))
    }

    /// Gives back the memory that keeps what is below `to`, as far as it was not given back before.
    pub(crate) fn forget(&self, to: u64) -> io::Result<()> {
        // Whole pages, as the system counts them.
        let to = to / FORGET_STEP_BYTES * FORGET_STEP_BYTES;
        let from = self.forgotten_to.fetch_max(to, Ordering::Relaxed);
        if from < to {
            for segment in self.segments() {
                segment.forget(from..to)?;
            }
        }
        Ok(())
    }

    /// Has what follows brought into memory when a reader that was given `part` came into a new
    /// step, unless it is in memory anyway. Otherwise the task that sends it would wait for the
    /// disk, page by page.
    pub(crate) fn fetch_behind(&self, part: Range<u64>) -> io::Result<()> {
        let step = part.end / FETCH_STEP_BYTES;
        if part.start / FETCH_STEP_BYTES == step
            || part.end >= self.forgotten_to.load(Ordering::Relaxed)
        {
            return Ok(());
        }
        let before = self.fetched.swap(step, Ordering::Relaxed);
        let first = match step.checked_sub(before) {
            Some(0) => return Ok(()),
            // Somebody reads on: the rest was asked for before.
            Some(1) => step + FETCHED_STEPS - 1,
            _ => step,
        };
        for step in first..step + FETCHED_STEPS {
            if let Some(segment) = self.segment_at(step * FETCH_STEP_BYTES) {
                let at = step * FETCH_STEP_BYTES - segment.base;
                segment.file.fetch(at..at + FETCH_STEP_BYTES)?;
            }
        }
        Ok(())
    }

    /// Takes the oldest segment away; the last one stays. One whose file cannot be removed stays too:
    /// the next one must not go before it. Called by one at a time.
    pub(crate) fn remove_first(&self) -> io::Result<bool> {
        let first = match &**self.segments.read() {
            [first, _, ..] => first.path.clone(),
            _ => return Ok(false),
        };
        self.disk.remove_file(&first)?;
        self.segments.write().remove(0);
        self.disk.sync_folder(&self.folder)?;
        Ok(true)
    }
}
