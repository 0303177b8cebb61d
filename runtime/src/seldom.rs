//! Things that may happen very often and are worth a log line only now and then.

use std::time::Duration;

use tokio::time::Instant;

/// One line at once, then at most one in each period, which says how many were left out.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    last: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            last: None,
            left_out: 0,
        }
    }

    /// Calls `log` with the number of those that were left out since the last line, or leaves this
    /// one out, too.
    pub fn tell(&mut self, now: Instant, log: impl FnOnce(u64)) {
        if self.last.is_some_and(|last| now < last + self.every) {
            self.left_out += 1;
            return;
        }
        self.last = Some(now);
        log(std::mem::take(&mut self.left_out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_a_flood_is_one_line_a_period() {
        let (begin, mut told) = (Instant::now(), Vec::new());
        let mut seldom = Seldom::new(Duration::from_secs(10));
        for second in 0..25 {
            let now = begin + Duration::from_secs(second);
            seldom.tell(now, |left_out| told.push((second, left_out)));
        }
        assert_eq!(told, [(0, 0), (10, 9), (20, 9)]);
    }
}
