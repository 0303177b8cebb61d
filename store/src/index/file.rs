//! One file of the key index, in RocketMQ's format.
//!
//! ```text
//!  0  i64 store time of the first entry     16  i64 log offset of the first entry
//!  8  i64 store time of the last entry      24  i64 log offset of the last entry
//! 32  i32 slots in use                      36  i32 number of the next entry, from 1
//! 40  slots:    i32 number of the newest entry, 0 = none             slot = hash mod slots
//!  +  entries:  i32 hash | i64 log offset | i32 seconds after the first | i32 next older entry
//! ```
//!
//! Written in batches, slots page by page, never mapped. Entries count up to the header's number
//! only; slots may be ahead of it after a crash and are then made again from the entries.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::KeyEntry;
use crate::files::{File, read_exact_at};

pub(crate) const HEADER_BYTES: usize = 40;
const SLOT_BYTES: u64 = 4;
pub(crate) const ENTRY_BYTES: usize = 20;
const PAGE_BYTES: u64 = 4096;

/// The number of slots and entries of every file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) slots: u32,
    pub(crate) entries: u32,
}

impl Shape {
    pub(crate) fn file_bytes(self) -> u64 {
        self.entry_at(self.entries)
    }

    /// The shape of a file of that size, when it has four entries a slot, as RocketMQ's.
    pub(crate) fn of_size(bytes: u64) -> Option<Self> {
        let slot_bytes = SLOT_BYTES + 4 * ENTRY_BYTES as u64;
        let slots = u32::try_from(bytes.checked_sub(HEADER_BYTES as u64)? / slot_bytes).ok()?;
        let shape = Self {
            slots,
            entries: slots.checked_mul(4)?,
        };
        (shape.file_bytes() == bytes).then_some(shape)
    }

    pub(crate) fn slot_at(self, slot: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot) * SLOT_BYTES
    }

    pub(crate) fn entry_at(self, number: u32) -> u64 {
        self.slot_at(self.slots) + u64::from(number) * ENTRY_BYTES as u64
    }

    pub(crate) fn slot_of(self, hash: i32) -> u32 {
        hash.unsigned_abs() % self.slots.max(1)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_time: i64,
    pub(crate) end_time: i64,
    pub(crate) begin_offset: u64,
    pub(crate) end_offset: u64,
    pub(crate) used_slots: u32,
    /// The number of the next entry.
    pub(crate) count: u32,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&self.begin_time.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_time.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_offset.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_offset.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        let long = |at: usize| {
            let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<8>());
            bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        let int = |at: usize| (long(at - 4) & 0xFFFF_FFFF) as u32;
        Self {
            begin_time: long(0).cast_signed(),
            end_time: long(8).cast_signed(),
            begin_offset: long(16),
            end_offset: long(24),
            used_slots: int(32),
            count: int(36),
        }
    }
}

/// An entry as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredEntry {
    pub(crate) hash: i32,
    pub(crate) log_offset: u64,
    pub(crate) seconds: i32,
    pub(crate) older: u32,
}

impl StoredEntry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.log_offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..].copy_from_slice(&self.older.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk::<4>()?;
        let (log_offset, rest) = rest.split_first_chunk::<8>()?;
        let (seconds, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            hash: i32::from_be_bytes(*hash),
            log_offset: u64::from_be_bytes(*log_offset),
            seconds: i32::from_be_bytes(*seconds),
            older: u32::from_be_bytes(*rest.first_chunk::<4>()?),
        })
    }
}

#[derive(Debug)]
pub(crate) struct IndexFile {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    file: Arc<dyn File>,
    shape: Shape,
    /// An append failed half-way and could not be taken back: slots may be ahead of the entries.
    is_torn: bool,
}

impl IndexFile {
    /// A new, empty file.
    pub(crate) fn create(path: PathBuf, file: Arc<dyn File>, shape: Shape) -> io::Result<Self> {
        file.set_size(shape.file_bytes())?;
        let header = Header {
            count: 1,
            ..Header::default()
        };
        file.write_all_at(&header.to_bytes(), 0)?;
        Ok(Self {
            path,
            header,
            file,
            shape,
            is_torn: false,
        })
    }

    /// A file that exists; `None` when it has another shape or its header makes no sense.
    pub(crate) fn load(
        path: PathBuf,
        file: Arc<dyn File>,
        shape: Shape,
    ) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES];
        if file.size_bytes()? != shape.file_bytes() {
            return Ok(None);
        }
        read_exact_at(&*file, &mut bytes, 0)?;
        let mut header = Header::from_bytes(&bytes);
        // compat: IndexFile writes its header late; a new one may hold zeros only.
        header.count = header.count.max(1);
        let makes_sense = header.count <= shape.entries && header.used_slots <= shape.slots;
        Ok(makes_sense.then_some(Self {
            path,
            header,
            file,
            shape,
            is_torn: false,
        }))
    }

    /// How many entries still fit. compat: `IndexFile#putKey` leaves the last one unused.
    pub(crate) fn room(&self) -> usize {
        usize::try_from(self.shape.entries.saturating_sub(self.header.count)).unwrap_or(0)
    }

    /// Writes entries, which fit, behind the others. After an error it may be tried again.
    pub(crate) fn append(&mut self, entries: &[KeyEntry]) -> io::Result<()> {
        if self.is_torn {
            self.roll_back(self.header.count)?;
            self.is_torn = false;
        }
        let appended = self.append_once(entries);
        if appended.is_err() {
            // So that older entries are found meanwhile.
            self.is_torn = self.roll_back(self.header.count).is_err();
        }
        appended
    }

    fn append_once(&mut self, entries: &[KeyEntry]) -> io::Result<()> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let mut header = self.header;
        if header.count <= 1 {
            header.begin_time = first.store_timestamp;
            header.begin_offset = first.log_offset;
        }
        header.end_time = last.store_timestamp;
        header.end_offset = last.log_offset;

        // Sorted by slot, so that each page of slots is read and written once; within a slot the
        // entries stay in order, and each points to the one before.
        let mut order: Vec<u64> = entries
            .iter()
            .zip(0u64..)
            .map(|(entry, at)| u64::from(self.shape.slot_of(entry.hash)) << 32 | at)
            .collect();
        order.sort_unstable();
        let mut older = vec![0u32; entries.len()];
        let mut page = SlotPage::default();
        for key in order {
            let (slot, at) = ((key >> 32) as u32, (key & 0xFFFF_FFFF) as usize);
            let value = page.slot(&*self.file, self.shape.slot_at(slot))?;
            let before = u32::from_be_bytes(*value);
            // A number that is not given yet is what a crash left behind.
            let before = if before < header.count + at as u32 {
                before
            } else {
                0
            };
            header.used_slots += u32::from(before == 0);
            *value = (header.count + at as u32).to_be_bytes();
            if let Some(older) = older.get_mut(at) {
                *older = before;
            }
        }
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (entry, older) in entries.iter().zip(older) {
            let seconds = (entry.store_timestamp - header.begin_time).max(0) / 1000;
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            let KeyEntry {
                hash, log_offset, ..
            } = *entry;
            bytes.extend(
                StoredEntry {
                    hash,
                    log_offset,
                    seconds,
                    older,
                }
                .to_bytes(),
            );
        }
        // The last page of slots holds the first entries as they were.
        page.write(&*self.file)?;
        self.file
            .write_all_at(&bytes, self.shape.entry_at(header.count))?;
        header.count += entries.len() as u32;
        self.file.write_all_at(&header.to_bytes(), 0)?;
        self.header = header;
        Ok(())
    }

    /// Calls `found` with the entries of a hash, the newest first, until it says stop.
    pub(crate) fn find(
        &self,
        hash: i32,
        mut found: impl FnMut(&StoredEntry) -> bool,
    ) -> io::Result<()> {
        let mut slot = [0; 4];
        read_exact_at(
            &*self.file,
            &mut slot,
            self.shape.slot_at(self.shape.slot_of(hash)),
        )?;
        let mut number = u32::from_be_bytes(slot);
        let mut limit = self.header.count;
        // Numbers only get smaller, so a damaged chain cannot go round.
        while number > 0 && number < limit {
            let Some(entry) = self.entry(number)? else {
                break;
            };
            if entry.hash == hash && !found(&entry) {
                break;
            }
            limit = number;
            number = entry.older;
        }
        Ok(())
    }

    fn entry(&self, number: u32) -> io::Result<Option<StoredEntry>> {
        let mut bytes = [0; ENTRY_BYTES];
        read_exact_at(&*self.file, &mut bytes, self.shape.entry_at(number))?;
        Ok(StoredEntry::from_bytes(&bytes))
    }

    /// Forgets the entries from number `count` on and makes the slots again from the others.
    pub(crate) fn roll_back(&mut self, count: u32) -> io::Result<()> {
        let mut slots = vec![0u32; usize::try_from(self.shape.slots).unwrap_or(0)];
        let mut chunk = vec![[0u8; ENTRY_BYTES]; 4096];
        let mut number = 1;
        let mut last = None;
        while number < count {
            let wanted = chunk.len().min((count - number) as usize);
            let (entries, _) = chunk.split_at_mut(wanted);
            read_exact_at(
                &*self.file,
                entries.as_flattened_mut(),
                self.shape.entry_at(number),
            )?;
            for entry in entries.iter().filter_map(StoredEntry::from_bytes) {
                let slot = self.shape.slot_of(entry.hash) as usize;
                if let Some(newest) = slots.get_mut(slot) {
                    *newest = number;
                }
                last = Some(entry);
                number += 1;
            }
        }
        self.header.count = count;
        self.header.used_slots = slots.iter().filter(|&&newest| newest != 0).count() as u32;
        let seconds = last.map_or(0, |last| i64::from(last.seconds));
        self.header.end_offset = last.map_or(0, |last| last.log_offset);
        self.header.end_time = self.header.begin_time + seconds * 1000;
        let bytes: Vec<u8> = slots.into_iter().flat_map(u32::to_be_bytes).collect();
        self.write_changed(&bytes, self.shape.slot_at(0))?;
        self.file.write_all_at(&self.header.to_bytes(), 0)?;
        self.file.sync_data()
    }

    /// Writes the pages that differ. Zeros that were never written stay a hole, which a full disk has
    /// room for.
    fn write_changed(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        let mut there = [0; 4096];
        while !bytes.is_empty() {
            let rest_of_page = there.len() - (at % there.len() as u64) as usize;
            let (page, behind) = bytes.split_at(rest_of_page.min(bytes.len()));
            read_exact_at(&*self.file, &mut there[..page.len()], at)?;
            if there[..page.len()] != *page {
                self.file.write_all_at(page, at)?;
            }
            (bytes, at) = (behind, at + page.len() as u64);
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The page of slots that is being worked on.
struct SlotPage {
    at: Option<u64>,
    bytes: [[u8; 4]; PAGE_BYTES as usize / 4],
}

impl Default for SlotPage {
    fn default() -> Self {
        Self {
            at: None,
            bytes: [[0; 4]; PAGE_BYTES as usize / 4],
        }
    }
}

impl SlotPage {
    /// The slot at a byte of the file; pages that are left are written.
    fn slot(&mut self, file: &dyn File, byte: u64) -> io::Result<&mut [u8; 4]> {
        let page = byte / PAGE_BYTES * PAGE_BYTES;
        if self.at != Some(page) {
            self.write(file)?;
            // The last page may reach behind the end of a small file.
            file.read_at(self.bytes.as_flattened_mut(), page)?;
            self.at = Some(page);
        }
        let within = usize::try_from(byte - page).unwrap_or(0) / 4;
        self.bytes
            .get_mut(within)
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn write(&mut self, file: &dyn File) -> io::Result<()> {
        let Some(page) = self.at.take() else {
            return Ok(());
        };
        let end = file.size_bytes()?.min(page + PAGE_BYTES);
        let bytes = usize::try_from(end - page).unwrap_or(0);
        file.write_all_at(self.bytes.as_flattened().get(..bytes).unwrap_or(&[]), page)
    }
}
