//! A disk for tests that does what a real one may do at the worst moment.
//!
//! It keeps what was synced apart from what was only written. [`MemoryDisk::crash`] loses any part
//! of the unsynced writes, sector by sector, and the unsynced names; [`MemoryDisk::fail`] makes
//! the n-th operation of a kind fail; [`MemoryDisk::set_full`] refuses new blocks.

mod disk;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Space;

const SECTOR_BYTES: usize = 512;

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
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: HashMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    pending_names: VecDeque<NameChange>,
    folders: HashSet<PathBuf>,
    locks: HashSet<PathBuf>,
    faults: Faults,
    next_file: u64,
    boots: u8,
    full: bool,
    space: Option<Space>,
    now_ms: i64,
}

#[derive(Debug, Default)]
struct Faults {
    planned: HashMap<(Operation, u64), Fault>,
    counts: HashMap<Operation, u64>,
}

#[derive(Debug)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    blocks: HashSet<usize>,
    modified_ms: i64,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Size(usize),
}

impl Content {
    fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.bytes);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply_to(&mut self.durable);
        }
    }

    /// Forgets unsynced changes; `survives` decides for each sector.
    fn crash(&mut self, survives: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Size(_) => {
                    if survives() {
                        change.apply_to(&mut self.durable);
                    }
                }
                Change::Write(at, bytes) => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let sector_end = (at + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                        let to = bytes.len().min(sector_end - at);
                        if survives() {
                            let sector = bytes[from..to].to_vec();
                            Change::Write(at + from, sector).apply_to(&mut self.durable);
                        }
                        from = to;
                    }
                }
            }
        }
        self.bytes.clone_from(&self.durable);
    }
}

impl Change {
    fn apply_to(&self, to: &mut Vec<u8>) {
        match self {
            Self::Size(bytes) => to.resize(*bytes, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }
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

    fn change_name(&mut self, change: NameChange) {
        match &change {
            NameChange::Set(path, file) => {
                self.names.insert(path.clone(), *file);
            }
            NameChange::Remove(path) => {
                self.names.remove(path);
            }
        }
        self.pending_names.push_back(change);
    }

    fn settle_names(&mut self, settles: &mut dyn FnMut(&Path) -> bool) {
        for change in std::mem::take(&mut self.pending_names) {
            match change {
                NameChange::Set(path, file) if settles(&path) => {
                    self.durable_names.insert(path, file);
                }
                NameChange::Remove(path) if settles(&path) => {
                    self.durable_names.remove(&path);
                }
                unsettled => self.pending_names.push_back(unsettled),
            }
        }
    }
}

impl MemoryDisk {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes: of everything that was not synced, `survives` decides what is still there,
    /// one sector at a time. Names are lost from the last change backwards. Locks are released.
    pub fn crash(&self, survives: &mut dyn FnMut() -> bool) {
        let mut state = self.0.lock();
        let mut settled = true;
        state.settle_names(&mut |_| {
            settled = settled && survives();
            settled
        });
        state.pending_names.clear();
        state.names = state.durable_names.clone();
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

    /// A copy that lives its own life.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.names.clone(),
            folders: state.folders.clone(),
            next_file: state.next_file,
            boots: state.boots,
            now_ms: state.now_ms,
            ..State::default()
        })))
    }

    /// Makes the `nth` operation of a kind from now on fail (1 is the next one).
    pub fn fail(&self, operation: Operation, nth: u64, fault: Fault) {
        let mut state = self.0.lock();
        let count = state.faults.counts.get(&operation).copied().unwrap_or(0);
        state.faults.planned.insert((operation, count + nth), fault);
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
        let file = *state.names.get(path)?;
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
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }

    /// All files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }
}
