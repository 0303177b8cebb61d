//! How far each group has consumed each queue. Kept in `consumerOffset.json` as Apache does.
//!
//! Invariants: an offset whose commit was acknowledged is in the journal before; one that came
//! along with a pull is there after the next [`Offsets::persist`] and may go back until then.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

use parking_lot::{Mutex, RwLock};
use proto::Text;
use proto::remoting::config::DataVersion;
use runtime::state_file::LoadError;
use serde::{Deserialize, Serialize};

use crate::state_file::{Durability, StateFile};

type Queues = BTreeMap<i32, i64>;

/// The file's shape. `topic@group` -> queue -> next offset.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Snapshot {
    data_version: DataVersion,
    #[serde(deserialize_with = "proto::json::null_as_default")]
    offset_table: BTreeMap<String, Queues>,
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Change {
    Commit {
        group: Text,
        topic: Text,
        queue: i32,
        offset: i64,
    },
    ForgetGroup {
        group: Text,
    },
    ForgetTopic {
        topic: Text,
    },
}

#[derive(Debug)]
pub(crate) struct Offsets {
    file: StateFile,
    table: RwLock<Table>,
    /// Held from the first to the last step of whatever changes both of them, so that the journal has
    /// the changes in the order of the table.
    changing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Table {
    groups: HashMap<Text, HashMap<Text, Queues>>,
    version: DataVersion,
    /// Committed since the last persist, but not in the journal.
    dirty: HashSet<(Text, Text, i32)>,
}

impl Table {
    fn set(&mut self, group: &Text, topic: &Text, queue: i32, offset: i64) {
        let topics = self.groups.entry(group.clone()).or_default();
        topics
            .entry(topic.clone())
            .or_default()
            .insert(queue, offset);
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Commit {
                group,
                topic,
                queue,
                offset,
            } => self.set(group, topic, *queue, *offset),
            Change::ForgetGroup { group } => {
                self.groups.remove(group);
            }
            Change::ForgetTopic { topic } => {
                self.groups
                    .values_mut()
                    .for_each(|topics| drop(topics.remove(topic)));
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let entries = self.groups.iter().flat_map(|(group, topics)| {
            topics
                .iter()
                .map(move |(topic, queues)| (format!("{topic}@{group}"), queues.clone()))
        });
        Snapshot {
            data_version: self.version.clone(),
            offset_table: entries.collect(),
        }
    }
}

impl Offsets {
    /// # Errors
    /// When the files are there but no copy is whole.
    pub(crate) fn load(config_dir: &Path) -> Result<Self, LoadError> {
        let path = config_dir.join("consumerOffset.json");
        let (file, snapshot, changes) = StateFile::load::<Snapshot, Change>(path)?;
        let snapshot = snapshot.unwrap_or_default();
        let mut table = Table {
            version: snapshot.data_version,
            ..Table::default()
        };
        for (name, queues) in snapshot.offset_table {
            // Neither name may contain an `@`.
            if let Some((topic, group)) = name.split_once('@') {
                table
                    .groups
                    .entry(group.into())
                    .or_default()
                    .insert(topic.into(), queues);
            }
        }
        changes.iter().for_each(|change| table.apply(change));
        Ok(Self {
            file,
            table: RwLock::new(table),
            changing: Mutex::new(()),
        })
    }

    pub(crate) fn find(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.table
            .read()
            .groups
            .get(group)?
            .get(topic)?
            .get(&queue)
            .copied()
    }

    /// Takes an offset that came along with a pull.
    pub(crate) fn note(&self, group: &Text, topic: &Text, queue: i32, offset: i64) {
        if self.find(group, topic, queue) == Some(offset) {
            return;
        }
        let mut table = self.table.write();
        table.set(group, topic, queue, offset);
        table.dirty.insert((group.clone(), topic.clone(), queue));
    }

    /// Takes an offset whose commit will be acknowledged.
    ///
    /// # Errors
    /// When it may be lost with the process.
    pub(crate) fn commit(
        &self,
        group: &Text,
        topic: &Text,
        queue: i32,
        offset: i64,
    ) -> io::Result<()> {
        let (group_copy, topic_copy) = (group.clone(), topic.clone());
        let change = Change::Commit {
            group: group_copy,
            topic: topic_copy,
            queue,
            offset,
        };
        let _changing = self.changing.lock();
        self.file.append(&[change], Durability::Written)?;
        let mut table = self.table.write();
        table.set(group, topic, queue, offset);
        table.dirty.remove(&(group.clone(), topic.clone(), queue));
        Ok(())
    }

    /// Brings offsets behind the ends of their queues back to the ends.
    ///
    /// # Errors
    /// When they may be as before after a restart.
    pub(crate) fn pull_back(&self, end: &dyn Fn(&str, i32) -> i64) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut table = self.table.write();
        let mut changes = Vec::new();
        for (group, topics) in &mut table.groups {
            for (topic, queues) in topics {
                for (&queue, offset) in queues {
                    let end = end(topic, queue);
                    if *offset > end {
                        *offset = end;
                        changes.push(Change::Commit {
                            group: group.clone(),
                            topic: topic.clone(),
                            queue,
                            offset: end,
                        });
                    }
                }
            }
        }
        // Once the queues have grown past an offset that came back, nobody could tell any more.
        self.file.append(&changes, Durability::Synced)
    }

    pub(crate) fn forget_group(&self, group: &Text) -> io::Result<()> {
        self.forget(Change::ForgetGroup {
            group: group.clone(),
        })
    }

    pub(crate) fn forget_topic(&self, topic: &Text) -> io::Result<()> {
        self.forget(Change::ForgetTopic {
            topic: topic.clone(),
        })
    }

    fn forget(&self, change: Change) -> io::Result<()> {
        let _changing = self.changing.lock();
        self.table.write().apply(&change);
        self.file.append(&[change], Durability::Synced)
    }

    pub(crate) fn topics_of(&self, group: &str) -> Vec<Text> {
        let table = self.table.read();
        table
            .groups
            .get(group)
            .map(|topics| topics.keys().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn groups_of(&self, topic: &str) -> Vec<Text> {
        let table = self.table.read();
        let groups = table
            .groups
            .iter()
            .filter(|(_, topics)| topics.contains_key(topic));
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Writes what pulls committed since the last time; folds a long journal into the file.
    ///
    /// # Errors
    /// When they may be lost with the process; they are tried again the next time.
    pub(crate) fn persist(&self, now_ms: i64) -> io::Result<()> {
        self.persist_noted()?;
        if self.file.wants_snapshot() {
            self.fold(now_ms)
        } else {
            Ok(())
        }
    }

    fn persist_noted(&self) -> io::Result<()> {
        let _changing = self.changing.lock();
        let changes: Vec<Change> = {
            let mut table = self.table.write();
            let dirty = std::mem::take(&mut table.dirty);
            let current = dirty.into_iter().filter_map(|(group, topic, queue)| {
                let offset = *table.groups.get(&group)?.get(&topic)?.get(&queue)?;
                Some(Change::Commit {
                    group,
                    topic,
                    queue,
                    offset,
                })
            });
            current.collect()
        };
        if !changes.is_empty()
            && let Err(error) = self.file.append(&changes, Durability::Written)
        {
            let mut table = self.table.write();
            table
                .dirty
                .extend(changes.into_iter().filter_map(|change| match change {
                    Change::Commit {
                        group,
                        topic,
                        queue,
                        ..
                    } => Some((group, topic, queue)),
                    Change::ForgetGroup { .. } | Change::ForgetTopic { .. } => None,
                }));
            return Err(error);
        }
        Ok(())
    }

    /// Writes everything into a file that has missed changes, unless it is too large for that.
    ///
    /// # Errors
    /// As [`Offsets::fold`].
    pub(crate) fn fold_if_behind(&self, now_ms: i64) -> io::Result<()> {
        if self.file.is_behind() {
            self.fold(now_ms)
        } else {
            Ok(())
        }
    }

    /// Writes everything into the file.
    ///
    /// # Errors
    /// When the file could not be replaced; the journal still has what was acknowledged.
    pub(crate) fn fold(&self, now_ms: i64) -> io::Result<()> {
        let _changing = self.changing.lock();
        let mut noted = HashSet::new();
        let folded = self.file.snapshot(|| {
            let mut table = self.table.write();
            noted = std::mem::take(&mut table.dirty);
            table.version.bump(now_ms);
            table.snapshot()
        });
        if folded.is_err() {
            self.table.write().dirty.extend(noted);
        }
        folded
    }
}

/// Takes the bytes for the file and for its journal.
#[cfg(any(test, fuzzing))]
pub(crate) fn use_bytes(bytes: &[u8]) {
    crate::state_file::use_bytes::<Snapshot, Change>(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Text {
        text.into()
    }

    #[test]
    fn committed_offsets_are_there_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::load(folder.path()).unwrap();
        offsets.commit(&t("g"), &t("t"), 0, 5).unwrap();
        offsets.note(&t("g"), &t("t"), 1, 6);
        offsets.persist(1).unwrap();
        offsets.note(&t("g"), &t("t"), 2, 7);
        drop(offsets);
        let offsets = Offsets::load(folder.path()).unwrap();
        let found = [0, 1, 2].map(|queue| offsets.find("g", "t", queue));
        assert_eq!(found, [Some(5), Some(6), None]);
    }

    /// Noted, committed and folded at the same time, the last commit is what the next start finds.
    #[test]
    fn a_commit_is_not_lost_between_journal_and_file() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..50 {
            let offsets = Offsets::load(folder.path()).unwrap();
            for queue in 0..2000 {
                offsets.note(&t("g"), &t("t"), queue, round);
            }
            std::thread::scope(|scope| {
                scope.spawn(|| offsets.persist(1).unwrap());
                scope.spawn(|| {
                    offsets.fold(1).unwrap();
                });
                for queue in 0..200 {
                    offsets.commit(&t("g"), &t("t"), queue, round + 1).unwrap();
                }
            });
            let after = Offsets::load(folder.path()).unwrap();
            for queue in 0..200 {
                assert_eq!(after.find("g", "t", queue), Some(round + 1), "{queue}");
            }
        }
    }

    #[test]
    fn offsets_behind_the_end_come_back_to_it_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::load(folder.path()).unwrap();
        for (queue, offset) in [(0, 5), (1, 6), (2, 7)] {
            offsets.commit(&t("g"), &t("t"), queue, offset).unwrap();
        }
        offsets
            .pull_back(&|topic, _| if topic == "t" { 6 } else { 0 })
            .unwrap();
        drop(offsets);
        let offsets = Offsets::load(folder.path()).unwrap();
        let found = [0, 1, 2].map(|queue| offsets.find("g", "t", queue));
        assert_eq!(found, [Some(5), Some(6), Some(6)]);
    }

    #[test]
    fn folding_keeps_what_the_journal_had_and_apaches_shape() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::load(folder.path()).unwrap();
        offsets.commit(&t("g"), &t("t"), 3, 9).unwrap();
        offsets.fold(1).unwrap();
        let text = std::fs::read_to_string(folder.path().join("consumerOffset.json")).unwrap();
        assert!(text.contains(r#""offsetTable":{"t@g":{"3":9}}"#), "{text}");
        assert_eq!(
            Offsets::load(folder.path()).unwrap().find("g", "t", 3),
            Some(9)
        );
    }

    #[test]
    fn forgotten_groups_and_topics_stay_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let offsets = Offsets::load(folder.path()).unwrap();
        for (group, topic) in [("g1", "t1"), ("g1", "t2"), ("g2", "t1")] {
            offsets.commit(&t(group), &t(topic), 0, 1).unwrap();
        }
        offsets.forget_group(&t("g2")).unwrap();
        offsets.forget_topic(&t("t2")).unwrap();
        let offsets = Offsets::load(folder.path()).unwrap();
        assert_eq!(offsets.topics_of("g1"), [t("t1")]);
        assert_eq!(offsets.groups_of("t1"), [t("g1")]);
    }
}
