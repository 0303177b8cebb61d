//! `cargo xtask prove`: the tests of the store at the depth that a release asks for.
//!
//! Each prints one line of JSON with what it counted; a failure prints the line that repeats it. The
//! short form takes a minute or so after the build, `--long` some ten.

use super::{cargo, mutants, target, tell};

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
    // All of them run, also when one fails.
    let passed = [
        ("disk model and damage", cargo(STORE, &depth)),
        ("schedules", cargo(SCHEDULES, &with_schedules)),
        ("mutants", !long || mutants::run()),
    ];
    for (name, passed) in passed {
        tell(&format!(
            "xtask prove: {name} {}",
            if passed { "passed" } else { "FAILED" }
        ));
    }
    passed.iter().all(|(_, passed)| *passed)
}
