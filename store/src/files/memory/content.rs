//! One file of the memory disk: its bytes, and which of them a power loss spares.

use std::collections::HashSet;

const SECTOR_BYTES: usize = 512;

/// `bytes` is what readers see; `durable` and any part of `unsynced` is what a crash leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
    /// Blocks that were written once, and so are taken from the file system.
    pub(super) blocks: HashSet<usize>,
    pub(super) modified_ms: i64,
    pub(super) is_unreadable: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Size(usize),
}

impl Content {
    pub(super) fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.bytes);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply_to(&mut self.durable);
        }
    }

    /// A sync that failed, as Linux does it: what was to be written counts as clean from now on, so
    /// readers still see it, and no later sync writes it.
    pub(super) fn fail_to_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Whether readers see something that no sync will make durable.
    pub(super) fn has_lost(&self) -> bool {
        let mut to_be = self.durable.clone();
        self.unsynced
            .iter()
            .for_each(|change| change.apply_to(&mut to_be));
        to_be != self.bytes
    }

    /// Forgets unsynced changes; `survives` decides for each sector of each.
    pub(super) fn crash(&mut self, survives: &mut dyn FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Size(_) => {
                    if survives() {
                        change.apply_to(&mut self.durable);
                    }
                }
                Change::Write(at, bytes) => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let sector_end = (at + from) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                        let to = bytes.len().min(sector_end - at);
                        if survives() {
                            let sector = bytes[from..to].to_vec();
                            Change::Write(at + from, sector).apply_to(&mut self.durable);
                        }
                        from = to;
                    }
                }
            }
        }
        self.bytes.clone_from(&self.durable);
    }
}

impl Change {
    fn apply_to(&self, to: &mut Vec<u8>) {
        match self {
            Self::Size(bytes) => to.resize(*bytes, 0),
            Self::Write(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }
}
