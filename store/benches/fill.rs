//! How the room ahead of the writer should be made: what a group of 64 records of 1 KiB, written and
//! flushed, costs on each kind of file.
//!
//! `cargo bench -p store --bench fill [folder]`. See ADR 0010.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const FILE_BYTES: u64 = 1 << 30;
const GROUP_BYTES: usize = 64 * 1132;
const GROUPS: u64 = 2000;
const AHEAD_BYTES: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Room {
    Sparse,
    Allocated,
    Filled,
    FilledAhead { step_bytes: u64 },
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:<36} {:>9} {:>8} {:>8} {:>8} {:>8}",
        "room", "ready ms", "p50 us", "p99", "p99.9", "max"
    );
    let mut rooms = vec![Room::Sparse, Room::Allocated, Room::Filled];
    rooms.extend([20, 22, 24].map(|bits| Room::FilledAhead {
        step_bytes: 1 << bits,
    }));
    for room in rooms {
        let file = tempfile::tempfile_in(&folder).expect("a file");
        let begun = Instant::now();
        prepare(&file, room);
        let ready = begun.elapsed();
        let mut times = write(&file, room);
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_micros();
        println!(
            "{:<36} {:>9} {:>8} {:>8} {:>8} {:>8}",
            format!("{room:?}"),
            ready.as_millis(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

fn prepare(file: &File, room: Room) {
    file.set_len(FILE_BYTES).expect("sets the size");
    match room {
        Room::Allocated => {
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(file, flags, 0, FILE_BYTES).expect("allocates");
        }
        Room::Filled => {
            for at in (0..FILE_BYTES).step_by(1 << 20) {
                fill(file, at, 1 << 20);
            }
        }
        Room::Sparse | Room::FilledAhead { .. } => {}
    }
    file.sync_all().expect("syncs");
}

fn fill(file: &File, at: u64, bytes: u64) {
    let zeros = vec![0; usize::try_from(bytes).expect("small")];
    file.write_all_at(&zeros, at).expect("fills");
}

fn write(file: &File, room: Room) -> Vec<Duration> {
    let group = vec![7u8; GROUP_BYTES];
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        if let Room::FilledAhead { step_bytes } = room {
            let (written, done) = (&written, &done);
            scope.spawn(move || {
                let mut filled = 0;
                while !done.load(Ordering::Acquire) {
                    if filled < written.load(Ordering::Acquire) + AHEAD_BYTES {
                        fill(file, filled, step_bytes);
                        file.sync_data().expect("syncs");
                        filled += step_bytes;
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
            // The store begins with some room as well.
            while file.metadata().expect("a size").len() < FILE_BYTES {}
            std::thread::sleep(Duration::from_millis(500));
        }
        let times = (0..GROUPS)
            .map(|n| {
                let at = n * GROUP_BYTES as u64;
                let begun = Instant::now();
                file.write_all_at(&group, at).expect("writes");
                file.sync_data().expect("syncs");
                written.store(at + GROUP_BYTES as u64, Ordering::Release);
                begun.elapsed()
            })
            .collect();
        done.store(true, Ordering::Release);
        times
    })
}
