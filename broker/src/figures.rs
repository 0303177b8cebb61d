//! What the broker has counted since it started, and rates over the last 10, 60 and 600 seconds.
//! Counting is one relaxed addition; rates come from samples taken each ten seconds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// Samples kept: 600 seconds and the one they are compared with.
const SAMPLES_MAX: usize = 61;
pub(crate) const SAMPLE_SECONDS: u64 = 10;

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) put_messages: AtomicU64,
    pub(crate) put_bytes: AtomicU64,
    pub(crate) put_failed: AtomicU64,
    pub(crate) pulls_found: AtomicU64,
    pub(crate) pulls_missed: AtomicU64,
    pub(crate) sent_messages: AtomicU64,
    samples: Mutex<VecDeque<Counts>>,
}

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) put: u64,
    pub(crate) found: u64,
    pub(crate) missed: u64,
    pub(crate) sent: u64,
}

impl Figures {
    pub(crate) fn put(&self, messages: u64, bytes: u64) {
        self.put_messages.fetch_add(messages, Relaxed);
        self.put_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            put: self.put_messages.load(Relaxed),
            found: self.pulls_found.load(Relaxed),
            missed: self.pulls_missed.load(Relaxed),
            sent: self.sent_messages.load(Relaxed),
        }
    }

    pub(crate) fn sample(&self) {
        let mut samples = self.samples.lock();
        if samples.len() == SAMPLES_MAX {
            samples.pop_back();
        }
        samples.push_front(self.counts());
    }

    /// compat: StoreStatsService: three numbers in one text, over 10, 60 and 600 seconds.
    pub(crate) fn rates(&self, of: impl Fn(&Counts) -> u64) -> String {
        let samples = self.samples.lock();
        let rate = |back: usize| {
            let back = back.min(samples.len().saturating_sub(1));
            let (Some(new), Some(old)) = (samples.front(), samples.get(back)) else {
                return 0.0;
            };
            let seconds = (back as u64 * SAMPLE_SECONDS).max(1);
            (of(new) - of(old)) as f64 / seconds as f64
        };
        format!("{} {} {}", rate(1), rate(6), rate(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_between_samples() {
        let figures = Figures::default();
        assert_eq!(figures.rates(|c| c.put), "0 0 0");
        for _ in 0..3 {
            figures.sample();
            figures.put(100, 1);
        }
        figures.sample();
        assert_eq!(figures.rates(|c| c.put), "10 10 10");
    }
}
