//! The key index: which records carry a key.
//!
//! Owns the hashes of keys and the entries that are not in a file yet.

use parking_lot::{Mutex, MutexGuard};

/// One key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEntry {
    pub(crate) hash: i32,
    pub(crate) log_offset: u64,
    pub(crate) store_timestamp: i64,
}

#[derive(Debug, Default)]
pub(crate) struct KeyIndex {
    backlog: Mutex<Vec<KeyEntry>>,
}

impl KeyIndex {
    pub(crate) fn backlog(&self) -> MutexGuard<'_, Vec<KeyEntry>> {
        self.backlog.lock()
    }

    pub(crate) fn write_backlog(&self) -> std::io::Result<()> {
        self.backlog.lock().clear();
        Ok(())
    }

    pub(crate) fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// compat: `IndexFile#indexKeyHashMethod`: the absolute value, 0 when there is none.
pub(crate) fn key_hash(java_hash: i32) -> i32 {
    java_hash.checked_abs().unwrap_or(0)
}
