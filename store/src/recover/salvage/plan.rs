//! What becomes of each damaged part of a log: where the placeholders go, and the records themselves.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proto::message::{
    BLANK_BYTES, Draft, LogOffset, Placement, QueueId, QueueOffset, StoredMessage, SysFlag,
    blank_record, seal_crc,
};

use crate::recover::survey::{Found, Hole};
use crate::segment::Segment;

/// A filler of a large hole has a body of this size.
const FILLER_BODY_BYTES: usize = 1 << 20;
/// The topic of fillers, cut where there is no room for all of it. They are in no queue of it.
const FILLER_TOPIC: &str = "SALVAGED";

/// What becomes of the damaged parts of a log.
#[derive(Default)]
pub(super) struct Plan {
    sealed_from: u64,
    segment_bytes: u64,
    pub(super) holes: Vec<Filling>,
    topics: HashMap<String, HashMap<QueueId, Seen>>,
    newest_time: i64,
}

/// How far a queue was seen in the log.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The offset behind the last record, and where that record lies.
    end: u64,
    last: u64,
}

/// A hole and what will be in it.
pub(super) struct Filling {
    pub(super) hole: Hole,
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
    pub(super) fn new(sealed_from: u64, segment_bytes: u64) -> Self {
        Self {
            sealed_from,
            segment_bytes,
            ..Self::default()
        }
    }

    /// Takes what the log consists of, in its order.
    pub(super) fn take(&mut self, found: Found<'_>) {
        match found {
            // Up to there it held records without a CRC of their own, which take less room.
            Found::Hole(hole) if (hole.from + 1..hole.to).contains(&self.sealed_from) => {
                let to = self.sealed_from;
                let behind = Hole {
                    from: to,
                    ..hole.clone()
                };
                self.take_hole(Hole { to, ..hole });
                self.take_hole(behind);
            }
            Found::Hole(hole) => self.take_hole(hole),
            Found::Record(message) => {
                self.newest_time = self.newest_time.max(message.store_timestamp);
                if message.sys_flag.is_queued() {
                    self.take_queued(message);
                }
            }
        }
    }

    fn take_hole(&mut self, hole: Hole) {
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

    /// Takes how far a queue goes by its files, which may be behind the last record that is left.
    pub(super) fn take_end(&mut self, topic: &str, queue_id: QueueId, min: u64, end: u64) {
        let queues = self.topics.get(topic);
        let seen = queues.and_then(|queues| queues.get(&queue_id).copied());
        let seen = seen.unwrap_or(Seen { end: min, last: 0 });
        if seen.end < end {
            self.keep_places(topic, queue_id, seen.end..end, seen.last);
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
        }
    }

    fn reaches_segment_end(&self, hole: &Hole) -> bool {
        hole.to == hole.segment.base + self.segment_bytes
    }

    pub(super) fn can_fill(&self, hole: &Hole) -> bool {
        let least = if self.reaches_segment_end(hole) {
            u64::from(BLANK_BYTES)
        } else {
            filler_bytes_min(hole.from >= self.sealed_from)
        };
        hole.to - hole.from >= least
    }

    /// Writes what a hole will hold, piece by piece.
    pub(super) fn fill(&self, filling: &Filling) -> io::Result<()> {
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
