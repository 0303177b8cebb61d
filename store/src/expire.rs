//! Making room: old segments go, and with them what points into them; deleted topics go at once.
//!
//! Owns the rules of RocketMQ's clean-up and two guards of ours: expiry by age needs three looks in a
//! row, and takes at most a fifth of the log a minute, so that a clock that jumps costs little. The
//! last segment never goes.

use std::io;
use std::sync::Arc;

use proto::message::LogOffset;

use crate::checkpoint::Starts;
use crate::files::Space;
use crate::persist::PersistError;
use crate::segment::Segment;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::{Retention, Store};

/// compat: MessageStoreConfig `deleteFileBatchMax`.
const SEGMENTS_PER_RUN_MAX: usize = 10;
/// A queue that cannot be read for so many runs does not keep the others from counting as trimmed.
const TRIMS_MAX: u32 = 6;

/// How full the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    Normal,
    /// Expired files go at any hour.
    High,
    /// The oldest files go, expired or not.
    Critical,
    /// And appends are refused; also when there is no room for two more segments (a quarter of a disk
    /// that is smaller than eight), but then only expired files go.
    Full,
}

/// The used parts of the file systems, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskUsage {
    pub log: f64,
    pub queues: f64,
    /// The file systems of the log and of the rest.
    pub log_space: Space,
    pub root_space: Space,
    pub level: DiskLevel,
}

impl DiskUsage {
    /// The fuller one, with so many bytes of the log gone.
    fn used_without(&self, log_bytes: u64) -> f64 {
        let with_room = |space: Space| {
            let free_bytes = space.free_bytes.saturating_add(log_bytes);
            Space {
                free_bytes,
                ..space
            }
            .used_ratio()
        };
        // Looked at one after the other, so what is free may differ a little also where they are one.
        let (log, root) = (self.log_space, self.root_space);
        let is_one = log.total_bytes == root.total_bytes
            && log.free_bytes.abs_diff(root.free_bytes) <= log.total_bytes / 100;
        let queues = if is_one { 0.0 } else { self.queues };
        with_room(self.log_space).max(queues)
    }
}

/// The time of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpireTime {
    pub now_ms: i64,
    /// From any fixed moment on, never jumping.
    pub monotonic_ms: u64,
}

/// What a run removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    pub segments: usize,
    pub log_start: LogOffset,
}

/// The level that was seen last.
#[derive(Debug, Default)]
struct SeenLevel(AtomicU8);

impl SeenLevel {
    fn get(&self) -> DiskLevel {
        match self.0.load(Ordering::Relaxed) {
            0 => DiskLevel::Normal,
            1 => DiskLevel::High,
            2 => DiskLevel::Critical,
            _ => DiskLevel::Full,
        }
    }

    fn set(&self, level: DiskLevel) {
        self.0.store(level as u8, Ordering::Relaxed);
    }
}

/// What is remembered from run to run.
#[derive(Debug)]
pub(crate) struct Expiry {
    retention: RwLock<Retention>,
    level: SeenLevel,
    guard: Mutex<AgeGuard>,
    /// The sum of the starts of all queues, and the start of the log that they were last all trimmed
    /// to. Whoever raises a start or removes a queue keeps the sum. Locked before a queue's state.
    pub(crate) starts: Mutex<Starts>,
}

impl Expiry {
    pub(crate) fn new(retention: Retention, starts: Starts) -> Self {
        Self {
            retention: RwLock::new(retention),
            level: SeenLevel::default(),
            guard: Mutex::default(),
            starts: Mutex::new(starts),
        }
    }
}

/// What expiry remembers from run to run.
#[derive(Debug, Default)]
struct AgeGuard {
    /// Runs in a row that found the first segment expired.
    looks: u32,
    /// When the minute began, and how many segments went in it.
    minute: u64,
    removed: usize,
    /// Runs in a row that could not read all queues.
    trims: u32,
}

impl AgeGuard {
    const LOOKS: u32 = 3;

    /// How many of `segments` may go now, when `expired` of them are too old.
    fn allow(&mut self, expired: usize, segments: usize, monotonic_ms: u64) -> usize {
        self.looks = if expired > 0 {
            self.looks.saturating_add(1)
        } else {
            0
        };
        // A minute begins with the first removal.
        if self.removed == 0 || monotonic_ms.saturating_sub(self.minute) >= 60_000 {
            (self.minute, self.removed) = (monotonic_ms, 0);
        }
        if self.looks < Self::LOOKS {
            return 0;
        }
        let a_fifth = (segments + self.removed).div_ceil(5).max(1);
        expired.min(a_fifth.saturating_sub(self.removed))
    }
}

fn is_expiry_hour(retention: &Retention, now_ms: i64) -> bool {
    let hour = now_ms.div_euclid(3_600_000).rem_euclid(24);
    retention
        .delete_hours
        .iter()
        .any(|&listed| i64::from(listed) == hour)
}

impl Store {
    /// How full the disk was at the last look.
    #[must_use]
    pub fn disk_level(&self) -> DiskLevel {
        self.expiry.level.get()
    }

    /// Takes other rules from now on.
    pub fn set_retention(&self, retention: Retention) {
        *self.expiry.retention.write() = retention;
    }

    /// Looks how full the disk is; from now on appends are refused, or no longer.
    ///
    /// # Errors
    /// What the disk says; then the level stays as it was.
    pub fn check_disk(&self) -> io::Result<DiskUsage> {
        let log_space = self.disk.space(&self.config.commit_log_dir)?;
        let root_space = self.disk.space(&self.config.root)?;
        let (log, queues) = (log_space.used_ratio(), root_space.used_ratio());
        let retention = self.expiry.retention.read();
        let used = log.max(queues);
        let two_segments = self.config.segment_bytes.saturating_mul(2);
        let kept_free = two_segments.min(log_space.total_bytes / 4);
        let level = if used > retention.used_ratio_full || log_space.free_bytes < kept_free {
            DiskLevel::Full
        } else if used > retention.used_ratio_force {
            DiskLevel::Critical
        } else if used > retention.used_ratio_max {
            DiskLevel::High
        } else {
            DiskLevel::Normal
        };
        self.expiry.level.set(level);
        Ok(DiskUsage {
            log,
            queues,
            log_space,
            root_space,
            level,
        })
    }

    /// Removes segments that are too old or in the way, and what points to them. Called each ten
    /// seconds or so.
    ///
    /// # Errors
    /// What the disk says; the next run goes on.
    pub fn expire_once(&self, time: ExpireTime) -> io::Result<Expired> {
        let mut guard = self.expiry.guard.lock();
        let usage = self.check_disk()?;
        let retention = self.expiry.retention.read().clone();
        let (segments, expired) = {
            let segments = self.log.segments();
            let expired = self.expired(&segments, &retention, time.now_ms)?;
            (segments.len(), expired)
        };
        let allowed = guard.allow(expired, segments, time.monotonic_ms);
        let may_expire = is_expiry_hour(&retention, time.now_ms) || usage.level >= DiskLevel::High;
        let by_age = if may_expire { allowed } else { 0 };

        let mut removed = 0;
        let most = SEGMENTS_PER_RUN_MAX.min(segments.saturating_sub(1));
        // Counted, not looked at: a removed file takes room as long as a reader has a slice of it.
        let used = |removed: usize| usage.used_without(removed as u64 * self.log.segment_bytes());
        while removed < most && (removed < by_age || used(removed) > retention.used_ratio_force) {
            // Counted also if it fails half-way.
            guard.removed += 1;
            if !self.remove_first_segment()? {
                guard.removed -= 1;
                break;
            }
            removed += 1;
        }
        let log_start = self.log.start().unwrap_or(0);
        if removed > 0 {
            tracing::info!(removed, log_start, "old segments were removed");
            self.check_disk()?;
        }
        // Also when an earlier run did not come to its end.
        if self.expiry.starts.lock().log_start != log_start {
            guard.trims += 1;
            if self.trim_queues(log_start, guard.trims >= TRIMS_MAX) {
                guard.trims = 0;
            }
        }
        Ok(Expired {
            segments: removed,
            log_start: LogOffset(log_start),
        })
    }

    /// How many segments from the first on are too old.
    fn expired(
        &self,
        segments: &[Arc<Segment>],
        retention: &Retention,
        now_ms: i64,
    ) -> io::Result<usize> {
        let age_ms = i64::from(retention.reserved_hours) * 3_600_000;
        let mut expired = 0;
        for segment in segments {
            if !self.is_behind_writer(segment)
                || segment.file.modified_ms()?.saturating_add(age_ms) >= now_ms
            {
                break;
            }
            expired += 1;
        }
        Ok(expired)
    }

    /// Whether nobody needs a segment any more to know which offsets of queues were given out. On a
    /// disk that is too full to wait for that, whether it is written, readable and durable.
    fn is_behind_writer(&self, segment: &Segment) -> bool {
        let end = segment.base + self.log.segment_bytes();
        end <= self.marks.persisted_to.load(Ordering::Acquire)
            || self.disk_level() >= DiskLevel::Critical
                && end <= self.dispatched_to().0
                && end <= self.durable_to().0
    }

    fn remove_first_segment(&self) -> io::Result<bool> {
        match self.log.segments().first() {
            Some(first) if self.is_behind_writer(first) => self.log.remove_first(),
            _ => Ok(false),
        }
    }

    /// Forgets a topic and its consume queues; the records stay in the log until they expire.
    ///
    /// # Errors
    /// [`PersistError`]; what is left of the folders does no harm.
    pub fn delete_topic(&self, topic: &str) -> Result<(), PersistError> {
        // Whoever sends to the topic meanwhile makes its queues anew: they get no files before the old
        // ones are gone.
        let mut persisting = self.steps.persisting.lock();
        let target = {
            // The dispatcher must not be half-way through one of the queues.
            let _no_dispatch = self.steps.dispatching.lock();
            let mut no_append = self.intake.staging.lock();
            let removed = self.queues.remove_topic(topic, &mut no_append);
            drop(no_append);
            if removed.is_empty() {
                return Ok(());
            }
            let units: u64 = removed.iter().map(|queue| queue.state.lock().end()).sum();
            for queue in &removed {
                let mut starts = self.expiry.starts.lock();
                starts.sum = starts.sum.wrapping_sub(queue.state.lock().min);
            }
            self.queue_files.close(topic);
            let mut dispatched = self.marks.dispatched.lock();
            dispatched.units -= units;
            *dispatched
        };
        // The checkpoint must not promise units that are about to go.
        self.persist_to(
            &mut persisting,
            target,
            |queue| &*queue.topic != topic,
            false,
        )?;
        self.queue_files.close(topic);
        let folder = self.queue_files.topic_folder(topic);
        self.disk.remove_folder(&folder).map_err(PersistError::Io)?;
        self.disk
            .sync_folder(self.queue_files.folder())
            .map_err(PersistError::Io)
    }
}
