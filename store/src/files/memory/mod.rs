//! A disk for tests that does what a real one may do at the worst moment.
//!
//! It keeps what was synced apart from what was only written. [`MemoryDisk::crash`] loses any part
//! of the unsynced writes, sector by sector, and of the unsynced names; [`MemoryDisk::fail`] makes
//! the n-th operation of a kind fail; [`MemoryDisk::set_full`] refuses new blocks. A
//! [`MemoryDisk::take_pictures`] keeps copies from the middle of whatever is done to it.

mod content;
mod disk;
mod names;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Space;
use content::Content;
use names::{Names, Node};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Open,
    Read,
    Write,
    SetSize,
    Sync,
    Rename,
    Remove,
    SyncFolder,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens but the error.
    Error(io::ErrorKind),
    /// Half of the bytes are written before the error.
    Short(io::ErrorKind),
}

/// A cheaply clonable handle to one disk in memory.
#[derive(Clone, Debug)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    files: HashMap<u64, Content>,
    names: Names,
    locks: HashSet<PathBuf>,
    faults: Faults,
    pictures: Pictures,
    next_file: u64,
    boots: u8,
    full: bool,
    space: Option<Space>,
    now_ms: i64,
}

#[derive(Clone, Debug, Default)]
struct Faults {
    planned: HashMap<(Operation, u64), Fault>,
    counts: HashMap<Operation, u64>,
}

/// Copies of the disk as it was in the middle of things.
#[derive(Clone, Debug, Default)]
struct Pictures {
    /// How often something was to be changed.
    changes: u64,
    /// The next is taken before this change.
    next: Option<u64>,
    every: u64,
    taken: Vec<Picture>,
}

/// The disk as it was before the change with a number.
#[derive(Clone, Debug)]
pub struct Picture {
    pub change: u64,
    pub disk: MemoryDisk,
}

impl State {
    fn count(&mut self, operation: Operation) -> Option<Fault> {
        let count = self.faults.counts.entry(operation).or_default();
        *count += 1;
        self.faults.planned.remove(&(operation, *count))
    }

    fn check(&mut self, operation: Operation) -> io::Result<()> {
        match self.count(operation) {
            Some(Fault::Error(kind) | Fault::Short(kind)) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn content(&mut self, file: u64) -> io::Result<&mut Content> {
        self.files
            .get_mut(&file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_folder(&self, path: Option<&Path>) -> bool {
        path.is_some_and(|path| self.names.get(path) == Some(Node::Folder))
    }

    /// Something is about to be changed: the moment for a picture.
    fn change(&mut self) {
        self.pictures.changes += 1;
        if self.pictures.next == Some(self.pictures.changes) {
            self.pictures.next = Some(self.pictures.changes.saturating_add(self.pictures.every));
            let picture = Picture {
                change: self.pictures.changes,
                disk: self.copy(),
            };
            self.pictures.taken.push(picture);
        }
    }

    /// The same disk, without its locks, its planned faults and its pictures.
    fn copy(&self) -> MemoryDisk {
        MemoryDisk(Arc::new(Mutex::new(Self {
            files: self.files.clone(),
            names: self.names.clone(),
            next_file: self.next_file,
            boots: self.boots,
            now_ms: self.now_ms,
            ..Self::default()
        })))
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk: only the root folder is there.
    #[must_use]
    pub fn new() -> Self {
        let mut state = State::default();
        state.names.plant(Path::new("/"), Node::Folder);
        Self(Arc::new(Mutex::new(state)))
    }

    /// The power goes: of everything that was not synced, `survives` decides what is still there,
    /// one sector and one name at a time. Locks are released.
    pub fn crash(&self, survives: &mut dyn FnMut() -> bool) {
        let mut state = self.0.lock();
        state.names.crash(survives);
        let mut ids: Vec<u64> = state.files.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Ok(content) = state.content(id) {
                content.crash(survives);
            }
        }
        state.locks.clear();
        state.boots = state.boots.wrapping_add(1);
    }

    /// The process dies, the machine goes on: everything written is still there.
    pub fn kill(&self) {
        self.0.lock().locks.clear();
    }

    /// A copy that lives its own life: nobody has a lock on it.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.0.lock().copy()
    }

    /// Takes a picture before every `every`-th change from now on, beginning with the `first`.
    pub fn take_pictures(&self, first: u64, every: u64) {
        let pictures = &mut self.0.lock().pictures;
        pictures.next = Some(pictures.changes + first.max(1));
        pictures.every = every.max(1);
    }

    /// Hands out the pictures that were taken since the last call.
    #[must_use]
    pub fn pictures(&self) -> Vec<Picture> {
        std::mem::take(&mut self.0.lock().pictures.taken)
    }

    /// How often something was changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.lock().pictures.changes
    }

    /// Makes the `nth` operation of a kind from now on fail (1 is the next one).
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut state = self.0.lock();
        let count = state.faults.counts.get(&operation).copied().unwrap_or(0);
        state.faults.planned.insert((operation, count + nth), fault);
    }

    /// Forgets the faults that were planned and did not happen.
    pub fn fail_no_more(&self) {
        self.0.lock().faults.planned.clear();
    }

    /// Whether readers of a file see what a failed sync has lost.
    #[must_use]
    pub fn has_lost(&self, path: &Path) -> bool {
        let mut state = self.0.lock();
        let file = state.names.file(path);
        file.and_then(|file| state.content(file).ok())
            .is_some_and(|content| content.has_lost())
    }

    /// How often an operation was asked for.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.0
            .lock()
            .faults
            .counts
            .get(&operation)
            .copied()
            .unwrap_or(0)
    }

    /// While full, blocks that were never written cannot be.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// What [`super::Disk::space`] answers.
    pub fn set_space(&self, space: Space) {
        self.0.lock().space = Some(space);
    }

    /// The time that files written from now on are marked with.
    pub fn set_now(&self, now_ms: i64) {
        self.0.lock().now_ms = now_ms;
    }

    /// The whole content of a file.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let mut state = self.0.lock();
        let file = state.names.file(path)?;
        state
            .content(file)
            .ok()
            .map(|content| content.bytes.clone())
    }

    /// Puts content into a file behind the store's back, durably.
    pub fn set_content(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(
            file,
            Content {
                durable: bytes.clone(),
                bytes,
                ..Content::default()
            },
        );
        state.names.plant(path, Node::File(file));
    }

    /// From now on a file cannot be read, as with a bad sector.
    pub fn set_unreadable(&self, path: &Path) {
        let mut state = self.0.lock();
        if let Some(file) = state.names.file(path)
            && let Ok(content) = state.content(file)
        {
            content.is_unreadable = true;
        }
    }

    /// All files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let state = self.0.lock();
        let files = state
            .names
            .iter()
            .filter(|(_, node)| **node != Node::Folder);
        files.map(|(path, _)| path.clone()).collect()
    }
}
