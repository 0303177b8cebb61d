//! Looking at a store folder without changing it, ours or RocketMQ's, in use or not.
//!
//! Owns the report of `gantry store check` and the messages of `gantry store dump`. Takes no lock
//! and writes nothing. In a store in use the newest second may not be in the queue files yet; that
//! is told apart from units that are wrong.

mod caches;
mod dump;
mod report;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{LogOffset, QueueId, RecordPrefix, StoredMessage};
use proto::names::SCHEDULE_TOPIC;

pub use dump::{Dumped, dump};
pub use report::{
    IndexReport, LogReport, QueueReport, Report, SalvageReport, SegmentReport, UnitsReport,
};

use crate::Config;
use crate::checkpoint::Checkpoint;
use crate::files::{Access, Disk, Entry, File, read_exact_at};
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
    report.log.start = LogOffset(segments.first().map_or(0, |segment| segment.base));
    report.log.end = report.log.start;
    // Segments that were made ahead of the writer are empty.
    let mut last = 0;
    for segment in &segments {
        if segment.bytes_behind(segment.base, u64::MAX)? > 0 {
            last = segment.base;
        }
    }
    let sealed_from = checkpoint.known.map_or(u64::MAX, |known| known.sealed_from);
    let mut wrong = Vec::new();
    for segment in &segments {
        let is_last = segment.base >= last;
        let mut seen = check_segment(segment, is_last, sealed_from, &mut report, &mut |message| {
            if let Some(queue) = queues.get_mut(&(message.topic.to_owned(), message.queue_id)) {
                queue.compare(disk, message, &mut wrong)
            } else {
                Ok(UnitState::Missing)
            }
        })?;
        seen.file = segment.path.clone();
        report.log.segments.push(seen);
    }
    for queue in queues.values().filter(|_| report.was_closed) {
        queue.note_surplus(&mut wrong);
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
    let log = caches::Log {
        segments: &segments,
        start: report.log.start.0,
        end: report.log.end.0,
        closed: report.was_closed,
    };
    report.other_damage = joined(wrong);
    let damage = &mut report.other_damage;
    report.index = caches::check_index(disk, &paths.index, &log, damage)?;
    caches::check_pages(disk, &paths, damage)?;
    let quarantine = root.join("quarantine");
    let copies = disk.list(&quarantine)?.into_iter();
    report.salvaged.copies = copies.map(|copy| quarantine.join(copy.name)).collect();
    Ok(report)
}

/// Damage by file and place, with neighbours as one.
fn joined(mut damage: Vec<Damage>) -> Vec<Damage> {
    damage.sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
    let mut joined = Vec::new();
    for part in &damage {
        caches::note(
            &mut joined,
            &part.file,
            part.offset,
            part.bytes,
            &part.reason,
        );
    }
    joined
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
        segments.push(Segment::open_to_read(disk, folder.join(&entry.name), base)?);
    }
    let configured = segments.iter().map(|segment| segment.bytes).max();
    let good_to = report.good_to.map_or(0, |good_to| good_to.0);
    let mut missing = |file: PathBuf, offset, bytes, reason: &str| {
        if bytes > 0 {
            caches::note(&mut report.damage, &file, offset, bytes, reason);
        }
    };
    let mut expected = segments.first().map_or(0, |segment| segment.base);
    for segment in &segments {
        let (base, end) = (segment.base, segment.base + segment.bytes);
        let file = folder.join(file_name(expected));
        missing(
            file,
            0,
            base.saturating_sub(expected),
            "the file is missing",
        );
        expected = base + configured.unwrap_or(0);
        missing(
            segment.path.clone(),
            segment.bytes,
            expected - end,
            "the file is cut short",
        );
    }
    let file = folder.join(file_name(expected));
    missing(
        file,
        0,
        good_to.saturating_sub(expected),
        "the file is missing or cut short",
    );
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
                report.log.end = LogOffset(end);
                return Ok(seen);
            }
            RecordPrefix::None => 8,
        };
        let record = segment.slice(position, size).unwrap_or_default();
        let reason = match verify(&record, position, sealed_from) {
            Ok(message) => {
                seen.records += 1;
                report.log.records += 1;
                report.salvaged.lost +=
                    u64::from(message.sys_flag.is_lost() && message.sys_flag.is_queued());
                if message.sys_flag.is_queued() {
                    match compare(&message)? {
                        UnitState::Right => report.units.right += 1,
                        UnitState::Missing => report.units.missing += 1,
                        UnitState::Wrong => report.units.wrong += 1,
                    }
                }
                position += u64::from(size);
                report.log.end = LogOffset(position);
                continue;
            }
            Err(reason) => reason,
        };
        let next = segment.valid_record_behind(position, sealed_from)?;
        let behind = segment.bytes_behind(position, u64::MAX)?;
        let good_to = report.good_to.map_or(0, |good_to| good_to.0);
        if next.is_none() && is_last && position >= good_to {
            if behind > 0 {
                report.log.torn_bytes = behind;
            }
            return Ok(seen);
        }
        let next = match next {
            Some(next) => next,
            None if is_last => good_to.min(end),
            None => end,
        };
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
    /// Behind the last unit of a record.
    end: u64,
    open: Option<(u64, Arc<dyn File>)>,
}

fn load_queues(
    disk: &dyn Disk,
    root: &Path,
) -> io::Result<HashMap<(String, QueueId), QueueFilesSeen>> {
    let mut queues = HashMap::new();
    let folders = |path: &Path| -> io::Result<Vec<Entry>> {
        let mut entries = disk.list(path)?;
        entries.retain(|entry| entry.is_folder);
        Ok(entries)
    };
    for topic in folders(root)? {
        for entry in folders(&root.join(&topic.name))? {
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
        let file_bytes = disk
            .open(&folder.join(file_name(first)), Access::Read)?
            .size_bytes()?;
        let unit = UNIT_BYTES as u64;
        let (min, max) = (first / unit, last / unit + units_used(&*file)?);
        Ok(Some(Self {
            folder,
            file_bytes: file_bytes.max(unit),
            min,
            max,
            wrong: 0,
            end: min,
            open: Some((last, file)),
        }))
    }

    fn compare(
        &mut self,
        disk: &dyn Disk,
        message: &StoredMessage<'_>,
        wrong: &mut Vec<Damage>,
    ) -> io::Result<UnitState> {
        let offset = message.queue_offset.0;
        if offset < self.min || offset >= self.max {
            return Ok(UnitState::Missing);
        }
        self.end = offset + 1;
        let found = self.unit(disk, offset)?;
        // The units of delayed messages depend on settings that are not known here.
        let is_right = found.is_some_and(|unit| {
            let expected = Config::new("").unit_of(message);
            unit == expected || message.topic == SCHEDULE_TOPIC && unit.is_of(message)
        });
        if is_right {
            return Ok(UnitState::Right);
        }
        self.wrong += 1;
        wrong.push(self.damage(offset, 1, "the unit is not that of its message"));
        Ok(UnitState::Wrong)
    }

    /// Units behind the last message.
    fn note_surplus(&self, wrong: &mut Vec<Damage>) {
        if self.end > self.min && self.end < self.max {
            wrong.push(self.damage(self.end, self.max - self.end, "the units are of no message"));
        }
    }

    fn damage(&self, offset: u64, units: u64, reason: &str) -> Damage {
        let unit = UNIT_BYTES as u64;
        let base = offset * unit / self.file_bytes * self.file_bytes;
        Damage {
            file: self.folder.join(file_name(base)),
            offset: offset * unit - base,
            bytes: units * unit,
            reason: reason.to_owned(),
        }
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

/// The number of the last unit that is not blank, plus one.
fn units_used(file: &dyn File) -> io::Result<u64> {
    const CHUNK_BYTES: usize = 1 << 16;
    let (mut from, mut used) = (0, 0);
    while let Some(data) = file.data_after(from)? {
        let mut at = data.start.max(from);
        while at < data.end {
            let mut bytes = vec![0; CHUNK_BYTES];
            let read = file.read_at(&mut bytes, at)?;
            if let Some(last) = bytes.iter().take(read).rposition(|&byte| byte != 0) {
                used = (at + last as u64) / UNIT_BYTES as u64 + 1;
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        from = data.end.max(from + 1);
    }
    Ok(used)
}

fn read_unit(file: &dyn File, number: u64) -> io::Result<Option<Unit>> {
    let mut bytes = [0; UNIT_BYTES];
    read_exact_at(file, &mut bytes, number * UNIT_BYTES as u64)?;
    Ok(Unit::from_bytes(&bytes))
}
