//! A damaged log: named and refused at a plain start, read around after `--salvage`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use proto::message::{LogOffset, QueueId, QueueOffset};
use store::files::{Disk, MemoryDisk};
use store::{Config, Damage, OpenError, Opened, ReadStatus, Store};

use crate::support::*;

const SEGMENT_BYTES: u64 = 4096;
const QUEUES: [(&str, u32); 3] = [("A", 0), ("A", 1), ("a-topic-with-a-long-name", 0)];

fn segment(base: u64) -> PathBuf {
    PathBuf::from(format!("/store/commitlog/{base:020}"))
}

/// A message that was stored.
#[derive(Clone, Debug)]
struct Sent {
    queue: usize,
    offset: u64,
    body: String,
    from: u64,
    to: u64,
}

/// A disk with `count` messages over three queues, the first `persisted` behind a checkpoint.
fn world(count: usize, persisted: usize, clean: bool) -> (MemoryDisk, Vec<Sent>) {
    let disk = disk();
    let (store, _) = open(&disk);
    let mut sent = Vec::new();
    for n in 0..count {
        let queue = (n * 7 + n / 5) % QUEUES.len();
        let body = format!("{n}:{}", "x".repeat(n * 37 % 200));
        let (topic, id) = QUEUES[queue];
        let place = send(&store, topic, id, &body);
        sent.push(Sent {
            queue,
            offset: place.queue_offset.0,
            body,
            from: place.log_offset.0,
            to: place.end.0,
        });
        if n + 1 == persisted {
            store.persist_once().expect("persists");
        }
    }
    if clean {
        store.close().expect("closes");
    }
    drop(store);
    disk.kill();
    (disk, sent)
}

/// Changes bytes of the log, wherever they lie.
fn damage(disk: &MemoryDisk, from: u64, to: u64, change: impl Fn(&mut u8)) {
    for base in (from / SEGMENT_BYTES * SEGMENT_BYTES..to).step_by(4096) {
        let path = segment(base);
        let mut bytes = disk.content(&path).expect("a segment");
        let part = from.max(base) - base..to.min(base + SEGMENT_BYTES) - base;
        let part =
            usize::try_from(part.start).expect("small")..usize::try_from(part.end).expect("small");
        bytes[part].iter_mut().for_each(&change);
        disk.set_content(&path, bytes);
    }
}

fn salvage(disk: &MemoryDisk) -> (Store, Opened) {
    let config = Config {
        salvage: true,
        ..config()
    };
    Store::open(config, Arc::new(disk.clone())).expect("opens")
}

fn refused(disk: &MemoryDisk) -> Vec<Damage> {
    match try_open(disk) {
        Err(OpenError::Damaged(damage)) => damage,
        Err(error) => panic!("{error}"),
        Ok((_, opened)) => panic!("opened: {opened:?}"),
    }
}

/// All that can be read from a queue by following `next`, as offset and body; and every pull moves on.
fn readable(store: &Store, topic: &str, id: u32) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    let Some(bounds) = store.queue_bounds(topic, QueueId(id)) else {
        return found;
    };
    let mut next = bounds.min;
    while next < bounds.max {
        let one = store::ReadLimits {
            max_messages: 3,
            max_bytes: u32::MAX,
        };
        let read = store
            .read(topic, QueueId(id), next, &one, &|_| true)
            .expect("reads");
        assert!(read.next > next, "{topic}/{id} at {next}: {read:?}");
        assert!(
            matches!(
                read.status,
                ReadStatus::Found | ReadStatus::MessageWasRemoving
            ),
            "{read:?}"
        );
        for piece in &read.records {
            for record in proto::message::records(piece) {
                let message = record.expect("a record");
                assert_eq!(message.topic, topic);
                found.insert(message.queue_offset.0, text(&message));
            }
        }
        next = read.next;
    }
    found
}

/// Everything outside of the damage is there, nothing else is, and the ends of the queues are right.
fn check(store: &Store, sent: &[Sent], is_lost: impl Fn(&Sent) -> bool, ends_known: bool) {
    for (queue, (topic, id)) in QUEUES.iter().enumerate() {
        let of_queue: Vec<_> = sent.iter().filter(|sent| sent.queue == queue).collect();
        let expected: BTreeMap<_, _> = of_queue
            .iter()
            .filter(|sent| !is_lost(sent))
            .map(|sent| (sent.offset, sent.body.clone()))
            .collect();
        let found = readable(store, topic, *id);
        let places =
            |messages: &BTreeMap<u64, String>| messages.keys().copied().collect::<Vec<_>>();
        assert_eq!(places(&found), places(&expected), "{topic}/{id}");
        assert!(found == expected, "{topic}/{id}");
        let end = store
            .queue_bounds(topic, QueueId(*id))
            .map_or(0, |bounds| bounds.max.0);
        let last = expected.keys().last().map_or(0, |last| last + 1);
        assert!((last..=of_queue.len() as u64).contains(&end));
        if ends_known && !of_queue.is_empty() {
            assert_eq!(end, of_queue.len() as u64, "end of {topic}/{id}");
        }
    }
    for sent in sent {
        let found = store.record_at(LogOffset(sent.from));
        assert_eq!(found.is_some(), !is_lost(sent), "{sent:?}");
    }
}

/// Salvages, checks, and checks again after further starts and a rebuild of the queues.
fn salvaged(disk: &MemoryDisk, sent: &[Sent], lost: std::ops::Range<u64>, ends_known: bool) {
    let is_lost = |sent: &Sent| sent.from < lost.end && sent.to > lost.start;
    salvaged_but(disk, sent, is_lost, ends_known);
}

fn salvaged_but(
    disk: &MemoryDisk,
    sent: &[Sent],
    is_lost: impl Fn(&Sent) -> bool,
    ends_known: bool,
) {
    let (store, opened) = salvage(disk);
    assert_ne!(opened.salvaged, [], "something was damaged");
    check(&store, sent, &is_lost, ends_known);
    // The log goes on, and no offset is given out twice.
    let (topic, id) = QUEUES[0];
    let end = store
        .queue_bounds(topic, QueueId(id))
        .map_or(0, |bounds| bounds.max.0);
    let place = send(&store, topic, id, "behind");
    assert_eq!(place.queue_offset, QueueOffset(end));
    let mut sent = sent.to_vec();
    sent.push(Sent {
        queue: 0,
        offset: end,
        body: "behind".to_owned(),
        from: place.log_offset.0,
        to: place.end.0,
    });
    let queues = store.queues();
    let early = disk.fork();
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    early.kill();
    let cases = [
        (disk, false, false),
        (disk, true, true),
        (&early, false, true),
    ];
    for (disk, lose, rebuild) in cases {
        if lose {
            disk.remove_folder(Path::new("/store/consumequeue"))
                .expect("removes");
        }
        let (store, opened) = open(disk);
        assert_eq!(
            (opened.queues_rebuilt, &opened.salvaged),
            (rebuild, &Vec::new())
        );
        check(&store, &sent, &is_lost, false);
        assert_eq!(store.queues(), queues);
        store.close().expect("closes");
        let report = store::inspect::check(disk, Path::new("/store")).expect("reads");
        assert!(report.is_sound(), "{report}");
        assert_eq!(
            (report.units.missing, report.units.wrong),
            (0, 0),
            "{report}"
        );
        drop(store);
        let (again, opened) = salvage(disk);
        assert_eq!(opened.salvaged, [], "nothing is damaged any more");
        drop(again);
        disk.kill();
    }
}

fn quarantined(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    let paths = disk.paths().into_iter();
    paths
        .filter(|path| path.starts_with("/store/quarantine"))
        .map(|path| {
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, disk.content(&path).expect("a file"))
        })
        .collect()
}

#[test]
fn one_damaged_record_costs_one_message_and_its_bytes_are_kept() {
    for clean in [false, true] {
        let (disk, sent) = world(40, 40, clean);
        let one = &sent[17];
        damage(&disk, one.from + 95, one.from + 96, |byte| *byte ^= 0x10);
        let base = one.from / SEGMENT_BYTES * SEGMENT_BYTES;
        let from = usize::try_from(one.from - base).expect("small");
        let bytes = disk.content(&segment(base)).expect("a segment");
        let bytes = bytes[from..from + usize::try_from(one.to - one.from).expect("small")].to_vec();
        salvaged(&disk, &sent, one.from..one.to, true);
        let name = format!("{base:020}-{}-{}", one.from - base, one.to - one.from);
        assert_eq!(quarantined(&disk), [(name, bytes)]);
    }
}

#[test]
fn damage_behind_the_checkpoint_is_refused_with_every_place_and_changes_nothing() {
    let (disk, sent) = world(40, 10, false);
    for n in [20, 21, 33] {
        damage(&disk, sent[n].from + 100, sent[n].from + 101, |byte| {
            *byte ^= 1
        });
    }
    let before: Vec<_> = disk.paths().iter().map(|path| disk.content(path)).collect();
    let places: Vec<_> = refused(&disk)
        .into_iter()
        .map(|place| (place.file, place.offset, place.bytes))
        .collect();
    let place = |first: usize, last: usize| {
        let base = sent[first].from / SEGMENT_BYTES * SEGMENT_BYTES;
        (
            segment(base),
            sent[first].from - base,
            sent[last].to - sent[first].from,
        )
    };
    // Neighbours are one place.
    assert_eq!(places, [place(20, 21), place(33, 33)]);
    let after: Vec<_> = disk.paths().iter().map(|path| disk.content(path)).collect();
    assert_eq!(before, after);
    let is_lost = |sent: &Sent| {
        [20, 21, 33]
            .iter()
            .any(|n| sent.body.starts_with(&format!("{n}:")))
    };
    let (store, opened) = salvage(&disk);
    assert_eq!(opened.salvaged.len(), 2);
    check(&store, &sent, is_lost, false);
}

#[test]
fn a_zeroed_sector_costs_the_messages_in_it() {
    let (disk, sent) = world(60, 60, true);
    damage(&disk, 1024, 1536, |byte| *byte = 0);
    salvaged(&disk, &sent, 1024..1536, true);
}

#[test]
fn a_queue_whose_first_messages_are_lost_is_read_after_every_start() {
    for last_lost in 0..39 {
        let (disk, sent) = world(40, 40, last_lost % 2 == 0);
        let lost = 0..sent[last_lost].to;
        damage(&disk, lost.start, lost.end, |byte| *byte ^= 0xA5);
        let (store, _) = salvage(&disk);
        let queues = store.queues();
        store.persist_once().expect("persists");
        drop(store);
        for _ in 0..2 {
            disk.kill();
            let (store, opened) = open(&disk);
            assert_eq!(store.queues(), queues, "{last_lost}");
            assert!(!opened.queues_rebuilt, "{last_lost}");
            check(&store, &sent, |sent| sent.from < lost.end, false);
            store.persist_once().expect("persists");
        }
    }
}

#[test]
fn damage_over_the_place_from_which_records_are_sealed_is_salvaged_at_once() {
    let with_crc = |record_crc, salvage| Config {
        record_crc,
        salvage,
        ..config()
    };
    // How many messages before and behind the border are lost.
    for (before, behind) in [(1, 0), (0, 1), (1, 1), (3, 4), (12, 12)] {
        let disk = disk();
        let mut sent = Vec::new();
        for record_crc in [false, true] {
            let (store, _) =
                Store::open(with_crc(record_crc, false), Arc::new(disk.clone())).expect("opens");
            for n in 0..15 {
                sent.push(send(&store, "A", 0, &n.to_string()));
            }
            store.close().expect("closes");
        }
        let lost = 15 - before..15 + behind;
        let end = sent[lost.end - 1].end.0;
        damage(&disk, sent[lost.start].log_offset.0, end, |byte| {
            *byte ^= 0xA5
        });
        let salvaged = Store::open(with_crc(true, true), Arc::new(disk.clone()));
        drop(salvaged.expect("is made readable"));
        disk.kill();
        let (store, opened) = open(&disk);
        assert_eq!(opened.salvaged, [], "{lost:?}");
        let places: Vec<_> = readable(&store, "A", 0).into_keys().collect();
        let expected: Vec<_> = (0..30).filter(|n| !lost.contains(&(*n as usize))).collect();
        assert_eq!(places, expected, "{lost:?}");
    }
}

#[test]
fn a_missing_segment_in_the_middle_is_named_and_its_messages_keep_their_places() {
    let (disk, sent) = world(80, 80, true);
    disk.remove_file(&segment(4096)).expect("removes");
    let places = refused(&disk);
    assert_eq!(places.len(), 1);
    assert_eq!((&places[0].file, places[0].bytes), (&segment(4096), 4096));
    salvaged(&disk, &sent, 4096..8192, true);
    assert_eq!(quarantined(&disk), [], "there was nothing to save");
}

#[test]
fn missing_segments_at_the_end_are_named_and_no_offset_is_given_out_twice() {
    let (disk, sent) = world(80, 80, true);
    let end = sent[79].to;
    assert!(end > 12288, "{end}");
    let from = end / SEGMENT_BYTES * SEGMENT_BYTES;
    for base in (from..)
        .step_by(4096)
        .take_while(|base| disk.content(&segment(*base)).is_some())
    {
        disk.remove_file(&segment(base)).expect("removes");
    }
    assert_eq!(refused(&disk)[0].file, segment(from));
    salvaged(&disk, &sent, from..end, true);
}

#[test]
fn a_segment_that_was_cut_short_is_named_and_the_rest_is_read() {
    for (base, kept) in [(0, 1000), (4096, 3), (8192, 4000)] {
        let (disk, sent) = world(80, 80, true);
        let mut bytes = disk.content(&segment(base)).expect("a segment");
        bytes.truncate(kept);
        disk.set_content(&segment(base), bytes);
        let places = refused(&disk);
        assert_eq!(places.len(), 1);
        let place = (&places[0].file, places[0].offset, places[0].bytes);
        assert_eq!(place, (&segment(base), kept as u64, 4096 - kept as u64));
        salvaged(&disk, &sent, base + kept as u64..base + 4096, true);
    }
}

#[test]
fn damage_across_a_segment_border_is_named_for_both_files() {
    let (disk, sent) = world(60, 20, false);
    let last = sent.iter().rposition(|sent| sent.to <= 8192).expect("one");
    let lost = sent[last].from..sent[last + 1].to;
    damage(&disk, lost.start, lost.end, |byte| *byte = 0xEE);
    let files: Vec<_> = refused(&disk).into_iter().map(|place| place.file).collect();
    assert_eq!(files, [segment(4096), segment(8192)]);
    salvaged(&disk, &sent, lost, false);
}

#[test]
fn damage_below_the_checkpoint_is_no_torn_end_when_the_queues_are_made_again() {
    let (disk, sent) = world(30, 30, false);
    damage(&disk, sent[20].from, sent[29].to, |byte| *byte = 0x55);
    disk.remove_folder(Path::new("/store/consumequeue"))
        .expect("removes");
    assert_eq!(
        refused(&disk).iter().map(|place| place.bytes).sum::<u64>(),
        sent[29].to - sent[20].from
    );
    salvaged(&disk, &sent, sent[20].from..sent[29].to, false);
}

#[test]
fn a_record_inside_a_body_is_never_taken_for_a_message() {
    let disk = disk();
    let (store, _) = open(&disk);
    let first = send(&store, "A", 0, "first");
    // What a sender could put into a body: a record that says that it lies where it lies.
    let outer = draft("A", 0, &[0; 300]).record_bytes(true).expect("fits");
    let inner_at = first.end.0 + 100;
    let mut inner = Vec::new();
    let placement = proto::message::Placement {
        log_offset: LogOffset(inner_at),
        queue_offset: QueueOffset(1),
        store_timestamp: NOW,
        body_crc: crc32fast::hash(b"forged"),
        record_crc: true,
    };
    draft("A", 0, b"forged").encode(&placement, &mut inner);
    proto::message::seal_crc(&mut inner);
    let mut body = vec![0; 300];
    let at = 100 - 88;
    body[at..at + inner.len()].copy_from_slice(&inner);
    let place = store.append(&draft("A", 0, &body), NOW).expect("appends");
    assert_eq!(place.size, outer);
    settle(&store);
    send(&store, "A", 0, "last");
    assert!(
        store.record_at(LogOffset(inner_at)).is_some(),
        "the bait is good"
    );
    store.close().expect("closes");
    drop(store);
    damage(
        &disk,
        place.log_offset.0 + 60,
        place.log_offset.0 + 61,
        |byte| *byte ^= 1,
    );
    let (store, opened) = salvage(&disk);
    assert_eq!(opened.salvaged[0].bytes, u64::from(outer));
    assert_eq!(
        readable(&store, "A", 0),
        BTreeMap::from([(0, "first".to_owned()), (2, "last".to_owned())])
    );
}

#[test]
fn a_power_cut_during_a_salvage_leaves_a_store_to_salvage_again() {
    let (disk, sent) = world(60, 60, true);
    let lost = sent[10].from..sent[14].to;
    damage(&disk, lost.start, lost.end, |byte| *byte ^= 0xA5);
    let copies = |disk: &MemoryDisk| {
        let all = quarantined(disk);
        all.into_iter()
            .filter(|(name, _)| !name.ends_with(".tmp"))
            .collect::<Vec<_>>()
    };
    let (whole, writes) = {
        let disk = disk.fork();
        drop(salvage(&disk));
        (copies(&disk), disk.count(store::files::Operation::Write))
    };
    for write in 1..=writes {
        for survives in [false, true] {
            let disk = disk.fork();
            disk.fail(
                store::files::Operation::Write,
                write,
                store::files::Fault::Short(std::io::ErrorKind::Other),
            );
            let config = Config {
                salvage: true,
                ..config()
            };
            drop(Store::open(config, Arc::new(disk.clone())));
            disk.crash(&mut || survives);
            let (store, _) = salvage(&disk);
            let is_lost = |sent: &Sent| sent.from < lost.end && sent.to > lost.start;
            check(&store, &sent, is_lost, true);
            let kept = copies(&disk);
            assert!(kept.contains(&whole[0]), "write {write}: {kept:?}");
        }
    }
}

#[test]
fn a_salvage_that_was_interrupted_is_never_taken_for_a_sound_store() {
    let (disk, sent) = world(60, 60, false);
    disk.remove_file(&segment(SEGMENT_BYTES)).expect("removes");
    let config = Config {
        salvage: true,
        ..config()
    };
    disk.take_pictures(1, 1);
    drop(Store::open(config, Arc::new(disk.clone())).expect("opens"));
    let is_lost = |sent: &Sent| sent.from / SEGMENT_BYTES == 1;
    let mut refused = 0;
    for picture in disk.pictures() {
        let is_refused = match try_open(&picture.disk.fork()) {
            Ok((store, _)) => {
                check(&store, &sent, is_lost, true);
                false
            }
            Err(OpenError::Damaged(_)) => true,
            Err(error) => panic!("{error}"),
        };
        let (store, opened) = salvage(&picture.disk);
        check(&store, &sent, is_lost, true);
        assert!(opened.queues_rebuilt || !is_refused, "{opened:?}");
        refused += u32::from(is_refused);
    }
    assert!(refused > 0);
}

/// The bytes of a record.
fn record(disk: &MemoryDisk, sent: &Sent) -> Vec<u8> {
    let base = sent.from / SEGMENT_BYTES * SEGMENT_BYTES;
    let place = |offset: u64| usize::try_from(offset - base).expect("small");
    disk.content(&segment(base)).expect("a segment")[place(sent.from)..place(sent.to)].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("STORE_SALVAGE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
    ))]

    /// Any one damaged range, of any kind, anywhere, in a store that was closed or killed.
    #[test]
    fn whatever_is_damaged_the_rest_is_read(
        from in 0..9000u64,
        bytes in 1..5000u64,
        kind in 0..3u8,
        clean: bool,
        keep_queues: bool,
    ) {
        let (disk, sent) = world(70, 70, clean);
        let end = sent[69].to;
        let to = (from + bytes).min(end);
        let whole = disk.fork();
        damage(&disk, from, to, |byte| match kind {
            0 => *byte = 0,
            1 => *byte ^= 0x80,
            _ => *byte = 0xDA,
        });
        if !keep_queues {
            disk.remove_folder(Path::new("/store/consumequeue")).expect("removes");
        }
        // Zeros over zeros, or over the blank rest of a segment, cost nothing.
        let is_lost = |sent: &Sent| record(&whole, sent) != record(&disk, sent);
        let lost: Vec<_> = sent.iter().map(is_lost).collect();
        if lost.contains(&true) {
            let at = |sent: &Sent| lost[sent.body.split_once(':').and_then(|(n, _)| n.parse::<usize>().ok()).unwrap_or(usize::MAX)];
            salvaged_but(&disk, &sent, |sent| sent.body != "behind" && at(sent), keep_queues);
        } else {
            drop(salvage(&disk));
        }
    }
}
