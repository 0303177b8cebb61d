//! When things last happened on one connection, by which its deadlines are told.
//! Invariant: what the peer did and what was done to it are kept apart.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::limits::Limits;

/// While a connection is busy its deadlines are looked at this often: an answer that says "too late"
/// after 5 s is at most a tenth late itself.
pub(crate) const TICK: Duration = Duration::from_millis(400);

/// What a peer took too long for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Late {
    #[error("the peer does not take its answers")]
    Stuck,
    #[error("all connections hold too much")]
    Crowded,
    #[error("no whole first frame in time")]
    FirstFrame,
    #[error("silent for too long")]
    Idle,
}

/// When things last happened.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the first bytes of a first frame came.
    pub(crate) first_byte: Instant,
    pub(crate) moved: Instant,
    /// When the peer last gave a sign of life: bytes came, or it took some of what was stuck. A
    /// write is none: the system takes bytes for a peer that is long gone.
    pub(crate) heard: Instant,
    /// Since when the peer takes nothing of what is due to it.
    pub(crate) stuck: Option<Instant>,
    /// Since when it is not read because all connections hold too much.
    pub(crate) crowded: Option<Instant>,
    pub(crate) framed: bool,
    pub(crate) ticking: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            first_byte: now,
            moved: now,
            heard: now,
            stuck: None,
            crowded: None,
            framed: false,
            ticking: false,
        }
    }

    /// Looks at every deadline. `has_input`: of a frame that is not whole, or had to wait.
    pub(crate) fn check(&self, now: Instant, limits: &Limits, has_input: bool) -> Result<(), Late> {
        let over = |since: Instant, most: Duration| now >= since + most;
        let stalled = |since: Option<Instant>| since.is_some_and(|at| over(at, limits.write_stall));
        if stalled(self.stuck) {
            Err(Late::Stuck)
        } else if stalled(self.crowded) {
            Err(Late::Crowded)
        } else if !self.framed && has_input && over(self.first_byte, limits.first_frame) {
            Err(Late::FirstFrame)
        } else if over(self.heard, limits.idle) {
            Err(Late::Idle)
        } else {
            Ok(())
        }
    }

    /// Something moves: from now on there are ticks.
    pub(crate) fn moved_now(&mut self, timer: Pin<&mut Sleep>) {
        self.moved = Instant::now();
        if !self.ticking {
            self.ticking = true;
            timer.reset(self.moved + TICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_over_at_its_moment_and_not_before() {
        let limits = Limits::default();
        let start = Instant::now();
        let fresh = || Pace {
            framed: true,
            ..Pace::new(start)
        };
        let (mut stuck, mut crowded, mut begun) = (fresh(), fresh(), fresh());
        stuck.stuck = Some(start);
        crowded.crowded = Some(start);
        begun.framed = false;
        for (pace, has_input, most, late) in [
            (&stuck, false, limits.write_stall, Late::Stuck),
            (&crowded, false, limits.write_stall, Late::Crowded),
            (&begun, true, limits.first_frame, Late::FirstFrame),
            (&begun, false, limits.idle, Late::Idle),
            (&fresh(), true, limits.idle, Late::Idle),
        ] {
            let just_before = start + most - Duration::from_millis(1);
            assert_eq!(pace.check(just_before, &limits, has_input), Ok(()));
            assert_eq!(pace.check(start + most, &limits, has_input), Err(late));
        }
    }
}
