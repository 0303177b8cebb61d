//! A number that only grows, and tasks that wait until it has grown past their mark.
//!
//! One thread (a log writer, a flusher, a dispatcher) calls `advance`; any number of tasks wait. The
//! fast paths take no lock: a wait whose mark is reached is one load, an advance that nobody waits
//! for is one read-modify-write and one load. Wakers run outside the lock.
//!
//! Invariant 1 (nothing is woken late): `nearest` is never above the lowest registered mark, except
//! while the lock is held. A waiter registers (writes `nearest`) and then looks at `reached` again;
//! an advance writes `reached` and then looks at `nearest`. All four are `SeqCst`, so they have one
//! order and at least one side sees the other: either the waiter returns ready or the advance takes
//! the lock and finds it. `stop` follows the same order with `stopped` in place of `reached`.
//!
//! Invariant 2 (nothing piles up): a `Waiter` has at most one entry. Polling again updates it,
//! waking removes it, dropping removes it. Steady state allocates nothing: both vectors are reused.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use crate::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

/// The mark will never be reached: whoever advances it has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped before the mark was reached")]
pub struct Stopped;

/// A number that only grows. Clones are handles to the same number.
#[derive(Debug, Clone, Default)]
pub struct Watermark(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    reached: AtomicU64,
    stopped: AtomicBool,
    /// At most the lowest mark in `waiting`; `u64::MAX` when nobody waits.
    nearest: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Scratch space of `advance`; a second advance at the same time does without.
    waking: Mutex<Vec<Waker>>,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: Vec<Entry>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    /// Which `Waiter` this belongs to.
    ticket: u64,
    mark: u64,
    waker: Waker,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            reached: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            nearest: AtomicU64::new(u64::MAX),
            waiting: Mutex::default(),
            waking: Mutex::default(),
        }
    }
}

impl Watermark {
    /// A watermark that has reached `at` already.
    #[must_use]
    pub fn starting_at(at: u64) -> Self {
        let mark = Self::default();
        mark.advance(at);
        mark
    }

    /// How far it is.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.0.reached.load(SeqCst)
    }

    /// Moves it forward and wakes those whose mark is reached. Going back is ignored.
    pub fn advance(&self, to: u64) {
        let before = self.0.reached.fetch_max(to, SeqCst);
        if before < to && self.0.nearest.load(SeqCst) <= to {
            self.wake(|mark, reached| mark <= reached);
        }
    }

    /// Fails every wait, present and future, whose mark is not reached.
    pub fn stop(&self) {
        self.0.stopped.store(true, SeqCst);
        self.wake(|_, _| true);
    }

    /// A place to wait with `poll_reached`, for a task that looks at several things in one poll.
    #[must_use]
    pub fn waiter(&self) -> Waiter {
        Waiter {
            watermark: self.clone(),
            registered: None,
        }
    }

    /// Waits until `at` is reached.
    #[must_use = "a wait does nothing unless awaited"]
    pub fn wait(&self, at: u64) -> Reached {
        Reached {
            waiter: self.waiter(),
            at,
        }
    }

    /// How a wait for `at` ends; `None`: not yet.
    #[must_use]
    pub fn outcome(&self, at: u64) -> Option<Result<(), Stopped>> {
        if self.reached() >= at {
            return Some(Ok(()));
        }
        if !self.0.stopped.load(SeqCst) {
            return None;
        }
        // What was reached before the stop counts as reached.
        Some(if self.reached() >= at {
            Ok(())
        } else {
            Err(Stopped)
        })
    }

    fn wake(&self, due: impl Fn(u64, u64) -> bool) {
        let mut scratch = self.0.waking.try_lock();
        let mut own = Vec::new();
        let wakers = scratch.as_deref_mut().unwrap_or(&mut own);
        {
            let mut waiting = self.0.waiting.lock();
            let reached = self.reached();
            let mut nearest = u64::MAX;
            let mut at = 0;
            while let Some(entry) = waiting.entries.get(at) {
                if due(entry.mark, reached) {
                    wakers.push(waiting.entries.swap_remove(at).waker);
                } else {
                    nearest = nearest.min(entry.mark);
                    at += 1;
                }
            }
            self.0.nearest.store(nearest, SeqCst);
        }
        wakers.drain(..).for_each(Waker::wake);
    }
}

/// One party that waits for a watermark, for one mark at a time.
#[derive(Debug)]
pub struct Waiter {
    watermark: Watermark,
    registered: Option<Registered>,
}

#[derive(Debug, Clone, Copy)]
struct Registered {
    ticket: u64,
    mark: u64,
    /// Where the entry was last seen; others that leave may have moved it.
    hint: usize,
}

impl Waiter {
    /// Ready when `at` is reached or never will be; otherwise `cx` is woken when that changes. A
    /// later call replaces the mark and the waker of an earlier one.
    pub fn poll_reached(&mut self, at: u64, cx: &Context<'_>) -> Poll<Result<(), Stopped>> {
        if let Some(outcome) = self.watermark.outcome(at) {
            self.leave();
            return Poll::Ready(outcome);
        }
        self.register(at, cx.waker());
        match self.watermark.outcome(at) {
            Some(outcome) => {
                if let Some(mine) = self.registered.take() {
                    self.remove(mine);
                }
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    fn register(&mut self, mark: u64, waker: &Waker) {
        let shared = &self.watermark.0;
        let mut waiting = shared.waiting.lock();
        let seen = self
            .live()
            .and_then(|mine| Some((mine.ticket, waiting.find(mine)?)));
        let (ticket, hint) = if let Some((ticket, hint)) = seen {
            let entry = &mut waiting.entries[hint];
            entry.mark = mark;
            entry.waker.clone_from(waker);
            (ticket, hint)
        } else {
            let ticket = waiting.next_ticket;
            waiting.next_ticket += 1;
            waiting.entries.push(Entry {
                ticket,
                mark,
                waker: waker.clone(),
            });
            (ticket, waiting.entries.len() - 1)
        };
        self.registered = Some(Registered { ticket, mark, hint });
        shared
            .nearest
            .store(shared.nearest.load(SeqCst).min(mark), SeqCst);
    }

    /// The entry that may still be in the list. Once its mark is reached it is the advance that
    /// takes it out: it was registered before (else the second look in `poll_reached` had removed
    /// it), so that advance met `nearest` at or below the mark.
    fn live(&self) -> Option<Registered> {
        self.registered
            .filter(|mine| mine.mark > self.watermark.reached())
    }

    fn leave(&mut self) {
        let live = self.live();
        self.registered = None;
        if let Some(mine) = live {
            self.remove(mine);
        }
    }

    fn remove(&self, mine: Registered) {
        let mut waiting = self.watermark.0.waiting.lock();
        if let Some(at) = waiting.find(mine) {
            // `nearest` may now be lower than needed; the next advance that meets it corrects it.
            waiting.entries.swap_remove(at);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Waiting {
    fn find(&self, wanted: Registered) -> Option<usize> {
        match self.entries.get(wanted.hint) {
            Some(entry) if entry.ticket == wanted.ticket => Some(wanted.hint),
            _ => self
                .entries
                .iter()
                .position(|entry| entry.ticket == wanted.ticket),
        }
    }
}

/// The future of `Watermark::wait`.
#[derive(Debug)]
pub struct Reached {
    waiter: Waiter,
    at: u64,
}

impl Future for Reached {
    type Output = Result<(), Stopped>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let at = self.at;
        self.waiter.poll_reached(at, cx)
    }
}

#[cfg(test)]
mod tests;
