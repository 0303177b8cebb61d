//! A check names every flipped byte, in whatever file of the store it is.

use std::path::{Path, PathBuf};

use proto::message::Draft;
use store::files::MemoryDisk;
use store::inspect::{Report, check};

use crate::support::*;

const LOG: &str = "/store/commitlog/00000000000000000000";

/// A store with keys, closed or killed.
fn filled(closed: bool) -> MemoryDisk {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..25 {
        let (body, key) = (format!("message {n}"), format!("key{n}"));
        let properties = format!("KEYS\u{1}{key}\u{2}");
        let parts = [properties.as_str()];
        let draft = Draft {
            properties: &parts,
            keys: Some(&key),
            ..draft("T", n % 2, body.as_bytes())
        };
        store.append(&draft, NOW).expect("appends");
        settle(&store);
    }
    if closed {
        store.close().expect("closes");
    } else {
        store.persist_once().expect("persists");
    }
    drop(store);
    disk.kill();
    disk
}

fn report(disk: &MemoryDisk) -> Report {
    check(disk, Path::new("/store")).expect("reads")
}

/// The files below a folder with the bytes of them that matter.
fn parts(disk: &MemoryDisk) -> Vec<(PathBuf, std::ops::Range<usize>)> {
    let mut parts = Vec::new();
    for path in disk.paths() {
        let bytes = disk.content(&path).expect("a file");
        let used = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        let text = path.to_string_lossy().into_owned();
        let part = if text == LOG || text.ends_with(".snapshot") {
            0..used
        } else if text.contains("consumequeue") {
            0..used.next_multiple_of(20)
        } else if text.contains("/index/") {
            // Header, slots, and entries from number 1 on.
            0..used.next_multiple_of(20).min(40 + 16 * 4)
        } else if text.ends_with("checkpoint") {
            64..128
        } else {
            continue;
        };
        parts.push((path.clone(), part));
        if text.contains("/index/") {
            let first = 40 + 16 * 4 + 20;
            parts.push((path, first..first + 25 * 20));
        }
    }
    parts
}

#[test]
fn every_flipped_bit_is_named_with_its_file_and_place() {
    for closed in [true, false] {
        let disk = filled(closed);
        let whole = report(&disk);
        assert!(whole.is_sound(), "{whole}");
        let parts = parts(&disk);
        assert_eq!(parts.len(), if closed { 9 } else { 8 }, "{parts:?}");
        for (path, part) in parts {
            // While a broker runs, or was killed, the header of the index may be late.
            let is_index = path.to_string_lossy().contains("/index/");
            let from = if is_index && !closed {
                part.start.max(40)
            } else {
                part.start
            };
            for bit in (from * 8..part.end * 8).step_by(11) {
                let disk = disk.fork();
                let mut bytes = disk.content(&path).expect("a file");
                bytes[bit / 8] ^= 1 << (bit % 8);
                disk.set_content(&path, bytes);
                let found = report(&disk);
                let at = (bit / 8) as u64;
                let mut damage = found.damage.iter().chain(&found.other_damage);
                let is_named = damage.any(|damage| {
                    damage.file == path
                        && (damage.offset..damage.offset + damage.bytes).contains(&at)
                });
                // The last record of a killed store may as well be a torn one, and a slot that is
                // newer than the header is what a killed broker leaves.
                let may_be = !closed && (found.log.torn_bytes > 0 || is_index);
                assert!(
                    is_named || may_be,
                    "bit {bit} of {}: {found}",
                    path.display()
                );
                assert!(!found.is_sound() || may_be);
            }
        }
    }
}

#[test]
fn files_that_are_missing_or_short_are_named() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..100 {
        send(&store, "T", 0, &format!("message {n}"));
    }
    store.close().expect("closes");
    drop(store);
    for (base, kept) in [
        (4096u64, None),
        (4096, Some(100)),
        (8192, Some(4000)),
        (0, None),
    ] {
        let disk = disk.fork();
        let path = PathBuf::from(format!("/store/commitlog/{base:020}"));
        let bytes = disk.content(&path).expect("a file");
        match kept {
            None => store::files::Disk::remove_file(&disk, &path).expect("removes"),
            Some(kept) => disk.set_content(&path, bytes[..kept].to_vec()),
        }
        let found = report(&disk);
        let first = found.damage.iter().find(|damage| damage.file == path);
        if base == 0 {
            // What is gone from the start on has expired, as far as the log can tell; the queues
            // and the index know nothing else either.
            assert_eq!(first, None);
            continue;
        }
        let first = first.expect("named");
        let offset = kept.unwrap_or(0) as u64;
        assert_eq!(
            (first.offset, first.bytes),
            (offset, 4096 - offset),
            "{found}"
        );
        assert!(!found.is_sound());
    }
}
