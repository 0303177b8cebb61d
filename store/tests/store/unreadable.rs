//! Queues and index that cannot be read: they are made again, and no start fails for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::message::{Draft, QueueId};
use store::files::{MemoryDisk, OsDisk};
use store::{Config, KeyQuery, Store, inspect};

use crate::support::*;

const COUNT: usize = 40;

/// A store that was killed, with queues of several files and several files of the index.
fn killed() -> MemoryDisk {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..COUNT {
        let key = format!("key{n}");
        let keys = format!("KEYS\u{1}{key}\u{2}");
        let draft = Draft {
            properties: &[&keys],
            keys: Some(&format!("{key} a b c")),
            ..draft("T", n as u32 % 2, key.as_bytes())
        };
        store.append(&draft, NOW).expect("appends");
        settle(&store);
    }
    store.persist_once().expect("persists");
    drop(store);
    disk.kill();
    disk
}

fn check(store: &Store) {
    for queue in 0..2 {
        let sent: Vec<_> = (queue..COUNT)
            .step_by(2)
            .map(|n| format!("key{n}"))
            .collect();
        assert_eq!(bodies(store, "T", queue as u32, 0), sent);
    }
    for n in 0..COUNT {
        let query = KeyQuery {
            topic: "T",
            key: &format!("key{n}"),
            max: 10,
            begin_ms: 0,
            end_ms: i64::MAX,
        };
        assert_eq!(store.query_by_key(&query).expect("reads").len(), 1, "{n}");
    }
}

fn files(disk: &MemoryDisk, folder: &str) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with(folder));
    assert!(paths.len() > 2);
    paths
}

#[test]
fn a_queue_or_index_file_that_cannot_be_read_is_made_again() {
    let disk = killed();
    let mut paths = files(&disk, "/store/consumequeue");
    paths.extend(files(&disk, "/store/index"));
    for path in paths {
        let disk = disk.fork();
        disk.set_unreadable(&path);
        let mut was_seen = false;
        for _ in 0..2 {
            let (store, opened) = open(&disk);
            check(&store);
            assert!(!(was_seen && opened.queues_rebuilt), "{}", path.display());
            was_seen = opened.queues_rebuilt;
            store.persist_once().expect("persists");
            drop(store);
            disk.kill();
        }
    }
}

#[test]
fn a_salvage_needs_no_queue_that_can_be_read() {
    let disk = killed();
    let segment = Path::new("/store/commitlog/00000000000000000000");
    let mut bytes = disk.content(segment).expect("a segment");
    bytes[100] ^= 1;
    disk.set_content(segment, bytes);
    for path in files(&disk, "/store/consumequeue") {
        let disk = disk.fork();
        disk.set_unreadable(&path);
        let config = Config {
            salvage: true,
            ..config()
        };
        let (store, opened) = Store::open(config, Arc::new(disk)).expect("opens");
        assert_eq!(opened.salvaged.len(), 1);
        assert_eq!(bodies(&store, "T", 1, 0).len(), COUNT / 2);
        assert_eq!(bodies(&store, "T", 0, 1).len(), COUNT / 2 - 1);
    }
}

#[test]
fn files_of_others_among_the_queues_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = || Config {
        segment_bytes: 4096,
        queue_file_bytes: 200,
        index_slots: 16,
        index_entries: 64,
        ..Config::new(folder.path())
    };
    let queues = folder.path().join("consumequeue");
    let (store, _) = Store::open(small(), Arc::new(OsDisk)).expect("opens");
    for n in 0..COUNT {
        send(&store, "T", 0, &n.to_string());
    }
    store.persist_once().expect("persists");
    drop(store);
    for name in [".DS_Store", "T/.DS_Store", "T/0/.DS_Store", "T/7"] {
        std::fs::write(queues.join(name), "x").expect("writes");
    }
    // One that was moved to where there is room is none of them.
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(queues.join("T"), &elsewhere).expect("moves");
    std::os::unix::fs::symlink(&elsewhere, queues.join("T")).expect("links");
    let (store, opened) = Store::open(small(), Arc::new(OsDisk)).expect("opens");
    assert!(!opened.was_clean && !opened.queues_rebuilt);
    assert_eq!(bodies(&store, "T", 0, 0).len(), COUNT);
    inspect::check(&OsDisk, folder.path()).expect("reads");
    drop(store);
    // Also when all of it is made again.
    std::fs::remove_dir_all(queues.join("T/0")).expect("goes");
    let (store, opened) = Store::open(small(), Arc::new(OsDisk)).expect("opens");
    assert!(opened.queues_rebuilt);
    assert_eq!(bodies(&store, "T", 0, 0).len(), COUNT);
    assert!(queues.join(".DS_Store").exists());
    assert_eq!(store.queue_bounds("T", QueueId(7)), None);
}
