//! `gantry standalone`: name server, broker and gateway in one process.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};

use broker::{
    NameServer,
    config::{Config, FlushMode},
};
use clap::{ArgMatches, Args};
use client::Client;
use gateway::Gateway;
use proto::Text;
use remoting::{Unserved, local_link};
use runtime::conf_file::Entry;

use crate::{
    choices::{Choices, Chosen, check_exposure},
    exit::Failure,
    output, parts,
    ports::{self, Ports},
    process::{self, Life},
};

/// What the parts see as the address of one another.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
    let gateway = start_gateway(chosen, &namesrv, &broker, life).await?;
    let ports = Ports {
        listen,
        namesrv: namesrv.addr.port(),
        broker: broker.addr().port(),
        vip: broker.vip_addr().port(),
        http: gateway.http_addr.port(),
        admin: gateway.admin_addr.port(),
    };
    ports.write(&chosen.data_dir)?;
    output::say(banner(&ports, &chosen.data_dir, &broker.config()));
    output::say(format_args!("ready in {} ms", begun.elapsed().as_millis()));
    life.until_told_to_stop().await;
    ports::remove(&chosen.data_dir)?;
    parts::stop_broker(broker, life).await
}

/// The gateway's client reaches the name server and the broker of this process without a socket;
/// it knows them by the addresses that everybody else uses.
async fn start_gateway(
    chosen: &Chosen,
    namesrv: &namesrv::Running,
    broker: &broker::Running,
    life: &Life,
) -> Result<Gateway, Failure> {
    let link = |serve| local_link(serve, Arc::new(Unserved), LOCAL);
    let name_server = Text::from(namesrv.addr.to_string());
    let links = HashMap::from([
        (name_server.clone(), link(Arc::clone(&namesrv.serve))),
        (broker.announced_addr(), link(broker.serve())),
    ]);
    let client = Client::with_links(client::Config::new([name_server]), links, &life.tasks);
    let config = broker.config();
    let gateway = gateway::Config {
        http: SocketAddr::new(config.listen.bind, chosen.http_port),
        admin: SocketAddr::from((Ipv4Addr::LOCALHOST, chosen.admin_port)),
        body_bytes_max: config.topics.message_bytes_max as usize,
        ..gateway::Config::default()
    };
    let started = Gateway::start(gateway, client, &life.tasks).await;
    started.map_err(|error| Failure::listen(error.listener, error.addr, &error.cause))
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
