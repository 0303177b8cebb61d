//! Queues whose messages are all gone from the log: their offsets go on.

use proto::message::{Draft, QueueId, QueueOffset};
use store::files::{Access, Disk, MemoryDisk, Space};
use store::{ExpireTime, QueueBounds, Store};

use crate::support::*;

/// Files of queues hold ten units.
const UNITS_A_FILE: u64 = 10;

/// Sends `count` messages to a queue, then others until those are gone from the log.
fn ended(disk: &MemoryDisk, store: &Store, count: u64) {
    for n in 0..count {
        send(store, "idle", 0, &n.to_string());
    }
    let end = store.appended_to();
    store.persist_once().expect("persists");
    disk.set_space(Space {
        total_bytes: 1000 * 4096,
        free_bytes: 140 * 4096,
    });
    while store.log_start() < end {
        let busy = draft("busy", 0, &[b'x'; 900]);
        let (unique_key, keys) = (Some("u"), Some("k l"));
        let busy = Draft {
            unique_key,
            keys,
            ..busy
        };
        for _ in 0..100 {
            store.append(&busy, NOW).expect("appends");
            settle(store);
        }
        store.persist_once().expect("persists");
        let time = ExpireTime {
            now_ms: NOW,
            monotonic_ms: 0,
        };
        store.expire_once(time).expect("expires");
    }
    assert_eq!(idle(store), Some(bounds(count, count)));
}

fn idle(store: &Store) -> Option<QueueBounds> {
    store.queue_bounds("idle", QueueId(0))
}

fn bounds(min: u64, max: u64) -> QueueBounds {
    let (min, max) = (QueueOffset(min), QueueOffset(max));
    QueueBounds { min, max }
}

#[test]
fn no_offset_is_given_out_twice_whatever_has_the_queues_made_again() {
    let lost: [fn(&MemoryDisk); 2] = [
        |disk| disk.remove_folder("/store/index".as_ref()).expect("goes"),
        |disk| {
            let busy = "/store/consumequeue/busy".as_ref();
            disk.remove_folder(busy).expect("goes");
        },
    ];
    for lose in lost {
        for count in [1, UNITS_A_FILE, 3 * UNITS_A_FILE, 3 * UNITS_A_FILE + 7] {
            let disk = disk();
            ended(&disk, &open(&disk).0, count);
            disk.kill();
            lose(&disk);
            // Also when that is interrupted and done again.
            disk.take_pictures(1, 5);
            let (store, opened) = open(&disk);
            assert!(opened.queues_rebuilt);
            assert_eq!(idle(&store), Some(bounds(count, count)));
            assert_eq!(send(&store, "idle", 0, "new").queue_offset.0, count);
            drop(store);
            for picture in disk.pictures() {
                let (store, _) = open(&picture.disk);
                let found = idle(&store).map(|found| found.max.0);
                assert!(
                    found == Some(count) || found == Some(count + 1),
                    "{found:?}"
                );
            }
            disk.kill();
            let (store, _) = open(&disk);
            assert_eq!(idle(&store), Some(bounds(count, count + 1)));
            assert_eq!(bodies(&store, "idle", 0, count), ["new"]);
        }
    }
}

#[test]
fn expiry_has_the_next_start_read_no_more_than_before() {
    for count in [UNITS_A_FILE, 3 * UNITS_A_FILE, 3 * UNITS_A_FILE + 7] {
        let disk = disk();
        let (store, _) = open(&disk);
        ended(&disk, &store, count);
        // The last expiry is behind the last checkpoint.
        let killed = disk.fork();
        store.persist_once().expect("persists");
        drop(store);
        disk.kill();
        for disk in [killed, disk] {
            let (store, opened) = open(&disk);
            assert!(!opened.queues_rebuilt, "{opened:?}");
            assert_eq!(idle(&store), Some(bounds(count, count)));
        }
    }
}

/// Where it ended is not known any more, but which file it ended in.
#[test]
fn no_offset_is_given_out_twice_when_the_end_cannot_be_read() {
    for count in [1, UNITS_A_FILE, 3 * UNITS_A_FILE + 7] {
        let disk = disk();
        ended(&disk, &open(&disk).0, count);
        disk.kill();
        let mut paths = disk.paths();
        paths.retain(|path| path.starts_with("/store/consumequeue/idle"));
        disk.set_unreadable(paths.last().expect("a file"));
        disk.take_pictures(1, 1);
        let (store, opened) = open(&disk);
        assert!(opened.queues_rebuilt);
        let found = idle(&store).expect("a queue");
        assert!(found.min == found.max && found.max.0 >= count, "{found:?}");
        assert!(found.max.0 <= count + 2 * UNITS_A_FILE, "{found:?}");
        store.persist_once().expect("persists");
        drop(store);
        for picture in disk.pictures() {
            let (store, _) = open(&picture.disk);
            assert!(idle(&store).is_some_and(|found| found.max.0 >= count));
        }
        disk.kill();
        let (store, opened) = open(&disk);
        assert!(!opened.queues_rebuilt);
        assert_eq!(idle(&store), Some(found));
        assert_eq!(send(&store, "idle", 0, "new").queue_offset, found.max);
        drop(store);
        disk.kill();
        assert_eq!(bodies(&open(&disk).0, "idle", 0, found.max.0), ["new"]);
    }
}

/// Nothing but its units says where it ends, so one of them must not hide the others.
#[test]
fn a_damaged_unit_of_an_ended_queue_costs_no_offset_and_one_look_at_the_log() {
    let count = 3 * UNITS_A_FILE + 7;
    let above_all = [0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 1, 0];
    for altered in 0..7 {
        for unit in [
            [0; 12],
            above_all,
            [0, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0, 0, 1, 0],
        ] {
            if altered == 6 && unit != [0; 12] {
                // It is the last one and looks like one that came later: nothing tells them apart.
                continue;
            }
            let disk = disk();
            ended(&disk, &open(&disk).0, count);
            disk.kill();
            let path = format!("/store/consumequeue/idle/0/{:020}", 3 * UNITS_A_FILE * 20);
            let file = disk.open(path.as_ref(), Access::Write).expect("opens");
            file.write_all_at(&unit, altered * 20).expect("writes");
            let says = format!("{altered} {unit:?}");
            for start in 0..3 {
                let (store, opened) = open(&disk);
                assert!(
                    start == 0 || !opened.queues_rebuilt,
                    "{says}: start {start}"
                );
                let found = idle(&store).map(|found| found.max.0);
                if altered < 6 {
                    assert_eq!(found, Some(count), "{says}");
                }
                store.persist_once().expect("persists");
                drop(store);
                disk.kill();
            }
        }
    }
}

/// What a power failure leaves behind in RocketMQ's files, which it does not clear; without a
/// checkpoint of ours nothing else tells where the queue ends.
#[test]
fn a_unit_behind_the_end_of_an_ended_queue_costs_no_offset() {
    let places = [(0, 0), (1, 0), (2, 0), (0, 1 << 40), (1, 1 << 40)];
    let places = places
        .into_iter()
        .flat_map(|place| [(place, false), (place, true)]);
    for ((behind, to), no_index) in places {
        let count = 3 * UNITS_A_FILE + 3;
        let disk = disk();
        let (store, _) = open(&disk);
        ended(&disk, &store, count);
        let mut place = store.log_start().0;
        place += to;
        store.close().expect("closes");
        drop(store);
        let mut page = disk.content("/store/checkpoint".as_ref()).expect("a page");
        page[100] ^= 1;
        disk.set_content("/store/checkpoint".as_ref(), page);
        let path = format!("/store/consumequeue/idle/0/{:020}", 3 * UNITS_A_FILE * 20);
        let file = disk.open(path.as_ref(), Access::Write).expect("opens");
        let mut unit = [0; 20];
        unit[..8].copy_from_slice(&place.to_be_bytes());
        unit[11] = 200;
        file.write_all_at(&unit, (3 + behind) * 20).expect("writes");
        if no_index {
            disk.remove_folder("/store/index".as_ref()).expect("goes");
        }
        for start in 0..3 {
            let (store, opened) = open(&disk);
            let says = format!("{behind} {to} {start}: {opened:?}");
            let end = idle(&store).map_or(0, |bounds| bounds.max.0);
            assert!((count..count + 10).contains(&end), "{end}: {says}");
            assert!(start == 0 || !opened.queues_rebuilt, "{says}");
            store.persist_once().expect("persists");
            drop(store);
            disk.kill();
        }
        let (store, _) = open(&disk);
        assert!(send(&store, "idle", 0, "new").queue_offset.0 >= count);
    }
}
