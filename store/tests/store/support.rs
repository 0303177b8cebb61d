//! Words for store tests: a disk in memory, a small store on it, messages that say who they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Draft, QueueId, QueueOffset, StoredMessage, SysFlag, records};
use store::files::MemoryDisk;
use store::{Appended, Config, OpenError, Opened, Read, ReadLimits, Store};

pub(crate) const NOW: i64 = 1_763_652_000_000;
pub(crate) const MANY: ReadLimits = ReadLimits {
    max_messages: 10_000,
    max_bytes: u32::MAX,
};

/// A store whose files are so small that every test crosses their borders.
pub(crate) fn config() -> Config {
    Config {
        segment_bytes: 4096,
        queue_file_bytes: 200,
        index_slots: 16,
        index_entries: 64,
        ..Config::new("/store")
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> (Store, Opened) {
    try_open(disk).expect("opens")
}

pub(crate) fn try_open(disk: &MemoryDisk) -> Result<(Store, Opened), OpenError> {
    Store::open(config(), Arc::new(disk.clone()))
}

pub(crate) fn host() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 10911))
}

pub(crate) fn draft<'a>(topic: &'a str, queue_id: u32, body: &'a [u8]) -> Draft<'a> {
    Draft {
        topic,
        queue_id: QueueId(queue_id),
        flag: 0,
        sys_flag: SysFlag(0),
        born_timestamp: NOW,
        born_host: host(),
        store_host: host(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[],
        tags_code: 0,
        unique_key: None,
        keys: None,
    }
}

/// Appends, writes, flushes and dispatches one message.
pub(crate) fn send(store: &Store, topic: &str, queue_id: u32, body: &str) -> Appended {
    let appended = store
        .append(&draft(topic, queue_id, body.as_bytes()), NOW)
        .expect("appends");
    settle(store);
    appended
}

/// Writes, flushes and dispatches what is staged.
pub(crate) fn settle(store: &Store) {
    while let Some(batch) = store.write_staged(Duration::ZERO).expect("writes") {
        store.flush_once().expect("flushes");
        store.dispatch(batch, &mut |_| {});
    }
    store.flush_once().expect("flushes");
}

pub(crate) fn read(store: &Store, topic: &str, queue_id: u32, from: u64) -> Read {
    store
        .read(topic, QueueId(queue_id), QueueOffset(from), &MANY, &|_| {
            true
        })
        .expect("reads")
}

/// The bodies of a queue from an offset on, with however many reads it takes.
pub(crate) fn bodies(store: &Store, topic: &str, queue_id: u32, from: u64) -> Vec<String> {
    let (mut bodies, mut next) = (Vec::new(), from);
    loop {
        let read = read(store, topic, queue_id, next);
        if read.count == 0 {
            return bodies;
        }
        for piece in &read.records {
            for record in records(piece) {
                bodies.push(text(&record.expect("a record")));
            }
        }
        next = read.next.0;
    }
}

pub(crate) fn text(message: &StoredMessage<'_>) -> String {
    String::from_utf8(message.body.to_vec()).expect("text")
}

pub(crate) fn disk() -> MemoryDisk {
    MemoryDisk::new()
}

/// A number from the environment: how much of something, or a seed.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// One line of JSON about what was done, for whoever runs it with `--nocapture`.
pub(crate) fn report(line: &str) {
    #[expect(clippy::print_stdout, reason = "that is what it is for")]
    {
        println!("{line}");
    }
}
