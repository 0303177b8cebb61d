//! The memory that all connections together take for frames that are not whole yet and for answers
//! that have not left. Invariant: what a connection holds is counted, give or take
//! [`UNCOUNTED_BYTES`], and no longer when it is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// A connection may hold so much without anybody knowing, so that most never count.
const UNCOUNTED_BYTES: usize = 64 << 10;

/// Of this process's memory, or of a small machine's.
static QUARTER: LazyLock<usize> = LazyLock::new(|| {
    let quarter = runtime::memory::limit_bytes().unwrap_or(1 << 30) / 4;
    usize::try_from(quarter).unwrap_or(usize::MAX)
});

/// What is held by all that share it; clones do.
#[derive(Clone, Debug, Default)]
pub struct Room(Arc<AtomicUsize>);

/// What one connection holds of it.
#[derive(Debug)]
pub(crate) struct Share {
    room: Room,
    max: usize,
    counted: usize,
}

impl Share {
    /// Of a room for `max` bytes; 0 is a quarter of this process's memory.
    pub(crate) fn of(room: &Room, max: usize) -> Self {
        let max = if max == 0 { *QUARTER } else { max };
        Self {
            room: room.clone(),
            max,
            counted: 0,
        }
    }

    /// Holds so much from now on.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let counted = if bytes > UNCOUNTED_BYTES { bytes } else { 0 };
        let little = counted.abs_diff(self.counted) <= UNCOUNTED_BYTES;
        if counted == self.counted || (little && counted > 0) {
            return;
        }
        let all = &self.room.0;
        if counted > self.counted {
            all.fetch_add(counted - self.counted, Ordering::Relaxed);
        } else {
            all.fetch_sub(self.counted - counted, Ordering::Relaxed);
        }
        self.counted = counted;
    }

    /// Must this connection wait until there is more room? Not one that holds next to nothing.
    pub(crate) fn must_wait(&self) -> bool {
        self.counted > 0 && self.room.0.load(Ordering::Relaxed) > self.max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn whoever_holds_much_waits_while_all_hold_too_much() {
        let room = Room::default();
        let [mut large, mut small, mut other] = [0; 3].map(|_| Share::of(&room, 400 * KIB));
        large.hold(300 * KIB);
        small.hold(64 * KIB);
        other.hold(100 * KIB);
        assert!(!large.must_wait(), "full to the last byte");
        other.hold(201 * KIB);
        assert!(large.must_wait() && other.must_wait() && !small.must_wait());
        drop(large);
        assert!(!other.must_wait());
    }

    #[test]
    fn nothing_is_left_when_all_is_given_back() {
        let room = Room::default();
        let mut share = Share::of(&room, KIB);
        for held in [0, 64, 65, 100, 170, 90, 1 << 20, 20, 70, 0].map(|kib| kib * KIB) {
            share.hold(held);
            let counted = room.0.load(Ordering::Relaxed);
            assert!(
                counted.abs_diff(held) <= UNCOUNTED_BYTES,
                "{held}: {counted}"
            );
        }
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
        share.hold(300 * KIB);
        drop(share);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
