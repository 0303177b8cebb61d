//! `cargo xtask mutants`: bugs that are planted on purpose, to see that the tests of the store catch
//! them all.
//!
//! A mutant is a file in `store/tests/mutants`: what is replaced where, and which tests must then
//! fail. It is applied to a copy of the tree under `target/mutants`, so nothing of it can get into a
//! build of ours; a replacement that no longer fits its place is a failure, not a catch.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{files, root, target, tell};

const FOLDER: &str = "store/tests/mutants";
/// A test that takes longer has not failed.
const TEST_TIME_MAX: Duration = Duration::from_secs(300);
/// How hard the tests look, and always in the same way.
const DEPTH: &[(&str, &str)] = &[
    ("GANTRY_MODEL_STATES", "20000"),
    ("GANTRY_MODEL_SEED", "1"),
    ("GANTRY_MODEL_SHRINK", "0"),
    ("GANTRY_DAMAGE_SEED", "1"),
    ("RUST_BACKTRACE", "0"),
];

struct Mutant {
    name: String,
    bug: String,
    tests: String,
    file: String,
    find: String,
    replace: String,
}

impl Mutant {
    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (head, rest) = text.split_once("\n<<<<\n")?;
        let (find, rest) = rest.split_once("\n====\n")?;
        let mut lines = head.lines();
        Some(Self {
            name: path.file_stem()?.to_str()?.to_owned(),
            bug: lines.next()?.to_owned(),
            tests: lines.next()?.strip_prefix("caught by: ")?.to_owned(),
            file: lines.next()?.strip_prefix("in: ")?.to_owned(),
            find: find.to_owned(),
            replace: rest.strip_suffix("\n>>>>\n")?.to_owned(),
        })
    }
}

/// Plants them one after the other; whether each was caught, and the row of results.
pub(crate) fn run() -> (bool, Value) {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(FOLDER))
        .expect("the mutants are there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let scratch = target().join("mutants");
    let tree = scratch.join("tree");
    copy_tree(&tree).expect("the tree can be copied");
    let bench = Bench {
        tree,
        target: scratch.join("target"),
    };
    if bench.verdict("") != Verdict::Passed {
        let told = "the tests do not pass without any mutant";
        tell(told);
        return (false, json!({ "test": "mutants", "reason": told }));
    }
    let mut caught = 0;
    for path in &paths {
        let mutant = Mutant::read(path).expect("a mutant as the others are");
        let begun = Instant::now();
        let verdict = bench.plant(&mutant);
        let seconds = begun.elapsed().as_secs();
        caught += usize::from(verdict == Verdict::Failed);
        let says = match verdict {
            Verdict::Failed => "caught",
            Verdict::Passed => "NOT CAUGHT",
            Verdict::Misfit => "DOES NOT FIT ITS PLACE",
            Verdict::NotBuilt => "DOES NOT BUILD",
        };
        tell(&format!(
            "{}: {says} by {} in {seconds} s. {}",
            mutant.name, mutant.tests, mutant.bug
        ));
    }
    let planted = paths.len();
    tell(&format!("{caught} of {planted} caught"));
    let row = json!({ "test": "mutants", "planted": planted, "caught": caught });
    super::print(&row.to_string());
    (caught == planted, row)
}

/// Copies the work tree.
fn copy_tree(to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for path in files() {
        let (from, to) = (root().join(&path), to.join(&path));
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        fs::copy(from, to)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    NotBuilt,
    /// The place of the replacement is not there exactly once.
    Misfit,
}

/// Where mutants are built and tried.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn plant(&self, mutant: &Mutant) -> Verdict {
        let path = self.tree.join(&mutant.file);
        let sound = fs::read_to_string(&path).unwrap_or_default();
        if sound.matches(&mutant.find).count() != 1 {
            return Verdict::Misfit;
        }
        let sick = sound.replace(&mutant.find, &mutant.replace);
        fs::write(&path, sick).expect("the copy can be written");
        let verdict = self.verdict(&mutant.tests);
        fs::write(&path, sound).expect("the copy can be written");
        verdict
    }

    fn verdict(&self, tests: &str) -> Verdict {
        if !self.cargo(&["--no-run"]) {
            return Verdict::NotBuilt;
        }
        if self.cargo(&[tests]) {
            Verdict::Passed
        } else {
            Verdict::Failed
        }
    }

    /// Whether the tests of the store pass, or build.
    fn cargo(&self, args: &[&str]) -> bool {
        let mut child = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([
                "test",
                "--quiet",
                "--locked",
                "--package",
                "store",
                "--test",
                "store",
            ])
            .args(args)
            .envs(DEPTH.iter().copied())
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
            .current_dir(&self.tree)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo can be run, it runs this");
        let begun = Instant::now();
        loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => return status.success(),
                None if begun.elapsed() > TEST_TIME_MAX => {
                    child.kill().expect("a child can be killed");
                    child.wait().expect("a child can be waited for");
                    return true;
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}
