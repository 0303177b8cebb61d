//! How long senders wait for their acknowledgement at the moment: longer than allowed means that the
//! log gets less done than is asked of it, and new sends are better refused at once.
//!
//! One send at a time is watched: where it ends in the log, and since when. Invariant: when nothing
//! waits, the pressure is not high.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Pressure {
    started: Instant,
    /// The watched send is acknowledged when the log is as far as this.
    end: AtomicU64,
    /// When it was taken in, in ms since the start.
    since_ms: AtomicU64,
}

impl Pressure {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            end: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
        }
    }

    /// A send was taken in that waits for `end`; the log is as far as `reached`.
    pub(crate) fn took(&self, end: u64, reached: u64) {
        if self.end.load(Ordering::Acquire) <= reached {
            let now_ms = self.ms_until(Instant::now());
            self.since_ms.store(now_ms, Ordering::Relaxed);
            self.end.store(end, Ordering::Release);
        }
    }

    /// For how long the watched send has waited, if that is longer than `allowed`.
    pub(crate) fn too_high(&self, reached: u64, allowed: Duration) -> Option<Duration> {
        if self.end.load(Ordering::Acquire) <= reached {
            return None;
        }
        let since = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        let waited = self.started.elapsed().saturating_sub(since);
        (waited > allowed).then_some(waited)
    }

    fn ms_until(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.started);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_high_while_the_watched_send_waits_for_too_long() {
        let pressure = Pressure::new(Instant::now());
        let allowed = Duration::from_millis(1);
        assert_eq!(pressure.too_high(0, allowed), None, "nothing waits");
        pressure.took(100, 0);
        assert_eq!(pressure.too_high(0, Duration::from_secs(60)), None);
        while pressure.too_high(99, allowed).is_none() {
            std::hint::spin_loop();
        }
        pressure.took(200, 99);
        assert!(pressure.too_high(99, allowed).is_some(), "still the first");
        assert_eq!(pressure.too_high(100, allowed), None, "it is acknowledged");
        pressure.took(300, 100);
        assert_eq!(pressure.too_high(100, Duration::from_secs(60)), None);
    }
}
