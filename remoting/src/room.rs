//! The memory that all connections together take for frames that are not whole yet and for what
//! has not left. Invariant: what a connection holds is counted, give or take
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

/// What others have put into the outbox of one connection. Counted by them and at once: its task
/// may be asleep.
#[derive(Debug)]
pub(crate) struct Queue {
    room: Room,
    bytes: AtomicUsize,
}

impl Queue {
    pub(crate) fn of(room: &Room) -> Arc<Self> {
        Arc::new(Self {
            room: room.clone(),
            bytes: AtomicUsize::new(0),
        })
    }

    /// Counts so much more, until the [`Load`] is dropped.
    pub(crate) fn load(self: &Arc<Self>, bytes: usize) -> Load {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.room.0.fetch_add(bytes, Ordering::Relaxed);
        Load {
            queue: Arc::clone(self),
            bytes,
        }
    }
}

/// Goes through the outbox with what it counts, so both end together whatever the end is.
#[derive(Debug)]
pub(crate) struct Load {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.queue.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.queue.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What one connection holds of the room.
#[derive(Debug)]
pub(crate) struct Share {
    queue: Arc<Queue>,
    max: usize,
    /// Besides its queue.
    counted: usize,
}

impl Share {
    /// Of a room for `max` bytes; 0 is a quarter of this process's memory.
    pub(crate) fn of(queue: Arc<Queue>, max: usize) -> Self {
        let max = if max == 0 { *QUARTER } else { max };
        Self {
            queue,
            max,
            counted: 0,
        }
    }

    /// Holds so much from now on, besides what is in its queue.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let counted = if bytes > UNCOUNTED_BYTES { bytes } else { 0 };
        let little = counted.abs_diff(self.counted) <= UNCOUNTED_BYTES;
        if counted == self.counted || (little && counted > 0) {
            return;
        }
        let all = &self.queue.room.0;
        if counted > self.counted {
            all.fetch_add(counted - self.counted, Ordering::Relaxed);
        } else {
            all.fetch_sub(self.counted - counted, Ordering::Relaxed);
        }
        self.counted = counted;
    }

    /// Must this connection wait until there is more room? Not one that holds next to nothing.
    pub(crate) fn must_wait(&self) -> bool {
        let queued = self.queue.bytes.load(Ordering::Relaxed);
        (self.counted > 0 || queued > UNCOUNTED_BYTES)
            && self.queue.room.0.load(Ordering::Relaxed) > self.max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.queue.room.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn whoever_holds_much_waits_while_all_hold_too_much() {
        let room = Room::default();
        let [mut large, mut small, mut other] =
            [0; 3].map(|_| Share::of(Queue::of(&room), 400 * KIB));
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
    fn what_is_queued_counts_at_once_and_for_its_own_connection() {
        let room = Room::default();
        let [idle, busy] = [0; 2].map(|_| Queue::of(&room));
        let [other, share] = [&idle, &busy].map(|queue| Share::of(Arc::clone(queue), 100 * KIB));
        let loads = [64, 1, 36].map(|kib| busy.load(kib * KIB));
        assert!(share.must_wait() && !other.must_wait());
        drop((share, busy));
        assert_eq!(
            room.0.load(Ordering::Relaxed),
            101 * KIB,
            "it is still there"
        );
        drop(loads);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_is_left_when_all_is_given_back() {
        let room = Room::default();
        let mut share = Share::of(Queue::of(&room), KIB);
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
