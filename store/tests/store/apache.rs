//! Stores that Apache RocketMQ wrote: they open as they are, and every message is found by queue,
//! offset, key and time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{OffsetMessageId, QueueId, QueueOffset, StoredMessage, property, split_keys};
use store::files::OsDisk;
use store::{Boundary, Config, KeyQuery, Store, inspect};

use crate::support::*;

struct Sent {
    topic: String,
    queue: QueueId,
    offset: QueueOffset,
    id: OffsetMessageId,
    unique: String,
    keys: String,
    tag: String,
    body: String,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn sent(fixture: &Path) -> Vec<Sent> {
    let text = fs::read_to_string(fixture.join("messages.tsv")).expect("a list of messages");
    let line = |line: &str| {
        let column: Vec<&str> = line.split('\t').collect();
        Sent {
            topic: column[0].to_owned(),
            queue: QueueId(column[1].parse().expect("a queue id")),
            offset: QueueOffset(column[2].parse().expect("an offset")),
            id: column[3].parse().expect("a message id"),
            unique: column[4].to_owned(),
            keys: column[5].to_owned(),
            tag: column[6].to_owned(),
            body: column[7].to_owned(),
        }
    };
    text.lines().map(line).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copies");
        }
    }
}

fn small(root: &Path) -> Config {
    Config {
        segment_bytes: 65_536,
        queue_file_bytes: 2000,
        index_slots: 200,
        index_entries: 800,
        ..Config::new(root)
    }
}

fn check(store: &Store, sent: &[Sent]) {
    let mut newest = 0;
    for sent in sent {
        let read = read(store, &sent.topic, sent.queue.0, sent.offset.0);
        let message = StoredMessage::parse(&read.records[0]).expect("a record");
        assert_eq!(message.body, sent.body.as_bytes());
        assert_eq!(
            (message.queue_id, message.queue_offset),
            (sent.queue, sent.offset)
        );
        assert_eq!(
            message.properties.find(property::TAGS).unwrap_or(""),
            sent.tag
        );
        assert_eq!(message.offset_id(), sent.id);

        let record = store
            .record_at(sent.id.offset)
            .expect("a record at its offset");
        assert_eq!(StoredMessage::parse(&record), Ok(message));

        for key in split_keys(&sent.keys).chain([sent.unique.as_str()]) {
            let (begin_ms, end_ms) = (message.store_timestamp, message.store_timestamp);
            let query = KeyQuery {
                topic: &sent.topic,
                key,
                max: 64,
                begin_ms,
                end_ms,
            };
            let found = store.query_by_key(&query).expect("reads the index");
            assert!(found.contains(&record), "{key} of {}", sent.unique);
        }
        for (boundary, is_right) in [
            (Boundary::Lower, QueueOffset::le as fn(&_, &_) -> bool),
            (Boundary::Upper, QueueOffset::ge),
        ] {
            let time = message.store_timestamp;
            let found = store.offset_by_time(&sent.topic, sent.queue, time, boundary);
            let found = found.expect("reads").expect("a queue");
            assert!(
                is_right(&found, &sent.offset),
                "{found} for {}",
                sent.offset
            );
            let there = store
                .message_time(&sent.topic, sent.queue, found)
                .expect("reads");
            assert_eq!(there, Some(time));
        }
        newest = newest.max(message.log_offset.0);
    }
    assert!(store.dispatched_to().0 > newest);
}

#[test]
fn a_store_that_apache_closed_opens_without_reading_it_all() {
    for version in ["5.5.0", "4.9.7"] {
        opens_without_reading(&fixture(&format!("apache-{version}/clean")));
    }
}

fn opens_without_reading(fixture: &Path) {
    let sent = sent(fixture);
    let folder = tempfile::tempdir().expect("a folder");
    copy(&fixture.join("store"), folder.path());

    let report = inspect::check(&OsDisk, folder.path()).expect("reads");
    assert!(report.is_sound() && report.was_closed, "{report}");
    assert_eq!(
        (report.log.records, report.units.missing),
        (sent.len() as u64, 0)
    );
    let shown = inspect::dump(
        &OsDisk,
        folder.path(),
        ("Orders", QueueId(1)),
        QueueOffset(2),
        3,
    );
    assert!(
        shown.expect("reads")[0]
            .to_string()
            .contains("body of order 9")
    );

    let (store, opened) = Store::open(small(folder.path()), Arc::new(OsDisk)).expect("opens");
    assert!(opened.was_clean && !opened.queues_rebuilt);
    assert_eq!((opened.records_read, opened.torn_bytes), (0, 0));
    check(&store, &sent);

    // Ours go behind theirs, and everything is there after a close and after a crash.
    let bounds = store.queue_bounds("Orders", QueueId(0)).expect("a queue");
    assert_eq!(send(&store, "Orders", 0, "ours").queue_offset, bounds.max);
    store.close().expect("closes");
    drop(store);
    for was_clean in [true, false] {
        let (store, opened) = Store::open(small(folder.path()), Arc::new(OsDisk)).expect("opens");
        assert_eq!(opened.was_clean, was_clean);
        check(&store, &sent);
        assert_eq!(bodies(&store, "Orders", 0, bounds.max.0), ["ours"]);
    }
}

#[test]
fn a_store_of_a_killed_apache_broker_opens() {
    for version in ["5.5.0", "4.9.7"] {
        opens_after_a_kill(&fixture(&format!("apache-{version}/kill")));
    }
}

fn opens_after_a_kill(fixture: &Path) {
    let sent = sent(fixture);
    let folder = tempfile::tempdir().expect("a folder");
    copy(&fixture.join("store"), folder.path());
    fs::write(folder.path().join("abort"), "").expect("marks as in use");
    let report = inspect::check(&OsDisk, folder.path()).expect("reads");
    assert!(report.is_sound() && !report.was_closed, "{report}");
    let (store, opened) = Store::open(small(folder.path()), Arc::new(OsDisk)).expect("opens");
    assert!(!opened.was_clean);
    check(&store, &sent);
    assert_eq!(opened.torn_bytes, 0);
}

#[test]
fn queues_and_index_of_apache_are_made_again_when_they_are_gone() {
    let fixture = fixture("apache-5.5.0/clean");
    let sent = sent(&fixture);
    let folder = tempfile::tempdir().expect("a folder");
    copy(&fixture.join("store"), folder.path());
    let queues_before = {
        let (store, _) = Store::open(small(folder.path()), Arc::new(OsDisk)).expect("opens");
        store.close().expect("closes");
        store.queues()
    };
    let file = "consumequeue/Orders/0/00000000000000000000";
    let theirs = fs::read(fixture.join("store").join(file)).expect("a queue file");
    for gone in ["consumequeue", "consumequeue/Orders/2", "index"] {
        fs::remove_dir_all(folder.path().join(gone)).expect("removes");
        let (store, opened) = Store::open(small(folder.path()), Arc::new(OsDisk)).expect("opens");
        assert!(opened.queues_rebuilt, "without {gone}");
        assert_eq!(store.queues(), queues_before);
        check(&store, &sent);
        store.close().expect("closes");
        let ours = fs::read(folder.path().join(file)).expect("a queue file");
        assert_eq!(ours, theirs, "without {gone}");
    }
}
