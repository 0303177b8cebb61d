//! Decisions that a seed makes (splitmix64): the same seed and cycle, the same decisions.

use std::ops::Range;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Those of one cycle, whatever was decided in the cycles before.
    pub(crate) fn of(seed: u64, cycle: u32) -> Self {
        let mut dice = Self(seed ^ u64::from(cycle).rotate_right(17));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start).max(1)
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_cycle_repeat_their_decisions_which_stay_within_bounds() {
        let rolled = |seed, cycle| -> Vec<_> {
            let mut dice = Dice::of(seed, cycle);
            (0..100).map(|_| dice.within(50..2000)).collect()
        };
        assert_eq!(rolled(1, 7), rolled(1, 7));
        assert_ne!(rolled(1, 7), rolled(1, 8));
        assert_ne!(rolled(1, 7), rolled(2, 7));
        assert!(
            rolled(3, 1)
                .iter()
                .all(|rolled| (50..2000).contains(rolled))
        );
    }
}
