//! Consume queues on disk, as RocketMQ keeps them.
//!
//! ```text
//! consumequeue/<topic>/<queue id>/<first byte, 20 digits>      each file has one fixed size
//! unit:  i64 log offset | i32 record size | i64 tags code      20 bytes, number = byte / 20
//! ```
//!
//! Files are sparse and as long as configured from the start; a unit of zeros is an unused one. A
//! queue whose first message is not number 0 begins with filler units (0, i32 max, 0): a whole file of
//! them when that message comes first in a file. Reads and writes go through a few open files, whatever
//! the number of queues.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::QueueId;

use super::{Queue, Queues, Unit};
use crate::files::{Access, Disk, File};
use crate::segment::{file_name, parse_file_name};
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;

pub(crate) const UNIT_BYTES: usize = 20;
/// Files that are kept open.
const OPEN_FILES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct QueueFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file_bytes: u64,
    open: Mutex<OpenFiles>,
}

/// Topic, queue and first byte of a file.
type FileKey = (Arc<str>, QueueId, u64);

#[derive(Debug, Default)]
struct OpenFiles {
    /// Each with the number of its last use.
    files: HashMap<FileKey, (Arc<dyn File>, u64)>,
    uses: u64,
}

/// Units that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'u> {
    /// Where their queue begins.
    pub(crate) min: u64,
    pub(crate) from: u64,
    pub(crate) bytes: &'u [u8],
}

/// What has to be made durable after writing.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Vec<Arc<dyn File>>,
    folders: Vec<PathBuf>,
    /// There are too many to keep them open: the file system is synced as a whole.
    everything: bool,
}

impl Unsynced {
    /// More files than this are made durable all together.
    const FILES_MAX: usize = 64;

    fn add(&mut self, file: Arc<dyn File>) {
        if !self
            .files
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, &file))
        {
            self.files.push(file);
        }
        if self.files.len() > Self::FILES_MAX {
            *self = Self {
                everything: true,
                ..Self::default()
            };
        }
    }

    fn add_folder(&mut self, folder: PathBuf) {
        if !self.everything && !self.folders.contains(&folder) {
            self.folders.push(folder);
        }
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&mut self, disk: &dyn Disk, root: &Path) -> io::Result<()> {
        if self.everything {
            disk.sync_everything(root)?;
        }
        self.files.iter().try_for_each(|file| file.sync_data())?;
        for folder in &self.folders {
            match disk.sync_folder(folder) {
                // Its queue was made anew meanwhile: there are no names left to keep.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
        }
        *self = Self::default();
        Ok(())
    }
}

impl QueueFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, file_bytes: u64) -> Self {
        let unit = UNIT_BYTES as u64;
        let file_bytes = file_bytes.div_ceil(unit).max(1) * unit;
        Self {
            disk,
            folder,
            file_bytes,
            open: Mutex::default(),
        }
    }

    pub(crate) fn folder(&self) -> &PathBuf {
        &self.folder
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn topic_folder(&self, topic: &str) -> PathBuf {
        self.folder.join(topic)
    }

    pub(crate) fn queue_folder(&self, topic: &str, id: QueueId) -> PathBuf {
        self.topic_folder(topic).join(id.to_string())
    }

    /// Reads units from `from` on into `units`; how many of them belong to the same file. What the
    /// file lacks, or all of them if there is no file, are zeros.
    pub(crate) fn read(
        &self,
        queue: &Queue,
        from: u64,
        units: &mut [[u8; UNIT_BYTES]],
    ) -> io::Result<usize> {
        let (base, at) = self.place(from);
        let room = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX) / UNIT_BYTES;
        let count = units.len().min(room);
        let (units, _) = units.split_at_mut(count);
        match self.file(queue, base, None) {
            Ok(file) => {
                let read = file.read_at(units.as_flattened_mut(), at);
                read.map_err(|error| self.named(queue, base, at, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(count)
    }

    /// The error with the place that it is about.
    fn named(&self, queue: &Queue, base: u64, at: u64, error: &io::Error) -> io::Error {
        let path = self
            .queue_folder(&queue.topic, queue.id)
            .join(file_name(base));
        let text = format!("{} at byte {at}: {error}", path.display());
        io::Error::new(error.kind(), text)
    }

    /// Writes the tails of all `wanted` queues that have one. An error of one does not keep the others
    /// from it, and nothing is forgotten; it is the first one that is told.
    pub(crate) fn write_dirty(
        &self,
        queues: &Queues,
        wanted: impl Fn(&Queue) -> bool,
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        let (mut bytes, mut outcome) = (Vec::new(), Ok(()));
        for queue in queues.take_dirty() {
            let written = if wanted(&queue) {
                self.write_tail(&queue, &mut bytes, unsynced)
            } else {
                queues.mark_dirty(&queue);
                Ok(())
            };
            if written.is_err() {
                queues.mark_dirty(&queue);
            }
            outcome = outcome.and(written);
        }
        outcome
    }

    fn write_tail(
        &self,
        queue: &Queue,
        bytes: &mut Vec<u8>,
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        bytes.clear();
        let (min, from) = {
            let state = queue.state.lock();
            if state.deleted {
                return Ok(());
            }
            bytes.extend(state.tail.iter().flat_map(|unit| unit.to_bytes()));
            (state.min, state.persisted)
        };
        let units = Run {
            min,
            from,
            bytes: bytes.as_slice(),
        };
        self.write(queue, units, unsynced)?;
        let mut state = queue.state.lock();
        if !state.deleted {
            let count = bytes.len() / UNIT_BYTES;
            state.persisted = from + count as u64;
            state.tail.drain(..count);
            if state.tail.is_empty() {
                // An idle queue shall cost nothing.
                state.tail = Vec::new();
            }
        }
        Ok(())
    }

    /// Writes a unit that was wrong, unless the topic was deleted: that waits here, so that it does not
    /// bring files back.
    pub(crate) fn write_again(&self, queue: &Queue, at: u64, unit: Unit) -> io::Result<()> {
        let state = queue.state.lock();
        if state.deleted || at < state.min {
            return Ok(());
        }
        let units = Run {
            min: state.min,
            from: at,
            bytes: &unit.to_bytes(),
        };
        self.write(queue, units, &mut Unsynced::default())
    }

    /// Writes units; new files are made as needed, with fillers below where the queue begins.
    pub(crate) fn write(
        &self,
        queue: &Queue,
        units: Run<'_>,
        unsynced: &mut Unsynced,
    ) -> io::Result<()> {
        let (min, mut from, mut rest) = (units.min, units.from, units.bytes);
        while !rest.is_empty() {
            let (base, at) = self.place(from);
            let room = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            if from == min && at == 0 && base > 0 {
                // Tells a queue that begins here from one whose first files are missing.
                let before = base - self.file_bytes;
                self.file(queue, before, Some((self.file_bytes, &mut *unsynced)))?;
            }
            let fillers = (min * UNIT_BYTES as u64).clamp(base, base + at) - base;
            let file = self.file(queue, base, Some((fillers, &mut *unsynced)))?;
            file.write_all_at(now, at)?;
            unsynced.add(file);
            from += (now.len() / UNIT_BYTES) as u64;
            rest = later;
        }
        Ok(())
    }

    /// The file that holds a unit, and where in it.
    fn place(&self, unit: u64) -> (u64, u64) {
        let byte = unit * UNIT_BYTES as u64;
        (
            byte / self.file_bytes * self.file_bytes,
            byte % self.file_bytes,
        )
    }

    /// An open file. With `create`, a missing one is made, with fillers up to that byte.
    fn file(
        &self,
        queue: &Queue,
        base: u64,
        create: Option<(u64, &mut Unsynced)>,
    ) -> io::Result<Arc<dyn File>> {
        let key = (Arc::clone(&queue.topic), queue.id, base);
        {
            let mut open = self.open.lock();
            open.uses += 1;
            let now = open.uses;
            if let Some((file, used)) = open.files.get_mut(&key) {
                *used = now;
                return Ok(Arc::clone(file));
            }
        }
        let path = self
            .queue_folder(&queue.topic, queue.id)
            .join(file_name(base));
        let file = match (self.disk.open(&path, Access::Write), create) {
            (Err(error), Some((fillers, unsynced))) if error.kind() == io::ErrorKind::NotFound => {
                self.create(&queue.topic, &path, fillers, unsynced)?
            }
            // Its making has failed half-way.
            (Ok(file), Some((fillers, unsynced))) if file.size_bytes()? != self.file_bytes => {
                self.create(&queue.topic, &path, fillers, unsynced)?
            }
            (opened, _) => opened?,
        };
        let mut open = self.open.lock();
        if open.files.len() >= OPEN_FILES_MAX {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                open.files.remove(&oldest);
            }
        }
        let now = open.uses;
        // Whoever looks into a queue of a deleted topic keeps no file for the queue that comes after.
        if queue.next.load(Ordering::Relaxed) != Queue::GONE {
            open.files.insert(key, (Arc::clone(&file), now));
        }
        Ok(file)
    }

    /// Makes a file with fillers up to a byte. It has its size when it is complete.
    fn create(
        &self,
        topic: &str,
        path: &Path,
        filler_bytes: u64,
        unsynced: &mut Unsynced,
    ) -> io::Result<Arc<dyn File>> {
        let folder = path.parent().unwrap_or(path);
        self.disk.create_folders(folder)?;
        // All of them, whoever made them and however far that got.
        for changed in [folder, &self.topic_folder(topic), &self.folder] {
            unsynced.add_folder(changed.to_owned());
        }
        let file = self.disk.open(path, Access::Create)?;
        // compat: ConsumeQueue#fillPreBlank; Apache takes a unit of zeros for the end.
        let fillers = usize::try_from(filler_bytes).unwrap_or(0) / UNIT_BYTES;
        file.write_all_at(&Unit::FILLER.to_bytes().repeat(fillers), 0)?;
        file.set_size(self.file_bytes)?;
        Ok(file)
    }

    /// Removes the files of a queue that end before unit `first`, but the last one, which tells where
    /// a queue ends whose messages are all gone; `before` was the first till now.
    pub(crate) fn remove_below(
        &self,
        topic: &str,
        id: QueueId,
        before: u64,
        first: u64,
    ) -> io::Result<()> {
        let (kept, _) = self.place(first.saturating_sub(1));
        if self.place(before.saturating_sub(1)).0 == kept {
            return Ok(());
        }
        let folder = self.queue_folder(topic, id);
        for entry in self.disk.list(&folder)? {
            if parse_file_name(&entry.name).is_some_and(|base| base < kept) {
                self.disk.remove_file(&folder.join(&entry.name))?;
            }
        }
        self.open
            .lock()
            .files
            .retain(|(name, other, base), _| &**name != topic || *other != id || *base >= kept);
        Ok(())
    }

    /// Closes the open files of a topic.
    pub(crate) fn close(&self, topic: &str) {
        self.open
            .lock()
            .files
            .retain(|(name, _, _), _| &**name != topic);
    }
}
