//! Damage in what can be made again from the log: index, checkpoint and snapshot.

use std::io;
use std::path::Path;

use proto::message::{RecordPrefix, StoredMessage, java_string_hash, property, split_keys};

use super::report::IndexReport;
use crate::append::KeyHashes;
use crate::checkpoint::Checkpoint;
use crate::files::{Access, Disk, File, read_exact_at};
use crate::index::{ENTRY_BYTES, HEADER_BYTES, Header, Shape, StoredEntry};
use crate::queue::snapshot;
use crate::recover::Damage;
use crate::segment::Segment;
use crate::store::Paths;

/// The log, to compare with.
pub(super) struct Log<'s> {
    pub(super) segments: &'s [Segment],
    pub(super) start: u64,
    pub(super) end: u64,
    /// Nothing is half-written, or written in one place only.
    pub(super) closed: bool,
}

impl Log<'_> {
    fn covers(&self, at: u64) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Calls `look` with the record at a place, if one is there.
    fn record<T>(&self, at: u64, look: impl FnOnce(&StoredMessage<'_>) -> T) -> Option<T> {
        let segment = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.base <= at)?;
        let RecordPrefix::Message(size) = RecordPrefix::read(&segment.slice(at, 8)?) else {
            return None;
        };
        let record = segment.slice(at, size)?;
        let message = StoredMessage::parse(&record).ok()?;
        (message.log_offset.0 == at).then(|| look(&message))
    }

    /// Whether an entry is of a record. Of what the log has no more, or not yet, it may be.
    fn has(&self, entry: &StoredEntry, begin_ms: i64) -> bool {
        let is_of = |message: &StoredMessage<'_>| {
            let seconds = (message.store_timestamp - begin_ms).max(0) / 1000;
            hashes(message).as_slice().contains(&entry.hash) && i64::from(entry.seconds) == seconds
        };
        let at = entry.log_offset;
        let is_elsewhere = at < self.start || at >= self.end && !self.closed;
        is_elsewhere || self.record(at, is_of) == Some(true)
    }

    /// Whether a header's place and time are those of an entry.
    fn agrees(&self, entry: Option<StoredEntry>, offset: u64, time_ms: i64) -> bool {
        entry.is_none_or(|entry| {
            let time = self.record(entry.log_offset, |message| message.store_timestamp);
            entry.log_offset == offset && (!self.covers(offset) || time == Some(time_ms))
        })
    }
}

fn hashes(message: &StoredMessage<'_>) -> KeyHashes {
    let topic_hash = java_string_hash(&format!("{}#", message.topic));
    let unique = message.properties.find(property::UNIQUE_KEY);
    // compat: IndexService#buildIndex of RocketMQ 5 also finds messages by tag, under this key.
    let tag = message.properties.find(property::TAGS);
    let tag = tag.map(|tag| format!("T#{tag}"));
    let keys = split_keys(message.properties.find(property::KEYS).unwrap_or(""));
    KeyHashes::of(
        topic_hash,
        unique.into_iter().chain(keys).chain(tag.as_deref()),
    )
}

/// Adds damage of one file; what touches the damage before it is joined to that.
pub(super) fn note(damage: &mut Vec<Damage>, file: &Path, offset: u64, bytes: u64, reason: &str) {
    match damage.last_mut() {
        Some(last)
            if last.file == file && last.offset + last.bytes == offset && last.reason == reason =>
        {
            last.bytes += bytes;
        }
        _ => damage.push(Damage {
            file: file.to_owned(),
            offset,
            bytes,
            reason: reason.to_owned(),
        }),
    }
}

/// The page and the snapshot.
pub(super) fn check_pages(
    disk: &dyn Disk,
    paths: &Paths,
    damage: &mut Vec<Damage>,
) -> io::Result<()> {
    if let Some(part) = Checkpoint::damaged(disk, &paths.checkpoint)? {
        let bytes = part.end - part.start;
        note(
            damage,
            &paths.checkpoint,
            part.start,
            bytes,
            "the CRC does not match",
        );
    }
    if let Some(bytes) = snapshot::damaged(disk, &paths.snapshot)? {
        note(damage, &paths.snapshot, 0, bytes, "the CRC does not match");
    }
    Ok(())
}

/// All files of the index.
pub(super) fn check_index(
    disk: &dyn Disk,
    folder: &Path,
    log: &Log<'_>,
    damage: &mut Vec<Damage>,
) -> io::Result<Vec<IndexReport>> {
    let mut reports = Vec::new();
    for entry in disk
        .list(folder)?
        .into_iter()
        .filter(|entry| !entry.is_folder)
    {
        let path = folder.join(entry.name);
        let mut bytes = [0; HEADER_BYTES];
        let file = disk.open(&path, Access::Read)?;
        if file.read_at(&mut bytes, 0)? != HEADER_BYTES {
            let size = file.size_bytes()?;
            note(
                damage,
                &path,
                size,
                HEADER_BYTES as u64 - size,
                "the file is cut short",
            );
            continue;
        }
        let header = Header::from_bytes(&bytes);
        if let Some(shape) = Shape::of_size(file.size_bytes()?) {
            let found = IndexFileSeen {
                file: &*file,
                path: &path,
                header,
                shape,
                closed: log.closed,
            };
            found.check(log, damage)?;
        }
        reports.push(IndexReport {
            file: path,
            entries: header.count.saturating_sub(1),
            begin_ms: header.begin_time,
            end_ms: header.end_time,
        });
    }
    Ok(reports)
}

struct IndexFileSeen<'f> {
    file: &'f dyn File,
    path: &'f Path,
    header: Header,
    shape: Shape,
    closed: bool,
}

impl IndexFileSeen<'_> {
    fn check(&self, log: &Log<'_>, damage: &mut Vec<Damage>) -> io::Result<()> {
        let header = self.header;
        if header.count > self.shape.entries {
            let bytes = HEADER_BYTES as u64;
            note(
                damage,
                self.path,
                0,
                bytes,
                "the header counts more than there is room for",
            );
            return Ok(());
        }
        let mut newest = vec![0u32; usize::try_from(self.shape.slots).unwrap_or(0)];
        let mut begin_ms = header.begin_time;
        let (mut first, mut last) = (None, None);
        for number in 1..header.count {
            let at = self.shape.entry_at(number);
            let mut bytes = [0; ENTRY_BYTES];
            read_exact_at(self.file, &mut bytes, at)?;
            let Some(entry) = StoredEntry::from_bytes(&bytes) else {
                continue;
            };
            if number == 1 {
                let time = log.record(entry.log_offset, |message| message.store_timestamp);
                begin_ms = time.unwrap_or(begin_ms);
            }
            let slot = usize::try_from(self.shape.slot_of(entry.hash)).unwrap_or(0);
            let older = newest.get(slot).copied().unwrap_or(0);
            if !log.has(&entry, begin_ms) {
                note(
                    damage,
                    self.path,
                    at,
                    ENTRY_BYTES as u64,
                    "the entry is of no record",
                );
            } else if entry.older != older {
                note(
                    damage,
                    self.path,
                    at,
                    ENTRY_BYTES as u64,
                    "the entry before is another",
                );
            }
            if let Some(newest) = newest.get_mut(slot) {
                *newest = number;
            }
            first = first.or(Some(entry));
            last = Some(entry);
        }
        let used = newest.iter().filter(|&&newest| newest != 0).count();
        let is_right = usize::try_from(header.used_slots) == Ok(used)
            && log.agrees(first, header.begin_offset, header.begin_time)
            && log.agrees(last, header.end_offset, header.end_time);
        if self.closed && !is_right {
            note(
                damage,
                self.path,
                0,
                HEADER_BYTES as u64,
                "the header is of other entries",
            );
        }
        self.check_slots(&newest, damage)
    }

    /// Each slot has the number of its newest entry.
    fn check_slots(&self, newest: &[u32], damage: &mut Vec<Damage>) -> io::Result<()> {
        let mut slots = vec![[0u8; 4]; newest.len()];
        read_exact_at(self.file, slots.as_flattened_mut(), self.shape.slot_at(0))?;
        for ((found, wanted), slot) in slots.iter().zip(newest).zip(0..) {
            let found = u32::from_be_bytes(*found);
            // A killed broker may have written slots, but not yet the header.
            let is_newer = !self.closed && found >= self.header.count;
            if found != *wanted && !is_newer {
                let at = self.shape.slot_at(slot);
                note(
                    damage,
                    self.path,
                    at,
                    4,
                    "the slot does not point to its newest entry",
                );
            }
        }
        Ok(())
    }
}
