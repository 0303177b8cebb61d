//! The memory disk as the store sees it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Access, Disk, Entry, File, Mapping, Space};
use super::content::{Change, Content};
use super::{Fault, MemoryDisk, Node, Operation};

const BLOCK_BYTES: usize = 4096;

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        state.check(Operation::Open)?;
        let file = match state.names.file(path) {
            Some(file) => file,
            None if access == Access::Create => {
                if !state.is_folder(path.parent()) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                state.change();
                let file = state.next_file;
                state.next_file += 1;
                let modified_ms = state.now_ms;
                let content = Content {
                    modified_ms,
                    ..Content::default()
                };
                state.files.insert(file, content);
                state.names.set(path, Node::File(file));
                file
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemoryFile {
            disk: self.clone(),
            file,
        }))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let mut missing: Vec<_> = path.ancestors().collect();
        missing.retain(|folder| state.names.get(folder).is_none());
        for folder in missing.into_iter().rev() {
            state.change();
            state.names.set(folder, Node::Folder);
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock();
        if state.names.file(folder).is_some() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let entries = state.names.iter().filter_map(|(path, node)| {
            let name = path.file_name()?.to_str()?;
            (path.parent() == Some(folder)).then(|| Entry {
                name: name.to_owned(),
                is_folder: *node == Node::Folder,
            })
        });
        // Sorted as they are.
        Ok(entries.collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.0.lock().names.get(path).is_some())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change();
        state.check(Operation::Rename)?;
        state.names.file(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.rename(from, to);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change();
        state.check(Operation::Remove)?;
        state.names.file(path).ok_or(io::ErrorKind::NotFound)?;
        state.names.remove(path);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Remove)?;
        let mut inside: Vec<_> = state.names.iter().map(|(name, _)| name.clone()).collect();
        inside.retain(|name| name.starts_with(path));
        for name in inside.iter().rev() {
            state.change();
            state.names.remove(name);
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change();
        state.check(Operation::SyncFolder)?;
        state.names.sync(Some(folder));
        Ok(())
    }

    fn sync_everything(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change();
        if let Err(error) = state.check(Operation::Sync) {
            state.files.values_mut().for_each(Content::fail_to_sync);
            return Err(error);
        }
        state.names.sync(None);
        state.files.values_mut().for_each(Content::sync);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        if !self.0.lock().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemoryLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn space(&self, _folder: &Path) -> io::Result<Space> {
        let free = Space {
            total_bytes: 1 << 40,
            free_bytes: 1 << 39,
        };
        Ok(self.0.lock().space.unwrap_or(free))
    }

    fn boot_id(&self) -> [u8; 16] {
        [self.0.lock().boots; 16]
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

#[derive(Clone, Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: u64,
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        state.check(Operation::Read)?;
        let content = state.content(self.file)?;
        if content.is_unreadable {
            return Err(io::Error::other("a bad sector"));
        }
        let bytes = &content.bytes;
        let from = position(at).min(bytes.len());
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        Ok(length)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.change();
        let at = position(at);
        let (mut kept, mut outcome) = (bytes.len(), Ok(()));
        match state.count(Operation::Write) {
            None => {}
            Some(Fault::Error(kind)) => return Err(kind.into()),
            Some(Fault::Short(kind)) => {
                kept /= 2;
                outcome = Err(kind.into());
            }
        }
        let (full, now_ms) = (state.full, state.now_ms);
        let content = state.content(self.file)?;
        let blocks = at / BLOCK_BYTES..(at + kept).div_ceil(BLOCK_BYTES);
        if full && !blocks.clone().all(|block| content.blocks.contains(&block)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.blocks.extend(blocks);
        content.modified_ms = now_ms;
        content.apply(Change::Write(at, bytes[..kept].to_vec()));
        outcome
    }

    fn reserve(&self, part: Range<u64>) -> io::Result<bool> {
        let mut state = self.disk.0.lock();
        state.change();
        if let Some(Fault::Error(kind) | Fault::Short(kind)) = state.count(Operation::Write) {
            return Err(kind.into());
        }
        let full = state.full;
        let blocks = position(part.start) / BLOCK_BYTES..position(part.end).div_ceil(BLOCK_BYTES);
        let content = state.content(self.file)?;
        if full && !blocks.clone().all(|block| content.blocks.contains(&block)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.blocks.extend(blocks);
        Ok(true)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.change();
        let outcome = state.check(Operation::Sync);
        let content = state.content(self.file)?;
        match outcome {
            Ok(()) => content.sync(),
            Err(_) => content.fail_to_sync(),
        }
        outcome
    }

    fn fetch(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn forget(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().content(self.file)?.bytes.len() as u64)
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.change();
        state.check(Operation::SetSize)?;
        state
            .content(self.file)?
            .apply(Change::Size(position(bytes)));
        Ok(())
    }

    fn modified_ms(&self) -> io::Result<i64> {
        Ok(self.disk.0.lock().content(self.file)?.modified_ms)
    }

    fn data_after(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let end = self.size_bytes()?;
        Ok((from < end).then_some(from..end))
    }

    fn map(&self, bytes: u64) -> io::Result<Arc<dyn Mapping>> {
        if self.size_bytes()? < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Arc::new(self.clone()))
    }
}

impl Mapping for MemoryFile {
    fn forget(&self, _: Range<u64>) -> io::Result<()> {
        Ok(())
    }

    fn slice(&self, from: u64, bytes: u32) -> Option<Bytes> {
        let mut state = self.disk.0.lock();
        let content = &state.content(self.file).ok()?.bytes;
        let from = position(from);
        let to = from.checked_add(position(bytes.into()))?;
        content.get(from..to).map(Bytes::copy_from_slice)
    }
}

fn position(at: u64) -> usize {
    usize::try_from(at).expect("a test disk fits into memory")
}
