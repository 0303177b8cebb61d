//! What people and scripts read: stdout for what was asked for, stderr for complaints.
//!
//! Invariant: the only file that prints; a closed pipe (`gantry ... | head`) is no panic.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use runtime::settings::Warning;
use tracing_subscriber::EnvFilter;

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

/// Sends trace events to stderr: warnings and worse, or what `GANTRY_LOG` asks for
/// (`info`, `broker=debug`).
pub(crate) fn start_tracing() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .with_env_var("GANTRY_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        // A full disk under the trace must not end the process: the complaint about it would panic.
        .log_internal_errors(false)
        .init();
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
