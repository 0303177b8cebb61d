//! Keeps the generated pages of the manual equal to the tables in the code.
//!
//! With `GANTRY_WRITE_DOCS=1` it writes them instead; `cargo xtask docs` sets that.

use std::{env, fmt::Display, fs, path::Path};

use proto::remoting::{frame::HEADER_BYTES_MAX, header, request::STRAY_BODY_BYTES_MAX};
use runtime::settings::{Absent, Key, Table};

#[test]
fn the_page_of_settings_is_up_to_date() {
    let mut page = String::from(
        "# Settings\n\n\
         Written by `cargo xtask docs` from the tables that read the settings; do not edit.\n\n\
         A file given with `-c` has one `key=value` a line, in the syntax of Java's property files: \
         `#` and `!` begin comments, the later of two lines for one key wins. `--set key=value` \
         beats the file. `gantry` alone, which is all three, gives a key to every part that has it: \
         `maxFrameBytes` counts for its name server too, whose own default is larger. \
         A key without effect is a warning at the start; a value that its key cannot \
         have stops the start with exit code 78 and names file, line and key. \"Live\" keys can be \
         changed while the process runs (`mqadmin updateBrokerConfig`), the others cannot.\n",
    );
    let (mut broker, _) = broker::config::Config::from_entries(&[]).expect("defaults are valid");
    broker.names = broker::config::Config::unsettled().names;
    broker.listen = broker::config::Config::unsettled().listen;
    broker.files = broker::config::Config::unsettled().files;
    page += &role(
        "Broker (`broker.conf`)",
        &broker::config::TABLE,
        &mut broker,
    );
    let mut namesrv = namesrv::config::Config::default();
    page += &role(
        "Name server (`namesrv.conf`)",
        &namesrv::config::TABLE,
        &mut namesrv,
    );
    page += &role("Gateway", &gateway::TABLE, &mut gateway::Config::default());
    check("docs/config.md", &page);
}

#[test]
fn the_page_of_limits_is_up_to_date() {
    let mut page = String::from(
        "# Limits\n\n\
         Written by `cargo xtask docs` from the code; do not edit.\n\n\
         Everything that comes from outside has a limit and an answer for what is beyond it. Where a \
         setting is named (see `config.md`), the limit is its default. \"Closed\" is the connection; \
         names in capitals are response codes, numbers are HTTP statuses. The native protocol has no \
         pages: lists are answered whole, and how often is limited instead. All \
         ports together leave a quarter of the files that the system allows, and at least 64, to the log: \
         a connection beyond that is closed at once.\n\n\
         | where | what | limit | setting | beyond it |\n|---|---|---|---|---|\n",
    );
    for (what, limit, beyond) in NATIVE {
        page += &limit_row("native", what, limit, "fixed", beyond);
    }
    let (mut broker, _) = broker::config::Config::from_entries(&[]).expect("defaults are valid");
    let mut namesrv = namesrv::config::Config::default();
    let names: Vec<_> = settings(&namesrv::config::TABLE, &mut namesrv).collect();
    for (key, meaning, limit) in settings(&broker::config::TABLE, &mut broker) {
        let other = names.iter().find(|(name, ..)| *name == key);
        let (what, beyond) = what_and_beyond(meaning);
        let mut row = |place, limit: &str| {
            page += &limit_row(place, what, limit, &format!("`{key}`"), beyond);
        };
        match other {
            Some((.., theirs)) if *theirs == limit => row("native", &limit),
            Some((.., theirs)) => {
                row("broker", &limit);
                row("name server", theirs);
            }
            None => row("broker", &limit),
        }
    }
    for (key, meaning, limit) in settings(&namesrv::config::TABLE, &mut namesrv) {
        if !broker::config::TABLE.has(key) {
            let (what, beyond) = what_and_beyond(meaning);
            page += &limit_row("name server", what, limit, &format!("`{key}`"), beyond);
        }
    }
    for (what, limit, beyond) in broker::FIXED_LIMITS {
        page += &limit_row("broker", what, limit, "fixed", beyond);
    }
    for (what, limit, beyond) in namesrv::FIXED_LIMITS {
        page += &limit_row("name server", what, limit, "fixed", beyond);
    }
    let (what, beyond) = ("body, bytes", "413; 400 if it is empty");
    let limit = broker.topics.message_bytes_max;
    page += &limit_row("HTTP", what, limit, "`maxMessageSize`", beyond);
    for (key, meaning, limit) in settings(&gateway::TABLE, &mut gateway::Config::default()) {
        let (what, beyond) = what_and_beyond(meaning);
        page += &limit_row("HTTP", what, &limit, &format!("`{key}`"), beyond);
    }
    for (what, limit, beyond) in gateway::FIXED_LIMITS {
        page += &limit_row("HTTP", what, limit, "fixed", beyond);
    }
    check("docs/limits.md", &page);
}

/// What the codec of the native protocol refuses, on every port that speaks it.
const NATIVE: &[(&str, usize, &str)] = &[
    ("header of a frame, bytes", HEADER_BYTES_MAX, "closed"),
    ("fields of a header", header::FIELDS_MAX, "closed"),
    ("name of a field, bytes", header::KEY_BYTES_MAX, "closed"),
    (
        "value of a field, bytes; wide enough for properties that are then refused with an answer",
        header::VALUE_BYTES_MAX,
        "closed",
    ),
    (
        "remark, bytes",
        header::REMARK_BYTES_MAX,
        "closed; our own are cut",
    ),
    ("depth of a JSON header", header::JSON_DEPTH_MAX, "closed"),
    ("a member of a JSON header, times", 1, "closed"),
    (
        "a field of a known request, times",
        1,
        "SYSTEM_ERROR; nobody else's frames are in doubt, so it stays open",
    ),
    (
        "body of a request that has none, bytes",
        STRAY_BODY_BYTES_MAX,
        "SYSTEM_ERROR",
    ),
    (
        "request codes that are not known",
        0,
        "REQUEST_CODE_NOT_SUPPORTED",
    ),
];

/// Name, meaning and default of each setting that is a limit of input.
fn settings<C>(
    table: &'static Table<C>,
    defaults: &mut C,
) -> impl Iterator<Item = (&'static str, &'static str, String)> {
    // The sizes of files are none.
    let groups = table.groups.iter().filter(|group| group.title != "Files");
    let keys = groups.flat_map(|group| group.keys);
    let is_limit = |name: &str| name.starts_with("max") || name.starts_with("min");
    keys.filter(move |key| is_limit(key.name))
        .map(|key| (key.name, key.meaning, key.show(defaults)))
}

/// The meaning of a limit ends with what is beyond it.
fn what_and_beyond(meaning: &str) -> (&str, &str) {
    let parts = [". More: ", ". Longer: ", ". Less: "];
    let parts = parts.into_iter().find_map(|word| meaning.split_once(word));
    let (what, beyond) = parts.unwrap_or_else(|| panic!("nothing is said of more: {meaning}"));
    (what, beyond.trim_end_matches('.'))
}

fn limit_row(place: &str, what: &str, limit: impl Display, setting: &str, beyond: &str) -> String {
    format!("| {place} | {what} | {limit} | {setting} | {beyond} |\n")
}

/// The section of one process.
fn role<C>(title: &str, table: &Table<C>, defaults: &mut C) -> String {
    let mut section = format!("\n## {title}\n");
    for group in table.groups {
        let head = "| key | meaning | default | range | live |\n|---|---|---|---|---|\n";
        section += &format!("\n### {}\n\n{head}", group.title);
        section.extend(group.keys.iter().map(|key| row(key, defaults)));
    }
    if table.absent.is_empty() {
        return section;
    }
    section += "\n### Keys of Apache's without effect\n\nA warning, unless a value is given here: \
                then any other value stops the start.\n\n| key | accepted | reason |\n|---|---|---|\n";
    section.extend(table.absent.iter().map(|absent| {
        let (value, reason) = match absent {
            Absent::Ignored { reason, .. } => (String::new(), reason),
            Absent::Only { value, reason, .. } => (format!("`{value}`"), reason),
        };
        format!("| `{}` | {value} | {reason} |\n", absent.key())
    }));
    section
}

fn row<C>(key: &Key<C>, defaults: &mut C) -> String {
    let default = match key.show(defaults) {
        empty if empty.is_empty() => empty,
        value => format!("`{value}`"),
    };
    let range = key.range.as_ref();
    let range = range.map(|range| format!("{} to {}", range.start(), range.end()));
    let live = if key.live { "yes" } else { "" };
    let range = range.unwrap_or_default();
    format!(
        "| `{}` | {} | {default} | {range} | {live} |\n",
        key.name, key.meaning
    )
}

fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if env::var_os("GANTRY_WRITE_DOCS").is_some() {
        fs::write(&path, page).expect("the folder of the manual is there");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{name} is out of date: run cargo xtask docs"
    );
}
