//! What 50,000 topics with 4 queues each cost: memory, persisting, opening.
//!
//! `cargo bench -p store --bench many_queues [folder] [topics]`
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::message::{Draft, QueueId, SysFlag};
use store::files::OsDisk;
use store::{Config, Store};

fn main() {
    let arguments: Vec<_> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let folder = arguments
        .first()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let topics = arguments
        .get(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(50_000u32);
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let config = || Config::new(folder.path());
    let (store, _) = Store::open(config(), Arc::new(OsDisk)).expect("opens");
    let resident = resident_kb();
    let begun = Instant::now();
    for topic in 0..topics {
        let topic = format!("a-topic-with-a-usual-name-{topic}");
        for queue in 0..4 {
            append(&store, &topic, queue);
        }
        settle(&store);
    }
    let queues = u64::from(topics) * 4;
    println!("{queues} queues, a message in each: {:?}", begun.elapsed());
    let begun = Instant::now();
    store.persist_once().expect("persists");
    println!("persisting all of them: {:?}", begun.elapsed());
    let taken = (resident_kb() - resident) * 1024 / queues;
    println!("resident: {taken} bytes a queue, with 64 MiB of log and buffers in it");
    store.close().expect("closes");
    drop(store);
    for _ in 0..2 {
        let begun = Instant::now();
        let (store, opened) = Store::open(config(), Arc::new(OsDisk)).expect("opens");
        println!("open, clean {}: {:?}", opened.was_clean, begun.elapsed());
        println!("resident after opening: {} KB", resident_kb());
        drop(store);
    }
}

fn append(store: &Store, topic: &str, queue: u32) {
    let host = ([127, 0, 0, 1], 10_911).into();
    let draft = Draft {
        topic,
        queue_id: QueueId(queue),
        flag: 0,
        sys_flag: SysFlag(0),
        born_timestamp: 0,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"a short body",
        properties: &[],
        tags_code: 0,
        unique_key: None,
        keys: None,
    };
    store.append(&draft, 0).expect("appends");
}

fn settle(store: &Store) {
    while let Some(batch) = store.write_staged(Duration::ZERO).expect("writes") {
        store.dispatch(batch, &mut |_| {});
    }
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse().ok())
        .unwrap_or(0)
}
