//! `loadtest`: the command line of the crate.
//!
//! Exit codes: 0 done, 1 could not be done, 2 wrong usage, 3 the check failed.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use loadtest::command::{Command, Native, Usage};
use loadtest::{Failure, compare, native, performance, report, sink, verify};

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Usage::parse().command {
        Command::Native(Native::Send(args)) => native::send(&args).await,
        Command::Native(Native::Pull(args)) => native::pull(&args).await,
        Command::Native(Native::E2e(args)) => native::e2e(&args).await,
        Command::Verify(args) => verify::logs(&args).await,
        Command::Sink(args) => sink::run(&args).await,
        Command::Compare(args) => compare::run(&args).await,
        Command::Report(args) => performance::run(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::note(&format!("loadtest: {failure}"));
            match failure {
                Failure::CheckFailed(_) => ExitCode::from(3),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
