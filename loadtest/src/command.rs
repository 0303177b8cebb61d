//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::Text;
use proto::remoting::header::Serialization;

/// Load, latency and proof for a native RocketMQ broker.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Usage {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load over the native protocol
    #[command(subcommand)]
    Native(Native),
    /// Read back what the logs of `--log` say was acknowledged, and check it
    Verify(Verify),
    /// A server that only answers: the generator's own ceiling
    Sink(Sink),
    /// Two brokers in turn, under the same load; prints the ratio
    Compare(Compare),
}

#[derive(Debug, Subcommand)]
pub enum Native {
    /// Send as fast as answers come (or at --rate)
    Send(Send),
    /// Read a topic as fast as it comes
    Pull(Pull),
    /// Send, receive by long poll, and measure the time between
    E2e(Send),
}

/// Which broker.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// Name server
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9876")]
    pub namesrv: Text,
    /// Broker; instead of asking the name server (and then nothing can be read back)
    #[arg(long, value_name = "HOST:PORT")]
    pub broker: Option<Text>,
    /// Topic; created if it does not exist
    #[arg(long, default_value = "loadtest")]
    pub topic: Text,
    /// Its queues on each broker, 100 at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub queues: u32,
}

/// How hard, and for how long.
#[derive(Clone, Debug, Args)]
pub struct Shape {
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub conns: u32,
    /// Messages in flight on each connection (with --rate: at most)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub depth: u32,
    /// Messages a second in all, sent when they are due whatever the answers do: latency is counted
    /// from when a message was due, so waiting for a slow broker counts
    #[arg(long)]
    pub rate: Option<f64>,
    /// Bytes of a body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub size: u32,
    /// Seconds that count
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub secs: Duration,
    /// Seconds before that do not
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub warm: Duration,
    /// How request headers are serialized
    #[arg(long, value_enum, default_value_t = Ser::Json)]
    pub ser: Ser,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Ser {
    Json,
    Binary,
}

impl From<Ser> for Serialization {
    fn from(ser: Ser) -> Self {
        match ser {
            Ser::Json => Self::Json,
            Ser::Binary => Self::Binary,
        }
    }
}

#[derive(Clone, Debug, Args)]
pub struct Send {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub shape: Shape,
    /// Afterwards read everything acknowledged back and check it
    #[arg(long)]
    pub verify: bool,
    /// Where acknowledgements are logged before they count [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Do not ask for the order of messages that were in flight together (Apache does not keep it)
    #[arg(long)]
    pub any_order: bool,
    /// Where to write the result
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Pull {
    #[command(flatten)]
    pub target: Target,
    /// Connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub conns: u32,
    /// Messages of one pull at most
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub batch: i32,
    /// Seconds that count
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub secs: Duration,
    /// Where to write the result
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// Logs of one run
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Name server, if not the one that the log names
    #[arg(long, value_name = "HOST:PORT")]
    pub namesrv: Option<Text>,
    /// Do not ask for the order of messages that were in flight together
    #[arg(long)]
    pub any_order: bool,
}

#[derive(Clone, Debug, Args)]
pub struct Sink {
    /// Where to listen; port 0 takes any free one, which is printed
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
}

#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Broker, or `sink` for a server of our own that only answers
    pub a: Text,
    /// The other
    pub b: Text,
    /// How often each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Topic; created if it does not exist
    #[arg(long, default_value = "loadtest")]
    pub topic: Text,
    /// Its queues, 100 at most
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub queues: u32,
    #[command(flatten)]
    pub shape: Shape,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds".to_owned())
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
