//! Why a command could not be done.

use std::io;
use std::path::{Path, PathBuf};

use client::AskError;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{what}: {cause}")]
    Io { what: String, cause: io::Error },
    #[error("{}: {why}", path.display())]
    BadFile { path: PathBuf, why: String },
    #[error("{0}")]
    Impossible(String),
    /// Something that was promised did not hold.
    #[error("the check failed: {0}")]
    CheckFailed(String),
}

impl Failure {
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    pub fn bad_file(path: &Path, why: impl ToString) -> Self {
        Self::BadFile {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}
