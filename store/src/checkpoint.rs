//! The checkpoint page: from where on a store must look at its log when it opens.
//!
//! ```text
//!   0  i64 store time of the newest durable message in the log        RocketMQ's fields
//!   8  i64 the same for the consume queues
//!  16  i64 the same for the key index
//!  24  i64 masterFlushedOffset    32  i64 confirmPhyOffset
//!  64  "gantry 2"                                                     ours, RocketMQ leaves it alone
//!  72  u64 good_to: below it log, queues and index are durable
//!  80  u64 units: the sum of the ends of all queues at that point
//!  88  [16] boot id of the machine that wrote this
//! 104  u64 flags: 1 after a clean close; 2 when power was lost and nothing was persisted since
//! 112  u32 number of index files
//! 116  u32 number of the next entry in the last one
//! 120  u64 from this log offset on every record carries a CRC of its own
//! 128  u64 where the log began when all queues were last seen to begin with it; 2^64-1: not known
//! 136  u64 the sum of the starts of all queues then
//! 144  u32 CRC of bytes 0..144
//! 148  u32 CRC of bytes 64..144
//! ```
//!
//! All in the first 512 of 4,096 bytes, so one sector has all of it or nothing. When RocketMQ used
//! the store in between, its fields differ, the first CRC is wrong, and ours do not count; the second
//! one tells that from damage.

use std::io;
use std::path::Path;

use crate::files::{Access, Disk};
use crate::index::IndexPosition;

const PAGE_BYTES: u64 = 4096;
const SECTOR_BYTES: usize = 512;
const MAGIC: &[u8; 8] = b"gantry 2";
const CRC_AT: usize = 144;
const CLOSED: u64 = 1;
const LOST_POWER: u64 = 2;
const OURS: std::ops::Range<usize> = 64..CRC_AT + 8;
const NO_STARTS: u64 = u64::MAX;

/// RocketMQ's part: store times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) log: i64,
    pub(crate) queues: i64,
    pub(crate) index: i64,
}

/// Where all queues begin, told by one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Starts {
    /// The start of the log that they belong to.
    pub(crate) log_start: u64,
    /// The sum of the first offsets of all queues.
    pub(crate) sum: u64,
}

/// Our part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) good_to: u64,
    pub(crate) units: u64,
    /// Missing when the queues are being made again.
    pub(crate) starts: Option<Starts>,
    pub(crate) boot_id: [u8; 16],
    pub(crate) closed: bool,
    /// Said again by each start until one has persisted.
    pub(crate) lost_power: bool,
    pub(crate) index: IndexPosition,
    /// Records from here on are sealed; one that is not is damaged.
    pub(crate) sealed_from: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) times: Times,
    /// Missing when the store was last used by RocketMQ, or the page is damaged.
    pub(crate) known: Option<Known>,
}

impl Checkpoint {
    /// Reads the page; a missing or short one says nothing.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let mut page = [0; SECTOR_BYTES];
        match disk.open(path, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => {
                file?.read_at(&mut page, 0)?;
            }
        }
        Ok(Self::from_page(&page))
    }

    /// The part of the page that is damaged: neither as we wrote it nor untouched.
    pub(crate) fn damaged(
        disk: &dyn Disk,
        path: &Path,
    ) -> io::Result<Option<std::ops::Range<u64>>> {
        if !disk.exists(path)? {
            return Ok(None);
        }
        let mut page = [0; SECTOR_BYTES];
        disk.open(path, Access::Read)?.read_at(&mut page, 0)?;
        let ours = page.get(OURS).unwrap_or_default();
        let (fields, crcs) = ours.split_at(CRC_AT - OURS.start);
        let right = crcs.ends_with(&crc32fast::hash(fields).to_be_bytes());
        let is_damaged = !right && ours.iter().any(|&byte| byte != 0);
        Ok(is_damaged.then_some(OURS.start as u64..OURS.end as u64))
    }

    fn from_page(page: &[u8; SECTOR_BYTES]) -> Self {
        let number = |at: usize| {
            let bytes = page.get(at..).and_then(|bytes| bytes.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        let times = Times {
            log: number(0).cast_signed(),
            queues: number(8).cast_signed(),
            index: number(16).cast_signed(),
        };
        let covered = page.get(..CRC_AT).unwrap_or(&[]);
        let crc = page
            .get(CRC_AT..)
            .and_then(|bytes| bytes.first_chunk::<4>());
        let is_ours =
            page.get(64..72) == Some(MAGIC) && crc == Some(&crc32fast::hash(covered).to_be_bytes());
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&page[88..104]);
        let known = is_ours.then(|| Known {
            good_to: number(72),
            units: number(80),
            starts: (number(128) != NO_STARTS).then(|| Starts {
                log_start: number(128),
                sum: number(136),
            }),
            boot_id,
            closed: number(104) & CLOSED != 0,
            lost_power: number(104) & LOST_POWER != 0,
            index: IndexPosition {
                files: (number(112) >> 32) as u32,
                count: (number(112) & 0xFFFF_FFFF) as u32,
            },
            sealed_from: number(120),
        });
        Self { times, known }
    }

    fn to_page(self) -> [u8; SECTOR_BYTES] {
        let mut page = [0; SECTOR_BYTES];
        let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.times.log.to_be_bytes());
        put(8, &self.times.queues.to_be_bytes());
        put(16, &self.times.index.to_be_bytes());
        if let Some(known) = self.known {
            put(64, MAGIC);
            put(72, &known.good_to.to_be_bytes());
            put(80, &known.units.to_be_bytes());
            put(88, &known.boot_id);
            let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
            let flags = flag(known.closed, CLOSED) | flag(known.lost_power, LOST_POWER);
            put(104, &flags.to_be_bytes());
            put(112, &known.index.files.to_be_bytes());
            put(116, &known.index.count.to_be_bytes());
            put(120, &known.sealed_from.to_be_bytes());
            let (log_start, sum) = known
                .starts
                .map_or((NO_STARTS, 0), |starts| (starts.log_start, starts.sum));
            put(128, &log_start.to_be_bytes());
            put(136, &sum.to_be_bytes());
            let crc = crc32fast::hash(&page[..CRC_AT]);
            page[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
            let crc = crc32fast::hash(&page[OURS.start..CRC_AT]);
            page[CRC_AT + 4..OURS.end].copy_from_slice(&crc.to_be_bytes());
        }
        page
    }

    /// Writes the page in place and makes it durable.
    pub(crate) fn write(self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let file = disk.open(path, Access::Create)?;
        if file.size_bytes()? != PAGE_BYTES {
            file.set_size(PAGE_BYTES)?;
            disk.sync_folder(path.parent().unwrap_or(path))?;
        }
        file.write_all_at(&self.to_page(), 0)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: Checkpoint = Checkpoint {
        times: Times {
            log: 5,
            queues: 4,
            index: -3,
        },
        known: Some(Known {
            good_to: 1 << 40,
            units: 77,
            starts: Some(Starts {
                log_start: 1 << 30,
                sum: 5,
            }),
            boot_id: [9; 16],
            closed: true,
            lost_power: true,
            index: IndexPosition { files: 3, count: 9 },
            sealed_from: 11,
        }),
    };

    #[test]
    fn a_page_comes_back() {
        assert_eq!(Checkpoint::from_page(&CHECKPOINT.to_page()), CHECKPOINT);
    }

    #[test]
    fn any_changed_bit_of_what_is_covered_leaves_only_rocketmqs_fields() {
        for bit in 0..(CRC_AT + 4) * 8 {
            let mut page = CHECKPOINT.to_page();
            page[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Checkpoint::from_page(&page).known, None, "bit {bit}");
        }
    }

    #[test]
    fn damage_is_told_from_what_rocketmq_wrote() {
        let disk = crate::files::MemoryDisk::new();
        let path = Path::new("/checkpoint");
        let damaged = |page: &[u8]| {
            disk.set_content(path, page.to_vec());
            Checkpoint::damaged(&disk, path).unwrap().is_some()
        };
        let page = CHECKPOINT.to_page();
        assert!(!damaged(&page) && !damaged(&[0; SECTOR_BYTES]));
        for bit in 0..SECTOR_BYTES * 8 {
            let mut page = page;
            page[bit / 8] ^= 1 << (bit % 8);
            let ours = (64..144).contains(&(bit / 8)) || (148..152).contains(&(bit / 8));
            assert_eq!(damaged(&page), ours, "bit {bit}");
        }
    }

    #[test]
    fn a_page_of_rocketmq_has_times_only() {
        let mut page = [0; SECTOR_BYTES];
        page[..8].copy_from_slice(&1_763_652_000_123i64.to_be_bytes());
        let times = Times {
            log: 1_763_652_000_123,
            ..Times::default()
        };
        assert_eq!(
            Checkpoint::from_page(&page),
            Checkpoint { times, known: None }
        );
    }
}
