//! Keeps the generated pages of the manual equal to the tables in the code.
//!
//! With `GANTRY_WRITE_DOCS=1` it writes them instead; `cargo xtask docs` sets that.

use std::{env, fmt::Write, fs, path::Path};

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

/// The section of one process.
fn role<C>(title: &str, table: &Table<C>, defaults: &mut C) -> String {
    let mut section = format!("\n## {title}\n");
    for group in table.groups {
        let head = "| key | meaning | default | range | live |\n|---|---|---|---|---|\n";
        write!(section, "\n### {}\n\n{head}", group.title).unwrap();
        for key in group.keys {
            row(&mut section, key, defaults);
        }
    }
    section += "\n### Keys of Apache's without effect\n\nA warning, unless a value is given here: \
                then any other value stops the start.\n\n| key | accepted | reason |\n|---|---|---|\n";
    for absent in table.absent {
        let (value, reason) = match absent {
            Absent::Ignored { reason, .. } => (String::new(), reason),
            Absent::Only { value, reason, .. } => (format!("`{value}`"), reason),
        };
        writeln!(section, "| `{}` | {value} | {reason} |", absent.key()).unwrap();
    }
    section
}

fn row<C>(section: &mut String, key: &Key<C>, defaults: &mut C) {
    let default = match key.show(defaults) {
        empty if empty.is_empty() => empty,
        value => format!("`{value}`"),
    };
    let range = key.range.as_ref();
    let range = range.map_or(String::new(), |range| {
        format!("{} to {}", range.start(), range.end())
    });
    let live = if key.live { "yes" } else { "" };
    writeln!(
        section,
        "| `{}` | {} | {default} | {range} | {live} |",
        key.name, key.meaning
    )
    .unwrap();
}

fn check(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if env::var_os("GANTRY_WRITE_DOCS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "{name} is out of date: run cargo xtask docs"
    );
}
