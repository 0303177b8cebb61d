//! Writes a small store for Apache RocketMQ to open, and a list of what is in it.
//!
//! `cargo run -p store --example write_store -- FOLDER OUT.tsv`, then start a broker on FOLDER with
//! `mappedFileSizeCommitLog=65536 mappedFileSizeConsumeQueue=2000 maxHashSlotNum=200
//! maxIndexNum=800` and run `fixtures/verify.py PORT OUT.tsv`. The columns are those of
//! `fixtures/fill.py`. `kill` as a third argument leaves the store as a killed broker does.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::message::{Draft, QueueId, StoredMessage, SysFlag, tags_code};
use store::files::OsDisk;
use store::{Config, Store};

const NOW: i64 = 1_763_652_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out, how @ ..] = arguments.as_slice() else {
        return Err("arguments: FOLDER OUT.tsv [kill]".into());
    };
    let folder = Path::new(folder);
    let config = Config {
        segment_bytes: 65_536,
        queue_file_bytes: 2000,
        index_slots: 200,
        index_entries: 800,
        ..Config::new(folder)
    };
    let (store, _) = Store::open(config, Arc::new(OsDisk))?;
    let mut listed = String::new();
    let long_topic = format!("%RETRY%{}", "g".repeat(125));
    for n in 0..400u32 {
        let (topic, queue) = if n % 40 == 39 {
            (long_topic.as_str(), 0)
        } else {
            ("Orders", n % 4)
        };
        append(&store, &mut listed, topic, queue, n)?;
        if n == 250 {
            store.persist_once()?;
        }
    }
    fs::write(out, listed)?;
    fs::create_dir_all(folder.join("config"))?;
    fs::write(
        folder.join("config/topics.json"),
        topics(&["Orders", &long_topic]),
    )?;
    if how.is_empty() {
        store.close()?;
    }
    Ok(())
}

fn append(
    store: &Store,
    listed: &mut String,
    topic: &str,
    queue: u32,
    n: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let unique = format!("7F0000010000000018B4{n:012X}");
    let keys = format!("order{n} user{}", n % 7);
    let tag = ["TagA", "TagB"][(n % 2) as usize];
    let body = format!("body of order {n} {}", "x".repeat((n * 7 % 500) as usize));
    let properties = format!(
        "UNIQ_KEY\u{1}{unique}\u{2}KEYS\u{1}{keys}\u{2}TAGS\u{1}{tag}\u{2}CLUSTER\u{1}DefaultCluster\u{2}"
    );
    let draft = Draft {
        topic,
        queue_id: QueueId(queue),
        flag: 7,
        sys_flag: SysFlag(0),
        born_timestamp: NOW,
        born_host: ([127, 0, 0, 1], 40_000).into(),
        store_host: ([127, 0, 0, 1], 10_911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: &[&properties],
        tags_code: tags_code(Some(tag)),
        unique_key: Some(&unique),
        keys: Some(&keys),
    };
    let place = store.append(&draft, NOW + i64::from(n) * 10)?;
    while let Some(batch) = store.write_staged(Duration::ZERO)? {
        store.flush_once()?;
        store.dispatch(batch, &mut |_| {});
    }
    let record = store
        .record_at(place.log_offset)
        .ok_or("the record is not there")?;
    let id = StoredMessage::parse(&record)?.offset_id();
    let offset = place.queue_offset;
    writeln!(
        listed,
        "{topic}\t{queue}\t{offset}\t{id}\t{unique}\t{keys}\t{tag}\t{body}"
    )?;
    Ok(())
}

fn topics(names: &[&str]) -> String {
    let table: Vec<String> = names
        .iter()
        .map(|name| {
            format!(
                r#""{name}":{{"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"{name}","topicSysFlag":0,"writeQueueNums":4}}"#
            )
        })
        .collect();
    format!(
        r#"{{"dataVersion":{{"counter":1,"stateVersion":0,"timestamp":1}},"topicConfigTable":{{{}}}}}"#,
        table.join(",")
    )
}
