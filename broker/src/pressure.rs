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

    /// A send was taken in that waits for `end`; the log is as far as `reached`. The clock is not
    /// read where another send is watched already.
    pub(crate) fn took(&self, end: u64, reached: u64, now: impl FnOnce() -> Instant) {
        self.newest.fetch_max(end, Ordering::Relaxed);
        if self.end.load(Ordering::Acquire) <= reached {
            let since = now().saturating_duration_since(self.started);
            let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            self.since_ms.store(since_ms, Ordering::Relaxed);
            self.end.store(end, Ordering::Release);
        }
    }

    /// For how long the watched send has waited, if that is longer than `allowed`.
    pub(crate) fn too_high(
        &self,
        reached: u64,
        allowed: Duration,
        now: impl FnOnce() -> Instant,
    ) -> Option<Duration> {
        let backlog = self.newest.load(Ordering::Relaxed).saturating_sub(reached);
        if backlog < BACKLOG_BYTES || self.end.load(Ordering::Acquire) <= reached {
            return None;
        }
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        let waited = now().saturating_duration_since(self.started + since);
        (waited > allowed).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn pressure_is_high_while_much_waits_and_the_watched_send_for_too_long() {
        let started = Instant::now();
        let pressure = Pressure::new(started);
        let allowed = Duration::from_millis(20);
        let took = |at, end, reached| pressure.took(end, reached, || after(started, at));
        let high = |at, reached| pressure.too_high(reached, allowed, || after(started, at));
        assert_eq!(high(9_000, 0), None, "nothing waits");
        took(100, 100, 0);
        assert_eq!(high(9_000, 0), None, "little waits");
        took(110, MIB, 0);
        // A slower thread tells of an earlier send.
        took(111, 200, 0);
        assert_eq!(high(120, 0), None);
        assert_eq!(high(121, 0), Some(Duration::from_millis(21)));
        assert_eq!(high(121, 1), None, "little is left");
        took(122, 2 * MIB, 99);
        assert!(high(123, 99).is_some(), "still the first");
        assert_eq!(high(123, 100), None, "it is acknowledged");
        took(124, 3 * MIB, 100);
        assert_eq!(high(144, 100), None);
        assert!(high(145, 100).is_some());
    }

    fn after(started: Instant, ms: u64) -> Instant {
        started + Duration::from_millis(ms)
    }
}
