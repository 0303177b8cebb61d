//! Files and folders: what lies where, and that nothing points outside the repository.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Finding, Text};

/// Names of files and folders that gather what belongs nowhere.
const DRAWERS: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "base",
];

/// Beginnings of paths that exist on somebody's machine only. In two pieces, for this very check.
const OUTSIDE: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("../sha", "red"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
];

pub(super) fn check(paths: &[PathBuf], texts: &[Text]) -> Vec<Finding> {
    let known: BTreeSet<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut found = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let stems = path
            .iter()
            .filter_map(|part| Path::new(part).file_stem()?.to_str());
        if let Some(drawer) = stems.into_iter().find(|stem| DRAWERS.contains(stem)) {
            found.push(Finding::new(
                "drawer",
                &name,
                format!("{drawer} is no place, name the job"),
            ));
        }
        if path.ends_with(".gitkeep") {
            found.push(Finding::new("empty", &name, "an empty folder is kept"));
        }
        if known.contains(path.with_extension("").join("mod.rs").as_path()) {
            found.push(Finding::new(
                "two-homes",
                &name,
                "stands beside its folder's mod.rs",
            ));
        }
    }
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    for folder in folders.into_iter().filter(|folder| is_fixture(folder)) {
        if !has_note(folder, &known) {
            let says = "neither README.md nor NOTES.md says where it comes from";
            found.push(Finding::new("fixture", folder.display().to_string(), says));
        }
    }
    for Text { path, text } in texts {
        if text.is_empty() {
            found.push(Finding::new("empty", path, "is empty"));
        }
        for (start, end) in OUTSIDE {
            if text.contains(&format!("{start}{end}")) {
                let says = format!("names a path outside the repository: {start}{end}");
                found.push(Finding::new("outside", path, says));
            }
        }
        let manifest = path.ends_with("/Cargo.toml");
        if manifest && !text.contains("[lints]\nworkspace = true") {
            found.push(Finding::new(
                "lints",
                path,
                "does not take the workspace's lints",
            ));
        }
    }
    found
}

fn is_fixture(folder: &Path) -> bool {
    folder.iter().any(|part| part == "fixtures")
}

/// In the folder or one above it, up to `fixtures`.
fn has_note(folder: &Path, known: &BTreeSet<&Path>) -> bool {
    let folders = folder.ancestors().take_while(|folder| is_fixture(folder));
    let mut notes = folders.flat_map(|folder| [folder.join("README.md"), folder.join("NOTES.md")]);
    notes.any(|note| known.contains(note.as_path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(paths: &[&str], texts: &[(&str, &str)]) -> Vec<&'static str> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let texts = texts.iter().map(|(path, text)| Text {
            path: (*path).into(),
            text: (*text).into(),
        });
        let texts: Vec<Text> = texts.collect();
        check(&paths, &texts)
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn a_fixture_needs_a_note_in_its_folder_or_above() {
        assert_eq!(rules(&["proto/fixtures/java/a.hex"], &[]), ["fixture"]);
        assert_eq!(
            rules(
                &["proto/fixtures/java/a.hex", "proto/fixtures/README.md"],
                &[]
            ),
            [""; 0]
        );
        assert_eq!(
            rules(&["proto/fixtures/java/a.hex", "proto/README.md"], &[]),
            ["fixture"]
        );
    }

    #[test]
    fn drawers_and_double_homes_are_found() {
        assert_eq!(
            rules(&["a/src/util.rs", "b/common/x.rs"], &[]),
            ["drawer", "drawer"]
        );
        assert_eq!(rules(&["a/src/b.rs", "a/src/b/mod.rs"], &[]), ["two-homes"]);
    }

    #[test]
    fn paths_of_somebody_s_machine_are_found() {
        let path = ["/ho", "me/me/x"].concat();
        assert_eq!(rules(&[], &[("README.md", &path)]), ["outside"]);
        assert_eq!(rules(&[], &[("a/b.txt", "")]), ["empty"]);
    }
}
