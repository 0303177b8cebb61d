//! One crash state: the disk as it was in the middle of something, and then the process or the
//! machine ends. Recovery, which may crash as well, must make a sound store of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::message::LogOffset;
use store::files::{MemoryDisk, Picture};
use store::{Opened, inspect};

use super::dice;
use super::expected::Expected;
use crate::support::*;

/// What had to be on the disk when.
#[derive(Clone, Debug, Default)]
pub(super) struct Must {
    /// From that many changes on, so many messages.
    durable: Vec<(u64, usize)>,
    written: Vec<(u64, usize)>,
    /// From that change on the log may begin here.
    start: Vec<(u64, LogOffset)>,
}

impl Must {
    pub(super) fn durable_at(&mut self, disk: &MemoryDisk, count: usize) {
        self.durable.push((disk.changes(), count));
    }

    pub(super) fn written_at(&mut self, disk: &MemoryDisk, count: usize) {
        self.written.push((disk.changes(), count));
    }

    pub(super) fn start_since(&mut self, change: u64, start: LogOffset) {
        self.start.push((change, start));
    }

    /// What is certain at the end of a process.
    pub(super) fn only(&mut self, disk: &MemoryDisk, durable: usize, written: usize) {
        self.durable.clear();
        self.written.clear();
        self.durable_at(disk, durable);
        self.written_at(disk, written);
    }

    /// What was certain before a change.
    fn before<T: Copy + Default + Ord>(marks: &[(u64, T)], change: u64) -> T {
        let past = marks.iter().filter(|(at, _)| *at < change);
        past.map(|(_, mark)| *mark).max().unwrap_or_default()
    }
}

/// Looks at one picture: crashes it, recovers, asks everything, goes on.
pub(super) fn look(picture: &Picture, expected: &Expected, must: &Must, seed: u64) {
    let mut disk = picture.disk.fork();
    if has_unnoted_loss(&disk) {
        // A flush has failed and the process ends before it can say so: two faults at once.
        return;
    }
    let mut seed = seed;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 20
    };
    let mut power_lost = false;
    let mut end = |disk: &MemoryDisk, choice: u64, seed: u64| {
        if choice.is_multiple_of(4) {
            disk.kill();
        } else {
            disk.crash(&mut dice(seed));
            power_lost = true;
        }
    };
    end(&disk, next(), next());
    // A recovery that does not get to its end, up to twice.
    for _ in 0..2 {
        if next().is_multiple_of(3) {
            disk.take_pictures(next() % 12, u64::MAX);
            drop(open(&disk));
            if let Some(half_way) = disk.pictures().pop() {
                disk = half_way.disk;
                end(&disk, next(), next());
            } else {
                disk.kill();
            }
        }
    }
    let marks = if power_lost {
        &must.durable
    } else {
        &must.written
    };
    let least = Must::before(marks, picture.change);
    let latest_start = Must::before(&must.start, picture.change);

    let (store, opened) = open(&disk);
    let mut expected = expected.clone();
    expected.keep_prefix(opened.log_end, least);
    assert!(
        store.log_start() <= latest_start,
        "more is gone than expired"
    );
    expected.check(&store);
    let recovered = content(&disk);
    drop(store);
    disk.kill();
    recovery_is_done(&disk, &recovered, &opened);

    all_is_durable(&disk.fork(), &expected);
    go_on(&disk, &mut expected);
}

/// Without anything that was not flushed everything is still there.
fn all_is_durable(disk: &MemoryDisk, expected: &Expected) {
    disk.crash(&mut || false);
    let (store, opened) = open(disk);
    let mut expected = expected.clone();
    let all = expected.sent.len();
    expected.keep_prefix(opened.log_end, all);
    expected.check(&store);
}

fn has_unnoted_loss(disk: &MemoryDisk) -> bool {
    let mut log = disk.paths().into_iter();
    let note = disk.content(Path::new("/store/abort")).unwrap_or_default();
    !note.starts_with(b"flush failed")
        && log.any(|path| path.starts_with("/store/commitlog") && disk.has_lost(&path))
}

/// A second recovery changes nothing.
fn recovery_is_done(disk: &MemoryDisk, recovered: &BTreeMap<PathBuf, Vec<u8>>, first: &Opened) {
    let (store, opened) = open(disk);
    assert_eq!((opened.torn_bytes, opened.log_end), (0, first.log_end));
    drop(store);
    disk.kill();
    let again = content(disk);
    let differ = |path: &&PathBuf| again.get(*path) != recovered.get(*path);
    let changed: Vec<_> = recovered
        .keys()
        .chain(again.keys())
        .filter(differ)
        .collect();
    assert!(
        changed.is_empty(),
        "changed by a second recovery: {changed:?}"
    );
}

/// The store takes messages again and keeps them, and everything in its files is right.
fn go_on(disk: &MemoryDisk, expected: &mut Expected) {
    let (store, _) = open(disk);
    for n in 0..4 {
        expected
            .append(&store, (n % 2, 0), &[200])
            .expect("appends again");
        settle(&store);
    }
    expected.readable = expected.sent.len();
    expected.check(&store);
    all_is_durable(&disk.fork(), expected);
    store.close().expect("closes");
    let report = inspect::check(disk, Path::new("/store")).expect("reads");
    assert!(report.is_sound(), "{report}");
    let there = expected.sent.iter();
    let there = there.filter(|sent| sent.place.log_offset >= store.log_start());
    assert_eq!(
        (report.units.right, report.units.missing),
        (there.count() as u64, 0)
    );
}

fn content(disk: &MemoryDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = disk.paths().into_iter();
    let of = |path: PathBuf| {
        let bytes = disk.content(&path).expect("a file");
        (path, bytes)
    };
    paths.map(of).collect()
}
