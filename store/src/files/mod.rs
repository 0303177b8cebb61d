//! The seam between the store and the file system.
//!
//! Owns the few operations that the store needs of a disk, so that tests can put a disk underneath
//! that forgets, tears and fails. [`OsDisk`] is the real one, [`MemoryDisk`] the treacherous one.
//! Paths are made by the store from names that it has checked; nothing here interprets them.

mod memory;
mod os;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use memory::{Fault, MemoryDisk, Operation, Picture};
pub use os::OsDisk;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    /// Read and write a file that exists.
    Write,
    /// Read and write; made when missing.
    Create,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub name: String,
    pub is_folder: bool,
}

/// The size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    /// What an ordinary user may still take.
    pub free_bytes: u64,
}

impl Space {
    /// The used part, from 0 to 1, as `df` shows it.
    #[must_use]
    pub fn used_ratio(&self) -> f64 {
        if self.total_bytes == 0 {
            return 0.0;
        }
        let used = self.total_bytes.saturating_sub(self.free_bytes);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of byte counts")]
        let ratio = used as f64 / self.total_bytes as f64;
        ratio
    }
}

/// A file system.
pub trait Disk: Debug + Send + Sync {
    /// # Errors
    /// What the system says, here and in all other operations.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>>;
    fn create_folders(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted; none when there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
    fn exists(&self, path: &Path) -> io::Result<bool>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and everything in it; no error when there is none.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes everything on the file system of `folder` durable.
    fn sync_everything(&self, folder: &Path) -> io::Result<()>;
    /// Takes the lock file, or says [`io::ErrorKind::WouldBlock`]. Dropping the guard releases it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + Sync>>;
    fn space(&self, folder: &Path) -> io::Result<Space>;
    /// Names the run of the machine: changes exactly when unwritten pages may have been lost.
    fn boot_id(&self) -> [u8; 16];
}

/// An open file of a [`Disk`].
pub trait File: Debug + Send + Sync {
    /// Reads up to the end of the file; short only there.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Takes the blocks of a part of the file from the file system; their bytes stay as they are.
    /// `false`: this file system cannot.
    fn reserve(&self, part: Range<u64>) -> io::Result<bool>;
    fn sync_data(&self) -> io::Result<()>;
    /// Asks for a part of the file to be brought into memory before somebody needs it.
    fn fetch(&self, part: Range<u64>) -> io::Result<()>;
    /// Gives back the memory that keeps a part of the file; reading it later takes a disk access.
    fn forget(&self, part: Range<u64>) -> io::Result<()>;
    fn size_bytes(&self) -> io::Result<u64>;
    fn set_size(&self, bytes: u64) -> io::Result<()>;
    fn modified_ms(&self) -> io::Result<i64>;
    /// The next part of the file at or behind `from` that may hold something else than zeros.
    fn data_after(&self, from: u64) -> io::Result<Option<Range<u64>>>;
    /// Maps the first `bytes` of the file, which stays at least that long.
    fn map(&self, bytes: u64) -> io::Result<Arc<dyn Mapping>>;
}

/// A file as memory, for reading.
pub trait Mapping: Debug + Send + Sync {
    /// A part of the file; `None` when it lies outside. The bytes stay valid after the file is gone.
    fn slice(&self, from: u64, bytes: u32) -> Option<Bytes>;
    /// Lets go of pages that [`File::forget`] is to give back. Slices stay valid.
    fn forget(&self, part: Range<u64>) -> io::Result<()>;
}

/// Reads exactly `buffer.len()` bytes.
pub(crate) fn read_exact_at(file: &dyn File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    if file.read_at(buffer, at)? == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
