//! What a message costs in the store, by size and by step, without a network in front.
//!
//! `cargo bench -p store --bench append [folder]`. One thread does all the steps, so each figure is
//! the time of that step alone. Groups of 64 messages, as 64 waiting clients make them.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::message::{Draft, QueueId, SysFlag, tags_code};
use store::files::OsDisk;
use store::{Config, Store};

const GROUP: usize = 64;
const NOW: i64 = 1_763_652_000_000;

fn main() {
    let folder = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    println!("one thread, groups of {GROUP}, ns a message");
    println!(
        "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "bytes", "flush", "append", "write", "flush", "dispatch", "MB/s"
    );
    for bytes in [100, 1024, 65_536] {
        for flush in [false, true] {
            let total: usize = if flush { 256 << 20 } else { 1 << 30 };
            let count = (total / bytes).clamp(20_000, if flush { 200_000 } else { 1_000_000 });
            run(
                &folder,
                bytes,
                count.min(total / bytes).next_multiple_of(GROUP),
                flush,
            );
        }
    }
}

fn run(folder: &std::path::Path, bytes: usize, count: usize, flush: bool) {
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    let (store, _) =
        Store::open(Config::new(folder.path()), Arc::new(OsDisk)).expect("an empty store");
    let body = vec![7u8; bytes];
    let keys: Vec<String> = (0..count)
        .map(|n| format!("7F0000010000000018B4{n:012X}"))
        .collect();
    let own =
        "CLUSTER\u{1}DefaultCluster\u{2}MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}";
    let mut spent = [Duration::ZERO; 4];
    for (group, keys) in keys.chunks(GROUP).enumerate() {
        while store.prepare_once().expect("prepares") {}
        let begun = Instant::now();
        for key in keys {
            let parts = ["UNIQ_KEY\u{1}", key, "\u{2}", own];
            let draft = Draft {
                topic: "BenchmarkTest",
                queue_id: QueueId((group % 4) as u32),
                flag: 0,
                sys_flag: SysFlag(0),
                born_timestamp: NOW,
                born_host: ([127, 0, 0, 1], 40_000).into(),
                store_host: ([127, 0, 0, 1], 10_911).into(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &body,
                properties: &parts,
                tags_code: tags_code(Some("TagA")),
                unique_key: Some(key),
                keys: None,
            };
            store.append(&draft, NOW).expect("appends");
        }
        let appended = Instant::now();
        let batch = store
            .write_staged(Duration::ZERO)
            .expect("writes")
            .expect("a batch");
        let written = Instant::now();
        if flush {
            store.flush_once().expect("flushes");
        }
        let flushed = Instant::now();
        store.dispatch(batch, &mut |_| {});
        let dispatched = Instant::now();
        let steps = [
            appended - begun,
            written - appended,
            flushed - written,
            dispatched - flushed,
        ];
        for (sum, step) in spent.iter_mut().zip(steps) {
            *sum += step;
        }
    }
    let each = |step: Duration| step.as_nanos() / count as u128;
    let all: Duration = spent.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = (bytes * count) as f64 / all.as_secs_f64() / 1e6;
    let [append, write, sync, dispatch] = spent.map(each);
    println!("{bytes:>8} {flush:>8} {append:>8} {write:>8} {sync:>8} {dispatch:>8} {rate:>9.0}");
    let begun = Instant::now();
    store.persist_once().expect("persists");
    println!(
        "         persisting {count} units and keys: {} ns each",
        each(begun.elapsed())
    );
}
