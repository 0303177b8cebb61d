//! What a place without a valid record means, and which parts of the log are damaged.
//!
//! There are four cases. Only zeros follow: the log ends there. No valid record follows, and nobody
//! vouches for the place: a write was torn. A valid record follows: if the machine was restarted since
//! the checkpoint, pages that were never flushed got to the disk in any order, and the rest is no part
//! of the log either; if it was not, no write of ours leaves such a hole, so this is damage. And below
//! the checkpoint, where the log was durable, it is damage whatever follows.

use std::sync::Arc;

use proto::message::StoredMessage;

use super::{Damage, OpenError, Recovery, at};
use crate::segment::{Place, Segment};

/// A record has at most that much besides its body.
const RECORD_BYTES_MORE: u64 = 1 << 20;

/// What is behind a place where no valid record lies.
pub(super) enum Behind {
    Nothing,
    /// That many bytes that are no part of the log.
    Torn(u64),
    /// More of the log, from that place on.
    Log(u64),
}

/// A part of one segment that holds no valid record.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub(super) segment: Arc<Segment>,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) reason: String,
}

impl Hole {
    pub(super) fn damage(&self) -> Damage {
        Damage {
            file: self.segment.path.clone(),
            offset: self.from - self.segment.base,
            bytes: self.to - self.from,
            reason: self.reason.clone(),
        }
    }
}

/// What the log consists of.
pub(super) enum Found<'r> {
    Record(&'r StoredMessage<'r>),
    Hole(Hole),
}

impl Recovery {
    /// What is behind the bad record at `position`.
    pub(super) fn behind(
        &self,
        segment: &Arc<Segment>,
        position: u64,
    ) -> Result<Behind, OpenError> {
        let known = self.checkpoint.known;
        let was_clean = self.opened.was_clean;
        if known.is_some_and(|known| known.closed && was_clean && known.good_to == position) {
            return Ok(Behind::Nothing);
        }
        let good_to = known.map_or(0, |known| known.good_to);
        let is_durable = position < good_to;
        let same_boot = self.same_boot();
        // What a killed process wrote has no holes, so more zeros than a record can hold are the
        // end. After a restart of the machine anything may be anywhere.
        let zeros_max = if known.is_some() && same_boot && !is_durable {
            u64::from(self.config.max_message_bytes) + RECORD_BYTES_MORE
        } else {
            u64::MAX
        };
        let (mut bytes, mut valid) = (0, None);
        for part in std::iter::once(segment).chain(&self.later_than(segment)) {
            let from = position.max(part.base);
            let found = part.bytes_behind(from, zeros_max).map_err(at(&part.path))?;
            if found > 0 && valid.is_none() {
                valid = self.valid_in(part, position).map_err(at(&part.path))?;
            }
            bytes += found;
        }
        Ok(match valid {
            Some(valid) if is_durable || same_boot || was_clean => Behind::Log(valid),
            _ if is_durable => Behind::Log(good_to.min(self.log_limit())),
            _ if bytes > 0 => Behind::Torn(bytes),
            _ => Behind::Nothing,
        })
    }

    /// Nothing that was written can have been lost since the checkpoint.
    pub(super) fn same_boot(&self) -> bool {
        let known = self.checkpoint.known;
        known.is_none_or(|known| known.boot_id == self.disk.boot_id())
    }

    /// The first valid record of a segment behind a bad one.
    fn valid_in(&self, segment: &Segment, bad: u64) -> std::io::Result<Option<u64>> {
        if segment.base > bad && segment.is_valid(segment.base, self.sealed_from) {
            return Ok(Some(segment.base));
        }
        segment.valid_record_behind(bad.max(segment.base), self.sealed_from)
    }

    pub(super) fn later_than(&self, segment: &Segment) -> Vec<Arc<Segment>> {
        let is_later = |other: &&Arc<Segment>| other.base > segment.base;
        self.segments.iter().filter(is_later).cloned().collect()
    }

    /// Reads the log from `from` to its end, over damage.
    pub(super) fn survey(
        &self,
        from: u64,
        found: &mut dyn FnMut(Found<'_>),
    ) -> Result<(), OpenError> {
        let mut position = from;
        while let Some(segment) = self.segment_at(position) {
            let segment_end = segment.base + self.config.segment_bytes;
            let next = segment.with_place(position, self.sealed_from, |place| match place {
                Place::Blank => segment_end,
                Place::Record(message) => {
                    found(Found::Record(&message));
                    position + u64::from(message.size)
                }
            });
            position = match next {
                Ok(next) => next,
                Err(reason) => {
                    let Behind::Log(next) = self.behind(segment, position)? else {
                        break;
                    };
                    self.each_hole(position, next, &reason.to_string(), found);
                    next
                }
            };
        }
        Ok(())
    }

    /// One hole for each segment that a damaged range lies in.
    fn each_hole(&self, from: u64, to: u64, reason: &str, found: &mut dyn FnMut(Found<'_>)) {
        for segment in &self.segments {
            let segment_end = segment.base + self.config.segment_bytes;
            let (from, to) = (from.max(segment.base), to.min(segment_end));
            if from < to {
                found(Found::Hole(Hole {
                    segment: Arc::clone(segment),
                    from,
                    to,
                    reason: reason.to_owned(),
                }));
            }
        }
    }

    /// All damage from a place on.
    pub(super) fn damage_from(&self, from: u64) -> Result<Vec<Damage>, OpenError> {
        let mut damage = Vec::new();
        self.survey(from, &mut |found| {
            if let Found::Hole(hole) = found {
                damage.push(hole.damage());
            }
        })?;
        Ok(damage)
    }
}
