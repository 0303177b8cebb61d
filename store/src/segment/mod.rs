//! One fixed-size file of the commit log, named by its first offset.
//!
//! Owns the name, the open file and the mapping of a segment. Which segments there are and what is
//! in them is for `log`.

mod look;
mod mmap;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use look::Place;
pub(crate) use mmap::MappedFile;

use crate::files::{Access, Disk, File, Mapping};

/// The digits of a file name: the offset of its first byte.
const NAME_DIGITS: usize = 20;

/// An open segment. Readers that hold slices of it do not care whether it is removed.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    mapping: Arc<dyn Mapping>,
}

impl Segment {
    pub(crate) fn open(disk: &dyn Disk, folder: &Path, base: u64, bytes: u64) -> io::Result<Self> {
        let path = folder.join(file_name(base));
        let file = disk.open(&path, Access::Write)?;
        Self::with_file(path, file, base, bytes)
    }

    /// A segment that nobody writes to through this value.
    pub(crate) fn open_to_read(disk: &dyn Disk, path: PathBuf, base: u64) -> io::Result<Self> {
        let file = disk.open(&path, Access::Read)?;
        let bytes = file.size_bytes()?;
        Self::with_file(path, file, base, bytes)
    }

    fn with_file(path: PathBuf, file: Arc<dyn File>, base: u64, bytes: u64) -> io::Result<Self> {
        let mapping = file.map(bytes)?;
        Ok(Self {
            base,
            bytes,
            path,
            file,
            mapping,
        })
    }

    /// Makes an empty segment; it has its name only when it has its size.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &Path,
        base: u64,
        bytes: u64,
    ) -> io::Result<Self> {
        let path = folder.join(file_name(base));
        let temporary = folder.join(format!("{}.tmp", file_name(base)));
        let file = disk.open(&temporary, Access::Create)?;
        file.set_size(0)?;
        file.set_size(bytes)?;
        file.sync_data()?;
        disk.rename(&temporary, &path)?;
        disk.sync_folder(folder)?;
        Self::open(disk, folder, base, bytes)
    }

    /// Gives back the memory that keeps a part of the segment.
    pub(crate) fn forget(&self, part: Range<u64>) -> io::Result<()> {
        let from = part.start.max(self.base) - self.base;
        let to = part.end.clamp(self.base, self.base + self.bytes) - self.base;
        if from >= to {
            return Ok(());
        }
        self.mapping.forget(from..to)?;
        self.file.forget(from..to)
    }

    /// Bytes at a log offset inside this segment.
    pub(crate) fn slice(&self, offset: u64, bytes: u32) -> Option<Bytes> {
        self.mapping.slice(offset.checked_sub(self.base)?, bytes)
    }
}

pub(crate) fn file_name(base: u64) -> String {
    format!("{base:0width$}", width = NAME_DIGITS)
}

/// The offset that a file name says, if it is the name of a fixed-size file.
pub(crate) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.len() == NAME_DIGITS && name.bytes().all(|digit| digit.is_ascii_digit());
    let base = name.parse().ok().filter(|_| digits)?;
    // In Java these are longs; beyond them sums of offsets would overflow.
    (base <= i64::MAX.cast_unsigned()).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_twenty_digits_of_a_long() {
        for (name, base) in [
            ("00000000000000000000", Some(0)),
            ("09223372036854775807", Some(i64::MAX.cast_unsigned())),
            ("09223372036854775808", None),
            ("18446744073709547520", None),
            ("99999999999999999999", None),
            ("0000000000000000000", None),
            ("+0000000000000000000", None),
            ("00000000000000000000.tmp", None),
        ] {
            assert_eq!(parse_file_name(name), base, "{name}");
        }
    }
}
