//! Why the process ends, as a number for scripts and a sentence for people.
//!
//! The numbers are those of `sysexits.h` where it has the case; `docs/exit-codes.md` is printed from
//! this file. Invariant: a failure has exactly one sentence, on stderr, and one of these numbers.

use std::{fmt::Display, io, net::SocketAddr, path::Path, process::ExitCode};

/// The exit codes other than 0 (stopped as asked) and 2 (wrong usage, from the parser of flags).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Listen = 69,
    Failed = 70,
    System = 71,
    Locked = 73,
    Damaged = 74,
    Full = 75,
    NoAccess = 77,
    Config = 78,
    Interrupted = 130,
}

/// All exit codes and what each says.
pub(crate) const CODES: &[(u8, &str)] = &[
    (0, "It did what it was told, or was told to stop."),
    (2, "The command line is wrong."),
    (
        Exit::Listen as u8,
        "An address cannot be listened on, mostly because the port is in use.",
    ),
    (
        Exit::Failed as u8,
        "A write or flush failed, or a part that must run ended. Nothing unwritten was \
         acknowledged; the next start recovers.",
    ),
    (
        Exit::System as u8,
        "The operating system refused a thread, a signal handler or the like.",
    ),
    (Exit::Locked as u8, "Another process holds the store."),
    (
        Exit::Damaged as u8,
        "The store is damaged; the log is as it was. The places are listed; `--salvage` starts \
         without them.",
    ),
    (Exit::Full as u8, "The disk is full."),
    (
        Exit::NoAccess as u8,
        "A file or folder cannot be read or written.",
    ),
    (
        Exit::Config as u8,
        "A setting is wrong, or needs another one.",
    ),
    (
        Exit::Interrupted as u8,
        "A second signal came while it was stopping.",
    ),
];

/// How many damaged places are told; `gantry store check` tells all.
const DAMAGES_TOLD: usize = 10;

/// The end of a command that did not do what it was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) sentence: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl Display) -> Self {
        Self {
            exit,
            sentence: sentence.to_string(),
        }
    }

    pub(crate) fn config(sentence: impl Display) -> Self {
        Self::new(Exit::Config, sentence)
    }

    /// A part cannot listen.
    pub(crate) fn listen(part: &str, address: SocketAddr, cause: &io::Error) -> Self {
        let why = match cause.kind() {
            io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
            _ => cause.to_string(),
        };
        Self::new(
            Exit::Listen,
            format!("the {part} cannot listen on {address}: {why}"),
        )
    }

    /// A file or folder could not be read or written.
    pub(crate) fn file(path: &Path, cause: &io::Error) -> Self {
        let exit = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Exit::Full,
            _ => Exit::NoAccess,
        };
        Self::new(exit, format!("{}: {cause}", path.display()))
    }
}

impl From<namesrv::StartError> for Failure {
    fn from(error: namesrv::StartError) -> Self {
        use namesrv::StartError;
        use runtime::state_file::LoadError;
        match &error {
            StartError::Listen { addr, cause } => Self::listen("name server", *addr, cause),
            StartError::Settings(LoadError::Io { path, source }) => Self::file(path, source),
            StartError::Settings(LoadError::Damaged { .. }) => Self::new(Exit::Damaged, error),
        }
    }
}

impl From<broker::StartError> for Failure {
    fn from(error: broker::StartError) -> Self {
        use broker::StartError;
        use runtime::state_file::LoadError;
        match error {
            StartError::Listen { addr, source } => Self::listen("broker", addr, &source),
            StartError::Store(error) => error.into(),
            StartError::State(LoadError::Io { path, source }) => Self::file(&path, &source),
            StartError::State(LoadError::Damaged { .. }) => Self::new(Exit::Damaged, error),
            StartError::Address { .. } => Self::config(error),
            StartError::Thread(_) => Self::new(Exit::System, error),
        }
    }
}

impl From<store::OpenError> for Failure {
    fn from(error: store::OpenError) -> Self {
        use store::OpenError;
        match &error {
            OpenError::Locked(_) => Self::new(Exit::Locked, error),
            OpenError::Io { path, source } => Self::file(path, source),
            OpenError::WrongSegmentSize { .. } => Self::config(error),
            OpenError::Damaged(places) => {
                let first = places
                    .iter()
                    .take(DAMAGES_TOLD)
                    .map(|place| format!("\n  {place}"));
                let list: String = first.collect();
                let more = match places.len().saturating_sub(DAMAGES_TOLD) {
                    0 => String::new(),
                    more => format!("\n  and {more} more"),
                };
                let ways = "Either put the files back, or add --salvage to go on without what \
                            cannot be read; it is copied to quarantine/ before.";
                Self::new(Exit::Damaged, format!("{error}:{list}{more}\n{ways}"))
            }
        }
    }
}

impl From<gateway::StartError> for Failure {
    fn from(error: gateway::StartError) -> Self {
        Self::listen(
            &format!("{} listener", error.listener),
            error.addr,
            &error.cause,
        )
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_and_a_full_disk_have_their_own_sentence_and_code() {
        let cause = io::Error::from(io::ErrorKind::AddrInUse);
        let failure = Failure::listen("broker", "127.0.0.1:10911".parse().unwrap(), &cause);
        assert_eq!(
            (failure.exit as u8, &*failure.sentence),
            (
                69,
                "the broker cannot listen on 127.0.0.1:10911: the port is in use"
            )
        );
        let cause = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::file(Path::new("/data"), &cause).exit, Exit::Full);
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(
            Failure::file(Path::new("/data"), &cause).exit,
            Exit::NoAccess
        );
    }

    /// `GANTRY_WRITE_DOCS=1` writes the page instead (`cargo xtask docs`).
    #[test]
    fn the_page_of_exit_codes_is_up_to_date() {
        let rows = CODES
            .iter()
            .map(|(code, says)| format!("| {code} | {says} |\n"));
        let page = format!(
            "# Exit codes\n\nWith every code but 0 comes one sentence on stderr. Written by \
             `cargo xtask docs` from `src/exit.rs`.\n\n| code | meaning |\n|---|---|\n{}",
            rows.collect::<String>()
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md");
        if std::env::var_os("GANTRY_WRITE_DOCS").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "docs/exit-codes.md is out of date: run cargo xtask docs"
        );
    }
}
