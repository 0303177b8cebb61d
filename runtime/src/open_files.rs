//! How many files and sockets this process may have open, and how many of those may be connections.
//!
//! Owns the limit of the system (`ulimit -n`), raised as far as it goes, and the count of connections
//! of all ports together. Invariant: connections never take the last files, which the log and its
//! queues need: a crowd at the door must not keep those inside from being served.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A quarter of all files is not for connections, and no less than this.
const KEPT_MIN: u64 = 64;

/// Takes as many files as the system gives. What cannot be raised stays as it is.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays");
    }
}

/// How many connections there may be at the same time.
fn connections_max() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| for_connections(getrlimit(Resource::Nofile).current))
}

fn for_connections(files: Option<u64>) -> usize {
    let left = files.map(|files| files.saturating_sub((files / 4).max(KEPT_MIN)));
    left.map_or(usize::MAX, |left| {
        usize::try_from(left).unwrap_or(usize::MAX)
    })
}

/// The connections of all ports.
#[derive(Debug)]
pub(crate) struct Crowd(AtomicUsize);

/// One connection's file; given back when dropped.
#[derive(Debug)]
pub(crate) struct OneFile(&'static Crowd);

pub(crate) static CROWD: Crowd = Crowd::new();

impl Crowd {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// `None` when all that connections may have are taken.
    pub(crate) fn join(&'static self) -> Option<OneFile> {
        self.join_up_to(connections_max())
    }

    fn join_up_to(&'static self, most: usize) -> Option<OneFile> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        // Refused, it is dropped here and gives back what was counted.
        let file = OneFile(self);
        (before < most).then_some(file)
    }
}

impl Drop for OneFile {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_quarter_and_at_least_some() {
        let cases = [
            (None, usize::MAX),
            (Some(1 << 20), 786_432),
            (Some(160), 96),
            (Some(50), 0),
        ];
        for (files, connections) in cases {
            assert_eq!(for_connections(files), connections, "{files:?}");
        }
    }

    #[test]
    fn who_is_refused_takes_no_place_and_who_leaves_gives_one_back() {
        static ROOM: Crowd = Crowd::new();
        let (first, second) = (ROOM.join_up_to(2), ROOM.join_up_to(2));
        assert!(first.is_some() && second.is_some());
        assert!(ROOM.join_up_to(2).is_none() && ROOM.join_up_to(2).is_none());
        drop(first);
        assert!(ROOM.join_up_to(2).is_some());
    }
}
