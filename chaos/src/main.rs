//! `chaos`: breaks a real `gantry` in every way we know, and checks what it promised.
//!
//! It owns the table of scenarios, the processes it starts, and the verdict. Load, the log of what
//! was acknowledged and its checker are `loadtest`'s. Invariants: what could not be tried is
//! skipped, never passed; every failure comes with the line that repeats it.
//!
//! Exit codes: 0 nothing failed, 1 it could not begin, 2 wrong usage, 3 a scenario failed.
#![forbid(unsafe_code)]

mod command;
mod course;
mod dice;
mod hostile;
mod house;
mod load;
mod network;
mod probe;
mod promised;
mod results;
mod shim;
mod storage;
mod table;

use std::process::ExitCode;

use clap::Parser;
use loadtest::report;

use command::{Command, Usage};

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Usage::parse().command {
        Command::List => {
            table::all().iter().for_each(|row| report::out(&row.line()));
            return ExitCode::SUCCESS;
        }
        Command::Ci(args) => results::run(&args, table::all(), false, |row| row.short).await,
        Command::Long(args) => results::run(&args, table::all(), true, |row| row.long).await,
        Command::Run(args) => match table::find(&args.names) {
            Ok(rows) => {
                let cycles = args.cycles;
                results::run(&args.place, rows, true, |row| cycles.unwrap_or(row.short)).await
            }
            Err(unknown) => Err(unknown),
        },
        Command::Proxy(detour) => network::alone(&detour).await.map(|()| 0),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(why) => {
            report::note(&format!("chaos: {why}"));
            ExitCode::FAILURE
        }
    }
}
