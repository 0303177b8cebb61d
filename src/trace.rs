//! Trace events as lines on stderr, fit for whoever reads a log that strangers can write to.
//!
//! Names, keys and remarks come from peers, so this is the one place that every line passes:
//! control characters are escaped, a line has at most [`LINE_BYTES_MAX`] bytes, and one kind of
//! event (one place in the code) gives at most [`LINES_PER_SECOND_MAX`] lines a second; the next one
//! after that says how many were left out. Bodies are never handed to a trace event.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{self, Write},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{Metadata, callsite::Identifier};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

const LINE_BYTES_MAX: usize = 1024;
const LINES_PER_SECOND_MAX: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Ends a line that was longer.
const CUT: &str = "...";

/// Sends trace events to stderr: warnings and worse, or what `GANTRY_LOG` asks for
/// (`info`, `broker=debug`).
pub(crate) fn start() {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .with_env_var("GANTRY_LOG")
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines::default())
        .with_ansi(false)
        // A full disk under the trace must not end the process: the complaint about it would panic.
        .log_internal_errors(false)
        .init();
}

/// How much each kind of event has said lately. As many kinds as there are places in the code.
#[derive(Debug, Default)]
struct Lines {
    kinds: Mutex<HashMap<Identifier, Kind>>,
}

#[derive(Debug)]
struct Kind {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Kind {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            lines: 0,
            left_out: 0,
        }
    }

    /// Whether one more line may be written now, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= SECOND {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES_PER_SECOND_MAX {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { left_out: Some(0) }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line {
        let now = Instant::now();
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(event.callsite());
        Line {
            left_out: kind.or_insert_with(|| Kind::new(now)).admit(now),
        }
    }
}

/// Takes one event, formatted.
#[derive(Debug)]
struct Line {
    /// `None`: this one is left out too.
    left_out: Option<u64>,
}

impl Write for Line {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        if let Some(left_out) = self.left_out {
            let line = line(&String::from_utf8_lossy(event), left_out);
            io::stderr().lock().write_all(line.as_bytes())?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event as one line.
fn line(event: &str, left_out: u64) -> String {
    let event = event.strip_suffix('\n').unwrap_or(event);
    let more = match left_out {
        0 => String::new(),
        count => format!(" ({count} more of this kind were left out before)"),
    };
    let room = LINE_BYTES_MAX - more.len() - 1;
    let mut line = String::with_capacity(event.len().min(LINE_BYTES_MAX) + more.len() + 1);
    for letter in event.chars() {
        // Where the line would be cut if nothing more fitted.
        let before = line.len();
        if letter.is_control() {
            write!(line, "{}", letter.escape_default()).expect("a String takes all");
        } else {
            line.push(letter);
        }
        if line.len() > room {
            line.truncate(before.min(room - CUT.len()));
            while line.len() > room - CUT.len() {
                line.pop();
            }
            line.push_str(CUT);
            break;
        }
    }
    line + &more + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_cannot_begin_a_line_or_colour_it() {
        assert_eq!(
            line("WARN no topic=a\r\nERROR fake \u{1b}[31m\u{85}\t\0é\n", 0),
            "WARN no topic=a\\r\\nERROR fake \\u{1b}[31m\\u{85}\\t\\u{0}é\n"
        );
    }

    #[test]
    fn a_line_ends_at_its_limit_and_not_before() {
        let whole = "x".repeat(LINE_BYTES_MAX - 1);
        assert_eq!(line(&whole, 0), format!("{whole}\n"));
        for event in [
            format!("{whole}y"),
            "\u{1b}".repeat(9000),
            "é日".repeat(900),
        ] {
            let line = line(&event, 7);
            assert!(
                line.len() <= LINE_BYTES_MAX && line.len() > LINE_BYTES_MAX - 20,
                "{line}"
            );
            assert!(
                line.ends_with("... (7 more of this kind were left out before)\n"),
                "{line}"
            );
        }
    }

    #[test]
    fn a_kind_has_ten_lines_a_second_and_tells_what_it_left_out() {
        let start = Instant::now();
        let mut kind = Kind::new(start);
        let mut admitted = |ms| kind.admit(start + Duration::from_millis(ms));
        assert_eq!(
            [(); 12].map(|()| admitted(0)),
            [[Some(0); 10].as_slice(), &[None; 2]].concat()[..]
        );
        assert_eq!(admitted(999), None);
        assert_eq!([admitted(1000), admitted(1000)], [Some(3), Some(0)]);
    }
}
