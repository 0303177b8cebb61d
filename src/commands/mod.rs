//! The command line: one file per sub-command, and `standalone` when none is named.

mod broker;
mod completions;
mod namesrv;
mod standalone;
mod store;

use std::path::PathBuf;

use clap::{ArgMatches, Args, Parser, Subcommand};
use runtime::conf_file::Entry;

use crate::{
    choices::{parse_set, read_conf},
    exit::{CODES, Failure},
};

/// A message broker that speaks RocketMQ's protocol, with an HTTP door in front.
///
/// Without a sub-command it is `gantry standalone`: name server, broker and HTTP gateway in one
/// process, with the data in ./gantry-data, for programs on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "gantry",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = FIRST_STEPS,
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    standalone: standalone::Standalone,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run name server, broker and HTTP gateway in this process (the default)
    Standalone(standalone::Standalone),
    /// Run a name server alone, with Apache's flags and file
    Namesrv(namesrv::Namesrv),
    /// Run a broker alone, with Apache's flags and file
    Broker(broker::Broker),
    /// Look into a store, Gantry's or Apache's, without changing it
    Store(store::Store),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

const FIRST_STEPS: &str = "\
First steps:
  gantry                                                 start everything
  curl -d hello http://127.0.0.1:8090/t/orders:created   send a message
Settings: a flag beats its variable, that beats gantry.toml in the working directory, that beats
broker.conf (-c). GANTRY_LOG=info shows what happens inside.";

fn long_help() -> String {
    let codes = CODES
        .iter()
        .map(|(code, says)| format!("\n  {code:3}  {says}"));
    format!("{FIRST_STEPS}\nExit codes:{}", codes.collect::<String>())
}

/// What the name server and the broker alone have in common: Apache's `-c` and `-p`, and ours.
#[derive(Debug, Args)]
struct Alone {
    /// A file of KEY=VALUE lines, as Apache's
    #[arg(short = 'c', long = "conf", alias = "configFile", value_name = "FILE")]
    conf: Option<PathBuf>,

    /// Print every key with its value and exit
    #[arg(short = 'p', long = "print-config", alias = "printConfigItem")]
    print: bool,

    /// Any key of the file; may be repeated (in the variable: one a line)
    #[arg(long, value_name = "KEY=VALUE", env = "GANTRY_SET")]
    set: Vec<String>,

    /// Listen for other machines although nobody is asked who they are
    #[arg(long, env = "GANTRY_INSECURE")]
    insecure: bool,
}

impl Alone {
    /// Those of the file, then those of `--set`; the later of two wins.
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let mut entries = self
            .conf
            .as_deref()
            .map(read_conf)
            .transpose()?
            .unwrap_or_default();
        entries.extend(parse_set(&self.set)?);
        Ok(entries)
    }
}

impl Cli {
    /// Does what the command line says; `matches` is the same, with the place of each choice.
    pub(crate) fn run(self, matches: &ArgMatches) -> Result<(), Failure> {
        match self.command {
            None => self.standalone.run(matches),
            Some(Command::Standalone(standalone)) => {
                let (_, matches) = matches.subcommand().expect("a sub-command was parsed");
                standalone.run(matches)
            }
            Some(Command::Namesrv(namesrv)) => namesrv.run(),
            Some(Command::Broker(broker)) => broker.run(),
            Some(Command::Store(store)) => store.run(),
            Some(Command::Completions(completions)) => {
                completions.run();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_each_flag_has_a_help_text() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for command in std::iter::once(&command).chain(command.get_subcommands()) {
            for arg in command.get_arguments() {
                let (command, arg_id) = (command.get_name(), arg.get_id());
                assert!(arg.get_help().is_some(), "{command} {arg_id} has no help");
            }
        }
    }

    #[test]
    fn standalone_is_what_runs_without_a_sub_command() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["gantry"], args].concat());
        assert!(parse(&[]).unwrap().command.is_none());
        assert!(
            parse(&["--broker-port", "0", "--set", "a=b"])
                .unwrap()
                .command
                .is_none()
        );
        let named = parse(&["standalone", "--flush", "async"]).unwrap();
        assert!(matches!(named.command, Some(Command::Standalone(_))));
        assert!(parse(&["--broker-port", "65536"]).is_err());
        assert!(parse(&["stanalone"]).is_err());
    }

    #[test]
    fn apache_s_flags_are_understood() {
        let line = "gantry broker -n a:9876;b:9876 -c /etc/broker.conf -p -m";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert!(matches!(cli.command, Some(Command::Broker(_))));
        let cli = Cli::try_parse_from("gantry namesrv -c /etc/n.conf -p".split(' ')).unwrap();
        assert!(matches!(cli.command, Some(Command::Namesrv(_))));
    }
}
