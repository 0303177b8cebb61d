//! `gantry store check` and `gantry store dump`: looking into a store without changing it.
//!
//! Both read Gantry's stores and Apache's, also while a broker uses them: what it appends meanwhile
//! may then be missing. Leaves to `store::inspect`: reading and judging the files.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use proto::message::{QueueId, QueueOffset, StoredMessage};
use runtime::state_file::{self, Looked};
use serde::Serialize;
use store::{
    Damage,
    files::OsDisk,
    inspect::{self, Dumped},
};

use crate::{
    exit::{Exit, Failure},
    output,
};

#[derive(Debug, Args)]
pub(super) struct Store {
    #[command(subcommand)]
    look: Look,
}

#[derive(Debug, Subcommand)]
enum Look {
    /// Tell what is in a store and what is damaged; exit code 74 if anything is
    Check {
        /// The folder of the store, or the data folder that holds it
        dir: PathBuf,
    },
    /// Print messages of one queue as JSON, one a line
    Dump(Dump),
}

#[derive(Debug, Args)]
struct Dump {
    /// The folder of the store, or the data folder that holds it
    dir: PathBuf,

    /// Which queue, as in orders/0
    #[arg(long, value_name = "TOPIC/ID", value_parser = parse_queue)]
    queue: (String, QueueId),

    /// The offset of the first message
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,

    /// How many messages at most
    #[arg(long, value_name = "M", default_value_t = 10)]
    count: u64,
}

impl Store {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.look {
            Look::Check { dir } => check(dir, &store_in(dir)?),
            Look::Dump(dump) => dump.run(),
        }
    }
}

fn check(dir: &Path, root: &Path) -> Result<(), Failure> {
    let mut report = inspect::check(&OsDisk, root).map_err(|cause| Failure::file(root, &cause))?;
    for folder in [root.join("config"), dir.join("namesrv")] {
        let damage = check_tables(&folder).map_err(|cause| Failure::file(&folder, &cause))?;
        report.other_damage.extend(damage);
    }
    output::say(&report);
    if report.is_sound() {
        return Ok(());
    }
    let sentence = format!("the store in {} is damaged", root.display());
    Err(Failure::new(Exit::Damaged, sentence))
}

/// Damage in the tables of a folder, the copies of the ones before, and their journals.
fn check_tables(folder: &Path) -> io::Result<Vec<Damage>> {
    let mut damage = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(damage),
        entries => entries?,
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for file in paths {
        let name = file.to_string_lossy();
        let parse = |text: &[u8]| proto::json::read(text).map_err(|error| error.to_string());
        if name.ends_with(".json") || name.ends_with(".json.bak") {
            if let Looked::Damaged(reason) = state_file::look::<serde_json::Value>(&file, &parse)? {
                let bytes = fs::metadata(&file)?.len();
                damage.push(Damage {
                    file,
                    offset: 0,
                    bytes,
                    reason,
                });
            }
        } else if name.ends_with(".journal") {
            let lines = broker::damaged_lines(&file)?.into_iter();
            damage.extend(lines.map(|lines| Damage {
                file: file.clone(),
                offset: lines.start as u64,
                bytes: lines.len() as u64,
                reason: "the CRC of a line does not match".to_owned(),
            }));
        }
    }
    Ok(damage)
}

impl Dump {
    fn run(&self) -> Result<(), Failure> {
        let root = store_in(&self.dir)?;
        let (topic, queue_id) = &self.queue;
        let from = QueueOffset(self.from);
        let found = inspect::dump(&OsDisk, &root, (topic, *queue_id), from, self.count);
        let found = found.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => {
                let sentence = format!("{} has no queue {topic}/{}", root.display(), queue_id.0);
                Failure::new(Exit::NoAccess, sentence)
            }
            _ => Failure::file(&root, &cause),
        })?;
        let lines = found.iter().map(line);
        lines.for_each(output::say);
        if root.join("abort").exists() && (found.len() as u64) < self.count {
            output::complain(
                "the store is in use or was killed: messages of its last second may be missing here",
            );
        }
        let damaged = found.iter().filter(|dumped| dumped.record.is_err()).count();
        if damaged == 0 {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Damaged,
            format!("{damaged} of these messages cannot be read"),
        ))
    }
}

/// A message as it is printed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    offset: u64,
    log_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    topic: &'a str,
    stored_ms: i64,
    born_ms: i64,
    born_host: String,
    properties: BTreeMap<&'a str, &'a str>,
    body_bytes: usize,
    /// As it lies in the log: perhaps compressed.
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Debug, Serialize)]
enum Body<'a> {
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "bodyHex")]
    Hex(String),
}

fn line(dumped: &Dumped) -> String {
    let mut shown = Shown {
        offset: dumped.queue_offset.0,
        log_offset: dumped.log_offset.0,
        ..Shown::default()
    };
    match dumped
        .record
        .as_ref()
        .map_err(|error| *error)
        .and_then(|record| StoredMessage::parse(record))
    {
        Ok(message) if message.sys_flag.is_lost() => {
            shown.error = Some("lost to damage; a salvage kept its place".to_owned());
        }
        Ok(message) => shown.message = Some(Message::of(&message)),
        Err(error) => shown.error = Some(error.to_string()),
    }
    serde_json::to_string(&shown).expect("texts and numbers are JSON")
}

impl<'a> Message<'a> {
    fn of(message: &StoredMessage<'a>) -> Self {
        let body = match std::str::from_utf8(message.body) {
            Ok(text) => Body::Text(text),
            Err(_) => Body::Hex(message.body.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes all");
                hex
            })),
        };
        Self {
            topic: message.topic,
            stored_ms: message.store_timestamp,
            born_ms: message.born_timestamp,
            born_host: message.born_host.to_string(),
            properties: message.properties.iter().collect(),
            body_bytes: message.body.len(),
            body,
        }
    }
}

/// The store in `dir`: `dir` itself, or the folder of that name in a data folder.
fn store_in(dir: &Path) -> Result<PathBuf, Failure> {
    fs::metadata(dir).map_err(|cause| Failure::file(dir, &cause))?;
    let candidates = [dir.join("store"), dir.to_owned()];
    let found = candidates
        .into_iter()
        .find(|root| root.join("commitlog").is_dir());
    found.ok_or_else(|| {
        let sentence = format!("{} holds no store: no commitlog in it", dir.display());
        Failure::new(Exit::NoAccess, sentence)
    })
}

fn parse_queue(text: &str) -> Result<(String, QueueId), String> {
    let queue = text
        .rsplit_once('/')
        .and_then(|(topic, id)| Some((topic, id.parse().ok()?)));
    match queue {
        Some((topic, id)) if !topic.is_empty() && !topic.contains('/') && topic != ".." => {
            Ok((topic.to_owned(), QueueId(id)))
        }
        _ => Err("expected TOPIC/ID, as in orders/0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_named_by_topic_and_number() {
        assert_eq!(
            parse_queue("orders/3"),
            Ok(("orders".to_owned(), QueueId(3)))
        );
        assert_eq!(
            parse_queue("%RETRY%g/0"),
            Ok(("%RETRY%g".to_owned(), QueueId(0)))
        );
        for wrong in ["orders", "/0", "orders/x", "orders/-1", "../0", "a/b/0", ""] {
            assert!(parse_queue(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_store_is_found_in_its_data_folder_and_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        let missing = folder.path().join("missing");
        for holds_none in [folder.path(), &*missing] {
            assert_eq!(store_in(holds_none).unwrap_err().exit, Exit::NoAccess);
        }
        fs::create_dir_all(store.join("commitlog")).unwrap();
        assert_eq!(store_in(folder.path()), Ok(store.clone()));
        assert_eq!(store_in(&store), Ok(store));
    }
}
