//! Random histories against a plain model: whatever happens, the store agrees with a `Vec`.
//!
//! The disk is looked at in the middle of everything that happens. `GANTRY_MODEL_STATES` says how
//! many such crash states are looked at; `GANTRY_MODEL_SEED` makes a run the same as an earlier one,
//! which has printed its seed when it failed.

mod crash;
mod expected;
mod history;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::test_runner::{RngSeed, TestRunner};
use proto::message::{StoredMessage, records};

use crate::support::*;

/// Answers that depend on the seed alone: mostly yes, mostly no, or in runs of the same.
pub(super) fn dice(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed | 1;
    let mut throw = move |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let (bias, run_max) = (throw(6), [1, 1, 4, 30][throw(4) as usize]);
    let (mut left, mut answer) = (0, false);
    move || {
        if left == 0 {
            (left, answer) = (throw(run_max) + 1, throw(5) >= bias);
        }
        left -= 1;
        answer
    }
}

#[test]
fn the_store_agrees_with_the_model_and_so_does_every_crash_state() {
    const CASES: u32 = 8;
    let wanted = number("GANTRY_MODEL_STATES", 400);
    let mut seed = number("GANTRY_MODEL_SEED", u64::from(std::process::id()) << 20);
    let (states, mut histories) = (AtomicU64::new(0), 0);
    while states.load(Ordering::Relaxed) < wanted {
        let mut runner = TestRunner::new(proptest::test_runner::Config {
            cases: CASES,
            rng_seed: RngSeed::Fixed(seed),
            failure_persistence: None,
            max_shrink_iters: number("GANTRY_MODEL_SHRINK", 4000) as u32,
            ..Default::default()
        });
        let outcome = runner.run(&history::history(), |history| {
            states.fetch_add(history::run(&history), Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!(
                "{error}\nrepeat with: GANTRY_MODEL_SEED={seed} GANTRY_MODEL_STATES=1 cargo test -p store --test store model"
            );
        }
        seed += 1;
        histories += CASES;
    }
    report(&format!(
        r#"{{"test":"disk model","histories":{histories},"crash_states":{states:?},"failed":0}}"#
    ));
}

#[test]
fn a_recovered_log_holds_only_what_was_sent() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..30 {
        send(&store, "alpha", 0, &n.to_string());
    }
    for seed in 0..50 {
        let disk = disk.fork();
        let (store, _) = {
            disk.kill();
            open(&disk)
        };
        for n in 30..60 {
            store
                .append(&draft("alpha", 0, n.to_string().as_bytes()), NOW)
                .expect("appends");
        }
        let batch = store
            .write_staged(Duration::ZERO)
            .expect("writes")
            .expect("a batch");
        drop((batch, store));
        disk.crash(&mut dice(seed));
        let (store, _) = open(&disk);
        let read = read(&store, "alpha", 0, 0);
        let found: Vec<_> = read
            .records
            .iter()
            .flat_map(|piece| records(piece))
            .map(|record: Result<StoredMessage<'_>, _>| text(&record.expect("valid")))
            .collect();
        let sent: Vec<_> = (0..found.len()).map(|n| n.to_string()).collect();
        assert!(found.len() >= 30, "seed {seed}");
        assert_eq!(found, sent, "seed {seed}");
    }
}
