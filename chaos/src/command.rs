//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Breaks a real gantry in every way we know, and checks what it promised.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Usage {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what there is
    List,
    /// All of it, in ten minutes
    Ci(Place),
    /// All of it, with full counts
    Long(Place),
    /// Some of it
    Run(Run),
    /// The network of N4 alone, for clients that are not ours: connections end behind any byte
    ///
    /// Begins calm. Each line on standard input turns cutting on or off; it ends with its input.
    Proxy(Detour),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Which, as `chaos list` calls them
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// How often [default: as `chaos ci`]
    #[arg(long)]
    pub(crate) cycles: Option<u32>,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct Detour {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// Where connections go
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) upstream: SocketAddr,
    /// Repeats the decisions of an earlier run
    #[arg(long)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The `gantry` binary
    #[arg(long, value_name = "FILE")]
    pub(crate) gantry: PathBuf,
    /// Empty folder for data and logs; what a failed scenario leaves behind stays there
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where to write the results; those of other scenarios in it stay
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Repeats the decisions of an earlier run [default: any]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The first cycle, to repeat a later one alone
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) first: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Usage::command().debug_assert();
    }
}
