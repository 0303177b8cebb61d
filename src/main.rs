//! `gantry`: a name server, a broker and a gateway in one binary.
//!
//! Owns: the command line, the layers of configuration, the wiring of the parts, what is printed,
//! exit codes. Leaves to the crates: everything that happens after the start.
//! Invariant: no logic of a broker lives here; `commands/` has one file per sub-command.

mod choices;
mod commands;
mod exit;
mod output;
mod ports;
mod process;
mod trace;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use commands::Cli;

/// Gives memory back to the system some seconds after a crowd has left (docs/adr/0021).
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    match cli.run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.sentence);
            failure.exit.into()
        }
    }
}
