//! A durable table of named configurations with a version: the topics, and the groups.
//!
//! Invariant: a row that can be found is on disk, and a change has moved the version.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use proto::Text;
use proto::remoting::config::DataVersion;
use runtime::state_file::LoadError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::state_file::{Durability, StateFile};

/// One row, and the shape of the file that holds all of them.
pub(crate) trait Row: Clone + PartialEq + Serialize + DeserializeOwned {
    type File: Default + Serialize + DeserializeOwned;

    fn name(&self) -> &str;
    fn into_file(version: DataVersion, rows: BTreeMap<String, Self>) -> Self::File;
    fn from_file(file: Self::File) -> (DataVersion, BTreeMap<String, Self>);
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change<R> {
    Put(R),
    Remove(String),
}

#[derive(Debug)]
pub(crate) struct ConfigTable<R> {
    file: StateFile,
    /// Held over the write of a change, so that changes reach disk and memory in one order.
    changing: Mutex<()>,
    rows: RwLock<Rows<R>>,
}

#[derive(Debug)]
struct Rows<R> {
    by_name: HashMap<Text, Arc<R>>,
    version: DataVersion,
}

impl<R: Row> ConfigTable<R> {
    /// # Errors
    /// When the files are there but no copy is whole.
    pub(crate) fn load(path: PathBuf) -> Result<Self, LoadError> {
        let (file, snapshot, changes) = StateFile::load::<R::File, Change<R>>(path)?;
        let (mut version, rows) = R::from_file(snapshot.unwrap_or_default());
        let entry = |row: R| (Text::from(row.name()), Arc::new(row));
        let mut by_name: HashMap<_, _> = rows.into_values().map(entry).collect();
        for change in changes {
            version.counter += 1;
            match change {
                Change::Put(row) => by_name.extend([entry(row)]),
                Change::Remove(name) => drop(by_name.remove(name.as_str())),
            }
        }
        let rows = RwLock::new(Rows { by_name, version });
        Ok(Self {
            file,
            changing: Mutex::new(()),
            rows,
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<R>> {
        self.rows.read().by_name.get(name).cloned()
    }

    pub(crate) fn version(&self) -> DataVersion {
        self.rows.read().version.clone()
    }

    /// All rows in the shape of the file, which is also that of the wire.
    pub(crate) fn all(&self) -> R::File {
        let rows = self.rows.read();
        let by_name = rows
            .by_name
            .iter()
            .map(|(name, row)| (name.to_string(), (**row).clone()));
        R::into_file(rows.version.clone(), by_name.collect())
    }

    /// Adds or replaces rows. Rows that are there already, the same, change nothing.
    ///
    /// # Errors
    /// When they may not be there after a power loss; then they are not in the table either.
    pub(crate) fn put(&self, rows: impl IntoIterator<Item = R>, now_ms: i64) -> io::Result<()> {
        let _changing = self.changing.lock();
        let is_new = |row: &R| self.find(row.name()).is_none_or(|old| *old != *row);
        let new: Vec<_> = rows.into_iter().filter(is_new).map(Change::Put).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.file.append(&new, Durability::Synced)?;
        {
            let mut rows = self.rows.write();
            for change in new {
                if let Change::Put(row) = change {
                    rows.by_name.insert(row.name().into(), Arc::new(row));
                }
            }
            rows.version.bump(now_ms);
        }
        self.fold_if_due()
    }

    /// # Errors
    /// When it may still be there after a power loss; then it is still in the table too.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> io::Result<()> {
        let _changing = self.changing.lock();
        if self.find(name).is_none() {
            return Ok(());
        }
        self.file
            .append(&[Change::<R>::Remove(name.to_owned())], Durability::Synced)?;
        {
            let mut rows = self.rows.write();
            rows.by_name.remove(name);
            rows.version.bump(now_ms);
        }
        self.fold_if_due()
    }

    /// Apache finds a table of ordinary size complete at any moment, even after `kill -9`.
    fn fold_if_due(&self) -> io::Result<()> {
        if self.file.is_small() || self.file.wants_snapshot() {
            self.file.snapshot(|| self.all())
        } else {
            Ok(())
        }
    }

    /// Writes everything into a file that has missed changes, unless it is too large for that.
    ///
    /// # Errors
    /// As [`ConfigTable::fold`].
    pub(crate) fn fold_if_behind(&self) -> io::Result<()> {
        if self.file.is_behind() {
            self.fold()
        } else {
            Ok(())
        }
    }

    /// Writes everything into the file, for Apache to find.
    ///
    /// # Errors
    /// When the file could not be replaced; the journal still has it all.
    pub(crate) fn fold(&self) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.file.snapshot(|| self.all())
    }
}
