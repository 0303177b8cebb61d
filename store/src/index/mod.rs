//! The key index: which records carry a key.
//!
//! Owns the entries that are not in a file yet and the files, in [`mod@file`]'s format. Entries come
//! from the dispatcher and are written by the caretaker; both places are searched. The index only
//! proposes records: whoever asks looks at the record itself.

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use proto::message::utc_digits;

pub(crate) use file::{ENTRY_BYTES, HEADER_BYTES, Header, IndexFile, Shape, StoredEntry};

use crate::files::{Access, Disk};
use crate::sync::{Mutex, MutexGuard};

/// One key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) hash: i32,
    pub(crate) log_offset: u64,
    pub(crate) store_timestamp: i64,
}

/// How far the index is; kept in the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct IndexPosition {
    /// How many files there are.
    pub(crate) files: u32,
    /// The number of the next entry in the last one.
    pub(crate) count: u32,
}

#[derive(Debug)]
pub(crate) struct KeyIndex {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    shape: Shape,
    backlog: Mutex<Vec<KeyEntry>>,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    /// Sorted by name, which is by time.
    files: Vec<IndexFile>,
    /// From here on files have to be made durable.
    unsynced_from: Option<usize>,
    /// So has the removal of some.
    removed_unsynced: bool,
    /// What was found and could not be read.
    unreadable: Vec<PathBuf>,
}

impl Files {
    fn position(&self) -> IndexPosition {
        IndexPosition {
            files: u32::try_from(self.files.len()).unwrap_or(u32::MAX),
            count: self.files.last().map_or(0, |last| last.header.count),
        }
    }
}

impl KeyIndex {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, shape: Shape) -> Self {
        let (backlog, files) = (Mutex::default(), Mutex::default());
        Self {
            disk,
            folder,
            shape,
            backlog,
            files,
        }
    }

    /// Loads what files there are; those of another shape are left alone. `false` when some cannot be
    /// read.
    pub(crate) fn load(&self) -> io::Result<bool> {
        let mut files = self.files.lock();
        for entry in self.disk.list(&self.folder)? {
            if entry.is_folder || !entry.name.bytes().all(|digit| digit.is_ascii_digit()) {
                continue;
            }
            let path = self.folder.join(&entry.name);
            let opened = self.disk.open(&path, Access::Write);
            match opened.and_then(|file| IndexFile::load(path.clone(), file, self.shape)) {
                Ok(Some(file)) => files.files.push(file),
                Ok(None) => {
                    tracing::warn!(file = %path.display(), "not an index of ours: left alone");
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "cannot be read");
                    files.unreadable.push(path);
                }
            }
        }
        Ok(files.unreadable.is_empty())
    }

    /// Whether the files are where the checkpoint says.
    pub(crate) fn reaches(&self, position: IndexPosition) -> io::Result<bool> {
        let found = self.position();
        Ok(found.files >= position.files && found.count >= position.count)
    }

    /// Goes back to a position of the checkpoint; `false` when the files do not reach it.
    pub(crate) fn roll_back(&self, to: IndexPosition) -> io::Result<bool> {
        let mut files = self.files.lock();
        let count = usize::try_from(to.files).unwrap_or(usize::MAX);
        if files.files.len() < count {
            return Ok(false);
        }
        for newer in files.files.drain(count..) {
            self.disk.remove_file(&newer.path)?;
        }
        match files.files.last_mut() {
            Some(last) if last.header.count < to.count => Ok(false),
            Some(last) => match last.roll_back(to.count) {
                Ok(()) => Ok(true),
                Err(error) => {
                    let text = format!("{}: {error}", last.path.display());
                    Err(io::Error::new(error.kind(), text))
                }
            },
            None => Ok(true),
        }
    }

    /// Removes files that RocketMQ would not trust after a crash.
    ///
    /// compat: `IndexService#load` removes those that are newer than the checkpoint says.
    pub(crate) fn remove_newer_than(&self, time: i64) -> io::Result<()> {
        let mut files = self.files.lock();
        let (newer, kept) = std::mem::take(&mut files.files)
            .into_iter()
            .partition(|f| f.header.end_time > time);
        files.files = kept;
        let newer: Vec<IndexFile> = newer;
        newer
            .iter()
            .try_for_each(|file| self.disk.remove_file(&file.path))
    }

    /// Removes all files.
    pub(crate) fn forget(&self) -> io::Result<()> {
        let mut files = self.files.lock();
        self.backlog.lock().clear();
        files.unsynced_from = None;
        let unreadable = std::mem::take(&mut files.unreadable);
        let paths = files.files.drain(..).map(|file| file.path);
        paths
            .chain(unreadable)
            .try_for_each(|path| self.disk.remove_file(&path))
    }

    /// Removes files whose records are all below the start of the log, durably; they come first. A
    /// checkpoint that counts the rest must follow at once: one that counts more than there are has
    /// the next start read the whole log.
    pub(crate) fn remove_below(&self, log_start: u64) -> io::Result<()> {
        let mut files = self.files.lock();
        while files.files.len() > 1 && files.files[0].header.end_offset < log_start {
            match self.disk.remove_file(&files.files[0].path) {
                // It stays, and the checkpoint counts it.
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "cannot remove an old file of the key index");
                    break;
                }
                Ok(()) | Err(_) => {}
            }
            files.files.remove(0);
            files.unsynced_from = files.unsynced_from.map(|from| from.saturating_sub(1));
            files.removed_unsynced = true;
        }
        if files.removed_unsynced {
            self.disk.sync_folder(&self.folder)?;
            files.removed_unsynced = false;
        }
        Ok(())
    }

    pub(crate) fn backlog(&self) -> MutexGuard<'_, Vec<KeyEntry>> {
        self.backlog.lock()
    }

    /// Records below are in the files already.
    pub(crate) fn end_offset(&self) -> u64 {
        self.files
            .lock()
            .files
            .last()
            .map_or(0, |last| last.header.end_offset)
    }

    /// Writes the entries that wait, of records below `end`: those of others wait on, because a
    /// checkpoint vouches for all that is written. They stay searchable all the time.
    pub(crate) fn write_backlog(&self, end: u64) -> io::Result<IndexPosition> {
        let mut files = self.files.lock();
        let entries: Vec<KeyEntry> = {
            let backlog = self.backlog.lock();
            let below = backlog.iter().take_while(|entry| entry.log_offset < end);
            below.copied().collect()
        };
        let mut rest = entries.as_slice();
        while let Some(first) = rest.first() {
            if files.files.last().is_none_or(|last| last.room() == 0) {
                self.add_file(&mut files, first.store_timestamp)?;
            }
            let at = files.files.len() - 1;
            files.unsynced_from = Some(files.unsynced_from.map_or(at, |from| from.min(at)));
            let last = &mut files.files[at];
            let (now, later) = rest.split_at(rest.len().min(last.room()));
            last.append(now)?;
            self.backlog.lock().drain(..now.len());
            rest = later;
        }
        let mut backlog = self.backlog.lock();
        if backlog.is_empty() {
            *backlog = Vec::new();
        }
        Ok(files.position())
    }

    /// How far the files are.
    pub(crate) fn position(&self) -> IndexPosition {
        self.files.lock().position()
    }

    fn add_file(&self, files: &mut Files, time: i64) -> io::Result<()> {
        let newest = files
            .files
            .last()
            .and_then(|last| last.path.file_name()?.to_str());
        let name = (time..)
            .map(utc_digits)
            .find(|name| newest.is_none_or(|newest| newest < name.as_str()))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let path = self.folder.join(name);
        let file = self.disk.open(&path, Access::Create)?;
        files.files.push(IndexFile::create(path, file, self.shape)?);
        self.disk.sync_folder(&self.folder)
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let mut files = self.files.lock();
        if let Some(from) = files.unsynced_from {
            for file in files.files.iter().skip(from) {
                file.sync()?;
            }
            files.unsynced_from = None;
        }
        Ok(())
    }

    /// Calls `found` with the log offsets of a hash, the newest first, until it says stop. Times
    /// are those of the entries, which are whole seconds.
    pub(crate) fn find(
        &self,
        hash: i32,
        begin: i64,
        end: i64,
        found: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<()> {
        let files = self.files.lock();
        let waiting: Vec<u64> = {
            let backlog = self.backlog.lock();
            let of_hash = backlog.iter().rev().filter(|entry| entry.hash == hash);
            of_hash.map(|entry| entry.log_offset).collect()
        };
        let mut go_on = waiting.into_iter().all(&mut *found);
        for file in files.files.iter().rev() {
            let header = file.header;
            let overlaps = header.begin_time <= end && header.end_time.saturating_add(999) >= begin;
            if !go_on {
                break;
            }
            if !overlaps {
                continue;
            }
            file.find(hash, |entry| {
                let time = header.begin_time + i64::from(entry.seconds) * 1000;
                let is_meant = time <= end && time.saturating_add(999) >= begin;
                go_on = !is_meant || found(entry.log_offset);
                go_on
            })?;
        }
        Ok(())
    }
}

/// compat: `IndexFile#indexKeyHashMethod`: the absolute value, 0 when there is none.
pub(crate) fn key_hash(java_hash: i32) -> i32 {
    java_hash.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryDisk;

    #[test]
    fn only_entries_of_records_below_the_end_are_written_and_counted() {
        let (slots, entries) = (8, 100);
        let disk = Arc::new(MemoryDisk::new());
        disk.create_folders("/index".as_ref()).unwrap();
        let index = KeyIndex::new(disk, "/index".into(), Shape { slots, entries });
        let entry = |nth: u64| KeyEntry {
            hash: 7,
            log_offset: nth * 100,
            store_timestamp: 1_000_000,
        };
        index.backlog().extend((0..4).map(entry));
        let found = || {
            let mut all = Vec::new();
            let mut found = |offset| {
                all.push(offset);
                true
            };
            index.find(7, 0, i64::MAX, &mut found).unwrap();
            all
        };
        let first = index.write_backlog(200).unwrap();
        assert_eq!((first.files, first.count), (1, 3), "numbers begin with 1");
        assert_eq!(found(), [300, 200, 100, 0], "what waits is found as well");
        let all = index.write_backlog(u64::MAX).unwrap();
        assert_eq!(all.count, 5);
        assert!(index.roll_back(first).unwrap());
        assert_eq!(found(), [100, 0]);
    }
}
