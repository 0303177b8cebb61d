//! Taking messages in: everything that can be known without the lock, then the lock, then out.
//!
//! An append only reserves places and encodes; what it returns is not yet written. The caller waits
//! until the store says that the log is written (or durable) up to [`Appended::end`]. An append that
//! was refused left nothing behind.

use std::io;
use std::sync::Arc;

use proto::message::{Draft, DraftError, LogOffset, QueueOffset, extend_java_hash, split_keys};

use crate::Store;
use crate::expire::DiskLevel;
use crate::queue::{Queue, QueueError};
use crate::staging::Staging;
use crate::sync::atomic::Ordering;

/// Where a message will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub log_offset: LogOffset,
    pub size: u32,
    pub queue_offset: QueueOffset,
    /// The message is written when the log is written up to here.
    pub end: LogOffset,
    pub store_timestamp: i64,
}

/// Why a message was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the disk is full")]
    DiskFull,
    #[error("too many bytes wait to be written")]
    StagingFull,
    #[error("the store has stopped")]
    Stopped,
    #[error("the body is larger than {max} bytes, or the batch larger than a segment")]
    TooLarge { max: u32 },
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("no room can be made in the log: {0}")]
    Io(io::Error),
}

/// What is known of a draft before it has a place.
#[derive(Debug)]
pub(crate) struct ReadyDraft {
    pub(crate) queue: Arc<Queue>,
    pub(crate) size: u32,
    pub(crate) body_crc: u32,
    pub(crate) keys: KeyHashes,
}

/// The hashes that a message is found by; more than a few are rare.
#[derive(Debug, Default)]
pub(crate) struct KeyHashes {
    few: [i32; 4],
    count: usize,
    many: Vec<i32>,
}

impl KeyHashes {
    pub(crate) fn of<'k>(topic_hash: i32, keys: impl Iterator<Item = &'k str>) -> Self {
        let mut hashes = Self::default();
        for key in keys {
            let hash = crate::index::key_hash(extend_java_hash(topic_hash, key));
            if let Some(place) = hashes.few.get_mut(hashes.count) {
                *place = hash;
            } else {
                if hashes.many.is_empty() {
                    hashes.many.extend_from_slice(&hashes.few);
                }
                hashes.many.push(hash);
            }
            hashes.count += 1;
        }
        hashes
    }

    pub(crate) fn as_slice(&self) -> &[i32] {
        if self.many.is_empty() {
            self.few.get(..self.count).unwrap_or(&[])
        } else {
            &self.many
        }
    }
}

impl Store {
    /// Takes one message in.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing of the message is or will be stored.
    pub fn append(&self, draft: &Draft<'_>, now_ms: i64) -> Result<Appended, AppendError> {
        let ready = self.ready_draft(draft)?;
        self.append_ready(draft, ready, now_ms)
    }

    fn append_ready(
        &self,
        draft: &Draft<'_>,
        mut ready: ReadyDraft,
        now_ms: i64,
    ) -> Result<Appended, AppendError> {
        let mut staging = self.intake.staging.lock();
        self.find_again(draft, &mut ready)?;
        self.make_room(&mut staging, ready.size)?;
        let appended = staging.push(draft, ready, now_ms, self.config.record_crc);
        drop(staging);
        self.intake.staged.notify_one();
        Ok(appended)
    }

    /// Takes several messages in: all or none, one after the other, in one segment.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing of any message is or will be stored.
    pub fn append_batch(
        &self,
        drafts: &[Draft<'_>],
        now_ms: i64,
    ) -> Result<Vec<Appended>, AppendError> {
        let mut ready = drafts
            .iter()
            .map(|draft| self.ready_draft(draft))
            .collect::<Result<Vec<_>, _>>()?;
        let size = ready
            .iter()
            .try_fold(0u32, |sum, draft| sum.checked_add(draft.size))
            .ok_or(AppendError::TooLarge {
                max: self.config.max_message_bytes,
            })?;
        let mut staging = self.intake.staging.lock();
        for (draft, ready) in drafts.iter().zip(&mut ready) {
            self.find_again(draft, ready)?;
        }
        self.make_room(&mut staging, size)?;
        let appended = drafts
            .iter()
            .zip(ready)
            .map(|(draft, ready)| staging.push(draft, ready, now_ms, self.config.record_crc))
            .collect();
        drop(staging);
        self.intake.staged.notify_one();
        Ok(appended)
    }

    fn ready_draft(&self, draft: &Draft<'_>) -> Result<ReadyDraft, AppendError> {
        let max = self.config.max_message_bytes;
        if u32::try_from(draft.body.len()).map_or(true, |bytes| bytes > max) {
            return Err(AppendError::TooLarge { max });
        }
        let size = draft.record_bytes(self.config.record_crc)?;
        let queue = self.queues.find_or_make(draft.topic, draft.queue_id)?;
        let keys = split_keys(draft.keys.unwrap_or(""));
        let keys = KeyHashes::of(queue.topic_hash, draft.unique_key.into_iter().chain(keys));
        Ok(ReadyDraft {
            queue,
            size,
            body_crc: crc32fast::hash(draft.body),
            keys,
        })
    }

    /// The topic may have been deleted, and begun anew, since the draft was made ready. An offset of
    /// the old queue among those of the new one would hide these from the next start.
    fn find_again(&self, draft: &Draft<'_>, ready: &mut ReadyDraft) -> Result<(), QueueError> {
        if ready.queue.next.load(Ordering::Relaxed) == Queue::GONE {
            ready.queue = self.queues.find_or_make(draft.topic, draft.queue_id)?;
        }
        Ok(())
    }

    /// Sees to it that `size` bytes can be staged and written, in one segment.
    fn make_room(&self, staging: &mut Staging, size: u32) -> Result<(), AppendError> {
        if staging.halt.is_some() {
            return Err(AppendError::Stopped);
        }
        if self.disk_level() == DiskLevel::Full {
            return Err(AppendError::DiskFull);
        }
        let waiting = staging.batch.bytes.len();
        if waiting > 0 && waiting + size as usize > self.config.staging_bytes_max {
            return Err(AppendError::StagingFull);
        }
        let needed = u64::from(size) + u64::from(proto::message::BLANK_BYTES);
        let segment_end = self.log.segment_end(staging.end);
        if staging.end + needed <= segment_end {
            return self.log.make_ready(staging.end + needed).map_err(no_room);
        }
        if needed > self.log.segment_bytes() {
            return Err(AppendError::TooLarge {
                max: self.config.max_message_bytes,
            });
        }
        self.log.make_ready(segment_end + needed).map_err(no_room)?;
        staging.roll(segment_end);
        Ok(())
    }
}

fn no_room(error: io::Error) -> AppendError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AppendError::DiskFull,
        _ => AppendError::Io(error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use proto::message::{QueueId, SysFlag};

    use super::*;
    use crate::files::MemoryDisk;
    use crate::{Config, ReadLimits};

    pub(crate) const DRAFT: Draft<'static> = Draft {
        topic: "T",
        queue_id: QueueId(0),
        flag: 0,
        sys_flag: SysFlag(0),
        born_timestamp: 0,
        born_host: SocketAddr::V4(std::net::SocketAddrV4::new(
            std::net::Ipv4Addr::LOCALHOST,
            1,
        )),
        store_host: SocketAddr::V4(std::net::SocketAddrV4::new(
            std::net::Ipv4Addr::LOCALHOST,
            1,
        )),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"x",
        properties: &[],
        tags_code: 0,
        unique_key: None,
        keys: None,
    };

    /// Segments of a few messages, queue files of ten units.
    pub(crate) fn open(disk: &MemoryDisk) -> Store {
        let config = Config {
            segment_bytes: 4096,
            queue_file_bytes: 200,
            ..Config::new("/store")
        };
        Store::open(config, Arc::new(disk.clone())).unwrap().0
    }

    fn settle(store: &Store) {
        while let Some(batch) = store.write_staged(Duration::ZERO).unwrap() {
            store.flush_once().unwrap();
            store.dispatch(batch, &mut |_| {});
        }
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back_when_nothing_comes() {
        let store = open(&MemoryDisk::new());
        let burst = |count| {
            for _ in 0..count {
                store.append(&DRAFT, 0).unwrap();
            }
            let batch = store.write_staged(Duration::ZERO).unwrap().unwrap();
            store.flush_once().unwrap();
            store.dispatch(batch, &mut |_| {});
        };
        let kept = || {
            let spare = store.intake.spare_batch.lock();
            let staged = store.intake.staging.lock().batch.placed.capacity();
            [staged, spare.as_ref().unwrap().placed.capacity()]
        };
        burst(9000);
        burst(9000);
        assert!(kept().into_iter().all(|records| records >= 9000));
        assert!(store.write_staged(Duration::ZERO).unwrap().is_none());
        assert_eq!(kept(), [0, 0]);
    }

    #[test]
    fn a_send_that_met_the_deletion_of_its_topic_goes_to_the_new_queue() {
        let disk = MemoryDisk::new();
        let store = open(&disk);
        for _ in 0..3 {
            store.append(&DRAFT, 0).unwrap();
        }
        settle(&store);
        let met = store.ready_draft(&DRAFT).unwrap();
        let met_too = store.ready_draft(&DRAFT).unwrap();
        store.delete_topic("T").unwrap();
        // One finds no queue yet, the other one that others have begun.
        let places = [
            store.append_ready(&DRAFT, met, 0).unwrap(),
            store.append(&DRAFT, 0).unwrap(),
            store.append_ready(&DRAFT, met_too, 0).unwrap(),
            store.append(&DRAFT, 0).unwrap(),
        ];
        let places = places.map(|appended| appended.queue_offset.0);
        assert_eq!(places, [0, 1, 2, 3]);
        settle(&store);
        drop(store);
        disk.kill();
        let limits = ReadLimits {
            max_messages: 10,
            max_bytes: u32::MAX,
        };
        let found = open(&disk).read("T", QueueId(0), QueueOffset(0), &limits, &|_| true);
        assert_eq!(found.unwrap().count, 4);
    }
}
