//! What ends half-way: a start before its first checkpoint, a batch between the log and its queues.

use std::path::Path;
use std::time::Duration;

use store::files::{Disk, MemoryDisk};
use store::{OpenError, PersistError, WriteError};

use crate::support::*;

const TOPIC: &str = "T";

fn body(n: usize) -> String {
    format!("message {n}")
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(body).collect()
}

/// What a broker concludes from it must not depend on how far the first start came.
#[test]
fn a_start_that_ends_early_does_not_forget_what_the_next_one_has_to_know() {
    let harm: [fn(&MemoryDisk); 2] = [
        |disk| disk.crash(&mut || false),
        |disk| {
            disk.kill();
            let queues = Path::new("/store/consumequeue/T");
            disk.remove_folder(queues).expect("removes");
        },
    ];
    for (harm, wanted) in harm.into_iter().zip([(true, false), (false, true)]) {
        let disk = disk();
        let (store, _) = open(&disk);
        for n in 0..30 {
            send(&store, TOPIC, 0, &body(n));
        }
        store.persist_once().expect("persists");
        send(&store, TOPIC, 0, &body(30));
        drop(store);
        harm(&disk);
        for _ in 0..3 {
            let (store, opened) = open(&disk);
            assert_eq!((opened.lost_power, opened.queues_rebuilt), wanted);
            assert_eq!(bodies(&store, TOPIC, 0, 0), expected(31));
            drop(store);
            disk.kill();
        }
        let (store, _) = open(&disk);
        send(&store, TOPIC, 0, &body(31));
        store.persist_once().expect("persists");
        drop(store);
        disk.kill();
        let (store, opened) = open(&disk);
        assert_eq!((opened.lost_power, opened.queues_rebuilt), (false, false));
        assert_eq!(bodies(&store, TOPIC, 0, 0), expected(32));
    }
}

#[test]
fn a_store_is_not_closed_over_a_batch_that_nobody_made_readable() {
    let disk = disk();
    let (store, _) = open(&disk);
    store
        .append(&draft(TOPIC, 0, body(0).as_bytes()), NOW)
        .expect("appends");
    let batch = store.write_staged(Duration::ZERO).expect("writes");
    drop(batch.expect("a batch"));
    store
        .append(&draft(TOPIC, 1, b"another queue"), NOW)
        .expect("appends");
    assert!(matches!(
        store.close(),
        Err(PersistError::Log(WriteError::Stopped))
    ));
    drop(store);
    disk.kill();
    let (store, opened) = open(&disk);
    assert!(!opened.was_clean);
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(1));
}

#[test]
#[should_panic(expected = "a batch begins where the log ends")]
fn a_batch_is_not_made_readable_before_the_one_before_it() {
    let (store, _) = open(&disk());
    let mut batches = Vec::new();
    for queue in [0, 1] {
        store
            .append(&draft(TOPIC, queue, b"x"), NOW)
            .expect("appends");
        let batch = store.write_staged(Duration::ZERO).expect("writes");
        batches.push(batch.expect("a batch"));
    }
    store.dispatch(batches.remove(1), &mut |_| {});
}

/// What was acknowledged since the power came back is no torn end.
#[test]
fn damage_after_a_power_loss_and_a_kill_refuses_the_start() {
    let disk = disk();
    let (store, _) = open(&disk);
    send(&store, TOPIC, 0, &body(0));
    drop(store);
    disk.crash(&mut || false);
    let (store, opened) = open(&disk);
    assert!(opened.lost_power);
    let places: Vec<_> = (1..5).map(|n| send(&store, TOPIC, 0, &body(n))).collect();
    drop(store);
    disk.kill();
    let sound = disk.fork();
    let log = Path::new("/store/commitlog/00000000000000000000");
    let mut bytes = disk.content(log).expect("the log");
    bytes[usize::try_from(places[1].log_offset.0).expect("small") + 30] ^= 1;
    disk.set_content(log, bytes);
    assert!(matches!(try_open(&disk), Err(OpenError::Damaged(_))));
    let (store, opened) = open(&sound);
    assert!(opened.lost_power, "nothing was persisted since");
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(5));
}
