//! Units of earlier runs, checked against the log and made again when they are wrong.
//!
//! A queue file is a cache of the log: a unit that a disk has altered does not cost its message. The
//! record is looked for behind the record of the unit before.

use proto::message::{LogOffset, RecordPrefix, StoredMessage, property, tags_code};
use proto::names::SCHEDULE_TOPIC;

use crate::queue::{Queue, Unit};
use crate::read::{ReadError, wrong_unit};
use crate::{Config, Store};

/// Units before the wrong one that may be wrong as well.
const UNITS_BACK_MAX: u64 = 64;

/// compat: MessageStoreConfig `messageDelayLevel`:
/// 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h
const DELAY_LEVELS_S: [i64; 18] = [
    1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200,
];

impl Config {
    /// The unit that belongs to a record.
    ///
    /// compat: `CommitLog#checkMessageAndReturnSize`: delayed messages keep their delivery time where
    /// others keep the hash of their tags.
    pub(crate) fn unit_of(&self, message: &StoredMessage<'_>) -> Unit {
        let delay = || {
            let level = message.properties.find(property::DELAY)?;
            let level = level.parse::<usize>().ok()?.checked_sub(1)?;
            let seconds = DELAY_LEVELS_S.get(level).or(DELAY_LEVELS_S.last())?;
            Some(seconds * 1000)
        };
        let tags_code = if message.sys_flag.is_lost() {
            Unit::LOST
        } else if message.topic == SCHEDULE_TOPIC
            && let Some(delay) = delay()
        {
            message.store_timestamp + delay
        } else {
            tags_code(message.properties.find(property::TAGS))
        };
        Unit {
            log_offset: message.log_offset.0,
            size: message.size,
            tags_code,
        }
    }
}

impl Store {
    /// A unit as it should be; `found` is what the file says. One whose segment was removed points
    /// below the log; the reader skips it.
    pub(crate) fn checked_unit(
        &self,
        queue: &Queue,
        offset: u64,
        found: Option<Unit>,
    ) -> Result<Unit, ReadError> {
        match found {
            Some(unit) if self.is_right(queue, offset, unit) => Ok(unit),
            Some(unit) if self.has_gone(queue, offset, unit)? => Ok(unit),
            _ if offset < queue.bounds().min.0 => Ok(Unit::FILLER),
            _ => self.mend_unit(queue, offset),
        }
    }

    /// Whether the record of a unit was removed. It was not if that of the unit before is still there,
    /// nor if the queue begins with it and all queues begin where the log does.
    fn has_gone(&self, queue: &Queue, offset: u64, unit: Unit) -> Result<bool, ReadError> {
        let start = self.log.start().unwrap_or(0);
        if unit.is_filler() || unit.log_offset >= start {
            return Ok(false);
        }
        if offset <= queue.bounds().min.0 {
            return Ok(self.expiry.starts.lock().log_start != start);
        }
        let before = self.unit(queue, offset - 1)?;
        Ok(before.is_none_or(|before| before.log_offset < start.min(unit.log_offset)))
    }

    pub(crate) fn is_right(&self, queue: &Queue, offset: u64, unit: Unit) -> bool {
        let record = self
            .log
            .slice(unit.log_offset, unit.size)
            .unwrap_or_default();
        self.log
            .verify(&record, unit.log_offset)
            .is_ok_and(|message| unit.is_of(&message) && is_at(&message, queue, offset))
    }

    /// Finds the record of a unit in the log and writes the unit again. When the log has neither it
    /// nor any before it, the queue begins behind it.
    fn mend_unit(&self, queue: &Queue, offset: u64) -> Result<Unit, ReadError> {
        let (deleted, persisted) = {
            let state = queue.state.lock();
            (state.deleted, state.persisted)
        };
        if deleted {
            return Err(wrong_unit(queue, offset));
        }
        let right_unit = |at| {
            let unit = self.unit(queue, at)?;
            Ok::<_, ReadError>(unit.filter(|unit| self.is_right(queue, at, *unit)))
        };
        let log_start = self.log.start().unwrap_or(0);
        let mut from = log_start;
        for before in (offset.saturating_sub(UNITS_BACK_MAX)..offset).rev() {
            if let Some(unit) = right_unit(before)? {
                from = unit.log_offset + u64::from(unit.size);
                break;
            }
        }
        // Units that are in a file were written to the log before; what is readable by now is less.
        let (mut lowest, mut to) = (persisted, self.appended_to().0);
        let further = std::iter::successors(Some(1_u64), |step| Some(step * 2));
        for behind in further.map(|step| offset.saturating_add(step)) {
            if behind >= persisted {
                break;
            }
            if let Some(unit) = right_unit(behind)? {
                (lowest, to) = (behind, unit.log_offset);
                break;
            }
        }
        // A topic that was deleted and made again has older records with the same offsets: behind a
        // record of the present one the first is the right one, else the last.
        let mut found = None;
        self.find_record(from, to, |message| {
            if is_in(message, queue) {
                lowest = lowest.min(message.queue_offset.0);
            }
            if is_at(message, queue, offset) {
                found = Some(self.config.unit_of(message));
            }
            (found.is_some() && from > log_start).then_some(())
        })?;
        let (topic, id) = (&*queue.topic, queue.id.0);
        if let Some(unit) = found {
            tracing::warn!(topic, queue = id, offset, "mended a unit");
            self.queue_files.write_again(queue, offset, unit)?;
            Ok(unit)
        } else if from == log_start && log_start > 0 && lowest > offset {
            tracing::warn!(topic, queue = id, begins = lowest, "a queue began too low");
            self.raise_start(queue, lowest);
            Ok(Unit::FILLER)
        } else {
            Err(wrong_unit(queue, offset))
        }
    }

    /// Shows the records between two places, the first one where a record begins, until `look` has
    /// found what it wants.
    pub(crate) fn find_record<T>(
        &self,
        from: u64,
        to: u64,
        mut look: impl FnMut(&StoredMessage<'_>) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        let mut position = from;
        while position < to {
            let prefix = self.log.slice(position, 8).unwrap_or_default();
            let size = match RecordPrefix::read(&prefix) {
                RecordPrefix::Message(size) => size,
                RecordPrefix::Blank(_) => {
                    position = self.log.segment_end(position);
                    continue;
                }
                RecordPrefix::None => 8,
            };
            let record = self.log.slice(position, size).unwrap_or_default();
            let message =
                self.log
                    .verify(&record, position)
                    .map_err(|reason| ReadError::Damaged {
                        log_offset: LogOffset(position),
                        reason,
                    })?;
            if let Some(found) = look(&message) {
                return Ok(Some(found));
            }
            position += u64::from(size);
        }
        Ok(None)
    }
}

fn is_at(message: &StoredMessage<'_>, queue: &Queue, offset: u64) -> bool {
    message.queue_offset.0 == offset && is_in(message, queue)
}

pub(crate) fn is_in(message: &StoredMessage<'_>, queue: &Queue) -> bool {
    message.queue_id == queue.id && message.topic == &*queue.topic && message.sys_flag.is_queued()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use proto::message::{Draft, QueueId, QueueOffset};

    use super::*;
    use crate::append::tests::{DRAFT, open};
    use crate::files::{Access, Disk, MemoryDisk};
    use crate::staging::Halt;
    use crate::{Boundary, ReadLimits};

    const LIMITS: ReadLimits = ReadLimits {
        max_messages: 100,
        max_bytes: u32::MAX,
    };

    fn send(store: &Store, topic: &str) -> u64 {
        let draft = Draft {
            topic,
            body: &[1; 200],
            ..DRAFT
        };
        let at = store.append(&draft, 0).unwrap().log_offset.0;
        let batch = store.write_staged(Duration::ZERO).unwrap().unwrap();
        store.flush_once().unwrap();
        store.dispatch(batch, &mut |_| {});
        at
    }

    fn alter(disk: &MemoryDisk, topic: &str, unit: u64) {
        let path = format!("/store/consumequeue/{topic}/0/{:020}", unit / 10 * 200);
        let file = disk.open(Path::new(&path), Access::Write).unwrap();
        file.write_all_at(&[0; 20], unit % 10 * 20).unwrap();
    }

    /// The caretaker gives up a damaged queue when that costs too much; here it did not even try.
    #[test]
    fn a_reader_at_a_damaged_unit_whose_message_is_gone_finds_where_the_queue_begins() {
        for (topic, altered) in [("T", 0), ("T", 3), ("T", 10), ("idle", 0)] {
            let disk = MemoryDisk::new();
            let store = open(&disk);
            send(&store, "idle");
            let places: Vec<_> = (0..40).map(|_| send(&store, "T")).collect();
            store.persist_once().unwrap();
            drop(store);
            disk.kill();
            let store = open(&disk);
            store.log.remove_first().unwrap();
            let start = store.log.start().unwrap();
            let first = match topic {
                "T" => places.iter().take_while(|place| **place < start).count() as u64,
                _ => 1,
            };
            assert!(first > altered);
            let by_time = store.offset_by_time(topic, QueueId(0), 0, Boundary::Lower);
            assert_eq!(by_time.unwrap(), Some(QueueOffset(first)));
            alter(&disk, topic, altered);
            let read = |from| store.read(topic, QueueId(0), QueueOffset(from), &LIMITS, &|_| true);
            let bounds = || store.queue_bounds(topic, QueueId(0)).unwrap();
            assert_eq!(bounds().min.0, 0);
            let left = if topic == "T" { 40 - first } else { 0 };
            assert_eq!(u64::from(read(altered).unwrap().count), left);
            assert_eq!(bounds().min.0, first, "{topic} {altered}");
            assert_eq!(store.expiry.starts.lock().sum, first);
        }
    }

    #[test]
    fn a_closed_store_is_not_trimmed_any_more() {
        for closed in [false, true] {
            let store = open(&MemoryDisk::new());
            for _ in 0..40 {
                send(&store, "T");
            }
            store.persist_once().unwrap();
            store.log.remove_first().unwrap();
            if closed {
                store.halt(Halt::Closed);
            }
            store.trim_queues(store.log.start().unwrap(), false);
            let begins = store.queue_bounds("T", QueueId(0)).unwrap().min.0;
            assert_eq!(begins == 0, closed);
            let starts = *store.expiry.starts.lock();
            assert_eq!(
                starts.log_start == 0,
                closed,
                "and does not say that it was"
            );
            assert_eq!(starts.sum, begins);
        }
    }

    fn offsets(read: &crate::Read) -> Vec<u64> {
        let records = read.records.iter().flat_map(|piece| {
            let mut rest = &piece[..];
            std::iter::from_fn(move || {
                let size = u32::from_be_bytes(*rest.first_chunk::<4>()?);
                let (record, behind) = rest.split_at(size as usize);
                rest = behind;
                Some(u64::from_be_bytes(*record[28..].first_chunk::<8>()?))
            })
        });
        records.collect()
    }

    #[test]
    fn the_first_unit_of_a_topic_made_again_is_not_mended_from_the_old_one() {
        for altered in [&[0][..], &[0, 1, 2, 3], &[3, 4], &[5]] {
            let disk = MemoryDisk::new();
            let store = open(&disk);
            for _ in 0..40 {
                send(&store, "T");
            }
            store.delete_topic("T").unwrap();
            let places: Vec<_> = (0..20).map(|_| send(&store, "T")).collect();
            store.persist_once().unwrap();
            drop(store);
            disk.kill();
            let store = open(&disk);
            altered.iter().for_each(|unit| alter(&disk, "T", *unit));
            // The last first: nothing right may be known before it.
            for unit in altered.iter().rev() {
                let read = store.read("T", QueueId(0), QueueOffset(*unit), &LIMITS, &|_| true);
                let read = read.unwrap();
                assert_eq!(offsets(&read), places[*unit as usize..], "{altered:?}");
            }
        }
    }

    #[test]
    fn a_first_unit_that_points_below_the_log_does_not_hide_its_message() {
        for topic in ["T", "single"] {
            let disk = MemoryDisk::new();
            let store = open(&disk);
            let mut places: Vec<_> = (0..40).map(|_| send(&store, "T")).collect();
            let single = send(&store, "single");
            store.persist_once().unwrap();
            drop(store);
            disk.kill();
            let store = open(&disk);
            store.log.remove_first().unwrap();
            let log_start = store.log.start().unwrap();
            store.trim_queues(log_start, false);
            places.retain(|place| *place >= log_start);
            let first = store.queue_bounds(topic, QueueId(0)).unwrap().min;
            let path = format!("/store/consumequeue/{topic}/0/{:020}", first.0 / 10 * 200);
            let file = disk.open(Path::new(&path), Access::Write).unwrap();
            file.write_all_at(&[0; 8], first.0 % 10 * 20).unwrap();
            let read = store.read(topic, QueueId(0), first, &LIMITS, &|_| true);
            let wanted = if topic == "T" { places } else { vec![single] };
            assert_eq!(offsets(&read.unwrap()), wanted);
        }
    }

    #[test]
    fn a_reader_between_the_removal_of_a_segment_and_the_trim_is_led_over_what_is_gone() {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        let quiet = send(&store, "quiet");
        for _ in 0..40 {
            send(&store, "T");
        }
        send(&store, "quiet");
        store.persist_once().unwrap();
        drop(store);
        disk.kill();
        let store = open(&disk);
        store.log.remove_first().unwrap();
        assert!(quiet < store.log.start().unwrap());
        let begins = || store.queue_bounds("quiet", QueueId(0)).unwrap().min.0;
        let read = store.read("quiet", QueueId(0), QueueOffset(0), &LIMITS, &|_| true);
        assert_eq!(read.unwrap().count, 1);
        assert_eq!(begins(), 0, "nothing had to be looked for in the log");
    }
}
