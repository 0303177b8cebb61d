//! `gantry standalone`: name server, broker and gateway in one process.

use std::{fs, net::IpAddr, path::Path, sync::Arc, time::Instant};

use broker::{
    NameServer,
    config::{Config, FlushMode},
};
use clap::{ArgMatches, Args};
use runtime::conf_file::Entry;

use crate::{
    choices::{Choices, Chosen, check_exposure},
    exit::Failure,
    output, parts,
    ports::{self, Ports},
    process::{self, Life},
};

#[derive(Debug, Args)]
pub(super) struct Standalone {
    #[command(flatten)]
    choices: Choices,
}

impl Standalone {
    pub(super) fn run(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let begun = Instant::now();
        let chosen = self.choices.with_files(matches, Path::new("."))?;
        let (config, warnings) = Config::from_entries(&chosen.broker).map_err(Failure::config)?;
        output::warn_of(&warnings);
        check_exposure(config.listen.bind, chosen.insecure)?;
        prepare(&chosen.data_dir)?;
        process::run(async |life| serve(life, &chosen, config, begun).await)
    }
}

fn prepare(data_dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(data_dir).map_err(|cause| Failure::file(data_dir, &cause))?;
    ports::remove(data_dir)
}

/// What is shown once everything listens.
fn banner(ports: &Ports, data_dir: &Path, config: &Config) -> String {
    let data_dir = data_dir
        .canonicalize()
        .unwrap_or_else(|_| data_dir.to_owned());
    let broker = format!("{}   VIP {}", ports.at(ports.broker), ports.at(ports.vip));
    let flush = match config.flush.mode {
        FlushMode::Sync => "sync: acknowledged means on disk".to_owned(),
        FlushMode::Async => {
            let ms = config.flush.interval.as_millis();
            format!("async: acknowledged means written, on disk within about {ms} ms")
        }
    };
    let table = output::table(&[
        ("name server", ports.at(ports.namesrv).to_string()),
        ("broker", broker),
        ("HTTP", format!("http://{}", ports.at(ports.http))),
        ("admin", format!("http://127.0.0.1:{}", ports.admin)),
        ("data", data_dir.display().to_string()),
        ("flush", flush),
    ]);
    format!("gantry {}\n\n{table}", env!("CARGO_PKG_VERSION"))
}

async fn serve(
    life: &mut Life,
    chosen: &Chosen,
    config: Config,
    begun: Instant,
) -> Result<(), Failure> {
    let listen = config.listen.bind;
    let namesrv = parts::start_namesrv(namesrv_config(chosen, listen)?, life).await?;
    let names = vec![NameServer::Local(Arc::clone(&namesrv.serve))];
    let broker = parts::start_broker(config, names, life).await?;
    let ports = Ports {
        listen,
        namesrv: namesrv.addr.port(),
        broker: broker.addr().port(),
        vip: broker.vip_addr().port(),
        http: chosen.http_port,
        admin: chosen.admin_port,
    };
    ports.write(&chosen.data_dir)?;
    output::say(banner(&ports, &chosen.data_dir, &broker.config()));
    output::say(format_args!("ready in {} ms", begun.elapsed().as_millis()));
    life.until_told_to_stop().await;
    ports::remove(&chosen.data_dir)?;
    parts::stop_broker(broker, life).await
}

fn namesrv_config(chosen: &Chosen, listen: IpAddr) -> Result<namesrv::Config, Failure> {
    let kv_file = chosen
        .data_dir
        .join("namesrv/kvConfig.json")
        .display()
        .to_string();
    let entries = [
        ("bindAddress", listen.to_string()),
        ("listenPort", chosen.namesrv_port.to_string()),
        ("kvConfigPath", kv_file),
    ];
    let entries = entries.map(|(key, value)| Entry::new(key, &value, "standalone"));
    let (config, _) = namesrv::Config::from_entries(&entries).map_err(Failure::config)?;
    Ok(config)
}
