//! Tests of the watermark: what is ready when, who is woken, what stays behind.
//! Invariant: none of them sleeps; the race test ends only if no wake-up is lost.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Wake,
};

use super::*;

#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn counting() -> (Arc<Counter>, Waker) {
    let counter = Arc::new(Counter::default());
    (Arc::clone(&counter), Waker::from(counter))
}

fn entries(watermark: &Watermark) -> usize {
    watermark.0.waiting.lock().entries.len()
}

#[test]
fn a_reached_mark_is_ready_at_once_and_leaves_nothing() {
    let watermark = Watermark::starting_at(10);
    let (_, waker) = counting();
    let mut waiter = watermark.waiter();
    assert_eq!(
        waiter.poll_reached(10, &Context::from_waker(&waker)),
        Poll::Ready(Ok(()))
    );
    assert_eq!(entries(&watermark), 0);
}

#[test]
fn an_advance_wakes_only_those_whose_mark_is_reached() {
    let watermark = Watermark::default();
    let (near, near_waker) = counting();
    let (far, far_waker) = counting();
    let (mut first, mut second) = (watermark.waiter(), watermark.waiter());
    assert!(
        first
            .poll_reached(5, &Context::from_waker(&near_waker))
            .is_pending()
    );
    assert!(
        second
            .poll_reached(9, &Context::from_waker(&far_waker))
            .is_pending()
    );

    watermark.advance(5);
    assert_eq!(
        (
            near.0.load(Relaxed),
            far.0.load(Relaxed),
            entries(&watermark)
        ),
        (1, 0, 1)
    );
    watermark.advance(9);
    assert_eq!(
        (
            near.0.load(Relaxed),
            far.0.load(Relaxed),
            entries(&watermark)
        ),
        (1, 1, 0)
    );
}

#[test]
fn polling_again_replaces_mark_and_waker_instead_of_piling_up() {
    let watermark = Watermark::default();
    let (old, old_waker) = counting();
    let (new, new_waker) = counting();
    let mut waiter = watermark.waiter();
    for mark in [7, 3, 8, 4] {
        assert!(
            waiter
                .poll_reached(mark, &Context::from_waker(&old_waker))
                .is_pending()
        );
    }
    assert!(
        waiter
            .poll_reached(6, &Context::from_waker(&new_waker))
            .is_pending()
    );
    assert_eq!(entries(&watermark), 1);

    watermark.advance(5);
    assert_eq!(new.0.load(Relaxed), 0);
    watermark.advance(6);
    assert_eq!((old.0.load(Relaxed), new.0.load(Relaxed)), (0, 1));
}

#[test]
fn a_dropped_wait_leaves_no_entry_even_after_others_moved_it() {
    let watermark = Watermark::default();
    let (_, waker) = counting();
    let mut waiters: Vec<Waiter> = (0..4).map(|_| watermark.waiter()).collect();
    for waiter in &mut waiters {
        assert!(
            waiter
                .poll_reached(1, &Context::from_waker(&waker))
                .is_pending()
        );
    }
    waiters.remove(0);
    waiters.remove(1);
    assert_eq!(entries(&watermark), 2);
    waiters.clear();
    assert_eq!(entries(&watermark), 0);
}

#[test]
fn it_never_goes_back() {
    let watermark = Watermark::starting_at(9);
    watermark.advance(4);
    assert_eq!(watermark.reached(), 9);
}

#[test]
fn stopping_fails_waits_present_and_future_but_not_reached_ones() {
    let watermark = Watermark::starting_at(3);
    let (count, waker) = counting();
    let cx = Context::from_waker(&waker);
    let mut waiter = watermark.waiter();
    assert!(waiter.poll_reached(4, &cx).is_pending());
    watermark.stop();
    assert_eq!((count.0.load(Relaxed), entries(&watermark)), (1, 0));
    assert_eq!(waiter.poll_reached(4, &cx), Poll::Ready(Err(Stopped)));
    assert_eq!(
        watermark.waiter().poll_reached(5, &cx),
        Poll::Ready(Err(Stopped))
    );
    assert_eq!(watermark.waiter().poll_reached(3, &cx), Poll::Ready(Ok(())));
}

#[test]
fn no_wake_up_is_lost_when_two_threads_race_with_many_waiters() {
    const TASKS: u64 = 32;
    const ROUNDS: u64 = 400;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let watermark = Watermark::default();
    let asked = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let tasks = (0..TASKS).map(|_| {
            let (watermark, asked) = (watermark.clone(), Arc::clone(&asked));
            runtime.spawn(async move {
                for _ in 0..ROUNDS {
                    let mark = asked.fetch_add(1, SeqCst) + 1;
                    assert_eq!(watermark.wait(mark).await, Ok(()));
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        // Two threads chase the marks that were asked for; neither ever repeats an advance, so a
        // waiter that was missed would wait for ever.
        let chasers: Vec<_> = (0..2)
            .map(|_| {
                let (watermark, asked) = (watermark.clone(), Arc::clone(&asked));
                runtime.spawn_blocking(move || {
                    while watermark.reached() < TASKS * ROUNDS {
                        watermark.advance(asked.load(SeqCst));
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        for task in tasks.into_iter().chain(chasers) {
            task.await.unwrap();
        }
    });
    assert_eq!(entries(&watermark), 0);
}
