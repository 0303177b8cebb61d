//! Appenders, writer, caretaker and readers under many schedules: records are handed over once and in
//! order, marks hold, nobody sleeps for ever. A failure prints the schedule that shows it.
#![cfg(shuttle)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::message::{Draft, QueueId, QueueOffset, SysFlag, records};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Runner, thread};
use store::files::{Fault, MemoryDisk, Operation};
use store::{AppendError, Appended, Config, Opened, ReadLimits, Store, WriteError};

const NOW: i64 = 1_763_652_000_000;
const EACH: usize = 2;
const PATIENCE: Duration = Duration::from_secs(1);

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

fn open(disk: &MemoryDisk, segment_bytes: u64) -> Arc<Store> {
    opened(disk, segment_bytes).0
}

fn opened(disk: &MemoryDisk, segment_bytes: u64) -> (Arc<Store>, Opened) {
    let config = Config {
        segment_bytes,
        queue_file_bytes: 40,
        index_slots: 4,
        index_entries: 8,
        ..Config::new("/store")
    };
    let (store, opened) = Store::open(config, Arc::new(disk.clone())).expect("opens");
    (Arc::new(store), opened)
}

fn append(store: &Store, body: &str) -> Result<Appended, AppendError> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    let draft = Draft {
        topic: "T",
        queue_id: QueueId(0),
        flag: 0,
        sys_flag: SysFlag(0),
        born_timestamp: NOW,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: &[],
        tags_code: 0,
        unique_key: None,
        keys: Some(body),
    };
    store.append(&draft, NOW)
}

/// What the queue holds; every record is whole and at its place.
fn read(store: &Store) -> Vec<String> {
    let limits = ReadLimits {
        max_messages: 100,
        max_bytes: u32::MAX,
    };
    let read = store
        .read("T", QueueId(0), QueueOffset(0), &limits, &|_| true)
        .expect("reads");
    let mut bodies = Vec::new();
    for record in read.records.iter().flat_map(|piece| records(piece)) {
        let record = record.expect("valid");
        assert_eq!(record.queue_offset.0, bodies.len() as u64);
        bodies.push(String::from_utf8(record.body.to_vec()).expect("text"));
    }
    bodies
}

fn marks_hold(store: &Store) {
    // The lower ones first: they only grow.
    let (dispatched, durable) = (store.dispatched_to(), store.durable_to());
    let appended = store.appended_to();
    assert!(dispatched <= appended && durable <= appended);
}

fn senders(store: &Arc<Store>) -> Vec<thread::JoinHandle<()>> {
    ["a", "b"]
        .map(|name| {
            let store = Arc::clone(store);
            thread::spawn(move || {
                let mut last = None;
                for n in 0..EACH {
                    let place = append(&store, &format!("{name}{n}")).expect("appends");
                    assert!(last < Some(place.queue_offset));
                    last = Some(place.queue_offset);
                }
            })
        })
        .into()
}

#[test]
fn appends_are_written_flushed_and_handed_over_once_and_in_order() {
    explore(
        "store: append, write, flush, dispatch, persist, read",
        || {
            let disk = MemoryDisk::new();
            let store = open(&disk, 512);
            let mut threads = senders(&store);
            let writer = Arc::clone(&store);
            threads.push(thread::spawn(move || {
                let mut count = 0;
                while count < 2 * EACH {
                    let Some(batch) = writer.write_staged(PATIENCE).expect("writes") else {
                        continue;
                    };
                    count += batch.count();
                    let end = batch.end();
                    assert!(writer.flush_once().expect("flushes") >= end);
                    writer.dispatch(batch, &mut |_| {});
                    assert!(writer.dispatched_to() >= end && writer.durable_to() >= end);
                }
            }));
            let keeper = Arc::clone(&store);
            threads.push(thread::spawn(move || {
                keeper.prepare_once().expect("prepares");
                keeper.persist_once().expect("persists");
                marks_hold(&keeper);
            }));
            let mut seen = read(&store);
            for thread in threads {
                let more = read(&store);
                assert!(more.starts_with(&seen), "{seen:?} then {more:?}");
                seen = more;
                marks_hold(&store);
                thread.join().expect("no panic");
            }
            seen = read(&store);
            for name in ["a", "b"] {
                let of_one: Vec<_> = seen.iter().filter(|body| body.starts_with(name)).collect();
                let sent: Vec<_> = (0..EACH).map(|n| format!("{name}{n}")).collect();
                assert_eq!(of_one, sent.iter().collect::<Vec<_>>());
            }
            // Everything was flushed, whatever the caretaker wrote meanwhile.
            drop(store);
            disk.crash(&mut || false);
            assert_eq!(read(&open(&disk, 512)), seen);
        },
    );
}

#[test]
fn after_a_failed_flush_nothing_is_acknowledged_and_nobody_sleeps() {
    explore("store: a flush fails", || {
        let disk = MemoryDisk::new();
        let store = open(&disk, 4096);
        let first = append(&store, "first").expect("appends");
        for nth in 2..9 {
            disk.fail(
                Operation::Sync,
                nth,
                Fault::Error(std::io::ErrorKind::Other),
            );
        }
        let sender = Arc::clone(&store);
        let sender = thread::spawn(move || {
            for n in 0..3 {
                match append(&sender, &n.to_string()) {
                    Ok(_) | Err(AppendError::Stopped) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let keeper = Arc::clone(&store);
        let keeper = thread::spawn(move || {
            let _may_meet_the_fault = keeper.persist_once();
        });
        let mut acknowledged = 0;
        let stopped = loop {
            let _may_be_stopped = append(&store, "more");
            match store.write_staged(PATIENCE) {
                Err(error) => break error,
                Ok(None) => continue,
                Ok(Some(batch)) => match store.flush_once() {
                    Ok(durable) => {
                        acknowledged = durable.0;
                        store.dispatch(batch, &mut |_| {});
                    }
                    Err(error) => break error,
                },
            }
        };
        assert!(matches!(
            stopped,
            WriteError::Flush(_) | WriteError::Stopped
        ));
        assert!(matches!(append(&store, "x"), Err(AppendError::Stopped)));
        sender.join().expect("no panic");
        keeper.join().expect("no panic");
        assert!(store.durable_to().0 >= acknowledged);
        drop(store);
        disk.fail_no_more();
        disk.crash(&mut || false);
        let store = open(&disk, 4096);
        assert!(store.appended_to().0 >= acknowledged);
        assert!(acknowledged < first.end.0 || read(&store)[0] == "first");
    });
}

#[test]
fn whoever_watches_and_finds_nothing_hears_of_the_message() {
    explore("store: watch", || {
        let disk = MemoryDisk::new();
        let store = open(&disk, 4096);
        let heard = Arc::new(AtomicBool::new(false));
        let watcher = Arc::clone(&store);
        let watcher = thread::spawn(move || {
            watcher.watch("T", QueueId(0));
            !read(&watcher).is_empty()
        });
        append(&store, "one").expect("appends");
        let batch = store.write_staged(PATIENCE).expect("writes");
        let hears = Arc::clone(&heard);
        store.dispatch(batch.expect("a batch"), &mut |_| {
            hears.store(true, Ordering::Relaxed);
        });
        let saw = watcher.join().expect("no panic");
        assert!(saw || heard.load(Ordering::Relaxed));
    });
}

#[test]
fn a_topic_that_is_sent_to_while_it_is_deleted_has_its_files() {
    explore("store: delete a topic that comes again", || {
        let disk = MemoryDisk::new();
        let store = open(&disk, 4096);
        let send = |body| {
            append(&store, body).expect("appends");
            let batch = store.write_staged(PATIENCE).expect("writes");
            store.dispatch(batch.expect("a batch"), &mut |_| {});
        };
        send("old");
        store.persist_once().expect("persists");
        let deleter = Arc::clone(&store);
        let deleter = thread::spawn(move || deleter.delete_topic("T").expect("deletes"));
        send("new");
        send("newer");
        deleter.join().expect("no panic");
        store.persist_once().expect("persists");
        let seen = read(&store);
        drop(store);
        disk.kill();
        let (store, opened) = opened(&disk, 4096);
        assert!(!opened.queues_rebuilt, "{opened:?}");
        assert_eq!(read(&store), seen);
    });
}
