//! When messages are due. In a closed loop at once; in an open one at fixed moments, which a thread
//! of its own announces, because a runtime's timers are a millisecond wide.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use runtime::Tasks;
use tokio::sync::Notify;

use crate::failure::Failure;

/// What one lane may send by now.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    pub(super) due: AtomicU64,
    pub(super) more: Notify,
}

/// The moments of all messages of an open loop: number `n` goes to lane `n % lanes`.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) begin: Instant,
    rate: f64,
    pub(super) lanes: Vec<Allowance>,
    over: AtomicBool,
}

impl Schedule {
    pub(super) fn new(begin: Instant, rate: f64, lanes: u32) -> Arc<Self> {
        Arc::new(Self {
            begin,
            rate,
            lanes: (0..lanes).map(|_| Allowance::default()).collect(),
            over: AtomicBool::new(false),
        })
    }

    fn moment(&self, n: u64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for a million years of messages"
        )]
        Duration::from_secs_f64(n as f64 / self.rate)
    }

    /// When the message number `k` of a lane is due.
    pub(super) fn due(&self, lane: usize, k: u64) -> Duration {
        self.moment(k * self.lanes.len() as u64 + lane as u64)
    }

    /// Announces moments until the end.
    pub(super) fn announce(self: &Arc<Self>, until: Instant, tasks: &Tasks) -> Result<(), Failure> {
        let schedule = Arc::clone(self);
        let announce = move || {
            let mut n = 0;
            loop {
                let due = schedule.begin + schedule.moment(n);
                if due >= until || schedule.over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let lane = usize::try_from(n % schedule.lanes.len() as u64).unwrap_or(0);
                if let Some(lane) = schedule.lanes.get(lane) {
                    lane.due.fetch_add(1, Ordering::Release);
                    lane.more.notify_one();
                }
                n += 1;
            }
        };
        let started = tasks.thread("pace", announce);
        started.map_err(Failure::io("cannot start a thread"))
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_share_the_moments_in_turn() {
        let schedule = Schedule::new(Instant::now(), 1000.0, 4);
        let due: Vec<_> = [(0, 0), (3, 0), (0, 1), (2, 10)]
            .map(|(lane, k)| schedule.due(lane, k).as_millis())
            .into();
        assert_eq!(due, [0, 3, 4, 42]);
    }
}
