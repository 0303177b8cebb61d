//! Marks of work that a start has begun: the next one finds it if this one does not come to its end.

use std::path::Path;

use super::{OpenError, at};
use crate::files::{Access, Disk};

/// Puts the mark, durably.
pub(super) fn begin(disk: &dyn Disk, mark: &Path) -> Result<(), OpenError> {
    let put = || {
        disk.open(mark, Access::Create)?.sync_data()?;
        disk.sync_folder(mark.parent().unwrap_or(mark))
    };
    put().map_err(at(mark))
}

/// All of it is done, or there was nothing to do.
pub(super) fn end(disk: &dyn Disk, mark: &Path) -> Result<(), OpenError> {
    let take_away = || {
        if disk.exists(mark)? {
            disk.remove_file(mark)?;
            disk.sync_folder(mark.parent().unwrap_or(mark))?;
        }
        Ok(())
    };
    take_away().map_err(at(mark))
}

/// Whether an earlier start did not come to its end.
pub(super) fn found(disk: &dyn Disk, mark: &Path) -> Result<bool, OpenError> {
    disk.exists(mark).map_err(at(mark))
}
