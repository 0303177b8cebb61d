//! The store as a broker uses it: several threads at once, on a real disk.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proto::message::{QueueId, QueueOffset, records};
use store::files::OsDisk;
use store::{AppendError, Config, ReadLimits, Store};

use crate::support::*;

const SENDERS: u32 = 4;
const EACH: usize = 3000;

fn send_all(store: &Store, sender: u32) {
    let mut last = None;
    for n in 0..EACH {
        let body = format!("{sender}:{n}");
        let place = loop {
            match store.append(&draft("T", sender % 2, body.as_bytes()), NOW) {
                Ok(place) => break place,
                Err(AppendError::StagingFull) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        assert!(last < Some(place.queue_offset), "one sender's offsets rise");
        last = Some(place.queue_offset);
    }
}

/// Reads a queue from its start until `total` messages came; they come once each and in order.
fn read_all(store: &Store, queue: u32, total: u64) {
    let limits = ReadLimits {
        max_messages: 32,
        max_bytes: 256 << 10,
    };
    let (mut next, mut seen) = (0, HashSet::new());
    let mut newest = [None; SENDERS as usize];
    while next < total {
        let read = store
            .read("T", QueueId(queue), QueueOffset(next), &limits, &|_| true)
            .expect("reads");
        for record in read.records.iter().flat_map(|piece| records(piece)) {
            let record = record.expect("valid");
            assert_eq!(record.queue_offset.0, next);
            next += 1;
            let body = text(&record);
            let (sender, n) = body.split_once(':').expect("a sender and a number");
            let (sender, n): (usize, usize) = (
                sender.parse().expect("a number"),
                n.parse().expect("a number"),
            );
            assert!(
                newest[sender] < Some(n),
                "{body} after {:?}",
                newest[sender]
            );
            newest[sender] = Some(n);
            assert!(seen.insert(body));
        }
        std::thread::yield_now();
    }
}

#[test]
fn many_threads_append_write_persist_prepare_and_read_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || Config {
        segment_bytes: 256 << 10,
        queue_file_bytes: 20_000,
        index_slots: 1000,
        index_entries: 4000,
        staging_bytes_max: 64 << 10,
        ..Config::new(folder.path())
    };
    let (store, _) = Store::open(config(), Arc::new(OsDisk)).expect("opens");
    let total = u64::from(SENDERS) * EACH as u64;
    let (dispatched, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let store = &store;
            scope.spawn(move || send_all(store, sender));
        }
        for queue in 0..2 {
            let store = &store;
            scope.spawn(move || read_all(store, queue, total / 2));
        }
        scope.spawn(|| {
            while dispatched.load(Ordering::Acquire) < total {
                let batch = store
                    .write_staged(Duration::from_millis(50))
                    .expect("writes");
                let Some(batch) = batch else { continue };
                let count = batch.count() as u64;
                assert!(store.flush_once().expect("flushes") >= batch.end());
                store.dispatch(batch, &mut |_| {});
                dispatched.fetch_add(count, Ordering::Release);
            }
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                store.persist_once().expect("persists");
                while store.prepare_once().expect("prepares") {}
                std::thread::yield_now();
            }
        });
    });
    store.close().expect("closes");
    drop(store);
    let (store, opened) = Store::open(config(), Arc::new(OsDisk)).expect("opens");
    assert!(opened.was_clean);
    for queue in 0..2 {
        read_all(&store, queue, total / 2);
    }
    let report = store::inspect::check(&OsDisk, folder.path()).expect("reads");
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.units.right, report.units.missing), (total, 0));
}

#[test]
fn an_idle_store_writes_nothing() {
    let disk = disk();
    let (store, _) = open(&disk);
    send(&store, "T", 0, "x");
    store.persist_once().expect("persists");
    let writes = disk.count(store::files::Operation::Write);
    store.persist_once().expect("persists");
    assert_eq!(disk.count(store::files::Operation::Write), writes);
}
