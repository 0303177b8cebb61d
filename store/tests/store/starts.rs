//! Where a queue begins when the log before is gone: never behind a message that is still there,
//! whatever is wrong with its files.

use std::io::ErrorKind;
use std::path::PathBuf;

use proto::message::QueueId;
use store::files::{Access, Disk, Fault, MemoryDisk, Operation, Space};
use store::{ExpireTime, Store};

use crate::support::*;

const COUNT: u64 = 40;
const UNITS_A_FILE: u64 = 10;
const UNIT_BYTES: u64 = 20;

fn queue_file(base_unit: u64) -> PathBuf {
    let base = base_unit * UNIT_BYTES;
    format!("/store/consumequeue/T/0/{base:020}").into()
}

/// A store of forty messages in one queue of four files, all behind a checkpoint; and where each
/// message lies.
fn filled() -> (MemoryDisk, Store, Vec<u64>) {
    let disk = disk();
    let (store, _) = open(&disk);
    let text = |n| format!("{n}:{}", "x".repeat(200));
    let places = (0..COUNT)
        .map(|n| send(&store, "T", 0, &text(n)).log_offset.0)
        .collect();
    store.persist_once().expect("persists");
    (disk, store, places)
}

const TIME: ExpireTime = ExpireTime {
    now_ms: NOW,
    monotonic_ms: 0,
};

/// Leaves so little room on the disk that `segments` go.
fn fill(disk: &MemoryDisk, segments: u64) {
    disk.set_space(Space {
        total_bytes: 100 * 4096,
        free_bytes: (15 - segments) * 4096,
    });
}

/// Removes `segments` from the beginning of the log.
fn expire(disk: &MemoryDisk, store: &Store, segments: u64) {
    let before = store.log_start().0;
    fill(disk, segments);
    store.expire_once(TIME).expect("expires");
    assert_eq!(store.log_start().0, before + segments * 4096);
}

/// Every message that is in the log is in the queue, and nothing else.
fn check(store: &Store, places: &[u64], says: &str) {
    let start = store.log_start().0;
    let first = places.iter().take_while(|place| **place < start).count() as u64;
    let bounds = store.queue_bounds("T", QueueId(0)).expect("a queue");
    assert_eq!((bounds.min.0, bounds.max.0), (first, COUNT), "{says}");
    let numbers: Vec<_> = bodies(store, "T", 0, first)
        .iter()
        .map(|body| body.split_once(':').expect("a number").0.to_owned())
        .collect();
    let expected: Vec<_> = (first..COUNT).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected, "{says}");
}

#[test]
fn units_that_a_disk_altered_do_not_move_the_start_of_a_queue_past_messages() {
    let zeros: [u8; 20] = [0; 20];
    // Points below all that will be left.
    let mut lowered = zeros;
    lowered[7..12].copy_from_slice(&[1, 0, 0, 1, 0]);
    for unit in [zeros, lowered] {
        for (from, count) in (0..COUNT).flat_map(|from| [(from, 1), (from, 5), (from, 25)]) {
            let (disk, store, places) = filled();
            for number in from..(from + count).min(COUNT) {
                let path = queue_file(number / UNITS_A_FILE * UNITS_A_FILE);
                let file = disk.open(&path, Access::Write).expect("opens");
                let at = number % UNITS_A_FILE * UNIT_BYTES;
                file.write_all_at(&unit, at).expect("writes");
            }
            expire(&disk, &store, 1);
            let says = format!("{unit:?} at {from}, {count}");
            let start = store.log_start().0;
            let first = places.iter().take_while(|place| **place < start).count() as u64;
            let bounds = store.queue_bounds("T", QueueId(0)).expect("a queue");
            assert_eq!((bounds.min.0, bounds.max.0), (first, COUNT), "{says}");
            // What this run wrote is not looked at again, what an earlier one wrote is.
            drop(store);
            disk.kill();
            check(&open(&disk).0, &places, &says);
        }
    }
}

/// The segments that units point to below the log cannot be asked any more.
#[test]
fn units_that_seem_to_point_to_what_is_gone_do_not_hide_messages_from_a_start() {
    let filler = |_| [0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF];
    // Behind the record of the unit before, as far as that is gone.
    let lowered = |number: u64| {
        let mut unit = [0; 12];
        unit[..8].copy_from_slice(&(number * 2).to_be_bytes());
        unit[11] = 200;
        unit
    };
    for (kind, segments) in [(0, 0), (0, 1), (1, 1), (0, 3), (1, 3)] {
        for (from, count) in (0..COUNT).flat_map(|from| [(from, 1), (from, 3)]) {
            let (disk, store, places) = filled();
            if segments > 0 {
                expire(&disk, &store, segments);
                store.persist_once().expect("persists");
            }
            drop(store);
            disk.kill();
            for number in from..(from + count).min(COUNT) {
                let path = queue_file(number / UNITS_A_FILE * UNITS_A_FILE);
                let at = number % UNITS_A_FILE * UNIT_BYTES;
                let unit = if kind == 0 {
                    filler(number)
                } else {
                    lowered(number)
                };
                if let Ok(file) = disk.open(&path, Access::Write) {
                    file.write_all_at(&unit, at).expect("writes");
                }
            }
            let (store, opened) = open(&disk);
            let says = format!("{kind}, {segments} segments, {count} at {from}: {opened:?}");
            check(&store, &places, &says);
        }
    }
}

#[test]
fn a_queue_file_that_is_missing_does_not_cost_the_messages_before_its_end() {
    for segments in [0, 1, 2] {
        for missing in (0..COUNT).step_by(10) {
            let (disk, store, places) = filled();
            if segments > 0 {
                expire(&disk, &store, segments);
                store.persist_once().expect("persists");
            }
            drop(store);
            disk.kill();
            if disk.remove_file(&queue_file(missing)).is_err() {
                // It went with the log.
                continue;
            }
            let (store, opened) = open(&disk);
            let says = format!("{segments} segments, file of {missing}: {opened:?}");
            check(&store, &places, &says);
        }
    }
}

/// Making all queues again reads the whole log, so no ordinary start may take a queue for damaged.
#[test]
fn a_queue_whose_first_messages_have_expired_is_not_made_again() {
    for segments in 1..=3 {
        let (disk, store, places) = filled();
        expire(&disk, &store, segments);
        drop(store);
        disk.kill();
        for made_again in [false, true, false, false] {
            if made_again {
                // Then its first file begins with what is left, wherever that is.
                disk.remove_folder("/store/consumequeue".as_ref())
                    .expect("goes");
            }
            let (store, opened) = open(&disk);
            assert_eq!(opened.queues_rebuilt, made_again, "{segments} segments");
            check(&store, &places, "made again");
            store.persist_once().expect("persists");
            drop(store);
            disk.kill();
        }
    }
}

/// The removal of files is made durable by nobody, so a power loss may bring any of them back.
#[test]
fn a_queue_file_that_came_back_after_a_power_loss_is_no_damage() {
    let (disk, store, places) = filled();
    let path = queue_file(0);
    let old = disk.content(&path).expect("a file");
    expire(&disk, &store, 2);
    assert!(disk.content(&queue_file(10)).is_none(), "there is a gap");
    store.persist_once().expect("persists");
    drop(store);
    disk.set_content(&path, old);
    disk.crash(&mut || true);
    let (store, opened) = open(&disk);
    assert!(!opened.queues_rebuilt);
    check(&store, &places, "with a gap");
}

/// The border between two files lies just where the log begins.
#[test]
fn a_queue_that_begins_with_a_file_is_not_made_again() {
    let disk = disk();
    let (store, _) = open(&disk);
    let mut count = 0;
    // Ten messages of the queue go with the first segment.
    while store.appended_to().0 < 4096 {
        let queue_id = u32::from(!(4..14).contains(&count));
        send(
            &store,
            "T",
            queue_id,
            &"x".repeat(if count < 13 { 150 } else { 500 }),
        );
        count += 1;
    }
    for _ in 0..COUNT {
        send(&store, "T", 0, "behind");
    }
    store.persist_once().expect("persists");
    expire(&disk, &store, 1);
    let min = store.queue_bounds("T", QueueId(0)).expect("a queue").min.0;
    assert_eq!(min, UNITS_A_FILE);
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    for made_again in [false, true, false, false] {
        if made_again {
            disk.remove_folder("/store/consumequeue".as_ref())
                .expect("goes");
        }
        let (store, opened) = open(&disk);
        assert_eq!(opened.queues_rebuilt, made_again);
        let bounds = store.queue_bounds("T", QueueId(0)).expect("a queue");
        assert_eq!((bounds.min.0, bounds.max.0), (min, min + COUNT));
        assert_eq!(bodies(&store, "T", 0, min).len() as u64, COUNT);
        store.persist_once().expect("persists");
        drop(store);
        disk.kill();
    }
}

/// A queue of its own begins in the third segment, behind forty messages of another.
fn late(store: &Store) -> (u64, u64) {
    let first = send(store, "late", 0, "first").log_offset.0;
    let second = send(store, "late", 0, "second").log_offset.0;
    store.persist_once().expect("persists");
    (first, second)
}

#[test]
fn a_first_unit_that_looks_like_one_that_is_gone_does_not_hide_its_message_from_an_expiry() {
    // A filler, and one that points below where the log began before.
    for (earlier, unit) in [
        (0, [0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF]),
        (1, [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 200]),
    ] {
        let (disk, store, _) = filled();
        late(&store);
        if earlier > 0 {
            expire(&disk, &store, earlier);
        }
        let path = "/store/consumequeue/late/0/00000000000000000000";
        let file = disk.open(path.as_ref(), Access::Write).expect("opens");
        file.write_all_at(&unit, 0).expect("writes");
        expire(&disk, &store, 1);
        let bounds = store.queue_bounds("late", QueueId(0)).expect("a queue");
        assert_eq!((bounds.min.0, bounds.max.0), (0, 2));
    }
}

#[test]
fn a_topic_whose_first_messages_are_gone_is_deleted_without_a_look_at_the_log() {
    for fails in [false, true] {
        let (disk, store, _) = filled();
        late(&store);
        if fails {
            // The segment goes, a file of the queue does not.
            disk.fail(Operation::Remove, 2, Fault::Error(ErrorKind::Other));
            fill(&disk, 1);
            store.expire_once(TIME).expect("a file more is no harm");
        } else {
            expire(&disk, &store, 1);
        }
        store.delete_topic("T").expect("goes");
        store.persist_once().expect("persists");
        drop(store);
        disk.kill();
        let (store, opened) = open(&disk);
        assert!(!opened.queues_rebuilt, "{opened:?}");
        assert_eq!(bodies(&store, "late", 0, 0), ["first", "second"]);
        assert!(store.queue_bounds("T", QueueId(0)).is_none());
    }
}

/// The next run removes nothing and trims, and no start has to make queues again.
fn trimmed_by_the_next_run(disk: &MemoryDisk, store: Store, places: &[u64]) {
    fill(disk, 0);
    let expired = store.expire_once(TIME).expect("nothing goes");
    assert_eq!(expired.segments, 0);
    check(&store, places, "the next run");
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    assert!(!open(disk).1.queues_rebuilt);
}

#[test]
fn a_trim_that_failed_is_done_by_the_next_run() {
    let (disk, store, places) = filled();
    fill(&disk, 1);
    // After the segment is gone.
    disk.fail(Operation::SyncFolder, 1, Fault::Error(ErrorKind::Other));
    assert!(store.expire_once(TIME).is_err());
    assert_eq!(store.log_start().0, 4096);
    trimmed_by_the_next_run(&disk, store, &places);
}

#[test]
fn a_trim_that_cannot_read_a_queue_is_tried_again() {
    let (disk, store, places) = filled();
    disk.fail(Operation::Read, 1, Fault::Error(ErrorKind::Other));
    expire(&disk, &store, 1);
    let bounds = store.queue_bounds("T", QueueId(0)).expect("a queue");
    assert_eq!(bounds.min.0, 0, "it keeps its start");
    trimmed_by_the_next_run(&disk, store, &places);
}

#[test]
fn a_queue_that_cannot_be_read_holds_up_the_trim_of_others_for_a_while_only() {
    let (disk, store, _) = filled();
    late(&store);
    disk.set_unreadable(&queue_file(10));
    expire(&disk, &store, 1);
    fill(&disk, 0);
    let reads = |disk: &MemoryDisk| {
        let before = disk.count(Operation::Read);
        store.expire_once(TIME).expect("nothing goes");
        disk.count(Operation::Read) - before
    };
    for run in 2..=6 {
        assert!(reads(&disk) > 0, "run {run}");
    }
    assert_eq!(reads(&disk), 0);
    assert_eq!(bodies(&store, "late", 0, 0), ["first", "second"]);
}

/// A page of RocketMQ's, or one that is damaged: then no sum misses what a damaged unit hides, nor is
/// anything known of the very last.
#[test]
fn without_a_checkpoint_of_ours_a_damaged_unit_hides_no_message_before_others() {
    for number in 0..COUNT - 1 {
        let (disk, store, places) = filled();
        late(&store);
        store.close().expect("closes");
        drop(store);
        let mut page = disk.content("/store/checkpoint".as_ref()).expect("a page");
        page[100] ^= 1;
        disk.set_content("/store/checkpoint".as_ref(), page);
        let path = queue_file(number / UNITS_A_FILE * UNITS_A_FILE);
        let file = disk.open(&path, Access::Write).expect("opens");
        let at = number % UNITS_A_FILE * UNIT_BYTES;
        file.write_all_at(&[0; UNIT_BYTES as usize], at)
            .expect("writes");
        let (store, opened) = open(&disk);
        check(&store, &places, &format!("{number}: {opened:?}"));
    }
}

/// Half of the queues made again look like all of them: nothing else says that it was not finished.
#[test]
fn without_a_checkpoint_of_ours_queues_that_were_half_made_again_are_made_again() {
    let (disk, store, places) = filled();
    late(&store);
    store.close().expect("closes");
    drop(store);
    let mut page = disk.content("/store/checkpoint".as_ref()).expect("a page");
    page[100] ^= 1;
    disk.set_content("/store/checkpoint".as_ref(), page);
    let file = disk.open(&queue_file(30), Access::Write).expect("opens");
    file.write_all_at(&[0; UNIT_BYTES as usize], 5 * UNIT_BYTES)
        .expect("writes");
    disk.take_pictures(0, 1);
    let (store, opened) = open(&disk);
    assert!(opened.queues_rebuilt);
    drop(store);
    let pictures = disk.pictures();
    assert!(pictures.len() > 5);
    for (number, picture) in pictures.iter().enumerate() {
        picture.disk.kill();
        let (store, opened) = open(&picture.disk);
        let says = format!("{number}: {opened:?}");
        check(&store, &places, &says);
        assert_eq!(bodies(&store, "late", 0, 0), ["first", "second"], "{says}");
    }
}
