//! `cargo xtask`: the chores of this repository.
//!
//! Owns: the house rules that no compiler knows (`tidy`), the order of the checks (`ci`), the
//! generated pages (`docs`), the deep tests of the store (`prove`, `mutants`). Invariant: standard library and JSON only, so that it builds in seconds.

#![forbid(unsafe_code)]

mod mutants;
mod prove;
mod tidy;

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Instant,
};

const USAGE: &str = "\
usage: cargo xtask VERB
  ci              what must pass before a commit is pushed; `ci NAME` only that check
  tidy            the house rules: arrows between crates, budgets, names, headers
  docs            write the pages of the manual that are made from the code
  docs --check    only compare them
  prove           the store's model, damage and schedules, deeper than `cargo test`
  prove --long    at the depth of a release, and the mutants
  mutants         plants bugs into a copy of the store: its tests must catch each of them";

/// What `ci` runs, cheapest first.
const CHECKS: &[(&str, &[&str])] = &[
    ("fmt", &["fmt", "--all", "--check"]),
    ("tidy", &["xtask", "tidy"]),
    (
        "clippy",
        &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
    ),
    ("docs", &["xtask", "docs", "--check"]),
    (
        "rustdoc",
        &[
            "doc",
            "--locked",
            "--workspace",
            "--no-deps",
            "--document-private-items",
        ],
    ),
    ("test", &["test", "--locked"]),
];

/// The pages are for those who change the code, so they may link to what is private.
const RUSTDOC: &str = "--deny warnings --allow rustdoc::private_intra_doc_links";

const MANUAL_TESTS: &[&str] = &[
    "test",
    "--locked",
    "--quiet",
    "--package",
    "gantry",
    "up_to_date",
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let passed = match args[..] {
        ["ci"] => CHECKS.iter().all(check),
        ["ci", name] => CHECKS
            .iter()
            .filter(|(known, _)| *known == name)
            .map(check)
            .eq([true]),
        ["tidy"] => tidy::run(&root()),
        ["docs"] => cargo(MANUAL_TESTS, &[("GANTRY_WRITE_DOCS", "1")]),
        ["docs", "--check"] => cargo(MANUAL_TESTS, &[]),
        ["prove"] => prove::run(false),
        ["prove", "--long"] => prove::run(true),
        ["mutants"] => mutants::run().0,
        _ => {
            tell(USAGE);
            return ExitCode::from(2);
        }
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn check((name, args): &(&str, &[&str])) -> bool {
    let begun = Instant::now();
    let passed = cargo(args, &[("RUSTDOCFLAGS", RUSTDOC)]);
    let verdict = if passed { "passed" } else { "FAILED" };
    tell(&format!(
        "xtask ci: {name} {verdict} in {:.1} s",
        begun.elapsed().as_secs_f32()
    ));
    passed
}

/// The folder of the workspace, wherever the command is run.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Every file that is, or would be, committed, from the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .expect("git can be run");
    let names = String::from_utf8_lossy(&output.stdout);
    let mut paths: Vec<_> = names.split_terminator('\0').map(PathBuf::from).collect();
    // One that was removed is still listed until the next commit.
    paths.retain(|path| root().join(path).is_file());
    paths.sort();
    paths
}

/// Where things are built.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn cargo(args: &[&str], variables: &[(&str, &str)]) -> bool {
    let status = cargo_command(args, variables).status();
    status.expect("cargo can be run, it runs this").success()
}

fn cargo_command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(args)
        .envs(variables.iter().copied())
        .current_dir(root());
    command
}

#[expect(clippy::print_stdout, reason = "results are for whoever reads them")]
fn print(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "a chore talks to whoever runs it")]
fn tell(text: &str) {
    eprintln!("{text}");
}
