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
    /// A unit as it should be; `found` is what the file says.
    pub(crate) fn checked_unit(
        &self,
        queue: &Queue,
        offset: u64,
        found: Option<Unit>,
    ) -> Result<Unit, ReadError> {
        match found {
            // Its segment was removed; the reader skips it.
            Some(unit) if self.has_gone(queue, offset, unit)? => Ok(unit),
            Some(unit) if self.is_right(queue, offset, unit) => Ok(unit),
            _ => self.mend_unit(queue, offset),
        }
    }

    /// Whether the record of a unit was removed. It was not if that of the unit before is still there.
    fn has_gone(&self, queue: &Queue, offset: u64, unit: Unit) -> Result<bool, ReadError> {
        let start = self.log.start().unwrap_or(0);
        if unit.is_filler() || unit.log_offset >= start {
            return Ok(false);
        }
        if offset <= queue.state.lock().min {
            return Ok(true);
        }
        let before = self.unit(queue, offset - 1)?;
        Ok(before.is_none_or(|before| before.log_offset < start))
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
        if queue.state.lock().deleted {
            return Err(wrong_unit(queue, offset));
        }
        let log_start = self.log.start().unwrap_or(0);
        let mut position = log_start;
        for before in (offset.saturating_sub(UNITS_BACK_MAX)..offset).rev() {
            if let Some(unit) = self
                .unit(queue, before)?
                .filter(|u| self.is_right(queue, before, *u))
            {
                position = unit.log_offset + u64::from(unit.size);
                break;
            }
        }
        // What comes later is not looked at and stays: first the units, then where records end.
        let mut lowest = queue.state.lock().persisted;
        let end = self.dispatched_to().0;
        let found = self.find_record(position, end, |message| {
            if is_in(message, queue) {
                lowest = lowest.min(message.queue_offset.0);
            }
            is_at(message, queue, offset).then(|| self.config.unit_of(message))
        })?;
        let Some(unit) = found else {
            if position == log_start && lowest > offset {
                let mut state = queue.state.lock();
                state.min = state.min.max(lowest);
            }
            return Err(wrong_unit(queue, offset));
        };
        tracing::warn!(
            topic = &*queue.topic,
            queue = queue.id.0,
            offset,
            "mended a unit"
        );
        self.queue_files.write_again(queue, offset, unit)?;
        Ok(unit)
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
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use proto::message::{Draft, QueueId, QueueOffset, SysFlag};

    use super::*;
    use crate::files::{Access, Disk, MemoryDisk};
    use crate::staging::Halt;
    use crate::{Boundary, ReadLimits};

    const HOST: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
    const LIMITS: ReadLimits = ReadLimits {
        max_messages: 100,
        max_bytes: u32::MAX,
    };

    fn open(disk: &MemoryDisk) -> Store {
        let config = Config {
            segment_bytes: 4096,
            queue_file_bytes: 200,
            ..Config::new("/store")
        };
        Store::open(config, Arc::new(disk.clone())).unwrap().0
    }

    fn send(store: &Store, topic: &str) -> u64 {
        let draft = Draft {
            topic,
            queue_id: QueueId(0),
            flag: 0,
            sys_flag: SysFlag(0),
            born_timestamp: 0,
            born_host: HOST,
            store_host: HOST,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[1; 200],
            properties: &[],
            tags_code: 0,
            unique_key: None,
            keys: None,
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
            assert!(read(altered).is_err());
            assert_eq!(bounds().min.0, first, "{topic} {altered}");
            assert_eq!(
                read(first).unwrap().count,
                if topic == "T" { 40 - first as u32 } else { 0 }
            );
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
            store.trim_queues(store.log.start().unwrap()).unwrap();
            let begins = store.queue_bounds("T", QueueId(0)).unwrap().min.0;
            assert_eq!(begins == 0, closed);
        }
    }
}
