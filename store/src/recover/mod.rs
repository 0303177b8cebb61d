//! Opening a store: which part of it is known to be good, and making the rest good.
//!
//! ```text
//! lock -> checkpoint says good_to -> segments -> queues below good_to from their files
//!      -> log from good_to on, record by record, into the queues -> cut the torn tail -> abort mark
//! ```
//!
//! After a clean close `good_to` is the end and nothing is read. After a crash only what came behind
//! the last checkpoint is read. Without our checkpoint (the store is RocketMQ's) its rules say where
//! to begin. When queues are missing, all of them are made again from the whole log. With
//! [`Config::salvage`] all of the log is read first, and what is damaged is made readable.

mod queues;
mod salvage;
mod scan;
mod segments;
mod survey;
mod unfinished;
mod units;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::LogOffset;

use crate::checkpoint::{Checkpoint, Known, Starts};
use crate::expire::Expiry;
use crate::files::{Access, Disk};
use crate::index::{IndexPosition, KeyIndex, Shape};
use crate::log::CommitLog;
use crate::marks::{Dispatched, Marks};
use crate::persist::Persisting;
use crate::queue::{QueueFiles, Queues, Unsynced};
use crate::segment::Segment;
use crate::staging::Staging;
use crate::store::{Intake, Paths, Steps};
use crate::sync::{Condvar, Mutex};
use crate::{Config, Store};

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store in {} is in use by another process", .0.display())]
    Locked(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{} has {found} bytes, but the size of commit log files is set to {configured}",
        path.display()
    )]
    WrongSegmentSize {
        path: PathBuf,
        found: u64,
        configured: u64,
    },
    #[error("the commit log is damaged in {} place(s), nothing in it was changed", .0.len())]
    Damaged(Vec<Damage>),
}

/// A part of the log that cannot be read though something behind it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    /// From the start of the file.
    pub offset: u64,
    pub bytes: u64,
    pub reason: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            offset,
            bytes,
            reason,
        } = self;
        write!(
            f,
            "{} at byte {offset}, {bytes} bytes: {reason}",
            file.display()
        )
    }
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    pub was_clean: bool,
    /// The machine was restarted under the store: what was not flushed may be lost. Said again, like
    /// `queues_rebuilt`, by each start until one has persisted.
    pub lost_power: bool,
    pub log_start: LogOffset,
    pub log_end: LogOffset,
    /// Where reading the log began; equal to the end when nothing had to be read.
    pub read_from: LogOffset,
    pub records_read: u64,
    /// What was cut off behind the last whole record.
    pub torn_bytes: u64,
    pub queues: usize,
    /// The queues were made again from the whole log.
    pub queues_rebuilt: bool,
    /// What was damaged and is skipped from now on.
    pub salvaged: Vec<Damage>,
}

impl Store {
    /// Opens a store, making it when there is none.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing in the folder was changed that matters.
    pub fn open(config: Config, disk: Arc<dyn Disk>) -> Result<(Self, Opened), OpenError> {
        let paths = Paths::of(&config.root);
        let lock = take_lock(&config, &*disk, &paths)?;
        let was_clean = !disk.exists(&paths.abort).map_err(at(&paths.abort))?;
        let checkpoint =
            Checkpoint::read(&*disk, &paths.checkpoint).map_err(at(&paths.checkpoint))?;
        let good_to = checkpoint.known.map_or(0, |known| known.good_to);
        let resumes = salvage::refuse_unfinished(&config, &*disk)?;
        let segments = segments::load(&config, &*disk, good_to)?;
        let shape = Shape {
            slots: config.index_slots,
            entries: config.index_entries,
        };
        let mut recovery = Recovery {
            queue_files: QueueFiles::new(
                Arc::clone(&disk),
                paths.queues.clone(),
                config.queue_file_bytes,
            ),
            queues: Queues::default(),
            index: KeyIndex::new(Arc::clone(&disk), paths.index.clone(), shape),
            index_end: 0,
            opened: Opened {
                was_clean,
                ..Opened::default()
            },
            newest_time: checkpoint.known.map_or(0, |_| checkpoint.times.log),
            unsynced: Unsynced::default(),
            sealed_from: checkpoint.known.map_or(u64::MAX, |known| known.sealed_from),
            config,
            disk,
            checkpoint,
            segments,
        };
        recovery.run(resumes)?;
        mark_in_use(&*recovery.disk, &paths).map_err(at(&paths.abort))?;
        Ok(recovery.into_store(lock))
    }
}

/// The state of opening.
struct Recovery {
    config: Config,
    disk: Arc<dyn Disk>,
    checkpoint: Checkpoint,
    segments: Vec<Arc<Segment>>,
    queues: Queues,
    queue_files: QueueFiles,
    unsynced: Unsynced,
    index: KeyIndex,
    /// Records below are in the index already.
    index_end: u64,
    newest_time: i64,
    /// Records from here on carry a CRC of their own, as far as the checkpoint knows.
    sealed_from: u64,
    opened: Opened,
}

impl Recovery {
    /// Makes the store good. One that `resumes` does not see all that was damaged.
    fn run(&mut self, resumes: bool) -> Result<(), OpenError> {
        let start = self.segments.first().map_or(0, |segment| segment.base);
        let was_told = self.checkpoint.known.is_some_and(|known| known.lost_power);
        self.opened.lost_power = !self.opened.was_clean && (was_told || !self.same_boot());
        if self.config.salvage {
            self.opened.salvaged = self.salvage()?;
        }
        let paths = Paths::of(&self.config.root);
        let resumes = resumes || unfinished::found(&*self.disk, &paths.rebuilding)?;
        let was_sound = self.opened.salvaged.is_empty() && !resumes;
        let good_to = if self.load_index() && was_sound {
            self.load_queues(start)?
        } else {
            None
        };
        self.index_end = self.index.end_offset();
        let starts = self.queues.starts(start);
        let mut vouched = (self.queues.units(), Some(starts), self.index.position());
        let end = match good_to {
            Some(good_to) => self.scan_from(good_to)?,
            None => None,
        };
        let (read_from, end) = match (good_to, end) {
            (Some(good_to), Some(end)) => (good_to, end),
            _ => {
                // Fits no sum of ends: they are made again until a checkpoint knows them.
                vouched = (u64::MAX, None, IndexPosition::default());
                (start, self.rebuild(start)?)
            }
        };
        self.sealed_from = match self.config.record_crc {
            true => self.sealed_from.min(end),
            false => u64::MAX,
        };
        self.vouch_for(read_from, vouched)?;
        unfinished::end(&*self.disk, &paths.rebuilding)?;
        unfinished::end(&*self.disk, &paths.salvaging)?;
        self.opened.log_start = LogOffset(start);
        self.opened.log_end = LogOffset(end);
        self.opened.read_from = LogOffset(read_from);
        self.opened.queues = self.queues.all().len();
        Ok(())
    }

    fn into_store(self, lock: Box<dyn std::fmt::Debug + Send + Sync>) -> (Store, Opened) {
        let units = self.queues.units();
        let Self {
            config,
            disk,
            queues,
            queue_files,
            index,
            opened,
            newest_time,
            ..
        } = self;
        let end = opened.log_end.0;
        let log = CommitLog::new(
            &config,
            Arc::clone(&disk),
            self.segments,
            end,
            self.sealed_from,
        );
        let starts = queues.starts(opened.log_start.0);
        let expiry = Expiry::new(config.retention.clone(), starts);
        let store = Store {
            paths: Paths::of(&config.root),
            config,
            disk,
            log,
            queues,
            queue_files,
            index,
            intake: Intake {
                staging: Mutex::new(Staging::new(end, newest_time)),
                staged: Condvar::new(),
                spare_batch: Mutex::default(),
            },
            marks: Marks::at(
                Dispatched {
                    end,
                    units,
                    newest_time,
                },
                opened.read_from.0,
            ),
            steps: Steps {
                persisting: Mutex::new(Persisting {
                    unsynced: self.unsynced,
                    written: None,
                }),
                ..Steps::default()
            },
            expiry,
            _lock: lock,
        };
        (store, opened)
    }

    /// Writes down what was good before the log was read, in the run of the machine that it is now.
    fn vouch_for(
        &self,
        good_to: u64,
        (units, starts, index): (u64, Option<Starts>, IndexPosition),
    ) -> Result<(), OpenError> {
        let boot_id = self.disk.boot_id();
        let known = Some(Known {
            good_to,
            units,
            starts,
            boot_id,
            closed: false,
            lost_power: self.opened.lost_power,
            index,
            sealed_from: self.sealed_from,
        });
        let path = &Paths::of(&self.config.root).checkpoint;
        let checkpoint = Checkpoint {
            times: self.checkpoint.times,
            known,
        };
        checkpoint.write(&*self.disk, path).map_err(at(path))
    }

    /// Loads the key index as far as it is vouched for; `false` when it does not reach that far.
    fn load_index(&self) -> bool {
        let load = || {
            if !self.index.load()? {
                return Ok(false);
            }
            match self.checkpoint.known {
                Some(known) if known.closed && self.opened.was_clean => {
                    self.index.reaches(known.index)
                }
                Some(known) => self.index.roll_back(known.index),
                None if self.opened.was_clean => Ok(true),
                None => {
                    self.index.remove_newer_than(self.checkpoint.times.index)?;
                    Ok(true)
                }
            }
        };
        load().unwrap_or_else(|error: io::Error| {
            tracing::warn!(%error, "the key index cannot be used");
            false
        })
    }

    /// The end of the last segment.
    fn log_limit(&self) -> u64 {
        self.segments
            .last()
            .map_or(0, |segment| segment.base + self.config.segment_bytes)
    }

    fn segment_at(&self, offset: u64) -> Option<&Arc<Segment>> {
        let first = self.segments.first()?.base;
        let number = offset.checked_sub(first)? / self.config.segment_bytes;
        self.segments.get(usize::try_from(number).ok()?)
    }
}

fn take_lock(
    config: &Config,
    disk: &dyn Disk,
    paths: &Paths,
) -> Result<Box<dyn std::fmt::Debug + Send + Sync>, OpenError> {
    let is_new = !disk
        .exists(&paths.checkpoint)
        .map_err(at(&paths.checkpoint))?;
    for folder in [
        &config.root,
        &config.commit_log_dir,
        &paths.queues,
        &paths.index,
    ] {
        disk.create_folders(folder).map_err(at(folder))?;
        if is_new {
            sync_folders_above(disk, folder).map_err(at(folder))?;
        }
    }
    disk.lock(&paths.lock)
        .map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked(config.root.clone()),
            _ => OpenError::Io {
                path: paths.lock.clone(),
                source,
            },
        })
}

/// Makes the names of new folders durable: what is acknowledged lies in them. All the way up,
/// because a process that was killed may have made any of them.
fn sync_folders_above(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        match disk.sync_folder(above) {
            // Not to be read by us, so not made by us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// From now on a missing clean close is noticed.
fn mark_in_use(disk: &dyn Disk, paths: &Paths) -> io::Result<()> {
    let file = disk.open(&paths.abort, Access::Create)?;
    file.set_size(0)?;
    file.write_all_at(std::process::id().to_string().as_bytes(), 0)?;
    file.sync_data()?;
    disk.sync_folder(paths.abort.parent().unwrap_or(&paths.abort))
}

/// Says at which path an error happened.
fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<'_> {
    move |source| OpenError::Io {
        path: path.to_owned(),
        source,
    }
}
