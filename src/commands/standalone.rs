//! `gantry standalone`: name server, broker and gateway in one process.

use std::{
    collections::HashMap,
    fs::{self, File, TryLockError},
    iter,
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
use runtime::{Tasks, conf_file::Entry, settings::Warning};

use crate::{
    choices::{Choices, Chosen, check_exposure},
    exit::{Exit, Failure},
    output,
    ports::{self, Ports},
    process::{self, GRACE, Life},
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
        let (settings, warnings) = Settings::of(&chosen)?;
        output::warn_of(&warnings);
        check_exposure(settings.broker.listen.bind, chosen.insecure)?;
        let _held = hold(&chosen.data_dir)?;
        ports::remove(&chosen.data_dir)?;
        process::run(async |life| serve(life, &chosen, settings, begun).await)
    }
}

/// The settings of each part.
#[derive(Debug)]
struct Settings {
    names: namesrv::Config,
    broker: Config,
    gateway: gateway::Config,
}

impl Settings {
    /// A key is read by every part that has it; of what nobody knows the broker warns.
    fn of(chosen: &Chosen) -> Result<(Self, Vec<Warning>), Failure> {
        let (of_names, of_broker) = (&namesrv::config::TABLE, &broker::config::TABLE);
        let entries_if = |wanted: &dyn Fn(&str) -> bool| {
            let entries = chosen.settings.iter();
            let wanted: Vec<Entry> = entries
                .filter(|entry| wanted(&entry.key))
                .cloned()
                .collect();
            wanted
        };
        let of_others = |key: &str| of_names.knows(key) || gateway::TABLE.knows(key);
        let entries = entries_if(&|key| of_broker.knows(key) || !of_others(key));
        let (mut broker, mut warnings) = Config::from_entries(&entries).map_err(Failure::config)?;
        broker.files.salvage = chosen.salvage;
        let kv_file = chosen.data_dir.join("namesrv/kvConfig.json");
        let kv_file = kv_file.display().to_string();
        let mut entries = vec![Entry::new("kvConfigPath", &kv_file, "default")];
        entries.extend(entries_if(&|key| {
            of_names.has(key) || of_names.knows(key) && !of_broker.knows(key)
        }));
        let (mut names, more) = namesrv::Config::from_entries(&entries).map_err(Failure::config)?;
        warnings.extend(more);
        names.listen.bind = broker.listen.bind;
        names.listen.port = chosen.namesrv_port;
        let mut gateway = gateway::Config {
            http: SocketAddr::new(broker.listen.bind, chosen.http_port),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, chosen.admin_port)),
            body_bytes_max: broker.topics.message_bytes_max as usize,
            ..gateway::Config::default()
        };
        let entries = entries_if(&|key| gateway::TABLE.has(key));
        gateway::TABLE
            .read(&mut gateway, &entries)
            .map_err(Failure::config)?;
        let settings = Self {
            names,
            broker,
            gateway,
        };
        Ok((settings, warnings))
    }
}

/// Makes the data folder this process's own, until the file that comes back is closed. The store
/// has a lock too, but name server and `ports.json` come before it is opened.
fn hold(data_dir: &Path) -> Result<File, Failure> {
    fs::create_dir_all(data_dir).map_err(|cause| Failure::file(data_dir, &cause))?;
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(|cause| Failure::file(&path, &cause))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let sentence = format!(
                "the folder {} is in use by another process",
                data_dir.display()
            );
            Err(Failure::new(Exit::Locked, sentence))
        }
        Err(TryLockError::Error(cause)) => Err(Failure::file(&path, &cause)),
    }
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
    settings: Settings,
    begun: Instant,
) -> Result<(), Failure> {
    let (names, doors) = (life.tasks.child(), life.tasks.child());
    let name_server = namesrv::NameServer::start(settings.names, &names).await?;
    let servers = name_servers(&settings.broker, &name_server);
    let broker = broker::Running::start(settings.broker, servers, &life.tasks).await?;
    output::tell_of_salvage(broker.opened());
    let started = open_doors(&broker, &name_server, settings.gateway, life, &doors).await;
    let shown = match &started {
        Ok(gateway) => show(&broker, &name_server, gateway, chosen, begun),
        Err(_) => Ok(()),
    };
    if started.is_ok() && shown.is_ok() {
        life.until_told_to_stop().await;
    }
    let removed = ports::remove(&chosen.data_dir);
    let stopped = life.stopping(stop(broker, &doors, &names)).await;
    started?;
    shown?;
    stopped?;
    removed
}

/// The order that loses nothing: first the doors, then the broker, last the routes.
async fn stop(broker: broker::Running, doors: &Tasks, names: &Tasks) -> Result<(), Failure> {
    close(doors, "gateway").await;
    let stopped = broker.stop(GRACE).await;
    close(names, "name server").await;
    stopped.map_err(|error| Failure::new(Exit::Failed, error))
}

async fn close(scope: &Tasks, part: &str) {
    if let Err(unfinished) = scope.close(GRACE).await {
        tracing::warn!(part, %unfinished, "stopped without them");
    }
}

/// The one in this process, and those that `broker.conf` names.
fn name_servers(config: &Config, own: &namesrv::Running) -> Vec<NameServer> {
    let others = config
        .listen
        .name_servers
        .as_slice()
        .iter()
        .cloned()
        .map(NameServer::Addr);
    iter::once(NameServer::Local(Arc::clone(&own.serve)))
        .chain(others)
        .collect()
}

/// The gateway's client reaches the name server and the broker of this process without a socket;
/// it knows them by the addresses that everybody else uses.
async fn open_doors(
    broker: &broker::Running,
    name_server: &namesrv::Running,
    config: gateway::Config,
    life: &Life,
    doors: &Tasks,
) -> Result<Gateway, Failure> {
    let link = |serve| local_link(serve, Arc::new(Unserved), LOCAL);
    let names_at = Text::from(name_server.addr.to_string());
    let links = HashMap::from([
        (names_at.clone(), link(Arc::clone(&name_server.serve))),
        (broker.announced_addr(), link(broker.serve())),
    ]);
    let client = Client::with_links(client::Config::new([names_at]), links, &life.tasks);
    Ok(Gateway::start(config, client, doors).await?)
}

/// Tells people and scripts what listens where.
fn show(
    broker: &broker::Running,
    name_server: &namesrv::Running,
    gateway: &Gateway,
    chosen: &Chosen,
    begun: Instant,
) -> Result<(), Failure> {
    let config = broker.config();
    let ports = Ports {
        listen: config.listen.bind,
        namesrv: name_server.addr.port(),
        broker: broker.addr().port(),
        vip: broker.vip_addr().port(),
        http: gateway.http_addr.port(),
        admin: gateway.admin_addr.port(),
    };
    ports.write(&chosen.data_dir)?;
    output::say(banner(&ports, &chosen.data_dir, &config));
    output::say(format_args!("ready in {} ms", begun.elapsed().as_millis()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(settings: &[(&str, &str)]) -> Chosen {
        let entry = |(key, value): &(&str, &str)| Entry::new(*key, value, "test");
        Chosen {
            data_dir: "/data".into(),
            namesrv_port: 1,
            http_port: 2,
            admin_port: 3,
            insecure: false,
            salvage: true,
            settings: settings.iter().map(entry).collect(),
        }
    }

    #[test]
    fn each_part_gets_the_settings_that_it_knows() {
        let (settings, warnings) = Settings::of(&chosen(&[
            ("bindAddress", "127.0.0.2"),
            ("listenPort", "1000"),
            ("productEnvName", "e"),
            ("tlsEnable", "false"),
            ("maxConnections", "7"),
            ("maxHttpConnections", "8"),
            ("waitSecondsForService", "9"),
            ("maxMessageSize", "10"),
            ("maxHttpConections", "11"),
        ]))
        .unwrap();
        let Settings {
            names,
            broker,
            gateway,
        } = settings;
        let (listen, bind) = (&broker.listen, IpAddr::from([127, 0, 0, 2]));
        assert_eq!((listen.bind, listen.port), (bind, 1000));
        assert_eq!((names.listen.bind, names.listen.port), (bind, 1));
        assert_eq!(names.routes.kv_file, "/data/namesrv/kvConfig.json");
        assert_eq!(gateway.http, SocketAddr::new(bind, 2));
        assert_eq!(gateway.admin, SocketAddr::from(([127, 0, 0, 1], 3)));
        let connections = [&names.limits, &broker.limits].map(|limits| limits.connections);
        assert_eq!((connections, gateway.connections_max), ([7, 7], 8));
        assert_eq!(names.routes.wait_for_brokers_s, 9);
        assert_eq!(gateway.body_bytes_max, 10);
        assert!(broker.files.salvage);
        let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        let no_part = "test: maxHttpConections is not a known key";
        let no_effect = "test: productEnvName has no effect: it has no counterpart";
        assert_eq!(told, [no_part, no_effect]);
        let elsewhere = chosen(&[("kvConfigPath", "/elsewhere")]);
        let (settings, warnings) = Settings::of(&elsewhere).unwrap();
        assert_eq!(settings.names.routes.kv_file, "/elsewhere");
        assert_eq!(warnings, []);
    }

    #[test]
    fn a_bad_value_for_any_part_stops_the_start() {
        for (key, value) in [
            ("maxHttpHeaders", "15"),
            ("waitSecondsForService", "3601"),
            ("maxBatchMessages", "0"),
            ("enableControllerInNamesrv", "true"),
            ("tlsEnable", "true"),
        ] {
            let refused = Settings::of(&chosen(&[(key, value)])).unwrap_err();
            let told = format!("test: {key}={value}: expected ");
            assert!(refused.sentence.contains(&told), "{refused:?}");
        }
    }

    #[test]
    fn the_banner_says_what_listens_where_and_what_an_acknowledgement_means() {
        let ports = Ports {
            listen: "127.0.0.1".parse().unwrap(),
            namesrv: 1,
            broker: 3,
            vip: 2,
            http: 4,
            admin: 5,
        };
        let (config, _) = Config::from_entries(&[]).unwrap();
        let shown = banner(&ports, Path::new("/no/such/folder"), &config);
        for part in [
            concat!("gantry ", env!("CARGO_PKG_VERSION"), "\n"),
            "name server   127.0.0.1:1\n",
            "broker        127.0.0.1:3   VIP 127.0.0.1:2\n",
            "HTTP          http://127.0.0.1:4\n",
            "admin         http://127.0.0.1:5\n",
            "data          /no/such/folder\n",
            "flush         sync: acknowledged means on disk\n",
        ] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
    }
}
