//! `cargo xtask prove`: the tests of the store at the depth that a release asks for.
//!
//! Each prints one line of JSON with what it counted; a failure prints the line that repeats it. The
//! short form takes a minute or so after the build, `--long` some ten. The lines are rows of
//! `results/reliability.json`, beside those of `chaos`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{cargo_command, mutants, print, root, target, tell};

/// How much of each: the short and the long form.
const DEPTH: &[(&str, &str, &str)] = &[
    ("GANTRY_MODEL_STATES", "2000", "20000"),
    ("GANTRY_DAMAGE_CUTS", "1000", "100000"),
    ("GANTRY_DAMAGE_FLIPS", "1000", "5000"),
    ("GANTRY_DAMAGE_SECTORS", "200", "1000"),
    ("GANTRY_SCHEDULES", "1000", "10000"),
];

const STORE: &[&str] = &[
    "test",
    "--locked",
    "--release",
    "--package",
    "store",
    "--test",
    "store",
    "--",
    "--nocapture",
    "model",
    "damage",
];

/// Builds of their own: in them the locks and atomics are those of the explorer of schedules.
const SCHEDULES: &[&str] = &[
    "test",
    "--locked",
    "--package",
    "store",
    "--package",
    "runtime",
    "--test",
    "schedules",
    "--",
    "--nocapture",
];

pub(crate) fn run(long: bool) -> bool {
    let depth: Vec<(&str, &str)> = DEPTH
        .iter()
        .map(|&(name, short_form, long_form)| (name, if long { long_form } else { short_form }))
        .collect();
    let target = target().join("schedules");
    let mut with_schedules = depth.clone();
    with_schedules.push(("RUSTFLAGS", "--cfg shuttle"));
    with_schedules.push((
        "CARGO_TARGET_DIR",
        target.to_str().expect("a path in UTF-8"),
    ));
    let depth_name = if long { "long" } else { "short" };
    // What does not come to its end leaves no result behind.
    if let Err(why) = keep(Vec::new(), depth_name) {
        tell(&format!("xtask prove: {RESULTS} cannot be used: {why}"));
        return false;
    }
    let mut rows = Vec::new();
    // All of them run, also when one fails.
    let mut passed = vec![
        (
            "disk model and damage",
            cargo_with_rows(STORE, &depth, &mut rows),
        ),
        (
            "schedules",
            cargo_with_rows(SCHEDULES, &with_schedules, &mut rows),
        ),
    ];
    if long {
        let (caught, mut row) = mutants::run();
        row["result"] = if caught { "passed" } else { "failed" }.into();
        rows.push(row);
        passed.push(("mutants", caught));
    }
    for (name, passed) in &passed {
        let verdict = if *passed { "passed" } else { "FAILED" };
        tell(&format!("xtask prove: {name} {verdict}"));
        if !passed && *name != "mutants" {
            rows.push(json!({ "test": name, "result": "failed" }));
        }
    }
    let kept = keep(rows, depth_name);
    if let Err(why) = &kept {
        tell(&format!("xtask prove: {RESULTS} cannot be written: {why}"));
    }
    kept.is_ok() && passed.iter().all(|(_, passed)| *passed)
}

/// Runs tests; what they print is printed, and lines of JSON become rows.
fn cargo_with_rows(args: &[&str], variables: &[(&str, &str)], rows: &mut Vec<Value>) -> bool {
    let mut child = cargo_command(args, variables)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo can be run, it runs this");
    let before = rows.len();
    let printed = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in printed.lines().map_while(Result::ok) {
        print(&line);
        // A test's name may stand before its line.
        let json = line.find("{\"test\"").and_then(|at| line.get(at..));
        if let Some(mut row) = json.and_then(|json| serde_json::from_str::<Value>(json).ok()) {
            row["result"] = "passed".into();
            rows.push(row);
        }
    }
    // Tests that counted nothing did not run.
    child.wait().is_ok_and(|status| status.success()) && rows.len() > before
}

const RESULTS: &str = "results/reliability.json";
const COMMAND: &str = "xtask prove";

/// Puts the rows in the place of those of the last run.
fn keep(rows: Vec<Value>, depth: &str) -> io::Result<()> {
    let path = root().join(RESULTS);
    let old = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let all = joined(old, rows, depth);
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    // Whole or not at all: the rows of others are in it as well.
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec_pretty(&all)?)?;
    fs::rename(new, path)
}

fn joined(mut all: Vec<Value>, rows: Vec<Value>, depth: &str) -> Vec<Value> {
    all.retain(|row| row["command"] != COMMAND);
    all.extend(rows.into_iter().map(|mut row| {
        row["command"] = COMMAND.into();
        row["depth"] = depth.into();
        row
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_replaces_the_rows_of_the_last_one_and_no_other() {
        let chaos = json!({ "test": "S1-sync", "result": "passed" });
        let all = joined(
            vec![chaos.clone()],
            vec![json!({ "test": "damage" })],
            "short",
        );
        let all = joined(all, vec![json!({ "test": "mutants" })], "long");
        let mutants = json!({ "test": "mutants", "command": "xtask prove", "depth": "long" });
        assert_eq!(all, [chaos, mutants]);
    }
}
