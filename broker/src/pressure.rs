//! How long senders wait for their acknowledgement at the moment: longer than allowed, with much of
//! the log still to be made sure, means that less gets done than is asked for, and that new sends
//! are better refused at once. A disk that hesitates under little load is no reason.
//!
//! One send at a time is watched: where it ends in the log, and since when. Invariant: when nothing
//! waits, the pressure is not high.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So much must wait for pressure to be high.
const BACKLOG_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Pressure {
    started: Instant,
    /// The watched send is acknowledged when the log is as far as this.
    end: AtomicU64,
    /// When it was taken in, in ms since the start.
    since_ms: AtomicU64,
    /// Where the newest send ends.
    newest: AtomicU64,
}

impl Pressure {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            end: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            newest: AtomicU64::new(0),
        }
    }

    /// A send was taken in that waits for `end`; the log is as far as `reached`.
    pub(crate) fn took(&self, end: u64, reached: u64) {
        self.newest.store(end, Ordering::Relaxed);
        if self.end.load(Ordering::Acquire) <= reached {
            let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.since_ms.store(now_ms, Ordering::Relaxed);
            self.end.store(end, Ordering::Release);
        }
    }

    /// For how long the watched send has waited, if that is longer than `allowed`.
    pub(crate) fn too_high(&self, reached: u64, allowed: Duration) -> Option<Duration> {
        let backlog = self.newest.load(Ordering::Relaxed).saturating_sub(reached);
        if backlog < BACKLOG_BYTES || self.end.load(Ordering::Acquire) <= reached {
            return None;
        }
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        let waited = self.started.elapsed().saturating_sub(since);
        (waited > allowed).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn pressure_is_high_while_much_waits_and_the_watched_send_for_too_long() {
        let pressure = Pressure::new(Instant::now());
        let (allowed, long) = (Duration::from_millis(1), Duration::from_secs(60));
        assert_eq!(pressure.too_high(0, allowed), None, "nothing waits");
        pressure.took(100, 0);
        pressure.took(MIB, 0);
        assert_eq!(pressure.too_high(0, long), None);
        while pressure.too_high(0, allowed).is_none() {
            std::hint::spin_loop();
        }
        assert_eq!(pressure.too_high(1, allowed), None, "little is left");
        pressure.took(2 * MIB, 99);
        assert!(pressure.too_high(99, allowed).is_some(), "still the first");
        assert_eq!(pressure.too_high(100, allowed), None, "it is acknowledged");
        pressure.took(3 * MIB, 100);
        assert_eq!(pressure.too_high(100, long), None);
    }
}
