//! The watermark under many schedules: nobody who waits is forgotten. A lost wake-up is a deadlock
//! here, and a failure prints the schedule that shows it.
#![cfg(shuttle)]

use std::sync::Arc;

use runtime::{Stopped, Watermark};
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Runner, thread};

fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let schedules =
        std::env::var("GANTRY_SCHEDULES").map_or(1000, |n| n.parse().expect("a number"));
    let model = Arc::new(model);
    let again = Arc::clone(&model);
    // Its own 60 KiB are not enough for frames that are not optimised.
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(move || model());
    Runner::new(PctScheduler::new(3, schedules - schedules / 2), config).run(move || again());
    #[expect(clippy::print_stdout, reason = "for whoever runs it with --nocapture")]
    {
        println!(r#"{{"test":"{name}","schedules":{schedules},"failed":0}}"#);
    }
}

#[test]
fn whoever_waits_for_a_mark_is_woken_when_it_is_reached() {
    explore("watermark: waits and advances", || {
        let watermark = Watermark::default();
        let waiters: Vec<_> = [1, 2, 2, 3]
            .into_iter()
            .map(|mark| {
                let watermark = watermark.clone();
                thread::spawn(move || {
                    assert_eq!(block_on(watermark.wait(mark)), Ok(()));
                    assert!(watermark.reached() >= mark);
                })
            })
            .collect();
        let other = watermark.clone();
        let advances = thread::spawn(move || other.advance(2));
        watermark.advance(1);
        watermark.advance(3);
        advances.join().expect("no panic");
        for waiter in waiters {
            waiter.join().expect("no panic");
        }
    });
}

#[test]
fn a_stop_ends_every_wait_and_what_was_reached_counts() {
    explore("watermark: stop", || {
        let watermark = Watermark::default();
        let waiters: Vec<_> = [1, 2]
            .into_iter()
            .map(|mark| {
                let watermark = watermark.clone();
                thread::spawn(move || block_on(watermark.wait(mark)))
            })
            .collect();
        let other = watermark.clone();
        let stops = thread::spawn(move || {
            other.advance(1);
            other.stop();
        });
        let ends: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.join().expect("no panic"))
            .collect();
        stops.join().expect("no panic");
        assert_eq!(ends, [Ok(()), Err(Stopped)]);
    });
}

#[test]
fn a_wait_that_is_given_up_takes_nobody_elses_place() {
    explore("watermark: waits given up", || {
        let watermark = Watermark::default();
        let patient = {
            let watermark = watermark.clone();
            thread::spawn(move || assert_eq!(block_on(watermark.wait(2)), Ok(())))
        };
        let impatient = {
            let watermark = watermark.clone();
            thread::spawn(move || {
                let mut waiter = watermark.waiter();
                let waker = std::task::Waker::noop();
                let _may_be_ready = waiter.poll_reached(1, &std::task::Context::from_waker(waker));
            })
        };
        watermark.advance(1);
        watermark.advance(2);
        patient.join().expect("no panic");
        impatient.join().expect("no panic");
    });
}
