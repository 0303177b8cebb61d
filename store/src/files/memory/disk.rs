//! The memory disk as the store sees it.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Access, Disk, Entry, File, Mapping, Space};
use super::{Change, Content, Fault, MemoryDisk, NameChange, Operation};

const BLOCK_BYTES: usize = 4096;

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        state.check(Operation::Open)?;
        let file = match state.names.get(path) {
            Some(&file) => file,
            None if access == Access::Create => {
                if !path
                    .parent()
                    .is_some_and(|folder| state.folders.contains(folder))
                {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let file = state.next_file;
                state.next_file += 1;
                let modified_ms = state.now_ms;
                state.files.insert(
                    file,
                    Content {
                        modified_ms,
                        ..Content::default()
                    },
                );
                state.change_name(NameChange::Set(path.to_owned(), file));
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
        state.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock();
        let name = |path: &Path| {
            (path.parent() == Some(folder))
                .then(|| {
                    path.file_name()
                        .and_then(|name| name.to_str())
                        .map(str::to_owned)
                })
                .flatten()
        };
        let files = state.names.keys().filter_map(|path| name(path));
        let folders = state.folders.iter().filter_map(|path| name(path));
        let mut entries: Vec<_> = files
            .map(|name| Entry {
                name,
                is_folder: false,
            })
            .chain(folders.map(|name| Entry {
                name,
                is_folder: true,
            }))
            .collect();
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.0.lock();
        Ok(state.names.contains_key(path) || state.folders.contains(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Rename)?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(NameChange::Set(to.to_owned(), file));
        state.change_name(NameChange::Remove(from.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Remove)?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change_name(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Remove)?;
        let inside: Vec<_> = state
            .names
            .keys()
            .filter(|name| name.starts_with(path))
            .cloned()
            .collect();
        for name in inside {
            state.change_name(NameChange::Remove(name));
        }
        state.folders.retain(|folder| !folder.starts_with(path));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::SyncFolder)?;
        state.settle_names(&mut |path| path.parent() == Some(folder));
        Ok(())
    }

    fn sync_everything(&self, _folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check(Operation::Sync)?;
        state.settle_names(&mut |_| true);
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
        let bytes = &state.content(self.file)?.bytes;
        let from = position(at).min(bytes.len());
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        Ok(length)
    }

    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
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
        state.check(Operation::Sync)?;
        state.content(self.file)?.sync();
        Ok(())
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
