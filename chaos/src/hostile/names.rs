//! H10: names that are paths, wherever a name can be said, and what is on disk afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::wire::{Wire, http, is_well, send};
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};

/// What names may be made of.
const PARTS: [&str; 25] = [
    "..",
    ".",
    "../..",
    "../../../../../../tmp/evil",
    "/tmp/evil",
    "/",
    "\\",
    "..\\..",
    "%2e%2e%2f",
    "..%2f",
    "%252e%252e",
    "\0",
    "a\0b",
    "a/../../evil",
    "./evil",
    "~",
    "~root",
    "$HOME",
    "`id`",
    "\u{2025}",
    "\u{ff0e}\u{ff0e}\u{ff0f}evil",
    "e\u{301}vil",
    "C:\\evil",
    "\r\nevil",
    "\u{1b}[2Jevil",
];

fn names() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for part in PARTS {
        for name in [
            "X", "%RETRY%X", "%DLQ%X", "evil/X", "X/evil", "ns%X", "evilX",
        ] {
            names.push(name.replace('X', part));
        }
    }
    names.extend([
        "../".repeat(1365),
        "a".repeat(4096),
        "nul".into(),
        "CON".into(),
    ]);
    names.extend((0..24).map(|n| format!("{}evil{n}", "../".repeat(n))));
    names
}

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync");
    let mut house = plan.start().await?;
    let outside = listing(course.folder.parent().unwrap_or(&course.folder), 2);
    let mut asked = 0;
    for cycle in course.numbers() {
        course.begin(cycle);
        for name in names() {
            asked += ask_everywhere(&house, &name).await?;
        }
        is_well(&mut house).await?;
        house.kill()?;
        check(course, &plan.data, &outside)?;
        restore(&plan.data)?;
        house = plan.start().await?;
        for name in ["../evil", "..", "/tmp/evil"] {
            asked += ask_everywhere(&house, name).await?;
        }
        is_well(&mut house).await?;
        check(course, &plan.data, &outside)?;
        course.figures.most("requests", f64::from(asked));
        course.say(format!("{} names, {asked} requests", names().len()));
    }
    Ok(())
}

/// Code, parameters, body.
type Request<'a> = (i32, &'a [(&'a str, &'a str)], &'a str);

/// Says the name at every entry point; how often.
async fn ask_everywhere(house: &House, name: &str) -> Result<u32, Stop> {
    let mut broker = Wire::to(&house.broker()).await?;
    send(&mut broker, &[("b", name)], b"x").await?;
    send(&mut broker, &[("b", "fine"), ("a", name)], b"x").await?;
    send(&mut broker, &[("b", "fine"), ("c", name)], b"x").await?;
    for key in ["storePathRootDir", "storePathCommitLog", "brokerName", name] {
        let text = format!("{key}={name}");
        let said = broker.ask(25, &[], text.as_bytes()).await?;
        must(said.code != 0, || format!("{text:?} was set by a request"))?;
    }
    let requests = ask_the_broker(&mut broker, name).await?;
    Ok(7 + requests + ask_the_others(house, name).await?)
}

async fn ask_the_broker(broker: &mut Wire, name: &str) -> Result<u32, Stop> {
    let beat = json!({ "clientID": name, "producerDataSet": [{ "groupName": name }],
        "consumerDataSet": [{ "groupName": name, "subscriptionDataSet": [{ "topic": name }] }] });
    let locks = json!({ "clientId": name, "consumerGroup": name,
        "mqSet": [{ "topic": name, "brokerName": name, "queueId": 0 }] });
    let group = json!({ "groupName": name });
    let (beat, locks, group) = (beat.to_string(), locks.to_string(), group.to_string());
    let queue = [("topic", name), ("queueId", "0"), ("consumerGroup", name)];
    let with = |more: &[(&'static str, &'static str)]| [&queue[..], more].concat();
    let pull = with(&[
        ("queueOffset", "0"),
        ("maxMsgNums", "1"),
        ("sysFlag", "5"),
        ("commitOffset", "7"),
        ("suspendTimeoutMillis", "0"),
        ("subscription", "*"),
        ("subVersion", "0"),
    ]);
    let create = with(&[
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
    ]);
    let query = with(&[
        ("key", "k"),
        ("maxNum", "1"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9"),
    ]);
    let one = [
        ("groupName", name),
        ("group", name),
        ("producerGroup", name),
    ];
    let one = [&queue[..], &one].concat();
    let requests: [Request<'_>; 22] = [
        (11, &pull, ""),
        (12, &query, ""),
        (14, &queue, ""),
        (15, &with(&[("commitOffset", "7")]), ""),
        (17, &create, ""),
        (29, &with(&[("timestamp", "0")]), ""),
        (30, &queue, ""),
        (31, &queue, ""),
        (32, &queue, ""),
        (34, &[], &beat),
        (38, &one, ""),
        (41, &[], &locks),
        (42, &[], &locks),
        (200, &[], &group),
        (202, &one, ""),
        (203, &one, ""),
        (207, &one, ""),
        (208, &one, ""),
        (215, &one, ""),
        (300, &one, ""),
        (343, &one, ""),
        (352, &one, ""),
    ];
    for (code, fields, body) in requests {
        broker.ask(code, fields, body.as_bytes()).await?;
    }
    Ok(22)
}

/// The name server and the HTTP door.
async fn ask_the_others(house: &House, name: &str) -> Result<u32, Stop> {
    let mut names = Wire::to(&house.namesrv()).await?;
    let setting = [("namespace", name), ("key", name), ("value", name)];
    let broker = [
        ("brokerName", name),
        ("brokerAddr", name),
        ("clusterName", name),
        ("haServerAddr", name),
        ("brokerId", "0"),
        ("topic", name),
    ];
    let table = json!({ "topicConfigSerializeWrapper":
        { "topicConfigTable": { name: { "topicName": name } } } });
    let table = table.to_string();
    names.ask(100, &setting, b"").await?;
    names.ask(103, &broker, table.as_bytes()).await?;
    names.ask(105, &broker, b"").await?;
    names.ask(104, &broker, b"").await?;
    names.ask(216, &broker, b"").await?;
    names.ask(102, &setting, b"").await?;
    for key in ["kvConfigPath", "configStorePath", name] {
        let said = names
            .ask(318, &[], format!("{key}={name}").as_bytes())
            .await?;
        must(said.code != 0, || {
            format!("{key} was set to {name:?} by a request")
        })?;
    }
    let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [name, &escaped] {
        let target = format!("/t/{path}");
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        );
        let status = http(&house.http(), head.as_bytes()).await;
        // A slash at the end is no part of the name, nor is a tag behind a colon.
        let topic = name.split(':').next().unwrap_or(name);
        let topic = topic.strip_suffix('/').unwrap_or(topic);
        let is_name = topic
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'%');
        must(status != Some(201) || is_name, || {
            format!("{target:?} was stored")
        })?;
        http(&house.admin(), head.replacen("POST", "GET", 1).as_bytes()).await;
    }
    Ok(13)
}

/// Everything below a folder, so deep.
fn listing(folder: &Path, depth: usize) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(listing(&entry.path(), depth - 1));
        }
        found.insert(entry.path());
    }
    found
}

fn check(course: &Course, data: &Path, outside: &BTreeSet<PathBuf>) -> Result<(), Stop> {
    let now = listing(course.folder.parent().unwrap_or(&course.folder), 2);
    // Beside `gantry.log` and `data` nothing came; the folders of the other scenarios are empty.
    let new: Vec<_> = now.difference(outside).collect();
    must(new.is_empty(), || format!("outside of the data: {new:?}"))?;
    must(!Path::new("/tmp/evil").exists(), || {
        "/tmp/evil is there".into()
    })?;
    for path in listing(data, 8) {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_legal = |name: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-.".contains(&byte);
            name.bytes().all(legal) && !name.contains("..") && name.len() <= 255
        };
        must(name.is_some_and(is_legal), || {
            format!("{} is there", path.display())
        })?;
    }
    Ok(())
}

/// Tables as if from a backup that somebody has changed.
fn restore(data: &Path) -> Result<(), Stop> {
    let names = ["../evil", "..", "/tmp/evil", "a/../../../evil"];
    let topics: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "topicName": name, "perm": 6 })))
        .collect();
    let groups: serde_json::Map<_, _> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "groupName": name })))
        .collect();
    let offsets: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (format!("{name}@{name}"), json!({ "0": 1 })))
        .collect();
    let config = data.join("store/config");
    for (file, table) in [
        ("topics.json", json!({ "topicConfigTable": topics })),
        (
            "subscriptionGroup.json",
            json!({ "subscriptionGroupTable": groups }),
        ),
        ("consumerOffset.json", json!({ "offsetTable": offsets })),
    ] {
        drop(std::fs::remove_file(config.join(format!("{file}.journal"))));
        let written = std::fs::write(config.join(file), table.to_string());
        written.map_err(Stop::io(file))?;
    }
    Ok(())
}
