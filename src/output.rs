//! What people and scripts read: stdout for what was asked for, stderr for complaints.
//!
//! Invariant: the only file that prints, but for trace events (`trace`); a closed pipe (`gantry ... | head`) is no panic.

use std::{
    fmt::Display,
    io::{self, Write},
};

use runtime::settings::Warning;

/// Writes to stdout.
pub(crate) fn say(text: impl Display) {
    let mut out = io::stdout().lock();
    // Nobody reads any more: there is nothing left to tell them.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Writes one sentence to stderr.
pub(crate) fn complain(sentence: impl Display) {
    drop(writeln!(io::stderr().lock(), "gantry: {sentence}"));
}

/// Tells which settings have no effect.
pub(crate) fn warn_of(warnings: &[Warning]) {
    for warning in warnings {
        complain(format_args!("warning: {warning}"));
    }
}

/// Tells what is lost for good when a damaged store was opened with `--salvage`.
pub(crate) fn tell_of_salvage(opened: &store::Opened) {
    let places = &opened.salvaged;
    if places.is_empty() {
        return;
    }
    let bytes: u64 = places.iter().map(|place| place.bytes).sum();
    let count = places.len();
    say(format_args!(
        "salvaged: {count} damaged places, {bytes} bytes, are skipped from now on"
    ));
    for place in places {
        say(format_args!("  {place}"));
    }
}

/// Two columns under each other, indented.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("  {name:width$}   {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_column_begins_under_itself() {
        let table = table(&[("a", "1".into()), ("long", "2".into())]);
        assert_eq!(table, "  a      1\n  long   2\n");
    }
}
