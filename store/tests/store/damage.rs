//! Bytes on the disk that are not what was written: cut tails, flipped bits, zeroed sectors, old
//! records. Whatever it is, nobody gets bytes that nobody sent, and a log that is damaged before
//! its end is not cut.
//!
//! Plain runs take a sample; `GANTRY_DAMAGE_CUTS`, `GANTRY_DAMAGE_FLIPS`, `GANTRY_DAMAGE_SECTORS` say
//! how many, `GANTRY_DAMAGE_SEED` which. A failure names its seed and number.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use proto::message::{Draft, LogOffset, QueueId, QueueOffset, records};
use store::files::MemoryDisk;
use store::{KeyQuery, OpenError, ReadError, Store};

use crate::support::*;

const QUEUES: u32 = 3;

fn body(n: usize) -> String {
    format!("{n}:{}", "y".repeat(n * 37 % 300))
}

/// A store of several segments, queue files and index files that was killed, or closed first. Every
/// message but the last `unvouched` is below the checkpoint. Also: where each message ends.
fn store_with(count: usize, unvouched: usize, closed: bool) -> (MemoryDisk, Vec<u64>) {
    let disk = disk();
    let (store, _) = open(&disk);
    let mut ends = Vec::new();
    for n in 0..count {
        let (text, key) = (body(n), format!("key{n}"));
        let keys = format!("KEYS\u{1}{key}\u{2}");
        let draft = Draft {
            properties: &[&keys],
            keys: Some(&key),
            ..draft("T", n as u32 % QUEUES, text.as_bytes())
        };
        ends.push(store.append(&draft, NOW).expect("appends").end.0);
        settle(&store);
        if n + 1 + unvouched == count {
            store.persist_once().expect("persists");
        }
    }
    if closed {
        store.close().expect("closes");
    }
    drop(store);
    disk.kill();
    (disk, ends)
}

/// What a store answers about message `n`: its text, nothing, or that it is damaged.
fn asked(store: &Store, n: usize) -> Option<Option<String>> {
    let (queue, offset) = (QueueId(n as u32 % QUEUES), n as u64 / u64::from(QUEUES));
    match store.read("T", queue, QueueOffset(offset), &MANY, &|_| true) {
        Ok(read) if read.count == 0 => Some(None),
        Ok(read) => {
            let first = records(&read.records[0]).next().expect("one");
            Some(Some(text(&first.expect("valid"))))
        }
        Err(ReadError::Damaged { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Whether a message is found by its key; what is found is always the right one.
fn is_found_by_key(store: &Store, n: usize) -> bool {
    let query = KeyQuery {
        topic: "T",
        key: &format!("key{n}"),
        max: 10,
        begin_ms: 0,
        end_ms: i64::MAX,
    };
    let found = store.query_by_key(&query).expect("reads the index");
    for record in &found {
        let record = records(record).next().expect("one").expect("valid");
        assert_eq!(text(&record), body(n));
    }
    found.len() == 1
}

#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("small") % sides
    }
}

fn log_files(disk: &MemoryDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = disk.paths().into_iter();
    let log = paths.filter(|path| path.starts_with("/store/commitlog"));
    log.map(|path| (path.clone(), disk.content(&path).expect("a file")))
        .collect()
}

/// The segment and the place in it of a log offset.
fn place(offset: u64) -> (PathBuf, usize) {
    let base = offset / 4096 * 4096;
    let path = PathBuf::from(format!("/store/commitlog/{base:020}"));
    (path, usize::try_from(offset - base).expect("small"))
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_records_keeps_the_others() {
    const PADDING: u64 = 64;
    let (disk, ends) = store_with(27, 5, false);
    let (from, to) = (ends[23], ends[26] + PADDING);
    let segment = place(from).0;
    assert_eq!(place(to).0, segment, "the last records lie in one segment");
    let wanted = number("GANTRY_DAMAGE_CUTS", 300);
    let tails: [&dyn Fn(usize) -> u8; 4] =
        [&|_| 0, &|at| (at * 31 % 251) as u8, &|_| 0xDA, &|at| {
            disk_byte(&disk, at)
        }];
    let mut cuts = 0;
    let all = (to - from) * tails.len() as u64;
    for (number, cut) in (from..to).flat_map(|cut| [cut; 4]).enumerate() {
        if number as u64 * wanted / all == (number as u64 + 1) * wanted / all && wanted < all {
            continue;
        }
        cuts += 1;
        let disk = disk.fork();
        let mut bytes = disk.content(&segment).expect("a file");
        let at = place(cut).1;
        let tail = tails[number % 4];
        (at..bytes.len()).for_each(|at| bytes[at] = tail(at));
        disk.set_content(&segment, bytes);
        if number.is_multiple_of(2) {
            disk.crash(&mut || true);
        }
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (store, opened) = open(&disk);
        assert_eq!(opened.log_end, LogOffset(ends[whole - 1]), "cut at {cut}");
        for n in 0..27 {
            let expected = (n < whole).then(|| body(n));
            assert_eq!(asked(&store, n), Some(expected), "cut at {cut}");
        }
        // And the log goes on from there as if nothing had been.
        send(&store, "T", whole as u32 % QUEUES, &body(whole));
        drop(store);
        disk.kill();
        let (store, opened) = open(&disk);
        assert_eq!(
            asked(&store, whole),
            Some(Some(body(whole))),
            "cut at {cut}"
        );
        assert_eq!(opened.torn_bytes, 0, "cut at {cut}");
    }
    report(&format!(
        r#"{{"test":"torn tail","cuts":{cuts},"failed":0}}"#
    ));
}

/// Old, valid records: what the first segment begins with.
fn disk_byte(disk: &MemoryDisk, at: usize) -> u8 {
    let first = disk.content(&place(0).0).expect("a file");
    first[at % first.len()]
}

/// What was done to which file of a disk.
#[derive(Debug)]
struct Harm {
    path: PathBuf,
    from: usize,
    changed: bool,
}

fn harm(disk: &MemoryDisk, dice: &mut Dice, zero: bool) -> Harm {
    let mut paths = disk.paths();
    paths.retain(|path| disk.content(path).is_some_and(|bytes| !bytes.is_empty()));
    // The log is half of it.
    if dice.throw(2) == 0 {
        paths.retain(|path| path.starts_with("/store/commitlog"));
    }
    let path = paths.swap_remove(dice.throw(paths.len()));
    let mut bytes = disk.content(&path).expect("a file");
    let before = bytes.clone();
    let from = if zero {
        let from = dice.throw(bytes.len().div_ceil(512)) * 512;
        let to = bytes.len().min(from + 512);
        bytes[from..to].fill(0);
        from
    } else {
        let at = dice.throw(bytes.len());
        bytes[at] ^= 1 << dice.throw(8);
        at
    };
    let changed = bytes != before;
    disk.set_content(&path, bytes);
    Harm {
        path,
        from,
        changed,
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    refused_to_start: u32,
    reads_refused: u32,
    tails_cut: u32,
    keys_missed: u32,
}

#[test]
fn flipped_bits_and_zeroed_sectors_are_mended_or_refused_and_never_served() {
    const COUNT: usize = 90;
    let seed = number("GANTRY_DAMAGE_SEED", u64::from(std::process::id()));
    let (flips, sectors) = (
        number("GANTRY_DAMAGE_FLIPS", 200),
        number("GANTRY_DAMAGE_SECTORS", 60),
    );
    let sources = [
        store_with(COUNT, 0, true),
        store_with(COUNT, 0, false),
        store_with(COUNT, 40, false),
    ];
    let mut outcomes = Outcomes::default();
    for number in 0..flips + sectors {
        let mut dice = Dice(seed.wrapping_add(number) << 20);
        let (disk, ends) = &sources[dice.throw(3)];
        let disk = disk.fork();
        let harm = harm(&disk, &mut dice, number >= flips);
        let says = format!("GANTRY_DAMAGE_SEED={seed}, number {number}: {harm:?}");
        judge(&disk, &harm, ends, &mut outcomes, &says);
    }
    report(&format!(
        r#"{{"test":"damage","seed":{seed},"bit_flips":{flips},"zeroed_sectors":{sectors},"altered_messages_served":0,"refused_to_start":{},"reads_refused":{},"tails_cut":{},"key_lookups_missed":{},"failed":0}}"#,
        outcomes.refused_to_start, outcomes.reads_refused, outcomes.tails_cut, outcomes.keys_missed
    ));
}

fn judge(disk: &MemoryDisk, harm: &Harm, ends: &[u64], outcomes: &mut Outcomes, says: &str) {
    let log_before = log_files(disk);
    let in_log = harm.path.starts_with("/store/commitlog");
    let store = match try_open(disk) {
        Ok((store, _)) => store,
        Err(OpenError::Damaged(places)) => {
            outcomes.refused_to_start += 1;
            assert!(in_log && places.len() == 1, "{says}: {places:?}");
            let (begin, end) = (places[0].offset, places[0].offset + places[0].bytes);
            let hit = harm.from as u64 / 512 * 512;
            assert!(begin < hit + 512 && hit < end, "{says}: {places:?}");
            assert_eq!(log_files(disk), log_before, "{says}: nothing is cut");
            return;
        }
        Err(error) => panic!("{says}: {error}"),
    };
    let log_end = store.dispatched_to().0;
    for (n, end) in ends.iter().enumerate() {
        match asked(&store, n) {
            Some(Some(text)) => assert_eq!(text, body(n), "{says}"),
            // Nothing: only what was the very end of the log.
            Some(None) => {
                outcomes.tails_cut += 1;
                let was_hit =
                    place(*end - 1).0 == harm.path && harm.from as u64 % 4096 < end % 4096;
                assert!(in_log && *end > log_end && was_hit, "{says}: {n}");
            }
            None => {
                outcomes.reads_refused += 1;
                assert!(in_log, "{says}: {n}");
            }
        }
        if !is_found_by_key(&store, n) {
            // A flipped bit in an index file cannot be told from a hash; its record is not found.
            let in_index = harm.path.starts_with("/store/index");
            assert!(in_index || in_log, "{says}: key of {n}");
            outcomes.keys_missed += u32::from(in_index);
        }
    }
    let untouched = log_before.iter().all(|(path, before)| {
        let kept = usize::try_from(log_end.saturating_sub(base_of(path))).expect("small");
        disk.content(path)
            .is_none_or(|after| after.iter().zip(before).take(kept).all(|(a, b)| a == b))
    });
    assert!(untouched, "{says}: the log below its end is as it was");
    assert!(
        harm.changed || ends.iter().all(|end| *end <= log_end),
        "{says}"
    );
}

fn base_of(path: &Path) -> u64 {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).expect("a segment")
}

#[test]
fn old_records_in_a_recycled_segment_are_not_taken() {
    let (disk, ends) = store_with(60, 3, false);
    let end = ends[59];
    let (last, used) = place(end);
    let old = disk.content(&place(0).0).expect("a file");
    for restarted in [false, true] {
        for fresh_segment in [false, true] {
            let disk = disk.fork();
            // The rest of the segment in use, and the next one, hold what an old one held.
            let mut bytes = disk.content(&last).expect("a file");
            let rest = bytes.len() - used;
            bytes[used..].copy_from_slice(&old[..rest]);
            disk.set_content(&last, bytes);
            if fresh_segment {
                let next = place(base_of(&last) + 4096).0;
                disk.set_content(&next, old.clone());
            }
            if restarted {
                disk.crash(&mut || true);
            }
            let (store, opened) = open(&disk);
            assert_eq!(opened.log_end, LogOffset(end));
            assert!(opened.torn_bytes > 0);
            for n in 0..60 {
                assert_eq!(asked(&store, n), Some(Some(body(n))));
            }
            for n in 60..90 {
                send(&store, "T", n as u32 % QUEUES, &body(n));
            }
            drop(store);
            disk.kill();
            let (store, opened) = open(&disk);
            assert_eq!(opened.torn_bytes, 0);
            for n in 0..90 {
                assert_eq!(asked(&store, n), Some(Some(body(n))));
            }
            assert_eq!(asked(&store, 90), Some(None));
        }
    }
}
