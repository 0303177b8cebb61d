//! A durable table of named configurations with a version: the topics, and the groups.
//!
//! Invariant: a row that can be found is on disk, and a change has moved the version. What peers add
//! has limits, so that the file can always be written and read again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use proto::Text;
use proto::remoting::config::DataVersion;
use proto::remoting::naming::BROKER_TOPICS_MAX;
use runtime::state_file::{self, FILE_BYTES_MAX, LoadError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::state_file::{Durability, StateFile};

/// Rows that peers may make. A table of Apache's that has more is taken as it is.
pub(crate) const ROWS_MAX: usize = BROKER_TOPICS_MAX;
/// One row, as JSON.
pub(crate) const ROW_BYTES_MAX: usize = 8 << 10;
/// Objects and arrays of one row, in each other.
pub(crate) const ROW_DEPTH_MAX: usize = 8;
// A full table can be written, each row with its name before it.
const _: () = assert!((ROWS_MAX * (ROW_BYTES_MAX + 300)) as u64 <= FILE_BYTES_MAX);

/// One row, and the shape of the file that holds all of them.
pub(crate) trait Row: Clone + PartialEq + Serialize + DeserializeOwned {
    type File: Default + Serialize + DeserializeOwned;
    /// What one is called.
    const KIND: &'static str;

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

/// Why rows are not in the table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    #[error("this broker has room for {1} {0}s")]
    Full(&'static str, usize),
    #[error("{0} {1} has more than {ROW_BYTES_MAX} bytes")]
    Large(&'static str, String),
    #[error("{0} {1} is nested more than {ROW_DEPTH_MAX} deep")]
    Deep(&'static str, String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub(crate) struct ConfigTable<R> {
    file: StateFile,
    /// Held over the write of a change, so that changes reach disk and memory in one order.
    changing: Mutex<()>,
    rows: RwLock<Rows<R>>,
    rows_max: usize,
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
            rows_max: ROWS_MAX,
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

    /// Like [`ConfigTable::all`], of those rows that are there.
    pub(crate) fn some(&self, names: &BTreeSet<String>) -> R::File {
        let rows = self.rows.read();
        let found = names.iter().filter_map(|name| rows.by_name.get(&**name));
        let by_name = found.map(|row| (row.name().to_owned(), R::clone(row)));
        R::into_file(rows.version.clone(), by_name.collect())
    }

    /// Adds or replaces rows as a peer wants it, all or none. Rows that are there already, the same,
    /// change nothing.
    ///
    /// # Errors
    /// When one is beyond a limit, or they may not be there after a power loss; then they are not in
    /// the table either.
    pub(crate) fn add(&self, mut rows: Vec<R>, now_ms: i64) -> Result<(), AddError> {
        let _changing = self.changing.lock();
        rows.retain(|row| self.find(row.name()).is_none_or(|old| *old != *row));
        rows.iter().try_for_each(check_row)?;
        let more = rows.iter().filter(|row| self.find(row.name()).is_none());
        self.check_room(more.count())?;
        Ok(self.put_new(rows, now_ms)?)
    }

    /// # Errors
    /// So many rows more are too many.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), AddError> {
        if more > 0 && self.rows.read().by_name.len() + more > self.rows_max {
            return Err(AddError::Full(R::KIND, self.rows_max));
        }
        Ok(())
    }

    /// Adds rows of the system, which have no limits.
    ///
    /// # Errors
    /// When they may not be there after a power loss; then they are not in the table either.
    pub(crate) fn add_system(&self, rows: Vec<R>, now_ms: i64) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.put_new(rows, now_ms)
    }

    fn put_new(&self, rows: Vec<R>, now_ms: i64) -> io::Result<()> {
        let new: Vec<_> = rows.into_iter().map(Change::Put).collect();
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

fn check_row<R: Row>(row: &R) -> Result<(), AddError> {
    let json = proto::json::write(row);
    let name = || row.name().to_owned();
    if json.len() > ROW_BYTES_MAX {
        Err(AddError::Large(R::KIND, name()))
    } else if state_file::depth(&json) > ROW_DEPTH_MAX {
        Err(AddError::Deep(R::KIND, name()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proto::remoting::config::{GroupConfig, TopicConfig};

    use super::*;

    fn is_full_at_its_limit<R: Row>(row: impl Fn(&str) -> R, changed: R, told: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        let mut table = ConfigTable::load(path).unwrap();
        table.rows_max = 3;
        let add = |names: &[&str]| {
            let rows = names.iter().map(|name| row(name)).collect();
            table.add(rows, 0).map_err(|error| error.to_string())
        };
        let full = Err(told.to_owned());
        assert_eq!(add(&["a", "b"]), Ok(()));
        assert_eq!(add(&["c", "d"]), full, "all or none");
        assert_eq!(add(&["c"]), Ok(()));
        assert_eq!(add(&["d"]), full);
        assert_eq!(add(&["a", "b", "c"]), Ok(()), "the same again");
        assert!(table.add(vec![changed], 0).is_ok(), "a change of the first");
        table.remove("b", 0).unwrap();
        assert_eq!(add(&["d"]), Ok(()));
        table.add_system(vec![row("system")], 0).unwrap();
        assert_eq!(add(&["e"]), full);
        assert_eq!(table.rows.read().by_name.len(), 4);
    }

    #[test]
    fn a_table_takes_as_many_topics_and_groups_as_it_has_room_for() {
        let topic = |name: &str| TopicConfig::new(name, 1, 6);
        let told = "this broker has room for 3 topics";
        is_full_at_its_limit(topic, TopicConfig::new("a", 2, 6), told);
        let mut changed = GroupConfig::new("a");
        changed.retry_max_times = 3;
        let told = "this broker has room for 3 groups";
        is_full_at_its_limit(GroupConfig::new, changed, told);
    }
}
