//! `cargo xtask tidy`: the house rules as a check.
//!
//! Each file beside this one is a family of rules: a function from what is in the repository to
//! findings. Findings listed in `xtask/tidy-exceptions.txt` are forgiven; that file may only shrink,
//! because an exception that is not needed, or allows more than is needed, is a finding itself.

mod arrows;
mod exceptions;
mod layout;
mod lexer;
mod names;
mod sizes;

use std::{fs, path::Path};

use crate::{files, tell};
use lexer::Source;

/// More than this is no source and no fixture, but something that a program left behind.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One rule broken in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// As in the exceptions: a short word.
    rule: &'static str,
    /// Relative to the root; or the name of a crate.
    place: String,
    /// What was measured, for rules that are budgets.
    size: Option<usize>,
    says: String,
}

impl Finding {
    fn new(rule: &'static str, place: impl Into<String>, says: impl Into<String>) -> Self {
        Self {
            rule,
            place: place.into(),
            size: None,
            says: says.into(),
        }
    }
}

/// A file of the repository that is text.
#[derive(Debug)]
struct Text {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// A file that holds nothing but tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| part == "tests")
    }
}

/// Prints what is found; `true` if nothing is.
pub(crate) fn run(root: &Path) -> bool {
    let (paths, large): (Vec<_>, Vec<_>) = files()
        .into_iter()
        .partition(|path| size(root, path) <= FILE_BYTES_MAX);
    let texts: Vec<Text> = paths.iter().filter_map(|path| read(root, path)).collect();
    let mut found = arrows::check(root);
    found.extend(large.iter().map(|path| {
        let says = format!("is larger than {FILE_BYTES_MAX} bytes");
        Finding::new("large", path.display().to_string(), says)
    }));
    found.extend(layout::check(&paths, &texts));
    for text in texts.iter().filter(|text| text.is_rust()) {
        let source = Source::of(&text.text);
        found.extend(sizes::check(text, &source));
        found.extend(names::check(text, &source));
    }
    let allowed = fs::read_to_string(root.join(exceptions::FILE)).unwrap_or_default();
    let found = exceptions::apply(found, &allowed);
    for finding in &found {
        tell(&format!(
            "tidy: {}: {} ({})",
            finding.place, finding.says, finding.rule
        ));
    }
    found.is_empty()
}

fn size(root: &Path, path: &Path) -> u64 {
    fs::metadata(root.join(path)).map_or(0, |metadata| metadata.len())
}

fn read(root: &Path, path: &Path) -> Option<Text> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    Some(Text {
        path: path.to_str()?.to_owned(),
        text,
    })
}
