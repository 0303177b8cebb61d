//! Keeps the generated pages of the manual equal to the tables in the code.
//!
//! With `GANTRY_WRITE_DOCS=1` it writes them instead; `cargo xtask docs` sets that.

use std::{env, fs, path::Path, time::Duration};

use proto::remoting::{frame::HEADER_BYTES_MAX, header};
use runtime::settings::{Absent, Key, Table};

#[test]
fn the_page_of_settings_is_up_to_date() {
    let mut page = String::from(
        "# Settings\n\n\
         Written by `cargo xtask docs` from the tables that read the settings; do not edit.\n\n\
         A file given with `-c` has one `key=value` a line, in the syntax of Java's property files: \
         `#` and `!` begin comments, the later of two lines for one key wins. `--set key=value` \
         beats the file. A key without effect is a warning at the start; a value that its key cannot \
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
    check("docs/config.md", &page);
}

#[test]
fn the_page_of_limits_is_up_to_date() {
    let mut page = String::from(
        "# Limits\n\n\
         Written by `cargo xtask docs` from the code; do not edit.\n\n\
         Everything that comes from outside has a limit and an answer for what is beyond it.\n\n\
         ## Settings\n\n\
         Of broker and name server alike, in `broker.conf` and `namesrv.conf`; see `config.md`.\n\n\
         | key | meaning | default | range | live |\n|---|---|---|---|---|\n",
    );
    let (mut broker, _) = broker::config::Config::from_entries(&[]).expect("defaults are valid");
    let groups = broker::config::TABLE.groups.iter();
    // The sizes of files are no limits of input.
    let keys = groups
        .filter(|group| group.title != "Files")
        .flat_map(|group| group.keys);
    let limits = keys.filter(|key| key.name.starts_with("max"));
    page.extend(limits.map(|key| row(key, &mut broker)));
    page += "\n## Fixed, of the native protocol\n\n| what | limit | beyond it |\n|---|---|---|\n";
    for (what, limit, answer) in NATIVE {
        page += &format!("| {what} | {limit} | {answer} |\n");
    }
    page += "\n## Fixed, of the HTTP door\n\n| what | limit |\n|---|---|\n";
    let http = gateway::Config::default();
    for (what, limit) in [
        (
            "all bodies that are being read or sent, bytes",
            http.budget_bytes.to_string(),
        ),
        (
            "from a request's first byte to the end of its headers",
            seconds(http.head_timeout),
        ),
        (
            "a body or an answer that does not move",
            seconds(http.stall_timeout),
        ),
        ("a connection without a request", seconds(http.idle_timeout)),
        (
            "a broker's confirmation, unless the request says otherwise",
            seconds(http.publish_timeout),
        ),
        (
            "connections of a listener",
            http.connections_max.to_string(),
        ),
        (
            "connections of an address, loopback excepted",
            http.connections_per_address_max.to_string(),
        ),
        (
            "new connections of a listener in a second; more wait in the system's queue",
            http.accepts_per_second_max.to_string(),
        ),
    ] {
        page += &format!("| {what} | {limit} |\n");
    }
    check("docs/limits.md", &page);
}

const NATIVE: &[(&str, usize, &str)] = &[
    ("header of a frame, bytes", HEADER_BYTES_MAX, "closed"),
    ("fields of a header", header::FIELDS_MAX, "closed"),
    ("name of a field, bytes", header::KEY_BYTES_MAX, "closed"),
    ("value of a field, bytes", header::VALUE_BYTES_MAX, "closed"),
    ("remark, bytes", header::REMARK_BYTES_MAX, "closed"),
    ("depth of a JSON header", header::JSON_DEPTH_MAX, "closed"),
];

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

/// The section of one process.
fn role<C>(title: &str, table: &Table<C>, defaults: &mut C) -> String {
    let mut section = format!("\n## {title}\n");
    for group in table.groups {
        let head = "| key | meaning | default | range | live |\n|---|---|---|---|---|\n";
        section += &format!("\n### {}\n\n{head}", group.title);
        section.extend(group.keys.iter().map(|key| row(key, defaults)));
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
