//! The real file system.

use std::fs;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use rustix::io::Errno;

use super::{Access, Disk, Entry, File, Mapping, Space};
use crate::segment::MappedFile;

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsFile(fs::File);

impl Disk for OsDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(access != Access::Read)
            .create(access == Access::Create)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let found = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found?,
        };
        let mut entries = Vec::new();
        for entry in found {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                let kind = entry.file_type()?;
                let is_folder = kind.is_dir() || kind.is_symlink() && entry.path().is_dir();
                entries.push(Entry { name, is_folder });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn sync_everything(&self, folder: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(folder)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(folder)?;
        // Like df: blocks kept for root are neither used nor free.
        let kept = found.f_bfree.saturating_sub(found.f_bavail);
        Ok(Space {
            total_bytes: found
                .f_blocks
                .saturating_sub(kept)
                .saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn boot_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits = text
            .bytes()
            .filter_map(|digit| char::from(digit).to_digit(16));
        for (at, digit) in digits.take(32).enumerate() {
            let shift = if at % 2 == 0 { 4 } else { 0 };
            id[at / 2] |= digit.to_le_bytes()[0] << shift;
        }
        id
    }
}

impl File for OsFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        // The system puts the pages of one write into blocks of memory as large as it can get. Those
        // of 2 MiB are often such that a guest has given back to its host, and the first touch of
        // each waits for the host: ten times as slow. Smaller blocks lose nothing.
        const CHUNK_BYTES: u64 = 512 << 10;
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - at % CHUNK_BYTES;
            let count = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (chunk, rest) = bytes.split_at(count);
            self.0.write_all_at(chunk, at)?;
            bytes = rest;
            at += count as u64;
        }
        Ok(())
    }

    fn reserve(&self, part: Range<u64>) -> io::Result<bool> {
        let bytes = part.end.saturating_sub(part.start);
        match rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, part.start, bytes) {
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn fetch(&self, part: Range<u64>) -> io::Result<()> {
        // Of one request the system takes no more than one of the device's may have, which is this
        // much everywhere.
        const CHUNK_BYTES: u64 = 128 << 10;
        let mut at = part.start;
        while at < part.end {
            let bytes = NonZero::new(CHUNK_BYTES.min(part.end - at));
            rustix::fs::fadvise(&self.0, at, bytes, Advice::WillNeed)?;
            at += CHUNK_BYTES;
        }
        Ok(())
    }

    fn forget(&self, part: Range<u64>) -> io::Result<()> {
        let bytes = NonZero::new(part.end.saturating_sub(part.start));
        Ok(rustix::fs::fadvise(
            &self.0,
            part.start,
            bytes,
            Advice::DontNeed,
        )?)
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn modified_ms(&self) -> io::Result<i64> {
        let modified = self.0.metadata()?.modified()?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn data_after(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let end = self.size_bytes()?;
        match rustix::fs::seek(&self.0, SeekFrom::Data(from)) {
            Ok(start) => {
                let stop = rustix::fs::seek(&self.0, SeekFrom::Hole(start)).unwrap_or(end);
                Ok(Some(start..stop))
            }
            Err(Errno::NXIO) => Ok(None),
            // A file system that cannot tell: everything may be data.
            Err(_) => Ok((from < end).then_some(from..end)),
        }
    }

    fn map(&self, bytes: u64) -> io::Result<Arc<dyn Mapping>> {
        Ok(Arc::new(MappedFile::open(&self.0, bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_write_is_whole_wherever_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = OsDisk.open(&path, Access::Create).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        for at in [0, 1, (512 << 10) - 1, 512 << 10, 3_000_001] {
            file.write_all_at(&bytes, at).unwrap();
            let mut found = vec![0; bytes.len() + 1];
            assert_eq!(file.read_at(&mut found, at).unwrap(), bytes.len());
            assert!(found.starts_with(&bytes));
            file.set_size(0).unwrap();
        }
    }
}
