//! What a failed flush leaves behind for the next start.
//!
//! After a failed flush the system takes the pages that it could not write for clean: readers see
//! them, and no later flush brings them to the disk. A process that starts then would read records
//! that a power loss takes away from under those behind them. So the one that fails says in the
//! abort mark from where on, and the next one writes those bytes again before it flushes.

use std::io;
use std::path::Path;

use crate::files::{Access, Disk};

const NOTE: &str = "flush failed at ";

/// Notes that the log from `from` on may be in memory only, for as long as the machine runs.
pub(crate) fn note(disk: &dyn Disk, abort: &Path, from: u64) {
    let noted = disk
        .open(abort, Access::Create)
        .and_then(|file| file.write_all_at(format!("{NOTE}{from}\n").as_bytes(), 0));
    if let Err(error) = noted {
        tracing::error!(%error, from, "a failed flush could not be noted for the next start");
    }
}

/// From where on the log has to be written again.
pub(crate) fn noted(disk: &dyn Disk, abort: &Path) -> io::Result<Option<u64>> {
    let mut bytes = [0; 64];
    let read = match disk.open(abort, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?.read_at(&mut bytes, 0)?,
    };
    let text = bytes.get(..read).and_then(|text| str::from_utf8(text).ok());
    let note = text.and_then(|text| text.strip_prefix(NOTE)?.lines().next());
    Ok(note.and_then(|from| from.parse().ok()))
}
