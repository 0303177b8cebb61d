//! The bytes that request bodies may take, all together. Invariant: a share is taken before its
//! bytes are read, and given back when whoever holds it is done with them.

use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicUsize,
}

/// Bytes that were taken from a budget.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    /// `None` when less is left.
    pub(crate) fn take(&self, bytes: usize) -> Option<Share<'_>> {
        // Not `then_some`: a share that was not taken must not be given back.
        self.subtract(bytes).then(|| Share {
            budget: self,
            bytes,
        })
    }

    fn subtract(&self, bytes: usize) -> bool {
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            });
        taken.is_ok()
    }
}

impl Share<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more; false when less is left.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken = self.budget.subtract(bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_missing_until_it_is_given_back() {
        let budget = Budget::new(10);
        let mut share = budget.take(6).unwrap();
        assert!(budget.take(5).is_none());
        assert!(share.grow(4) && !share.grow(1));
        assert_eq!(share.bytes(), 10);
        drop(share);
        assert!(budget.take(10).is_some());
    }
}
