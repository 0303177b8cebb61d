//! The command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proto::Text;
use proto::remoting::header::Serialization;
use serde::{Deserialize, Serialize};

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
    /// A server that only answers, or (with --dir) writes and answers: a ceiling to measure by
    Sink(Sink),
    /// Two brokers in turn, under the same load; prints the ratio
    Compare(Compare),
    /// How far `gantry` is from what this machine can do: a table of ratios and a plot
    Report(Report),
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

impl Target {
    /// One broker, without a name server.
    pub(crate) fn broker(addr: Text, topic: Text) -> Self {
        Self {
            namesrv: Text::new(),
            broker: Some(addr),
            topic,
            queues: 16,
        }
    }
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
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
    /// Make messages durable in one file in this folder before they are answered
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Be a bare HTTP server instead
    #[arg(long, conflicts_with = "dir")]
    pub http: bool,
    /// With --dir: whether each write is flushed to the disk before it is answered
    #[arg(long, value_enum, default_value_t = Flush::Sync)]
    pub flush: Flush,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Flush {
    Sync,
    Async,
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

#[derive(Clone, Debug, Args)]
pub struct Report {
    /// The binary to measure; without it the table and the plot are made from --json alone
    #[arg(long, value_name = "FILE")]
    pub gantry: Option<PathBuf>,
    /// Where servers keep their data meanwhile
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Another broker that runs already, measured in turn with the others
    #[arg(long, value_name = "NAME=HOST:PORT:PID")]
    pub other: Vec<Other>,
    /// What to measure [default: rates sizes headers]
    #[arg(long = "part", value_enum)]
    pub parts: Vec<Part>,
    /// How messages are made durable [default: both, one after the other]
    #[arg(long, value_enum)]
    pub flush: Vec<Flush>,
    /// How often each; medians count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value = "1.5", value_parser = seconds)]
    pub secs: Duration,
    /// Seconds before it that do not count
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub warm: Duration,
    /// Messages that nobody reads in part backlog
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1000..=1_000_000_000))]
    pub backlog: u64,
    /// Topics in part topics
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub topics: u32,
    /// Results; what is in it already and not measured again stays
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,
    /// Where to draw the plot
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// 1 KiB, JSON headers: what the goals are about
    Rates,
    /// 100 B and 64 KiB
    Sizes,
    /// 1 KiB, binary headers
    Headers,
    /// With a consumer that keeps up, and without
    Consumer,
    /// Open loop at half of the closed loop's rate: the longest stalls
    Stalls,
    /// HTTP publish against a bare HTTP server
    Http,
    /// Start times and resident memory
    Start,
    /// Pulls from the page cache, to each --other's
    Pulls,
    /// Pulls from the disk, to reading the log's files (4 GiB in --dir)
    Cold,
    /// Sending to and reading a queue that nobody reads (4 GiB in --dir)
    Backlog,
    /// Sending to many topics, to one's
    Topics,
}

/// A broker that somebody else started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    pub name: String,
    pub addr: Text,
    pub pid: u32,
}

impl FromStr for Other {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, rest)| {
            let (addr, pid) = rest.rsplit_once(':')?;
            Some((name, addr, pid.parse().ok()?))
        });
        let (name, addr, pid) = parts.ok_or("expected NAME=HOST:PORT:PID")?;
        Ok(Self {
            name: name.into(),
            addr: addr.into(),
            pid,
        })
    }
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

    #[test]
    fn another_broker_is_named_with_its_address_and_its_process() {
        let apache = Other {
            name: "apache".into(),
            addr: "127.0.0.1:10911".into(),
            pid: 7,
        };
        assert_eq!("apache=127.0.0.1:10911:7".parse(), Ok(apache));
        for wrong in ["apache", "apache=127.0.0.1", "apache=127.0.0.1:x"] {
            assert!(wrong.parse::<Other>().is_err(), "{wrong}");
        }
    }
}
