//! How far each consume queue is good.
//!
//! Units that point below `good_to` are durable; whatever lies behind them in the files came later,
//! in any state, and is made zero. A unit tells by its log offset on which side it is, so the border
//! is found by bisection.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{QueueId, RecordPrefix, store_timestamp};

use super::units::{Units, bisect, last_unit_behind, read_unit, zero_units_behind};
use super::{OpenError, Recovery, at, unfinished};
use crate::checkpoint::Starts;
use crate::log::verify;
use crate::queue::{Queue, QueueState, Queues, Run, UNIT_BYTES, Unit, snapshot};
use crate::segment::{file_name, parse_file_name};
use crate::store::Paths;
use crate::sync::atomic::Ordering;

impl Recovery {
    /// Loads all queues; up to where the log needs not be read. `None` when queues are missing.
    pub(super) fn load_queues(&mut self, log_start: u64) -> Result<Option<u64>, OpenError> {
        let good_to = match self.checkpoint.known {
            Some(known) => Some(known.good_to.max(log_start)),
            None => self.foreign_good_to(log_start)?,
        };
        let snapshot_path = Paths::of(&self.config.root).snapshot;
        if let Some(known) = self.checkpoint.known.filter(|known| known.closed)
            && self.opened.was_clean
            && let Some(queues) = snapshot::read(&*self.disk, &snapshot_path, known.good_to)
                .unwrap_or_else(|error| {
                    tracing::warn!(file = %snapshot_path.display(), %error, "cannot be read");
                    None
                })
        {
            self.queues = queues;
            if self.queues.units() == known.units
                && known.starts == Some(self.queues.starts(log_start))
                && self.queue_folders_are_there()?
            {
                return Ok(good_to);
            }
            self.queues = Queues::default();
        }
        let (mut units, mut last, mut are_sure) = (0_u64, None, true);
        for (topic, id, path) in self.queue_folders()? {
            let good_below = good_to.unwrap_or(u64::MAX);
            let loaded = match self.load_queue(&topic, id, log_start, good_below) {
                Ok(Some(loaded)) => loaded,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(folder = %path.display(), %error, "a queue cannot be read");
                    are_sure = false;
                    continue;
                }
            };
            if !loaded.is_sure {
                tracing::warn!(folder = %path.display(), "units or files are missing");
                are_sure = false;
            }
            units = units.wrapping_add(loaded.state.end());
            last = last.max(loaded.newest);
            if let Err(error) = self.queues.make(&topic, id, loaded.state) {
                tracing::warn!(folder = %path.display(), %error, "left alone");
            }
        }
        let starts = self.queues.starts(log_start);
        // One unit that points to what is gone, or seems to, moves the start of its queue.
        let begin_elsewhere =
            |known: Starts| known.log_start == log_start && known.sum != starts.sum;
        if let Some(known) = self.checkpoint.known {
            let (known_units, known_starts) = (known.units, known.starts);
            tracing::debug!(
                units,
                known_units,
                ?starts,
                ?known_starts,
                "sums of all queues"
            );
        }
        match (self.checkpoint.known, good_to, last) {
            _ if !are_sure => Ok(None),
            (Some(known), ..) if units != known.units => Ok(None),
            (Some(known), ..) if known.starts.is_some_and(begin_elsewhere) => Ok(None),
            (_, Some(good_to), _) => Ok(Some(good_to)),
            (_, None, None) => Ok(Some(log_start)),
            (_, None, Some(last)) => Ok(self.end_of_record(last)),
        }
    }

    /// Topic, queue and folder of all queues that have one.
    fn queue_folders(&self) -> Result<Vec<(String, QueueId, PathBuf)>, OpenError> {
        let root = self.queue_files.folder();
        let mut found = Vec::new();
        let topics = self.disk.list(root).map_err(at(root))?;
        for topic in topics.iter().filter(|topic| topic.is_folder) {
            let folder = root.join(&topic.name);
            for entry in self.disk.list(&folder).map_err(at(&folder))? {
                let path = folder.join(&entry.name);
                let Some(id) = entry.name.parse().ok().filter(|_| entry.is_folder) else {
                    continue;
                };
                match Queues::check(&topic.name, QueueId(id)) {
                    Ok(()) => found.push((topic.name.clone(), QueueId(id), path)),
                    Err(error) => {
                        tracing::warn!(folder = %path.display(), %error, "left alone");
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether every queue of a snapshot still has its folder.
    fn queue_folders_are_there(&self) -> Result<bool, OpenError> {
        let mut wanted: HashMap<Arc<str>, HashSet<String>> = HashMap::new();
        for queue in self.queues.all() {
            if queue.state.lock().end() > 0 {
                let topic = wanted.entry(Arc::clone(&queue.topic)).or_default();
                topic.insert(queue.id.to_string());
            }
        }
        for (topic, mut ids) in wanted {
            let folder = self.queue_files.topic_folder(&topic);
            for entry in self.disk.list(&folder).map_err(at(&folder))? {
                ids.remove(&entry.name);
            }
            if !ids.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The end of the record that the last unit of all queues points to, if there is one.
    fn end_of_record(&mut self, log_offset: u64) -> Option<u64> {
        let segment = Arc::clone(self.segment_at(log_offset)?);
        let bytes = segment.base + self.config.segment_bytes - log_offset;
        let rest = segment.slice(log_offset, u32::try_from(bytes).ok()?)?;
        let message = verify(&rest, log_offset, self.sealed_from).ok()?;
        self.newest_time = self.newest_time.max(message.store_timestamp);
        Some(log_offset + u64::from(message.size))
    }

    /// Where RocketMQ would begin to read its own store after a crash; `None` after a clean exit,
    /// when its queues say themselves how far they are.
    ///
    /// compat: `CommitLog#isMappedFileMatchedRecover`.
    fn foreign_good_to(&self, log_start: u64) -> Result<Option<u64>, OpenError> {
        if self.opened.was_clean {
            return Ok(None);
        }
        let times = self.checkpoint.times;
        let durable = times
            .log
            .min(times.queues)
            .min(times.index)
            .saturating_sub(3000);
        for segment in self.segments.iter().rev() {
            let header = segment.slice(segment.base, 128).unwrap_or_default();
            let is_message = matches!(RecordPrefix::read(&header), RecordPrefix::Message(_));
            let time = store_timestamp(&header).filter(|_| is_message);
            if time.is_some_and(|time| time > 0 && time <= durable) {
                return Ok(Some(segment.base));
            }
        }
        Ok(Some(log_start))
    }

    /// What the files of one queue say; `None` without files.
    fn load_queue(
        &self,
        topic: &str,
        id: QueueId,
        log_start: u64,
        good_below: u64,
    ) -> io::Result<Option<Loaded>> {
        let folder = self.queue_files.queue_folder(topic, id);
        let file_bytes = self.queue_files.file_bytes();
        let bases = self.queue_file_bases(&folder)?;
        // After a power loss some removed files may be back: what counts has no gaps.
        let follows = |pair: &[u64]| pair[0] + file_bytes == pair[1];
        let gap = bases.windows(2).rposition(|pair| !follows(pair));
        let bases = bases.get(gap.map_or(0, |gap| gap + 1)..).unwrap_or(&[]);
        let Some(&first_base) = bases.first() else {
            return Ok(None);
        };
        let unit = UNIT_BYTES as u64;
        let first = first_base / unit;
        let mut end = first;
        let (mut units, mut has_holes) = (Units::new(&*self.disk, folder, file_bytes), false);
        for &base in bases.iter().rev() {
            let file = units.open(base)?;
            if file.size_bytes()? != file_bytes {
                // It was just being made, or somebody shortened it.
                file.set_size(file_bytes)?;
            }
            let count = file_bytes / unit;
            let is_good = |unit: &Unit| unit.log_offset < good_below;
            let mut good = bisect(0, count, |at| {
                Ok(read_unit(&*file, at)?.is_some_and(|unit| is_good(&unit)))
            })?;
            // Of messages that are gone the log cannot tell, and without a checkpoint no sum misses
            // those that are there: none is given up for a damaged one before it, which misleads the
            // search.
            let before = (base / unit + good)
                .checked_sub(1)
                .filter(|at| *at >= first);
            let newest = before.map_or(Ok(None), |at| units.at(at))?;
            let to = match self.checkpoint.known {
                Some(_) => log_start,
                None => good_below.min(self.log_limit()),
            };
            let log = newest.map_or(0, |unit| unit.log_offset + 1)..to;
            if let Some(last) = last_unit_behind(&*file, good, log)? {
                (good, has_holes) = (last + 1, true);
            }
            zero_units_behind(&*file, good)?;
            if good > 0 {
                end = base / unit + good;
                break;
            }
        }
        let newest = match end > first {
            true => units.at(end - 1)?.map(|unit| unit.log_offset),
            false => None,
        };
        let min = units.first_in_log(first..end, log_start, gap.is_some())?;
        let state = QueueState {
            min: min.unwrap_or(first),
            persisted: end,
            loaded_to: end,
            ..QueueState::default()
        };
        Ok(Some(Loaded {
            state,
            newest,
            is_sure: min.is_some() && !has_holes,
        }))
    }

    /// The first bytes of the files of a queue.
    fn queue_file_bases(&self, folder: &Path) -> io::Result<Vec<u64>> {
        let file_bytes = self.queue_files.file_bytes();
        let names = self.disk.list(folder)?;
        let bases = names
            .iter()
            .filter_map(|entry| parse_file_name(&entry.name));
        Ok(bases.filter(|base| base % file_bytes == 0).collect())
    }

    /// Makes all queues again from the whole log.
    pub(super) fn rebuild(&mut self, start: u64) -> Result<u64, OpenError> {
        tracing::warn!("making queues and index again from the log");
        self.opened.queues_rebuilt = true;
        unfinished::begin(&*self.disk, &Paths::of(&self.config.root).rebuilding)?;
        let ended = self.forget_queues(start)?;
        self.index_end = 0;
        self.index.forget().map_err(at(&self.config.root))?;
        let end = self.scan_from(start)?;
        for queue in ended {
            self.keep_ended(&queue)?;
        }
        Ok(end.expect("a queue that begins anew has no gaps"))
    }

    /// Removes queue files, so that the log alone says what is in the queues. Of queues whose messages
    /// are all gone it does not tell, and their offsets must not be given out twice: the files of what
    /// may be one stay until the log was read, and it is they that are returned.
    fn forget_queues(&mut self, log_start: u64) -> Result<Vec<Ended>, OpenError> {
        self.queues = Queues::default();
        let mut ended = Vec::new();
        let good_below = self
            .checkpoint
            .known
            .map_or(u64::MAX, |known| known.good_to.max(log_start));
        for (topic, id, folder) in self.queue_folders()? {
            let (end, is_written) = match self.load_queue(&topic, id, log_start, good_below) {
                Ok(Some(loaded)) => {
                    let end = loaded.state.end();
                    // A damaged unit in it would have the queues made again at each start.
                    let is_written = loaded.is_sure && loaded.state.min == end;
                    ((log_start > 0).then_some(end), is_written)
                }
                Err(_) if log_start > 0 => {
                    // Nothing but the name of the last file tells where it ends at most: it goes on
                    // behind that.
                    let bases = self.queue_file_bases(&folder).map_err(at(&folder))?;
                    let end = |last| (last + self.queue_files.file_bytes()) / UNIT_BYTES as u64 + 1;
                    (bases.last().map(end), false)
                }
                _ => (None, false),
            };
            match end.filter(|end| *end > 0) {
                Some(end) => ended.push(Ended {
                    topic,
                    id,
                    end,
                    is_written,
                }),
                None => self.disk.remove_folder(&folder).map_err(at(&folder))?,
            }
        }
        let root = self.queue_files.folder();
        self.disk.sync_folder(root).map_err(at(root))?;
        Ok(ended)
    }

    /// Has a queue go on where it ended, unless the log has records of it after all.
    fn keep_ended(&mut self, ended: &Ended) -> Result<(), OpenError> {
        let Ended {
            topic,
            id,
            end,
            is_written,
        } = ended;
        let Ok(queue) = self.queues.find_or_make(topic, *id) else {
            return Ok(());
        };
        if queue.state.lock().end() > 0 {
            return Ok(());
        }
        if !is_written {
            let folder = self.queue_files.queue_folder(topic, *id);
            self.write_ended(&queue, *end).map_err(at(&folder))?;
        }
        *queue.state.lock() = QueueState::ended(*end);
        queue.next.store(*end, Ordering::Relaxed);
        Ok(())
    }

    /// Has the files of a queue say no more than where it ends: one with fillers up to there.
    fn write_ended(&mut self, queue: &Queue, end: u64) -> io::Result<()> {
        let folder = self.queue_files.queue_folder(&queue.topic, queue.id);
        let file_bytes = self.queue_files.file_bytes();
        let unit = UNIT_BYTES as u64;
        let base = (end - 1) * unit / file_bytes * file_bytes;
        let bases = self.queue_file_bases(&folder)?;
        let from = base / unit;
        let fillers = usize::try_from(end - from).unwrap_or(0);
        let run = Run {
            min: end,
            from,
            bytes: &Unit::FILLER.to_bytes().repeat(fillers),
        };
        self.queue_files.write(queue, run, &mut self.unsynced)?;
        self.unsynced.sync(&*self.disk, &self.config.root)?;
        for other in bases.iter().filter(|other| **other != base) {
            self.disk.remove_file(&folder.join(file_name(*other)))?;
        }
        self.disk.sync_folder(&folder)
    }
}

/// A queue whose messages may all be gone from the log.
struct Ended {
    topic: String,
    id: QueueId,
    end: u64,
    /// Its files say just that.
    is_written: bool,
}

/// What the files of a queue say.
struct Loaded {
    state: QueueState,
    /// Where the record of the last unit lies.
    newest: Option<u64>,
    /// Whether they can be right about where it begins.
    is_sure: bool,
}
