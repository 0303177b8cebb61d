//! What the disk does wrong, one thing at a time: the store loses nothing that was durable and
//! never hands out bytes that nobody sent.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::message::{LogOffset, QueueId, QueueOffset, records};
use store::files::{Access, Disk, Fault, MemoryDisk, Operation, Space};
use store::{
    AppendError, Config, DiskLevel, ExpireTime, OpenError, PersistError, ReadError, Store,
    WriteError,
};

use crate::support::*;

const TOPIC: &str = "T";

fn segment(base: u64) -> PathBuf {
    PathBuf::from(format!("/store/commitlog/{base:020}"))
}

/// A disk with messages `0..persisted` vouched for by a checkpoint and the rest only written, after
/// the process was killed; and where each message ends.
fn killed_store(persisted: usize, count: usize) -> (MemoryDisk, Vec<u64>) {
    let disk = disk();
    let (store, _) = open(&disk);
    let mut ends = Vec::new();
    for n in 0..count {
        ends.push(send(&store, TOPIC, 0, &body(n)).end.0);
        if n + 1 == persisted {
            store.persist_once().expect("persists");
        }
    }
    drop(store);
    disk.kill();
    (disk, ends)
}

fn body(n: usize) -> String {
    format!("message {n}")
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(body).collect()
}

fn with_content(disk: &MemoryDisk, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> MemoryDisk {
    let disk = disk.fork();
    let mut bytes = disk.content(path).expect("a file");
    change(&mut bytes);
    disk.set_content(path, bytes);
    disk
}

#[test]
fn a_log_cut_at_any_byte_keeps_every_whole_record() {
    let (disk, ends) = killed_store(2, 5);
    for filler in [0u8, 0xA5, 0xDA] {
        for cut in ends[1]..ends[4] {
            let disk = with_content(&disk, &segment(0), |bytes| {
                let from = usize::try_from(cut).expect("small");
                bytes[from..from + 700].fill(filler);
            });
            let (store, opened) = open(&disk);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(bodies(&store, TOPIC, 0, 0), expected(whole), "cut at {cut}");
            assert_eq!(opened.log_end, LogOffset(ends[whole - 1]));
            // And the log goes on from there as if nothing had been.
            send(&store, TOPIC, 0, &body(whole));
            drop(store);
            disk.kill();
            let (store, opened) = open(&disk);
            assert_eq!(
                bodies(&store, TOPIC, 0, 0),
                expected(whole + 1),
                "cut at {cut}"
            );
            assert_eq!(opened.torn_bytes, 0);
        }
    }
}

#[test]
fn a_flipped_bit_in_the_log_is_never_handed_out() {
    let (disk, ends) = killed_store(2, 4);
    let (mut refused, mut cut, mut damaged) = (0, 0, 0);
    for bit in (0..ends[3] * 8).step_by(3) {
        let disk = with_content(&disk, &segment(0), |bytes| {
            bytes[usize::try_from(bit / 8).expect("small")] ^= 1 << (bit % 8);
        });
        let store = match try_open(&disk) {
            Ok((store, _)) => store,
            Err(OpenError::Damaged(places)) => {
                assert_eq!(places.len(), 1);
                assert!(bit / 8 >= ends[1], "only what is not vouched for is read");
                damaged += 1;
                continue;
            }
            Err(error) => panic!("bit {bit}: {error}"),
        };
        for n in 0..4 {
            let read = store.read(TOPIC, QueueId(0), QueueOffset(n), &MANY, &|_| true);
            match read {
                Ok(read) if read.count > 0 => {
                    let first = records(&read.records[0])
                        .next()
                        .expect("one")
                        .expect("valid");
                    assert_eq!(text(&first), body(n as usize), "bit {bit}");
                }
                Ok(_) => cut += 1,
                Err(ReadError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("bit {bit}: {error}"),
            }
        }
    }
    assert!(
        refused > 0 && cut > 0 && damaged > 0,
        "{refused} {cut} {damaged}"
    );
}

#[test]
fn damage_before_valid_records_is_reported_and_nothing_is_cut() {
    let (disk, ends) = killed_store(1, 5);
    let at = usize::try_from(ends[2]).expect("small");
    let disk = with_content(&disk, &segment(0), |bytes| bytes[at + 100] ^= 1);
    let before = disk.content(&segment(0));
    let Err(OpenError::Damaged(damage)) = try_open(&disk) else {
        panic!("must not open")
    };
    assert_eq!(damage.len(), 1);
    assert_eq!((&damage[0].file, damage[0].offset), (&segment(0), ends[2]));
    assert_eq!(damage[0].bytes, ends[3] - ends[2]);
    assert_eq!(disk.content(&segment(0)), before);
    let report = store::inspect::check(&disk, Path::new("/store")).expect("reads");
    assert_eq!(report.damage, damage);
    assert!(!report.is_sound());
}

#[test]
fn after_a_restart_of_the_machine_a_hole_in_the_unflushed_end_is_cut() {
    let (disk, ends) = killed_store(1, 5);
    let at = usize::try_from(ends[2]).expect("small");
    let disk = with_content(&disk, &segment(0), |bytes| bytes[at..at + 8].fill(0));
    disk.crash(&mut || true);
    let (store, opened) = open(&disk);
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(3));
    assert_eq!(opened.torn_bytes, ends[4] - ends[2]);
}

#[test]
fn old_records_in_a_recycled_segment_are_not_taken() {
    let (disk, ends) = killed_store(1, 5);
    let disk = with_content(&disk, &segment(0), |bytes| {
        let used = usize::try_from(ends[4]).expect("small");
        let old = bytes[..used].to_vec();
        bytes[used..2 * used].copy_from_slice(&old);
    });
    let (store, opened) = open(&disk);
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(5));
    assert_eq!(opened.log_end, LogOffset(ends[4]));
    assert_eq!(opened.torn_bytes, ends[4]);
}

#[test]
fn a_missing_segment_in_the_middle_is_damage() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..100 {
        send(&store, TOPIC, 0, &body(n));
    }
    store.close().expect("closes");
    drop(store);
    disk.remove_file(&segment(4096)).expect("removes");
    let Err(OpenError::Damaged(damage)) = try_open(&disk) else {
        panic!("must not open")
    };
    assert_eq!((&damage[0].file, damage[0].bytes), (&segment(4096), 4096));
}

#[test]
fn a_segment_of_another_size_is_named() {
    let (disk, _) = killed_store(1, 2);
    disk.set_content(&segment(0), vec![0; 8192]);
    let opened = try_open(&disk);
    assert!(
        matches!(
            opened,
            Err(OpenError::WrongSegmentSize {
                found: 8192,
                configured: 4096,
                ..
            })
        ),
        "{opened:?}"
    );
}

#[test]
fn a_store_in_use_is_not_opened_twice() {
    let disk = disk();
    let (store, _) = open(&disk);
    assert!(matches!(try_open(&disk), Err(OpenError::Locked(_))));
    drop(store);
    open(&disk);
}

/// Flips every bit of a cache file, one at a time: each message is there or its read fails, and the
/// store always opens.
fn every_bit_of(path: &Path) {
    let (disk, _) = killed_store(6, 8);
    let bits = disk.content(path).expect("a file").len().min(512) * 8;
    for bit in (0..bits).step_by(5) {
        let disk = with_content(&disk, path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let (store, _) = open(&disk);
        assert_eq!(
            bodies(&store, TOPIC, 0, 0),
            expected(8),
            "bit {bit} of {}",
            path.display()
        );
    }
}

#[test]
fn a_flipped_bit_in_a_queue_file_is_mended() {
    every_bit_of(Path::new("/store/consumequeue/T/0/00000000000000000000"));
}

#[test]
fn a_flipped_bit_in_the_checkpoint_costs_reading_more() {
    every_bit_of(Path::new("/store/checkpoint"));
}

#[test]
fn queue_files_that_are_gone_or_short_are_made_again() {
    let (disk, _) = killed_store(30, 35);
    let files: Vec<_> = disk
        .paths()
        .into_iter()
        .filter(|path| path.starts_with("/store/consumequeue"))
        .collect();
    assert!(files.len() > 2);
    for path in &files {
        for bytes in [None, Some(0), Some(50)] {
            let disk = disk.fork();
            match bytes {
                None => disk.remove_file(path).expect("removes"),
                Some(bytes) => {
                    disk.set_content(path, disk.content(path).expect("a file")[..bytes].to_vec())
                }
            }
            let (store, _) = open(&disk);
            assert_eq!(
                bodies(&store, TOPIC, 0, 0),
                expected(35),
                "{} {bytes:?}",
                path.display()
            );
        }
    }
}

#[test]
fn a_failed_flush_stops_the_store_for_good() {
    let disk = disk();
    let (store, _) = open(&disk);
    send(&store, TOPIC, 0, &body(0));
    store
        .append(&draft(TOPIC, 0, b"unlucky"), NOW)
        .expect("appends");
    let batch = store
        .write_staged(Duration::ZERO)
        .expect("writes")
        .expect("a batch");
    disk.fail(Operation::Sync, 1, Fault::Error(ErrorKind::Other));
    let durable = store.durable_to();
    assert!(matches!(store.flush_once(), Err(WriteError::Flush(_))));
    // The second one would succeed, and would prove nothing.
    assert!(matches!(store.flush_once(), Err(WriteError::Stopped)));
    assert_eq!(store.durable_to(), durable);
    assert!(matches!(
        store.append(&draft(TOPIC, 0, b"x"), NOW),
        Err(AppendError::Stopped)
    ));
    assert!(matches!(
        store.write_staged(Duration::ZERO),
        Err(WriteError::Stopped)
    ));
    assert!(matches!(
        store.persist_once(),
        Err(PersistError::Log(WriteError::Stopped))
    ));
    drop((batch, store));
    disk.crash(&mut || false);
    let (store, _) = open(&disk);
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(1));
}

/// It covers the records of its segment as well, and the disk tells of a failure only once.
#[test]
fn a_failed_flush_of_the_room_ahead_stops_the_store_too() {
    let disk = disk();
    // So large that there is room ahead which is not there at once.
    let config = Config {
        segment_bytes: 64 << 20,
        ..config()
    };
    let (store, _) = Store::open(config, Arc::new(disk.clone())).expect("opens");
    send(&store, TOPIC, 0, &body(0));
    disk.fail(Operation::Sync, 1, Fault::Error(ErrorKind::Other));
    assert!(matches!(store.prepare_once(), Err(WriteError::Flush(_))));
    assert!(matches!(store.flush_once(), Err(WriteError::Stopped)));
    assert!(matches!(
        store.append(&draft(TOPIC, 0, b"x"), NOW),
        Err(AppendError::Stopped)
    ));
}

#[test]
fn a_failed_or_short_write_stops_the_store_for_good() {
    for fault in [
        Fault::Error(ErrorKind::StorageFull),
        Fault::Short(ErrorKind::Other),
    ] {
        let disk = disk();
        let (store, _) = open(&disk);
        send(&store, TOPIC, 0, &body(0));
        for _ in 0..3 {
            store
                .append(&draft(TOPIC, 0, &[1; 100]), NOW)
                .expect("appends");
        }
        disk.fail(Operation::Write, 1, fault);
        assert!(matches!(
            store.write_staged(Duration::ZERO),
            Err(WriteError::Write(_))
        ));
        assert!(matches!(
            store.append(&draft(TOPIC, 0, b"x"), NOW),
            Err(AppendError::Stopped)
        ));
        assert_eq!(bodies(&store, TOPIC, 0, 0), expected(1));
        drop(store);
        disk.kill();
        let (store, _) = open(&disk);
        assert_eq!(bodies(&store, TOPIC, 0, 0)[..1], expected(1));
    }
}

#[test]
fn a_torn_first_record_of_a_segment_is_cut_wherever_it_was_torn() {
    let disk = disk();
    let (store, _) = open(&disk);
    let end = send(&store, TOPIC, 0, &body(0)).end.0;
    drop(store);
    disk.kill();
    for cut in 0..usize::try_from(end).expect("small") {
        let disk = with_content(&disk, &segment(0), |bytes| bytes[cut..].fill(0));
        let (store, opened) = open(&disk);
        assert_eq!(opened.log_end, LogOffset(0), "cut at {cut}");
        assert_eq!(send(&store, TOPIC, 0, "new").queue_offset, QueueOffset(0));
    }
}

#[test]
fn a_disk_that_is_full_at_a_new_segment_refuses_and_recovers() {
    let disk = disk();
    let (store, _) = open(&disk);
    send(&store, TOPIC, 0, &body(0));
    disk.set_full(true);
    let mut count = 1;
    let refused = loop {
        match store.append(&draft(TOPIC, 0, body(count).as_bytes()), NOW) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::DiskFull), "{refused:?}");
    assert!(count > 10, "the segment in use has its room");
    settle(&store);
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(count));
    disk.set_full(false);
    send(&store, TOPIC, 0, &body(count));
    assert_eq!(bodies(&store, TOPIC, 0, 0), expected(count + 1));
}

#[test]
fn persisting_that_fails_is_tried_again() {
    for operation in [Operation::Write, Operation::Open, Operation::SetSize] {
        let disk = disk();
        let (store, _) = open(&disk);
        for n in 0..30 {
            send(&store, TOPIC, n % 2, &n.to_string());
        }
        disk.fail(operation, 1, Fault::Error(ErrorKind::StorageFull));
        assert!(
            matches!(store.persist_once(), Err(PersistError::Io(_))),
            "{operation:?}"
        );
        assert_eq!(bodies(&store, TOPIC, 0, 0).len(), 15);
        store.persist_once().expect("persists");
        drop(store);
        disk.crash(&mut || false);
        let (store, opened) = open(&disk);
        assert_eq!(
            (opened.records_read, opened.queues_rebuilt),
            (0, false),
            "{operation:?}"
        );
        assert_eq!(bodies(&store, TOPIC, 0, 0).len(), 15);
    }
}

#[test]
fn a_full_disk_refuses_appends_makes_room_and_recovers() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..200 {
        send(&store, TOPIC, 0, &body(n));
    }
    store.persist_once().expect("persists");
    let used = |percent: u64| {
        disk.set_space(Space {
            total_bytes: 100 << 20,
            free_bytes: (100 - percent) << 20,
        })
    };
    used(91);
    assert_eq!(store.check_disk().expect("looks").level, DiskLevel::Full);
    assert!(matches!(
        store.append(&draft(TOPIC, 0, b"x"), NOW),
        Err(AppendError::DiskFull)
    ));
    // The newest and the one being written stay.
    let time = ExpireTime {
        now_ms: NOW,
        monotonic_ms: 0,
    };
    let expired = store.expire_once(time).expect("expires");
    assert!(expired.segments >= 2, "{expired:?}");
    let bounds = store.queue_bounds(TOPIC, QueueId(0)).expect("a queue");
    let kept = bodies(&store, TOPIC, 0, bounds.min.0);
    assert_eq!(
        kept,
        (bounds.min.0..200)
            .map(|n| body(n as usize))
            .collect::<Vec<_>>()
    );
    used(50);
    assert_eq!(store.check_disk().expect("looks").level, DiskLevel::Normal);
    send(&store, TOPIC, 0, "again");
}

#[test]
fn a_clock_that_jumps_does_not_empty_the_log() {
    // Also when the store was open for a while before.
    for first_look in [0, 35_000] {
        let disk = disk();
        disk.set_now(NOW);
        let (store, _) = open(&disk);
        while store.log_start().0 + 40 * 4096 > store.appended_to().0 {
            send(&store, TOPIC, 0, &"x".repeat(900));
        }
        store.persist_once().expect("persists");
        let day = 86_400_000;
        let four_o_clock = NOW / day * day + 4 * 3_600_000 + 1000 * day;
        let run = |after_ms: u64| {
            let time = ExpireTime {
                now_ms: four_o_clock,
                monotonic_ms: first_look + after_ms,
            };
            store.expire_once(time).expect("expires").segments
        };
        assert_eq!([run(0), run(10_000)], [0, 0], "three looks in a row");
        let within_a_minute: usize = (20_000..80_000).step_by(10_000).map(run).sum();
        assert_eq!(within_a_minute, 9, "a fifth of 41 in the first minute");
        assert!(run(80_000) > 0);
    }
}

#[test]
fn what_readers_hold_stays_valid_when_its_segment_goes() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..200 {
        send(&store, TOPIC, 0, &body(n));
    }
    store.persist_once().expect("persists");
    let held = read(&store, TOPIC, 0, 0);
    disk.set_space(Space {
        total_bytes: 100,
        free_bytes: 5,
    });
    store
        .expire_once(ExpireTime {
            now_ms: NOW,
            monotonic_ms: 0,
        })
        .expect("expires");
    assert!(store.log_start() > LogOffset(0));
    let first = records(&held.records[0])
        .next()
        .expect("one")
        .expect("valid");
    assert_eq!(text(&first), body(0));
}

#[test]
fn a_deleted_topic_is_gone_and_may_come_again() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..25 {
        send(&store, "gone", 0, &body(n));
        send(&store, "kept", 0, &body(n));
    }
    store.persist_once().expect("persists");
    store.delete_topic("gone").expect("deletes");
    assert_eq!(store.queue_bounds("gone", QueueId(0)), None);
    assert!(
        !disk
            .exists(Path::new("/store/consumequeue/gone"))
            .expect("looks")
    );
    assert_eq!(send(&store, "gone", 0, "new").queue_offset, QueueOffset(0));
    for rebuild in [false, true] {
        let check = |store: &Store| {
            assert_eq!(bodies(store, "gone", 0, 0), ["new"], "rebuilt: {rebuild}");
            assert_eq!(bodies(store, "kept", 0, 0), expected(25));
        };
        let disk = disk.fork();
        if rebuild {
            disk.remove_folder(Path::new("/store/consumequeue/kept"))
                .expect("removes");
        }
        let (store, opened) = open(&disk);
        assert_eq!(opened.queues_rebuilt, rebuild);
        check(&store);
    }
}

#[test]
fn a_reader_does_not_bring_the_files_of_a_deleted_topic_back() {
    let (disk, _) = killed_store(100, 100);
    let (store, _) = open(&disk);
    send(&store, "kept", 0, &body(0));
    // More units than are looked at together, and the topic goes behind the first of them.
    let is_deleted = std::cell::Cell::new(false);
    let delete = |_| {
        if !is_deleted.replace(true) {
            store.delete_topic(TOPIC).expect("deletes");
        }
        true
    };
    let read = store.read(TOPIC, QueueId(0), QueueOffset(0), &MANY, &delete);
    assert!(read.is_ok_and(|read| read.count > 0));
    let folder = Path::new("/store/consumequeue").join(TOPIC);
    assert!(!disk.exists(&folder).expect("looks"));
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    let (store, opened) = open(&disk);
    assert!(!opened.queues_rebuilt);
    assert_eq!(store.queue_bounds(TOPIC, QueueId(0)), None);
    assert_eq!(bodies(&store, "kept", 0, 0), expected(1));
}

#[test]
fn a_segment_that_somebody_else_shortens_or_removes_stops_the_store() {
    let harm: [fn(&MemoryDisk, &Path); 2] = [
        |disk, path| {
            let file = disk.open(path, Access::Write).expect("opens");
            file.set_size(100).expect("shortens");
        },
        |disk, path| disk.remove_file(path).expect("removes"),
    ];
    for (harm, left) in harm.into_iter().zip([100, 0]) {
        let disk = disk();
        let (store, _) = open(&disk);
        send(&store, TOPIC, 0, &body(0));
        assert!(store.check_segments().is_ok());
        harm(&disk, &segment(0));
        assert!(matches!(
            store.check_segments(),
            Err(WriteError::Shortened { bytes, file }) if bytes == left && file == segment(0)
        ));
        assert!(matches!(
            store.append(&draft(TOPIC, 0, b"x"), NOW),
            Err(AppendError::Stopped)
        ));
    }
}
