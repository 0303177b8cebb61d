//! Opening in spite of damage: every damaged byte is saved, then its place is made readable.
//!
//! ```text
//! log before   | record | damaged ......................... | record |
//! log after    | record | placeholder | placeholder | filler | record |
//! quarantine/<segment>-<offset>-<length>     the damaged bytes as they were
//! ```
//!
//! A placeholder is a record with the topic, queue and offset of a message that is lost, and the flag
//! [`SysFlag::LOST`]; so queues have no gaps, whoever reads one is led over it, and offsets are never
//! given out twice. Which messages are lost is told by the queue offsets around the damage and by the
//! ends of the queue files. What remains of a hole is filled with rolled-back records or, at the end
//! of a segment, a blank one: both are in no queue. All of them are RocketMQ's formats. The queues are
//! made again from this log.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proto::message::{
    BLANK_BYTES, Draft, LogOffset, Placement, QueueId, QueueOffset, StoredMessage, SysFlag,
    blank_record, seal_crc,
};

use super::survey::{Found, Hole};
use super::{Damage, OpenError, Recovery, at};
use crate::files::{Access, Disk};
use crate::segment::Segment;

/// A filler of a large hole has a body of this size.
const FILLER_BODY_BYTES: usize = 1 << 20;
/// The topic of fillers, cut where there is no room for all of it. They are in no queue of it.
const FILLER_TOPIC: &str = "SALVAGED";

/// What becomes of the damaged parts of a log.
#[derive(Default)]
struct Plan {
    sealed_from: u64,
    segment_bytes: u64,
    holes: Vec<Filling>,
    topics: HashMap<String, HashMap<QueueId, Seen>>,
    newest_time: i64,
    /// Lost messages for which there is no room.
    unplaced: u64,
}

/// How far a queue was seen in the log.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The offset behind the last record, and where that record lies.
    end: u64,
    last: u64,
}

/// A hole and what will be in it.
struct Filling {
    hole: Hole,
    store_timestamp: i64,
    lost: Vec<Lost>,
    bytes_left: u64,
}

/// A message of which only the place is known.
struct Lost {
    topic: Arc<str>,
    queue_id: QueueId,
    offset: u64,
}

impl Plan {
    fn take(&mut self, found: Found<'_>) {
        match found {
            Found::Hole(hole) => {
                let blank = if self.reaches_segment_end(&hole) {
                    u64::from(BLANK_BYTES)
                } else {
                    0
                };
                self.holes.push(Filling {
                    bytes_left: (hole.to - hole.from).saturating_sub(blank),
                    hole,
                    store_timestamp: self.newest_time,
                    lost: Vec::new(),
                });
            }
            Found::Record(message) => {
                self.newest_time = self.newest_time.max(message.store_timestamp);
                if message.sys_flag.is_queued() {
                    self.take_queued(message);
                }
            }
        }
    }

    fn take_queued(&mut self, message: &StoredMessage<'_>) {
        let (offset, last) = (message.queue_offset.0, message.log_offset.0);
        let now = Seen {
            end: offset.saturating_add(1),
            last,
        };
        if !self.topics.contains_key(message.topic) {
            self.topics.insert(message.topic.to_owned(), HashMap::new());
        }
        let seen = self
            .topics
            .get_mut(message.topic)
            .and_then(|queues| queues.insert(message.queue_id, now));
        // Messages before the first one that is there have expired, or are as good as that.
        if let Some(seen) = seen
            && seen.end < offset
        {
            self.keep_places(message.topic, message.queue_id, seen.end..offset, seen.last);
        }
    }

    /// Finds room for the places of lost messages, behind a place in the log.
    fn keep_places(
        &mut self,
        topic: &str,
        queue_id: QueueId,
        offsets: std::ops::Range<u64>,
        behind: u64,
    ) {
        let topic: Arc<str> = topic.into();
        let mut holes = self
            .holes
            .iter_mut()
            .filter(|filling| filling.hole.from > behind)
            .peekable();
        let mut next = offsets.start;
        while next < offsets.end
            && let Some(filling) = holes.peek_mut()
        {
            let lost = Lost {
                topic: Arc::clone(&topic),
                queue_id,
                offset: next,
            };
            let is_sealed = filling.hole.from >= self.sealed_from;
            let bytes = lost
                .draft(&[])
                .record_bytes(is_sealed)
                .map_or(u64::MAX, u64::from);
            if bytes <= filling.bytes_left {
                filling.bytes_left -= bytes;
                filling.lost.push(lost);
                next += 1;
            } else {
                holes.next();
            }
        }
        if next < offsets.end {
            let unplaced = offsets.end - next;
            tracing::error!(%topic, queue = queue_id.0, next, unplaced, "lost messages without a place");
            self.unplaced += unplaced;
        }
    }

    fn reaches_segment_end(&self, hole: &Hole) -> bool {
        hole.to == hole.segment.base + self.segment_bytes
    }

    fn can_fill(&self, hole: &Hole) -> bool {
        let least = if self.reaches_segment_end(hole) {
            u64::from(BLANK_BYTES)
        } else {
            filler_bytes_min(hole.from >= self.sealed_from)
        };
        hole.to - hole.from >= least
    }

    /// Writes what a hole will hold, piece by piece.
    fn fill(&self, filling: &Filling) -> io::Result<()> {
        let hole = &filling.hole;
        let mut filler = Filler {
            segment: &hole.segment,
            at: hole.from,
            is_sealed: hole.from >= self.sealed_from,
            store_timestamp: filling.store_timestamp,
        };
        let (last, lost) = match filling.lost.split_last() {
            Some((last, lost)) => (Some(last), lost),
            None => (None, &[][..]),
        };
        for lost in lost {
            filler.put(&lost.draft(&[]), lost.offset)?;
        }
        let to_segment_end = self.reaches_segment_end(hole);
        if let Some(last) = last {
            // What is too little for one more record goes into the last one.
            let is_rest =
                !to_segment_end && filling.bytes_left < filler_bytes_min(filler.is_sealed);
            let rest = if is_rest { filling.bytes_left } else { 0 };
            let body = vec![0; usize::try_from(rest).unwrap_or(0)];
            filler.put(&last.draft(&body), last.offset)?;
        }
        if to_segment_end {
            return filler.blank(hole.to);
        }
        filler.pad(hole.to)
    }
}

impl Lost {
    fn draft<'a>(&'a self, body: &'a [u8]) -> Draft<'a> {
        draft(&self.topic, self.queue_id, SysFlag(SysFlag::LOST), body)
    }
}

fn draft<'a>(topic: &'a str, queue_id: QueueId, sys_flag: SysFlag, body: &'a [u8]) -> Draft<'a> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Draft {
        topic,
        queue_id,
        flag: 0,
        sys_flag,
        born_timestamp: 0,
        born_host: nobody,
        store_host: nobody,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[],
        tags_code: 0,
        unique_key: None,
        keys: None,
    }
}

/// A record that is in no queue.
fn anonymous<'a>(topic: &'a str, body: &'a [u8]) -> Draft<'a> {
    let sys_flag = SysFlag(SysFlag::LOST | SysFlag::ROLLBACK);
    draft(topic, QueueId(0), sys_flag, body)
}

/// The least that a record of no queue takes.
fn filler_bytes_min(is_sealed: bool) -> u64 {
    let bytes = anonymous("S", &[]).record_bytes(is_sealed);
    bytes.map_or(u64::MAX, u64::from)
}

/// Writes records one behind the other.
struct Filler<'s> {
    segment: &'s Segment,
    at: u64,
    is_sealed: bool,
    store_timestamp: i64,
}

impl Filler<'_> {
    fn put(&mut self, draft: &Draft<'_>, queue_offset: u64) -> io::Result<()> {
        let placement = Placement {
            log_offset: LogOffset(self.at),
            queue_offset: QueueOffset(queue_offset),
            store_timestamp: self.store_timestamp,
            body_crc: crc32fast::hash(draft.body),
            record_crc: self.is_sealed,
        };
        let mut record = Vec::new();
        draft.encode(&placement, &mut record);
        if self.is_sealed {
            seal_crc(&mut record);
        }
        self.segment
            .file
            .write_all_at(&record, self.at - self.segment.base)?;
        self.at += record.len() as u64;
        Ok(())
    }

    /// Fills up to `to` with records of no queue.
    fn pad(&mut self, to: u64) -> io::Result<()> {
        while self.at < to {
            let left = usize::try_from(to - self.at).unwrap_or(usize::MAX);
            let overhead = usize::try_from(filler_bytes_min(self.is_sealed)).unwrap_or(usize::MAX);
            let more = left
                .checked_sub(overhead)
                .ok_or(io::ErrorKind::InvalidData)?;
            let topic = FILLER_TOPIC
                .get(..=more.min(FILLER_TOPIC.len() - 1))
                .unwrap_or(FILLER_TOPIC);
            let mut body_bytes = more + 1 - topic.len();
            if body_bytes > 2 * FILLER_BODY_BYTES {
                body_bytes = FILLER_BODY_BYTES;
            }
            self.put(&anonymous(topic, &vec![0; body_bytes]), 0)?;
        }
        Ok(())
    }

    /// Fills up to the end of the segment with a blank record, and zeros what was there.
    fn blank(&mut self, to: u64) -> io::Result<()> {
        let segment = self.segment;
        let mut dirty = Vec::new();
        segment.each_data_chunk(self.at, |offset, bytes| {
            if bytes.iter().any(|&byte| byte != 0) {
                dirty.push((offset - segment.base, bytes.len()));
            }
            None::<()>
        })?;
        for (offset, bytes) in dirty {
            segment.file.write_all_at(&vec![0; bytes], offset)?;
        }
        let size = u32::try_from(to - self.at).map_err(|_| io::ErrorKind::InvalidData)?;
        segment
            .file
            .write_all_at(&blank_record(size), self.at - segment.base)
    }
}

impl Recovery {
    /// Looks at the whole log and makes what is damaged readable again; what that was.
    pub(super) fn salvage(&mut self) -> Result<Vec<Damage>, OpenError> {
        let start = self.segments.first().map_or(0, |segment| segment.base);
        let mut plan = Plan {
            sealed_from: self.sealed_from,
            segment_bytes: self.config.segment_bytes,
            ..Plan::default()
        };
        self.survey(start, &mut |found| plan.take(found))?;
        if plan.holes.is_empty() {
            return Ok(Vec::new());
        }
        self.keep_ends(start, &mut plan)?;
        let damage: Vec<Damage> = plan
            .holes
            .iter()
            .map(|filling| filling.hole.damage())
            .collect();
        // Whole records were there, so only a log that nobody wrote like that has such a hole.
        if plan
            .holes
            .iter()
            .any(|filling| !plan.can_fill(&filling.hole))
        {
            return Err(OpenError::Damaged(damage));
        }
        // All is saved before the first byte is changed.
        for filling in &plan.holes {
            self.quarantine(&filling.hole)?;
        }
        for filling in &plan.holes {
            let segment = &filling.hole.segment;
            let filled = plan.fill(filling).and_then(|()| segment.file.sync_data());
            filled.map_err(at(&segment.path))?;
        }
        for place in &damage {
            tracing::warn!(%place, "salvaged");
        }
        Ok(damage)
    }

    /// Keeps the places of messages at the ends of queues, of which no later record tells.
    fn keep_ends(&mut self, start: u64, plan: &mut Plan) -> Result<(), OpenError> {
        self.load_queues(start)?;
        for queue in self.queues.all() {
            let (min, end) = {
                let state = queue.state.lock();
                (state.min, state.end())
            };
            let seen = plan
                .topics
                .get(&*queue.topic)
                .and_then(|queues| queues.get(&queue.id).copied());
            let seen = seen.unwrap_or(Seen { end: min, last: 0 });
            if seen.end < end {
                plan.keep_places(&queue.topic, queue.id, seen.end..end, seen.last);
            }
        }
        Ok(())
    }

    /// Copies the bytes of a hole away, durably. Of zeros there is no copy.
    fn quarantine(&self, hole: &Hole) -> Result<(), OpenError> {
        let damage = hole.damage();
        let folder = self.config.root.join("quarantine");
        let segment = damage
            .file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let name = format!("{segment}-{}-{}", damage.offset, damage.bytes);
        let copy = || {
            let disk = &*self.disk;
            disk.create_folders(&folder)?;
            let path = free_path(disk, &folder, &name)?;
            let temporary = folder.join(format!("{name}.tmp"));
            let file = disk.open(&temporary, Access::Create)?;
            file.set_size(0)?;
            file.set_size(damage.bytes)?;
            let (mut failed, mut is_blank) = (None, true);
            hole.segment.each_data_chunk(hole.from, |offset, bytes| {
                if offset >= hole.to {
                    return Some(());
                }
                let wanted = usize::try_from(hole.to - offset).unwrap_or(usize::MAX);
                let bytes = bytes.get(..wanted).unwrap_or(bytes);
                if bytes.iter().any(|&byte| byte != 0) {
                    is_blank = false;
                    failed = file.write_all_at(bytes, offset - hole.from).err();
                }
                failed.is_some().then_some(())
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            if is_blank {
                return disk.remove_file(&temporary);
            }
            file.sync_data()?;
            disk.rename(&temporary, &path)?;
            disk.sync_folder(&folder)?;
            disk.sync_folder(&self.config.root)
        };
        copy().map_err(at(&folder.join(&name)))
    }
}

/// A name that nothing has yet: what was saved before stays.
fn free_path(
    disk: &dyn Disk,
    folder: &std::path::Path,
    name: &str,
) -> io::Result<std::path::PathBuf> {
    let mut path = folder.join(name);
    let mut copies = 1;
    while disk.exists(&path)? {
        copies += 1;
        path = folder.join(format!("{name}.{copies}"));
    }
    Ok(path)
}
