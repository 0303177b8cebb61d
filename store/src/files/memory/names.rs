//! The folders of the memory disk: which names there are, and which of them a power loss spares.
//!
//! A change of a name is durable when the folder it lies in was synced, and not before; of the
//! others any part may be lost, in any combination. Only a rename is all or nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Folder,
}

#[derive(Clone, Debug)]
enum Change {
    Set(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    seen: Tree,
    durable: Tree,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Tree(BTreeMap<PathBuf, Node>);

impl Tree {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Set(path, node) => {
                self.0.insert(path.clone(), *node);
            }
            Change::Rename(from, to, node) => {
                self.0.remove(from);
                self.0.insert(to.clone(), *node);
            }
            // A folder that is gone has nothing in it.
            Change::Remove(path) => self.0.retain(|name, _| !name.starts_with(path)),
        }
    }
}

impl Change {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Set(path, _) | Self::Rename(_, path, _) | Self::Remove(path) => path.parent(),
        }
    }
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        self.seen.0.get(path).copied()
    }

    pub(super) fn file(&self, path: &Path) -> Option<u64> {
        match self.get(path)? {
            Node::File(file) => Some(file),
            Node::Folder => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathBuf, &Node)> {
        self.seen.0.iter()
    }

    pub(super) fn set(&mut self, path: &Path, node: Node) {
        self.change(Change::Set(path.to_owned(), node));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(node) = self.get(from) {
            self.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        }
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change::Remove(path.to_owned()));
    }

    /// Sets a name at once and durably.
    pub(super) fn plant(&mut self, path: &Path, node: Node) {
        self.seen.0.insert(path.to_owned(), node);
        self.durable.0.insert(path.to_owned(), node);
    }

    fn change(&mut self, change: Change) {
        self.seen.apply(&change);
        self.unsynced.push(change);
    }

    /// Makes the names of one folder durable, or all of them.
    pub(super) fn sync(&mut self, folder: Option<&Path>) {
        for change in std::mem::take(&mut self.unsynced) {
            if folder.is_none() || change.folder() == folder {
                self.durable.apply(&change);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// Forgets unsynced changes, one by one as `survives` says, and what lies in folders that are
    /// not there any more.
    pub(super) fn crash(&mut self, survives: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            if survives() {
                self.durable.apply(&change);
            }
        }
        let all = self.durable.0.clone();
        let has_folders = |path: &Path| {
            let mut folders = path.ancestors().skip(1);
            folders.all(|folder| all.get(folder) == Some(&Node::Folder))
        };
        self.durable.0.retain(|path, _| has_folders(path));
        self.seen = self.durable.clone();
    }
}
