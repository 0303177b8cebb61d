//! Looking at a store folder without changing it, ours or RocketMQ's, in use or not.
//!
//! Owns the report of `gantry store check` and the messages of `gantry store dump`. Takes no lock
//! and writes nothing. In a store in use the newest second may not be in the queue files yet; that
//! is told apart from units that are wrong.

mod dump;
mod report;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{LogOffset, QueueId, RecordPrefix, StoredMessage};

pub use dump::{Dumped, dump};
pub use report::{IndexReport, QueueReport, Report, SegmentReport, UnitsReport};

use crate::checkpoint::Checkpoint;
use crate::files::{Access, Disk, File, read_exact_at};
use crate::log::verify;
use crate::queue::{UNIT_BYTES, Unit};
use crate::recover::Damage;
use crate::segment::{Segment, file_name, parse_file_name};
use crate::store::Paths;

/// Reads everything in a store folder and reports what is there and what is wrong.
///
/// # Errors
/// What the disk says when a file or folder cannot be read.
pub fn check(disk: &dyn Disk, root: &Path) -> io::Result<Report> {
    let paths = Paths::of(root);
    let checkpoint = Checkpoint::read(disk, &paths.checkpoint)?;
    let mut queues = load_queues(disk, &paths.queues)?;
    let mut report = Report {
        root: root.to_owned(),
        was_closed: !disk.exists(&paths.abort)?,
        good_to: checkpoint.known.map(|known| LogOffset(known.good_to)),
        ..Report::default()
    };
    let segments = load_segments(disk, &root.join("commitlog"), &mut report)?;
    report.log_start = LogOffset(segments.first().map_or(0, |segment| segment.base));
    report.log_end = report.log_start;
    // Segments that were made ahead of the writer are empty.
    let mut last = 0;
    for segment in &segments {
        if segment.bytes_behind(segment.base, u64::MAX)? > 0 {
            last = segment.base;
        }
    }
    let sealed_from = checkpoint.known.map_or(u64::MAX, |known| known.sealed_from);
    for segment in &segments {
        let is_last = segment.base >= last;
        let mut seen = check_segment(segment, is_last, sealed_from, &mut report, &mut |message| {
            if let Some(queue) = queues.get_mut(&(message.topic.to_owned(), message.queue_id)) {
                queue.compare(disk, message)
            } else {
                Ok(UnitState::Missing)
            }
        })?;
        seen.file = segment.path.clone();
        report.segments.push(seen);
    }
    report.queues = queues
        .into_iter()
        .map(|((topic, queue_id), queue)| QueueReport {
            topic,
            queue_id,
            min: queue.min,
            max: queue.max,
            wrong_units: queue.wrong,
        })
        .collect();
    report
        .queues
        .sort_by(|a, b| (&a.topic, a.queue_id).cmp(&(&b.topic, b.queue_id)));
    report.index = report::index_files(disk, &paths.index)?;
    Ok(report)
}

/// How a record stands in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnitState {
    Right,
    Missing,
    Wrong,
}

fn load_segments(disk: &dyn Disk, folder: &Path, report: &mut Report) -> io::Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::new();
    for entry in disk.list(folder)? {
        let Some(base) = parse_file_name(&entry.name) else {
            continue;
        };
        let segment = Segment::open_to_read(disk, folder.join(&entry.name), base)?;
        let expected = segments
            .last()
            .map_or(base, |before| before.base + before.bytes);
        if base != expected {
            report.damage.push(Damage {
                file: folder.join(file_name(expected)),
                offset: 0,
                bytes: base.saturating_sub(expected),
                reason: "the file before this offset is missing or has another size".to_owned(),
            });
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Reads one segment from its start to its end or the end of the log.
fn check_segment(
    segment: &Segment,
    is_last: bool,
    sealed_from: u64,
    report: &mut Report,
    compare: &mut dyn FnMut(&StoredMessage<'_>) -> io::Result<UnitState>,
) -> io::Result<SegmentReport> {
    let mut seen = SegmentReport {
        bytes: segment.bytes,
        ..SegmentReport::default()
    };
    let end = segment.base + segment.bytes;
    let mut position = segment.base;
    while position < end {
        let prefix = segment.slice(position, 8).unwrap_or_default();
        let prefix = RecordPrefix::read(&prefix);
        let size = match prefix {
            RecordPrefix::Message(size) => size,
            RecordPrefix::Blank(_) => {
                report.log_end = LogOffset(end);
                return Ok(seen);
            }
            RecordPrefix::None => 8,
        };
        let record = segment.slice(position, size).unwrap_or_default();
        let reason = match verify(&record, position, sealed_from) {
            Ok(message) => {
                seen.records += 1;
                report.records += 1;
                if message.sys_flag.is_queued() {
                    match compare(&message)? {
                        UnitState::Right => report.units.right += 1,
                        UnitState::Missing => report.units.missing += 1,
                        UnitState::Wrong => report.units.wrong += 1,
                    }
                }
                position += u64::from(size);
                report.log_end = LogOffset(position);
                continue;
            }
            Err(reason) => reason,
        };
        let next = segment.valid_record_from(position + 1)?;
        let behind = segment.bytes_behind(position, u64::MAX)?;
        if next.is_none() && is_last {
            if behind > 0 {
                report.torn_bytes = behind;
            }
            return Ok(seen);
        }
        let next = next.unwrap_or(end);
        report.damage.push(Damage {
            file: segment.path.clone(),
            offset: position - segment.base,
            bytes: next - position,
            reason: reason.to_string(),
        });
        position = next;
    }
    Ok(seen)
}

/// A consume queue as its files show it.
struct QueueFilesSeen {
    folder: PathBuf,
    file_bytes: u64,
    min: u64,
    max: u64,
    wrong: u64,
    open: Option<(u64, Arc<dyn File>)>,
}

fn load_queues(
    disk: &dyn Disk,
    root: &Path,
) -> io::Result<HashMap<(String, QueueId), QueueFilesSeen>> {
    let mut queues = HashMap::new();
    for topic in disk.list(root)? {
        for entry in disk.list(&root.join(&topic.name))? {
            let Ok(id) = entry.name.parse() else { continue };
            let folder = root.join(&topic.name).join(&entry.name);
            if let Some(queue) = QueueFilesSeen::load(disk, folder)? {
                queues.insert((topic.name.clone(), QueueId(id)), queue);
            }
        }
    }
    Ok(queues)
}

impl QueueFilesSeen {
    fn load(disk: &dyn Disk, folder: PathBuf) -> io::Result<Option<Self>> {
        let entries = disk.list(&folder)?;
        let bases: Vec<u64> = entries
            .iter()
            .filter_map(|entry| parse_file_name(&entry.name))
            .collect();
        let Some((&first, &last)) = bases.first().zip(bases.last()) else {
            return Ok(None);
        };
        let file = disk.open(&folder.join(file_name(last)), Access::Read)?;
        let file_bytes = file.size_bytes()?;
        let unit = UNIT_BYTES as u64;
        let (mut low, mut high) = (0, file_bytes / unit);
        while low < high {
            let middle = low + (high - low) / 2;
            if read_unit(&*file, middle)?.is_some() {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let (min, max) = (first / unit, last / unit + low);
        Ok(Some(Self {
            folder,
            file_bytes,
            min,
            max,
            wrong: 0,
            open: Some((last, file)),
        }))
    }

    fn compare(&mut self, disk: &dyn Disk, message: &StoredMessage<'_>) -> io::Result<UnitState> {
        Ok(match self.unit(disk, message.queue_offset.0)? {
            None => UnitState::Missing,
            Some(unit) if unit.is_of(message) => UnitState::Right,
            Some(_) => {
                self.wrong += 1;
                UnitState::Wrong
            }
        })
    }

    /// The unit at an offset, when there is one.
    fn unit(&mut self, disk: &dyn Disk, offset: u64) -> io::Result<Option<Unit>> {
        if offset < self.min || offset >= self.max {
            return Ok(None);
        }
        let unit = UNIT_BYTES as u64;
        let base = offset * unit / self.file_bytes * self.file_bytes;
        let file = match &self.open {
            Some((open, file)) if *open == base => Arc::clone(file),
            _ => disk.open(&self.folder.join(file_name(base)), Access::Read)?,
        };
        self.open = Some((base, Arc::clone(&file)));
        read_unit(&*file, offset - base / unit)
    }
}

fn read_unit(file: &dyn File, number: u64) -> io::Result<Option<Unit>> {
    let mut bytes = [0; UNIT_BYTES];
    read_exact_at(file, &mut bytes, number * UNIT_BYTES as u64)?;
    Ok(Unit::from_bytes(&bytes))
}
