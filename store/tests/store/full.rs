//! Disks that fill up, and what may be removed to make room.

use proto::message::{Draft, QueueId};
use store::files::{Disk, Fault, MemoryDisk, Operation, Space};
use store::{AppendError, Config, DiskLevel, ExpireTime, Expired, Retention, Store};

use crate::support::*;

const MIB: u64 = 1 << 20;
const HOUR_MS: i64 = 3_600_000;
/// Long after everything has expired, at noon.
const LATE: i64 = NOW / (24 * HOUR_MS) * 24 * HOUR_MS + 1000 * 24 * HOUR_MS + 12 * HOUR_MS;

/// A store of some ten segments.
fn filled() -> (MemoryDisk, Store) {
    let disk = disk();
    disk.set_now(NOW);
    let (store, _) = open(&disk);
    while store.appended_to().0 < 10 * 4096 {
        send(&store, "T", 0, &"x".repeat(900));
    }
    store.persist_once().expect("persists");
    (disk, store)
}

fn set_space(disk: &MemoryDisk, total_bytes: u64, free_bytes: u64) {
    disk.set_space(Space {
        total_bytes,
        free_bytes,
    });
}

fn expire(store: &Store, now_ms: i64, monotonic_ms: u64) -> Expired {
    let time = ExpireTime {
        now_ms,
        monotonic_ms,
    };
    store.expire_once(time).expect("expires")
}

fn level(store: &Store) -> DiskLevel {
    store.check_disk().expect("looks").level
}

#[test]
fn less_room_than_two_segments_refuses_appends_and_costs_no_message() {
    let (disk, store) = filled();
    set_space(&disk, 1000 * MIB, 2 * 4096);
    store.set_retention(Retention {
        used_ratio_max: 1.0,
        used_ratio_force: 1.0,
        used_ratio_full: 1.0,
        ..Config::new("/").retention
    });
    assert_eq!(level(&store), DiskLevel::Normal);
    set_space(&disk, 1000 * MIB, 2 * 4096 - 1);
    assert_eq!(level(&store), DiskLevel::Full);
    let refused = store.append(&draft("T", 0, b"x"), NOW);
    assert!(matches!(refused, Err(AppendError::DiskFull)), "{refused:?}");
    assert!(!store.prepare_once().expect("makes no room"));
    assert_eq!(expire(&store, NOW, 0).segments, 0, "nothing has expired");
    assert_eq!(
        store.queue_bounds("T", QueueId(0)).expect("a queue").min.0,
        0
    );
    // It comes back by itself.
    set_space(&disk, 1000 * MIB, 3 * 4096);
    assert_eq!(level(&store), DiskLevel::Normal);
    send(&store, "T", 0, "again");
}

#[test]
fn a_disk_of_less_than_eight_segments_is_used_to_three_quarters() {
    let (disk, store) = filled();
    store.set_retention(Retention {
        used_ratio_full: 1.0,
        ..Config::new("/").retention
    });
    set_space(&disk, 4 * 4096, 4096);
    assert!(level(&store) < DiskLevel::Full);
    set_space(&disk, 4 * 4096, 4095);
    assert_eq!(level(&store), DiskLevel::Full);
}

#[test]
fn expired_segments_go_at_their_hour_and_earlier_when_the_disk_fills_up() {
    let (disk, store) = filled();
    set_space(&disk, 100 * MIB, 30 * MIB);
    for look in 0..4 {
        assert_eq!(
            expire(&store, LATE, look * 10_000).segments,
            0,
            "it is noon"
        );
    }
    set_space(&disk, 100 * MIB, 24 * MIB);
    assert!(expire(&store, LATE, 40_000).segments > 0);
    assert_eq!(store.disk_level(), DiskLevel::High);
    send(&store, "T", 0, "still taken in");
}

#[test]
fn the_segment_that_is_written_to_stays_whatever_the_disk_says() {
    let (disk, store) = filled();
    set_space(&disk, 100 * MIB, MIB);
    for look in 0..20 {
        expire(&store, LATE, look * 100_000);
    }
    assert!(store.log_start().0 + 2 * 4096 > store.appended_to().0);
    assert!(store.log_start() <= store.appended_to());
    let bounds = store.queue_bounds("T", QueueId(0)).expect("a queue");
    let kept = bodies(&store, "T", 0, bounds.min.0).len() as u64;
    assert_eq!(kept, bounds.max.0 - bounds.min.0);
    set_space(&disk, 100 * MIB, 50 * MIB);
    store.check_disk().expect("looks");
    send(&store, "T", 0, "goes on");
}

#[test]
fn expiry_needs_three_looks_in_a_row_and_takes_a_fifth_a_minute() {
    let (disk, store) = filled();
    set_space(&disk, 100 * MIB, 20 * MIB);
    let runs = [
        (LATE, 0, 0),
        (LATE, 1, 0),
        // The clock was wrong for a moment: begin to count anew.
        (NOW, 2, 0),
        (LATE, 3, 0),
        (LATE, 4, 0),
        (LATE, 5, 3),
        // A fifth of the eleven that there were is all for this minute.
        (LATE, 20, 0),
        (LATE, 64, 0),
        (LATE, 65, 2),
    ];
    for (now_ms, second, segments) in runs {
        assert_eq!(
            expire(&store, now_ms, second * 1000).segments,
            segments,
            "at {second} s"
        );
    }
}

#[test]
fn other_rules_hold_from_the_next_look_on() {
    let (disk, store) = filled();
    set_space(&disk, 100 * MIB, 50 * MIB);
    assert_eq!(level(&store), DiskLevel::Normal);
    store.set_retention(Retention {
        used_ratio_full: 0.4,
        ..Config::new("/").retention
    });
    assert_eq!(level(&store), DiskLevel::Full);
}

#[test]
fn no_more_goes_than_must_however_long_a_reader_holds_it() {
    let (disk, store) = filled();
    let held = read(&store, "T", 0, 0);
    // One segment too full. What is removed takes room until the reader lets go of it.
    set_space(&disk, 100 * 4096, 14 * 4096);
    assert_eq!(expire(&store, NOW, 0).segments, 1);
    drop(held);
}

#[test]
fn a_file_that_cannot_be_removed_keeps_those_behind_it() {
    for operation in [Operation::Remove, Operation::SyncFolder] {
        let (disk, store) = filled();
        set_space(&disk, 100 * 4096, 12 * 4096);
        disk.fail(operation, 1, Fault::Error(std::io::ErrorKind::Other));
        let time = ExpireTime {
            now_ms: NOW,
            monotonic_ms: 0,
        };
        assert!(store.expire_once(time).is_err(), "{operation:?}");
        assert!(expire(&store, NOW, 0).segments > 0, "{operation:?}");
        let start = store.log_start();
        drop(store);
        disk.kill();
        assert_eq!(open(&disk).1.log_start, start, "{operation:?}");
    }
}

#[test]
fn a_queue_that_cannot_be_written_does_not_keep_the_others_from_it() {
    let disk = disk();
    let (store, _) = open(&disk);
    for topic in ["a", "b"] {
        send(&store, topic, 0, "x");
    }
    disk.fail(Operation::Write, 1, Fault::Error(std::io::ErrorKind::Other));
    assert!(store.persist_once().is_err());
    let written = ["a", "b"].map(|topic| {
        let file = format!("/store/consumequeue/{topic}/0/{:020}", 0);
        let content = disk.content(file.as_ref()).unwrap_or_default();
        content.iter().any(|&byte| byte != 0)
    });
    assert_eq!(written, [false, true]);
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    assert_eq!(open(&disk).1.records_read, 0);
}

#[test]
fn an_index_file_that_is_gone_or_cannot_go_keeps_nothing_from_being_persisted() {
    for is_gone in [true, false] {
        let disk = disk();
        disk.set_now(NOW);
        let (store, _) = open(&disk);
        // Some files of 64 keys.
        while store.appended_to().0 < 10 * 4096 {
            let message = draft("T", 0, b"x");
            let keys = Some("a b c d e f g h");
            store
                .append(&Draft { keys, ..message }, NOW)
                .expect("appends");
            settle(&store);
        }
        store.persist_once().expect("persists");
        let index = "/store/index";
        let files = || disk.list(index.as_ref()).expect("lists");
        let before = files();
        assert!(before.len() > 2);
        set_space(&disk, 100 * 4096, 10 * 4096);
        assert!(expire(&store, NOW, 0).segments > 0);
        if is_gone {
            let first = format!("{index}/{}", before[0].name);
            disk.remove_file(first.as_ref()).expect("goes");
        } else {
            disk.fail(
                Operation::Remove,
                1,
                Fault::Error(std::io::ErrorKind::Other),
            );
        }
        store.persist_once().expect("persists");
        store.persist_once().expect("persists");
        assert!(files().len() < before.len());
        drop(store);
        disk.kill();
        let (_, opened) = open(&disk);
        assert_eq!((opened.records_read, opened.queues_rebuilt), (0, false));
    }
}
