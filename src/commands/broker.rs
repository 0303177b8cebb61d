//! `gantry broker`: a broker alone, launched as Apache's `mqbroker` is.

use broker::{NameServer, Running, config::Config};
use clap::Args;
use runtime::conf_file::Entry;

use super::Alone;
use crate::{
    choices::check_exposure,
    exit::{Exit, Failure},
    output,
    process::{self, GRACE},
};

#[derive(Debug, Args)]
pub(super) struct Broker {
    /// Name servers to register with [env: NAMESRV_ADDR, which the file beats]
    #[arg(
        short = 'n',
        long = "namesrv",
        alias = "namesrvAddr",
        value_name = "HOST:PORT;..."
    )]
    name_servers: Option<String>,

    /// Print the keys that matter most with their values and exit
    #[arg(
        short = 'm',
        long = "print-important-config",
        alias = "printImportantConfig"
    )]
    print_important: bool,

    /// Start in spite of a damaged store: what cannot be read is copied to quarantine/ and skipped
    #[arg(long, env = "GANTRY_SALVAGE")]
    salvage: bool,

    #[command(flatten)]
    alone: Alone,
}

/// What `-m` prints.
const IMPORTANT: &[&str] = &[
    "autoCreateSubscriptionGroup",
    "autoCreateTopicEnable",
    "bindAddress",
    "brokerClusterName",
    "brokerIP1",
    "brokerName",
    "brokerPermission",
    "fileReservedTime",
    "flushDiskType",
    "listenPort",
    "namesrvAddr",
    "storePathCommitLog",
    "storePathRootDir",
];

impl Broker {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let from_environment = std::env::var("NAMESRV_ADDR").ok();
        let entries = self.entries(from_environment.as_deref())?;
        let (mut config, warnings) = Config::from_entries(&entries).map_err(Failure::config)?;
        config.files.salvage = self.salvage;
        let text = config.to_properties_text();
        if self.alone.print {
            output::say(text.trim_end());
            return Ok(());
        }
        if self.print_important {
            text.lines()
                .filter(|line| is_important(line))
                .for_each(output::say);
            return Ok(());
        }
        output::warn_of(&warnings);
        check_exposure(config.listen.bind, self.alone.insecure)?;
        process::run(async |life| {
            let servers = config.listen.name_servers.as_slice().iter();
            let servers = servers.cloned().map(NameServer::Addr).collect();
            let running = Running::start(config, servers, &life.tasks).await?;
            output::tell_of_salvage(running.opened());
            output::say(boot_line(&running));
            life.until_told_to_stop().await;
            let stopped = life.stopping(running.stop(GRACE)).await;
            stopped.map_err(|error| Failure::new(Exit::Failed, error))
        })
    }

    /// `-n` beats the file, which beats the environment.
    fn entries(&self, from_environment: Option<&str>) -> Result<Vec<Entry>, Failure> {
        let named = |value: &str, origin| Entry::new("namesrvAddr", value, origin);
        let mut entries =
            Vec::from_iter(from_environment.map(|value| named(value, "NAMESRV_ADDR")));
        entries.extend(self.alone.entries()?);
        entries.extend(self.name_servers.as_deref().map(|value| named(value, "-n")));
        Ok(entries)
    }
}

/// compat: `BrokerStartup` prints this line, and scripts wait for it.
fn boot_line(running: &Running) -> String {
    let config = running.config();
    let address = format!("{}:{}", config.listen.ip1, running.addr().port());
    let name_servers = config.listen.name_servers.as_slice().join(";");
    let told = if name_servers.is_empty() {
        ""
    } else {
        " and name server is "
    };
    format!(
        "The broker[{}, {address}] boot success. serializeType=JSON{told}{name_servers}",
        config.names.broker
    )
}

fn is_important(line: &str) -> bool {
    line.split_once('=')
        .is_some_and(|(key, _)| IMPORTANT.contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Parsed {
        #[command(flatten)]
        broker: Broker,
    }

    fn name_servers(line: &str, environment: Option<&str>) -> Vec<String> {
        let parsed = Parsed::parse_from(line.split(' '));
        let entries = parsed.broker.entries(environment).unwrap();
        Config::from_entries(&entries)
            .unwrap()
            .0
            .listen
            .name_servers
            .as_slice()
            .to_vec()
    }

    #[test]
    fn the_flag_beats_the_settings_and_those_beat_the_environment() {
        assert_eq!(name_servers("broker", Some("e:1")), ["e:1"]);
        assert_eq!(
            name_servers("broker --set namesrvAddr=f:1", Some("e:1")),
            ["f:1"]
        );
        assert_eq!(
            name_servers("broker --set namesrvAddr=f:1 -n g:1;h:2", Some("e:1")),
            ["g:1", "h:2"]
        );
    }

    #[test]
    fn every_important_key_exists() {
        let text = Config::from_entries(&[]).unwrap().0.to_properties_text();
        assert_eq!(
            text.lines().filter(|line| is_important(line)).count(),
            IMPORTANT.len()
        );
    }
}
