//! What goes in comes out: appends, batches, reads, watching, marks, reopening.

use std::time::Duration;

use crate::support::*;
use proto::message::{LogOffset, QueueId, QueueOffset, StoredMessage, SysFlag, tags_code};
use store::files::OsDisk;
use store::{AppendError, Boundary, Config, ReadLimits, ReadStatus, Store};

#[test]
fn a_message_is_readable_once_it_is_dispatched() {
    let (store, _) = open(&disk());
    let appended = store
        .append(&draft("T", 0, b"hello"), NOW)
        .expect("appends");
    assert_eq!(
        store.queue_bounds("T", QueueId(0)).map(|b| b.max),
        Some(QueueOffset(0))
    );
    let batch = store
        .write_staged(Duration::ZERO)
        .expect("writes")
        .expect("a batch");
    assert_eq!((batch.end(), batch.count()), (appended.end, 1));
    assert_eq!(store.appended_to(), appended.end);
    assert_eq!(store.durable_to(), LogOffset(0));
    assert_eq!(store.flush_once().expect("flushes"), appended.end);
    assert_eq!(read(&store, "T", 0, 0).status, ReadStatus::NoMessageInQueue);
    store.dispatch(batch, &mut |_| panic!("nobody watches"));
    assert_eq!(store.dispatched_to(), appended.end);
    assert_eq!(bodies(&store, "T", 0, 0), ["hello"]);
}

#[test]
fn queues_count_for_themselves_and_records_lie_in_append_order() {
    let (store, _) = open(&disk());
    let mut end = LogOffset(0);
    for n in 0..50u32 {
        let appended = send(&store, "T", n % 3, &format!("message {n}"));
        assert_eq!(appended.queue_offset, QueueOffset(u64::from(n / 3)));
        assert!(appended.log_offset >= end);
        end = appended.end;
    }
    let expected: Vec<_> = (0..50).step_by(3).map(|n| format!("message {n}")).collect();
    assert_eq!(bodies(&store, "T", 0, 0), expected);
    assert_eq!(bodies(&store, "T", 0, 5), expected[5..]);
}

#[test]
fn adjacent_records_of_a_read_come_in_one_piece() {
    let (store, _) = open(&disk());
    for n in 0..10 {
        send(&store, "T", 0, &n.to_string());
    }
    let read = read(&store, "T", 0, 2);
    assert_eq!(
        (read.records.len(), read.count, read.next),
        (1, 8, QueueOffset(10))
    );
    assert_eq!(read.bytes, read.records[0].len() as u64);
}

#[test]
fn reads_say_what_they_found_in_the_words_of_rocketmq() {
    let (store, _) = open(&disk());
    for n in 0..3 {
        send(&store, "T", 0, &n.to_string());
    }
    store.watch("empty", QueueId(0));
    let status = |topic, from| {
        let read = read(&store, topic, 0, from);
        (read.status, read.next.0, read.min.0, read.max.0)
    };
    assert_eq!(status("T", 1), (ReadStatus::Found, 3, 0, 3));
    assert_eq!(status("T", 3), (ReadStatus::OffsetOverflowOne, 3, 0, 3));
    assert_eq!(status("T", 4), (ReadStatus::OffsetOverflowBadly, 3, 0, 3));
    assert_eq!(
        status("none", 4),
        (ReadStatus::NoMatchedLogicQueue, 0, 0, 0)
    );
    assert_eq!(status("empty", 4), (ReadStatus::NoMessageInQueue, 0, 0, 0));
}

#[test]
fn limits_count_messages_and_bytes_but_the_first_message_always_comes() {
    let (store, _) = open(&disk());
    let sizes: Vec<u32> = (0..5)
        .map(|n| send(&store, "T", 0, &n.to_string()).size)
        .collect();
    let read = |max_messages, max_bytes| {
        let limits = ReadLimits {
            max_messages,
            max_bytes,
        };
        let read = store
            .read("T", QueueId(0), QueueOffset(0), &limits, &|_| true)
            .expect("reads");
        (read.count, read.next.0)
    };
    assert_eq!(read(2, u32::MAX), (2, 2));
    assert_eq!(read(10, sizes[0] * 3), (3, 3));
    assert_eq!(read(10, sizes[0] * 3 - 1), (2, 2));
    assert_eq!(read(10, 1), (1, 1));
}

#[test]
fn a_filter_leaves_out_messages_and_still_moves_on() {
    let (store, _) = open(&disk());
    let code = tags_code(Some("A"));
    for n in 0..20 {
        let draft = store_draft(if n % 5 == 0 { code } else { 7 });
        store.append(&draft, NOW).expect("appends");
    }
    settle(&store);
    let limits = ReadLimits {
        max_messages: 32,
        max_bytes: u32::MAX,
    };
    let read = |wanted: i64| {
        store
            .read("T", QueueId(0), QueueOffset(0), &limits, &|code| {
                code == wanted
            })
            .expect("reads")
    };
    let found = read(code);
    assert_eq!(
        (found.status, found.count, found.next.0),
        (ReadStatus::Found, 4, 20)
    );
    assert_eq!(found.records.len(), 4);
    let none = read(99);
    assert_eq!(
        (none.status, none.count, none.next.0),
        (ReadStatus::NoMatchedMessage, 0, 20)
    );
}

fn store_draft(tags_code: i64) -> proto::message::Draft<'static> {
    proto::message::Draft {
        tags_code,
        ..draft("T", 0, b"x")
    }
}

#[test]
fn a_batch_lies_together_in_one_segment() {
    let (store, _) = open(&disk());
    send(&store, "T", 0, &"a".repeat(3000));
    let drafts: Vec<_> = (0..6).map(|_| draft("T", 0, &[b'b'; 100])).collect();
    let appended = store.append_batch(&drafts, NOW).expect("appends");
    settle(&store);
    assert_eq!(appended[0].log_offset, LogOffset(4096));
    for (before, after) in appended.iter().zip(&appended[1..]) {
        assert_eq!(before.end, after.log_offset);
        assert_eq!(before.queue_offset.0 + 1, after.queue_offset.0);
    }
    assert_eq!(bodies(&store, "T", 0, 0).len(), 7);
}

#[test]
fn what_fits_no_segment_is_refused_and_leaves_nothing() {
    let (store, _) = open(&disk());
    let body = vec![0; 4096];
    let refused = store.append(&draft("T", 0, &body), NOW);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { .. })),
        "{refused:?}"
    );
    let drafts: Vec<_> = (0..3).map(|_| draft("T", 0, &body[..2000])).collect();
    let refused = store.append_batch(&drafts, NOW);
    assert!(
        matches!(refused, Err(AppendError::TooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(send(&store, "T", 0, "first").queue_offset, QueueOffset(0));
    assert_eq!(bodies(&store, "T", 0, 0), ["first"]);
}

#[test]
fn names_that_cannot_be_folders_are_refused() {
    let (store, _) = open(&disk());
    for topic in ["..", "a/b", ""] {
        let refused = store.append(&draft(topic, 0, b"x"), NOW);
        assert!(refused.is_err(), "{topic}");
    }
    assert!(matches!(
        store.append(&draft("T", 65_536, b"x"), NOW),
        Err(AppendError::Queue(_))
    ));
}

#[test]
fn staging_is_bounded() {
    let config = Config {
        staging_bytes_max: 1000,
        ..config()
    };
    let (store, _) = Store::open(config, std::sync::Arc::new(disk())).expect("opens");
    let mut taken = 0;
    let refused = loop {
        match store.append(&draft("T", 0, &[0; 100]), NOW) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::StagingFull), "{refused:?}");
    assert_eq!(taken, 4);
    settle(&store);
    send(&store, "T", 0, "again");
}

#[test]
fn prepared_and_rolled_back_records_have_no_place_in_the_queue() {
    let (store, _) = open(&disk());
    for bits in [0, 4, 8, 12] {
        let draft = proto::message::Draft {
            sys_flag: SysFlag(bits),
            ..draft("T", 0, b"x")
        };
        store.append(&draft, NOW).expect("appends");
    }
    settle(&store);
    assert_eq!(
        store.queue_bounds("T", QueueId(0)).map(|b| b.max),
        Some(QueueOffset(2))
    );
}

#[test]
fn only_watched_queues_tell_of_arrivals() {
    let (store, _) = open(&disk());
    store.watch("T", QueueId(1));
    for n in 0..4 {
        store
            .append(&draft("T", n % 2, b"x"), NOW)
            .expect("appends");
    }
    let batch = store
        .write_staged(Duration::ZERO)
        .expect("writes")
        .expect("a batch");
    let mut arrived = Vec::new();
    store.dispatch(batch, &mut |arrival| {
        arrived.push((arrival.topic.to_owned(), arrival.queue_id.0));
    });
    assert_eq!(arrived, [("T".to_owned(), 1), ("T".to_owned(), 1)]);
    store.unwatch("T", QueueId(1));
    store.append(&draft("T", 1, b"x"), NOW).expect("appends");
    let batch = store
        .write_staged(Duration::ZERO)
        .expect("writes")
        .expect("a batch");
    store.dispatch(batch, &mut |_| panic!("nobody watches"));
}

#[test]
fn store_times_never_go_back() {
    let (store, _) = open(&disk());
    let times: Vec<i64> = [5, 3, 9, 1]
        .iter()
        .map(|now| {
            store
                .append(&draft("T", 0, b"x"), *now)
                .expect("appends")
                .store_timestamp
        })
        .collect();
    assert_eq!(times, [5, 5, 9, 9]);
}

#[test]
fn offsets_are_found_by_time() {
    let (store, _) = open(&disk());
    for time in [10, 20, 20, 20, 30] {
        store.append(&draft("T", 0, b"x"), time).expect("appends");
    }
    settle(&store);
    for persisted in [false, true] {
        if persisted {
            store.persist_once().expect("persists");
        }
        let at = |time, boundary| {
            let found = store
                .offset_by_time("T", QueueId(0), time, boundary)
                .expect("reads");
            found.expect("a queue").0
        };
        let lower: Vec<_> = [5, 10, 15, 20, 25, 30, 31]
            .map(|t| at(t, Boundary::Lower))
            .to_vec();
        assert_eq!(lower, [0, 0, 1, 1, 4, 4, 5]);
        let upper: Vec<_> = [5, 10, 15, 20, 25, 30, 31]
            .map(|t| at(t, Boundary::Upper))
            .to_vec();
        assert_eq!(upper, [0, 0, 0, 3, 3, 4, 4]);
    }
    assert_eq!(store.earliest_time(), Some(10));
    let time = |n| {
        store
            .message_time("T", QueueId(0), QueueOffset(n))
            .expect("reads")
    };
    assert_eq!([time(3), time(4), time(5)], [Some(20), Some(30), None]);
}

#[test]
fn a_record_is_found_by_its_offset_and_nothing_else_is() {
    let (store, _) = open(&disk());
    let appended: Vec<_> = (0..3)
        .map(|n| send(&store, "T", 0, &n.to_string()))
        .collect();
    for place in &appended {
        let record = store.record_at(place.log_offset).expect("a record");
        assert_eq!(record.len() as u32, place.size);
        let message = StoredMessage::verify(&record, place.log_offset).expect("valid");
        assert_eq!(message.queue_offset, place.queue_offset);
    }
    let starts: Vec<u64> = appended.iter().map(|place| place.log_offset.0).collect();
    for offset in (0..9000)
        .chain([u64::MAX, u64::MAX - 8])
        .filter(|n| !starts.contains(n))
    {
        assert_eq!(store.record_at(LogOffset(offset)), None, "{offset}");
    }
}

#[test]
fn a_closed_store_opens_without_reading_and_goes_on() {
    let disk = disk();
    let (store, opened) = open(&disk);
    assert!(opened.was_clean);
    for n in 0..100u32 {
        send(&store, "T", n % 2, &n.to_string());
    }
    let (bounds, end) = (store.queues(), store.appended_to());
    store.close().expect("closes");
    assert!(matches!(
        store.append(&draft("T", 0, b"x"), NOW),
        Err(AppendError::Stopped)
    ));
    drop(store);

    let (store, opened) = open(&disk);
    assert!(opened.was_clean);
    assert_eq!(
        (opened.records_read, opened.read_from, opened.log_end),
        (0, end, end)
    );
    assert_eq!(store.queues(), bounds);
    let evens: Vec<_> = (0..100).step_by(2).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&store, "T", 0, 0), evens);
    assert_eq!(send(&store, "T", 0, "next").queue_offset, QueueOffset(50));
}

#[test]
fn a_killed_store_reads_what_came_behind_the_checkpoint() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..60 {
        send(&store, "T", 0, &n.to_string());
        if n == 39 {
            store.persist_once().expect("persists");
        }
    }
    let bounds = store.queues();
    drop(store);
    disk.kill();

    let (store, opened) = open(&disk);
    assert!(!opened.was_clean);
    assert_eq!(
        (
            opened.records_read,
            opened.torn_bytes,
            opened.queues_rebuilt
        ),
        (20, 0, false)
    );
    assert_eq!(store.queues(), bounds);
    let all: Vec<_> = (0..60).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&store, "T", 0, 0), all);
}

#[test]
fn the_real_disk_keeps_a_store_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = || Config {
        segment_bytes: 8192,
        ..Config::new(folder.path())
    };
    let disk = std::sync::Arc::new(OsDisk);
    let (store, _) = Store::open(config(), disk.clone()).expect("opens");
    let second = Store::open(config(), disk.clone());
    assert!(matches!(second, Err(store::OpenError::Locked(_))));
    for n in 0..200 {
        while store.prepare_once().expect("prepares") {}
        send(&store, "T", 0, &n.to_string());
    }
    store.close().expect("closes");
    drop(store);
    let (store, opened) = Store::open(config(), disk.clone()).expect("opens");
    assert!(opened.was_clean);
    let all: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&store, "T", 0, 0), all);
    drop(store);
    let (store, opened) = Store::open(config(), disk).expect("opens");
    assert!(!opened.was_clean);
    assert_eq!(bodies(&store, "T", 0, 0), all);
}
