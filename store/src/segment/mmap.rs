//! Read-only memory over a log segment: the only `unsafe` code of the workspace.
//!
//! What makes it sound: a segment is as long as the mapping from before it is mapped until it is
//! removed (the store never shortens one, and the lock file keeps other processes of ours out);
//! the mapping is never written through; readers only look at bytes that were written before the
//! store published them and that are never written again; and every slice keeps the mapping alive.
#![allow(
    unsafe_code,
    reason = "mapping a file cannot be done without; it is all in here"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

use crate::files::Mapping;

/// A mapped file whose slices outlive its name.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Arc<Mmap>,
    bytes: Bytes,
}

/// Keeps the mapping alive for a slice.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl MappedFile {
    /// Maps the first `bytes` of a file.
    pub(crate) fn open(file: &File, bytes: u64) -> io::Result<Self> {
        if file.metadata()?.len() < bytes {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is too short",
            ));
        }
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the file is at least `length` long (checked above) and, as the module header says,
        // is neither shortened nor changed in the published parts while the mapping lives.
        let map: Mmap = unsafe { MmapOptions::new().len(length).map(file)? };
        let map = Arc::new(map);
        let bytes = Bytes::from_owner(Owner(Arc::clone(&map)));
        Ok(Self { map, bytes })
    }
}

impl Mapping for MappedFile {
    fn slice(&self, from: u64, bytes: u32) -> Option<Bytes> {
        let from = usize::try_from(from).ok()?;
        let to = from.checked_add(usize::try_from(bytes).ok()?)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    fn forget(&self, part: Range<u64>) -> io::Result<()> {
        let (from, to) = (usize::try_from(part.start), usize::try_from(part.end));
        let (Ok(from), Ok(to)) = (from, to) else {
            return Ok(());
        };
        let to = to.min(self.map.len());
        if from >= to {
            return Ok(());
        }
        // SAFETY: the mapping is shared and of a file: a page that is let go of is taken from the
        // file again when it is next looked at, with the same bytes.
        unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from)
        }
    }
}
