//! A store whose files are arbitrary bytes. The bodies of the fuzz targets in `fuzz/`; `main.rs`
//! runs them on the committed seeds.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proto::message::records;
use store::files::MemoryDisk;
use store::{KeyQuery, OpenError, Store};

use super::support::{config, disk, draft, open, read, settle, try_open};

/// What is in a store: topic, queue, offset of the first, the records.
type Content = Vec<(String, u32, u64, Vec<Vec<u8>>)>;

/// The commit log is these bytes. The first tells whether the store was closed cleanly. Opening
/// ends in a store that reads, takes messages and opens again as the same, or changes nothing.
pub(crate) fn recovery(data: &[u8]) {
    let Some((first, log)) = data.split_first() else {
        return;
    };
    let disk = disk();
    let segment_bytes = usize::try_from(config().segment_bytes).expect("a small number");
    for (number, bytes) in log.chunks(segment_bytes).take(3).enumerate() {
        let mut bytes = bytes.to_vec();
        bytes.resize(segment_bytes, 0);
        let name = format!("/store/commitlog/{:020}", number * segment_bytes);
        disk.set_content(Path::new(&name), bytes);
    }
    if first & 1 == 1 {
        disk.set_content(Path::new("/store/abort"), b"1".to_vec());
    }
    let before = logs(&disk);
    match try_open(&disk) {
        Err(OpenError::Damaged(places)) => {
            assert!(!places.is_empty());
            assert_eq!(logs(&disk), before, "damage is left as it is");
        }
        Err(other) => panic!("{other}"),
        Ok((store, _)) => {
            let found = content(&store);
            drop(store);
            let (again, opened) = open(&disk);
            assert_eq!(opened.torn_bytes, 0, "cut once");
            assert_eq!(content(&again), found);
            takes_one_more(&again);
        }
    }
}

/// One of the files beside the log of a small store is replaced or partly overwritten. They are
/// caches: the store opens and every message is read from its place.
pub(crate) fn store_files(data: &[u8]) {
    let Some(([which, how, high, low], bytes)) = data.split_first_chunk::<4>() else {
        return;
    };
    let (killed, closed, expected) = small_store();
    let disk = if how & 1 == 0 { closed } else { killed }.fork();
    let files: Vec<PathBuf> = disk.paths().into_iter().filter(|p| is_cache(p)).collect();
    let path = &files[usize::from(*which) % files.len()];
    let mut content_of = disk.content(path).unwrap_or_default();
    if how & 2 == 0 {
        content_of = bytes.to_vec();
    } else {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (content_of.len() + 1);
        for (old, new) in content_of.iter_mut().skip(at).zip(bytes) {
            *old = *new;
        }
    }
    disk.set_content(path, content_of);
    let (store, _) = open(&disk);
    assert_eq!(&content(&store), expected, "{}", path.display());
    let query = KeyQuery {
        topic: "t",
        key: "k1",
        max: 64,
        begin_ms: 0,
        end_ms: i64::MAX,
    };
    // The index has no checksum: it may have lost the key, never gained a message.
    for found in store.query_by_key(&query).expect("the index is read") {
        assert!(records(&found).all(|record| record.is_ok()));
    }
    takes_one_more(&store);
}

fn is_cache(path: &Path) -> bool {
    !path.starts_with("/store/commitlog") && !path.ends_with("abort") && !path.ends_with("lock")
}

/// A store that was killed, the same closed, and what is in both.
fn small_store() -> &'static (MemoryDisk, MemoryDisk, Content) {
    static STORE: OnceLock<(MemoryDisk, MemoryDisk, Content)> = OnceLock::new();
    STORE.get_or_init(|| {
        let disk = disk();
        let (store, _) = open(&disk);
        for n in 0..24 {
            let (body, key) = (format!("body {n}"), format!("k{n}"));
            let properties = format!("KEYS\u{1}{key}\u{2}");
            let properties = [properties.as_str()];
            let mut draft = draft(["t", "u"][n % 2], 0, body.as_bytes());
            draft.properties = &properties;
            draft.keys = Some(&key);
            store.append(&draft, super::support::NOW).expect("appends");
            settle(&store);
            if n == 15 {
                store.persist_once().expect("persists");
            }
        }
        let killed = disk.fork();
        let expected = content(&store);
        store.close().expect("closes");
        drop(store);
        (killed, disk, expected)
    })
}

fn logs(disk: &MemoryDisk) -> Vec<Option<Vec<u8>>> {
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with("/store/commitlog"));
    paths.iter().map(|path| disk.content(path)).collect()
}

/// Everything that can be read, queue by queue.
fn content(store: &Store) -> Content {
    let mut all = Content::new();
    for listing in store.queues() {
        let (topic, id) = (listing.topic.to_string(), listing.queue_id.0);
        let (mut found, mut next) = (Vec::new(), listing.bounds.min.0);
        loop {
            let read = read(store, &topic, id, next);
            if read.count == 0 {
                break;
            }
            for piece in &read.records {
                found.push(piece.to_vec());
                assert!(records(piece).all(|record| record.is_ok()));
            }
            assert!(read.next.0 > next, "a read goes on");
            next = read.next.0;
        }
        if !found.is_empty() {
            all.push((topic, id, listing.bounds.min.0, found));
        }
    }
    all
}

fn takes_one_more(store: &Store) {
    let before = store.appended_to();
    if store
        .append(&draft("more", 0, b"one"), super::support::NOW)
        .is_err()
    {
        // No queue has room for it: only a log that says so may refuse.
        assert_eq!(store.appended_to(), before);
        return;
    }
    settle(store);
    assert_eq!(read(store, "more", 0, 0).count, 1);
}
