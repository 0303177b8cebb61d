//! `loadtest`: load, latency and proof for a native RocketMQ broker, ours or any other.
//!
//! It owns the generator, the log of what was acknowledged, and the checker that reads it all back.
//! It keeps apart what it knows and what it does not: a message is acknowledged, refused, or
//! unanswered, and only acknowledged ones can be lost.
//!
//! Exit codes: 0 done, 1 could not be done, 2 wrong usage, 3 the check failed.
#![forbid(unsafe_code)]

mod command;
mod compare;
mod crash;
mod failure;
mod native;
mod report;
mod sink;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use command::{Command, Native, Usage};
use failure::Failure;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Usage::parse().command {
        Command::Native(Native::Send(args)) => native::send(&args).await,
        Command::Native(Native::Pull(args)) => native::pull(&args).await,
        Command::Native(Native::E2e(args)) => native::e2e(&args).await,
        Command::Verify(args) => verify::logs(&args).await,
        Command::Sink(args) => sink::run(&args).await,
        Command::Compare(args) => compare::run(&args).await,
        Command::Crash(args) => crash::run(&args).await,
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
