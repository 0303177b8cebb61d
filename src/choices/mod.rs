//! What the operator chose for `gantry standalone`, and in which of four places.
//!
//! Flag beats variable (`GANTRY_...`) beats `gantry.toml` beats `broker.conf` beats default; within
//! one place a named choice beats `set`. All become `key=value` entries in that order, of which the
//! later wins, so that the tables of settings of name server, broker and gateway stay the only ones.
//! Invariant: reading changes nothing, and an unknown name in `gantry.toml` is an error.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, ValueEnum, parser::ValueSource};
use runtime::conf_file::{self, Entry};
use serde::Deserialize;

use crate::exit::{Exit, Failure};

/// One place's choices; those of the command line and of the environment come from one parse.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Choices {
    /// Folder of the store and of everything else that must survive [default: ./gantry-data]
    #[arg(long, value_name = "DIR", env = "GANTRY_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Address to listen on; one that is not loopback needs --insecure [default: 127.0.0.1]
    #[arg(long, value_name = "IP", env = "GANTRY_LISTEN")]
    listen: Option<IpAddr>,

    /// Port of the name server; like all ports, 0 takes any free one [default: 9876]
    #[arg(long, value_name = "N", env = "GANTRY_NAMESRV_PORT")]
    namesrv_port: Option<u16>,

    /// Port of the broker; its VIP port is this - 2 [default: 10911]
    #[arg(long, value_name = "N", env = "GANTRY_BROKER_PORT")]
    broker_port: Option<u16>,

    /// Port of the HTTP gateway [default: 8090]
    #[arg(long, value_name = "N", env = "GANTRY_HTTP_PORT")]
    http_port: Option<u16>,

    /// Port of health and version, on loopback only [default: 8091]
    #[arg(long, value_name = "N", env = "GANTRY_ADMIN_PORT")]
    admin_port: Option<u16>,

    /// What an acknowledgement means: sync: on disk; async: written [default: sync]
    #[arg(long, value_enum, env = "GANTRY_FLUSH")]
    flush: Option<Flush>,

    /// Any key of docs/config.md; may be repeated (in the variable: one a line)
    #[arg(long, value_name = "KEY=VALUE", env = "GANTRY_SET")]
    set: Vec<String>,

    /// A broker.conf to start from
    #[arg(short = 'c', long = "conf", value_name = "FILE", env = "GANTRY_CONF")]
    conf: Option<PathBuf>,

    /// Listen for other machines although nobody is asked who they are
    #[arg(long, env = "GANTRY_INSECURE")]
    insecure: bool,

    /// Start in spite of a damaged store: what cannot be read is copied to quarantine/ and skipped
    #[arg(long, env = "GANTRY_SALVAGE")]
    salvage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Flush {
    Sync,
    Async,
}

/// The same in `gantry.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<IpAddr>,
    namesrv_port: Option<u16>,
    broker_port: Option<u16>,
    http_port: Option<u16>,
    admin_port: Option<u16>,
    flush: Option<Flush>,
    #[serde(default)]
    set: BTreeMap<String, Plain>,
    conf: Option<PathBuf>,
    #[serde(default)]
    insecure: bool,
}

/// A value of `[set]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Plain {
    Text(String),
    Switch(bool),
    Number(u64),
    Ratio(f64),
}

impl Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(value) => value.fmt(f),
            Self::Switch(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Ratio(value) => value.fmt(f),
        }
    }
}

/// The choices of all places together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) data_dir: PathBuf,
    pub(crate) namesrv_port: u16,
    pub(crate) http_port: u16,
    pub(crate) admin_port: u16,
    pub(crate) insecure: bool,
    pub(crate) salvage: bool,
    /// For the parts that know their keys; the later of two wins.
    pub(crate) settings: Vec<Entry>,
}

impl Choices {
    /// Joins the command line and the environment with `gantry.toml` in `folder`.
    pub(crate) fn with_files(
        &self,
        matches: &ArgMatches,
        folder: &Path,
    ) -> Result<Chosen, Failure> {
        let file = Self::from_file(&folder.join("gantry.toml"))?;
        let variables = self.from_source(matches, ValueSource::EnvVariable);
        let flags = self.from_source(matches, ValueSource::CommandLine);
        let places = [(file, "gantry.toml"), (variables, "GANTRY_"), (flags, "--")];
        Self::join(&places)
    }

    fn join(places: &[(Self, &'static str); 3]) -> Result<Chosen, Failure> {
        let mut chosen = Chosen {
            data_dir: PathBuf::from("./gantry-data"),
            namesrv_port: 9876,
            http_port: 8090,
            admin_port: 8091,
            insecure: false,
            salvage: false,
            settings: Vec::new(),
        };
        chosen.settings.push(store_in(&chosen.data_dir, "default"));
        if let Some(conf) = places
            .iter()
            .rev()
            .find_map(|(place, _)| place.conf.as_deref())
        {
            chosen.settings.extend(read_conf(conf)?);
        }
        for (place, origin) in places {
            chosen.settings.extend(place.entries(origin)?);
            chosen.data_dir = place.data_dir.clone().unwrap_or(chosen.data_dir);
            chosen.namesrv_port = place.namesrv_port.unwrap_or(chosen.namesrv_port);
            chosen.http_port = place.http_port.unwrap_or(chosen.http_port);
            chosen.admin_port = place.admin_port.unwrap_or(chosen.admin_port);
            chosen.insecure |= place.insecure;
            chosen.salvage |= place.salvage;
        }
        Ok(chosen)
    }

    /// The entries of this place.
    fn entries(&self, origin: &str) -> Result<Vec<Entry>, Failure> {
        let mut entries = parse_set(&self.set)?;
        let mut push = |key, value: String, choice| {
            entries.push(Entry::new(key, &value, &format!("{choice} ({origin}...)")));
        };
        if let Some(listen) = self.listen {
            push("bindAddress", listen.to_string(), "listen");
        }
        if let Some(port) = self.broker_port {
            push("listenPort", port.to_string(), "broker-port");
        }
        if let Some(flush) = self.flush {
            let mode = match flush {
                Flush::Sync => "SYNC_FLUSH",
                Flush::Async => "ASYNC_FLUSH",
            };
            push("flushDiskType", mode.to_owned(), "flush");
        }
        entries.extend(
            self.data_dir
                .as_deref()
                .map(|folder| store_in(folder, "data-dir")),
        );
        Ok(entries)
    }

    #[expect(
        clippy::wrong_self_convention,
        reason = "it picks from self what came from a source"
    )]
    fn from_source(&self, matches: &ArgMatches, source: ValueSource) -> Self {
        let is = |id: &str| matches.value_source(id) == Some(source);
        Self {
            data_dir: self.data_dir.clone().filter(|_| is("data_dir")),
            listen: self.listen.filter(|_| is("listen")),
            namesrv_port: self.namesrv_port.filter(|_| is("namesrv_port")),
            broker_port: self.broker_port.filter(|_| is("broker_port")),
            http_port: self.http_port.filter(|_| is("http_port")),
            admin_port: self.admin_port.filter(|_| is("admin_port")),
            flush: self.flush.filter(|_| is("flush")),
            set: if is("set") {
                self.set.clone()
            } else {
                Vec::new()
            },
            conf: self.conf.clone().filter(|_| is("conf")),
            insecure: self.insecure && is("insecure"),
            salvage: self.salvage && is("salvage"),
        }
    }

    fn from_file(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(cause) => return Err(Failure::file(path, &cause)),
        };
        Self::from_toml(&text, path)
    }

    fn from_toml(text: &str, path: &Path) -> Result<Self, Failure> {
        let file: File = toml::from_str(text)
            .map_err(|error| Failure::config(format!("{}: {error}", path.display())))?;
        let set = file
            .set
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"));
        Ok(Self {
            data_dir: file.data_dir,
            listen: file.listen,
            namesrv_port: file.namesrv_port,
            broker_port: file.broker_port,
            http_port: file.http_port,
            admin_port: file.admin_port,
            flush: file.flush,
            set: set.collect(),
            conf: file.conf,
            insecure: file.insecure,
            // For one start, not for all of them.
            salvage: false,
        })
    }
}

/// The entries of a `-c` file.
pub(crate) fn read_conf(path: &Path) -> Result<Vec<Entry>, Failure> {
    conf_file::read(path).map_err(|error| match &error {
        conf_file::ReadError::Io { .. } => Failure::new(Exit::NoAccess, error),
        conf_file::ReadError::TooLarge { .. } | conf_file::ReadError::Syntax(_) => {
            Failure::config(error)
        }
    })
}

/// The entries of `--set`; the variable may hold several, one a line.
pub(crate) fn parse_set(set: &[String]) -> Result<Vec<Entry>, Failure> {
    let lines = set
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.trim().is_empty());
    lines
        .map(|line| match line.split_once('=') {
            Some((key, value)) => Ok(Entry::new(key.trim(), value, "--set")),
            None => Err(Failure::config(format!("--set {line}: expected KEY=VALUE"))),
        })
        .collect()
}

/// Refuses to open a port to other machines by accident.
pub(crate) fn check_exposure(listen: IpAddr, insecure: bool) -> Result<(), Failure> {
    if listen.is_loopback() || insecure {
        return Ok(());
    }
    Err(Failure::config(format!(
        "listening on {listen} opens the broker to every machine that reaches it, and there is no \
         authentication yet: add --insecure if that is wanted"
    )))
}

fn store_in(data_dir: &Path, origin: &str) -> Entry {
    Entry::new(
        "storePathRootDir",
        &data_dir.join("store").display().to_string(),
        origin,
    )
}

/// The fuzz target of `gantry.toml`: refused, or entries that a broker reads or refuses.
#[cfg(any(test, fuzzing))]
pub(crate) fn gantry_toml(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(file) = Choices::from_toml(text, Path::new("gantry.toml")) else {
        return;
    };
    // Another file, named by this one, is not this target's business.
    let file = Choices { conf: None, ..file };
    let none = Choices::default();
    let places = [
        (file, "gantry.toml"),
        (none.clone(), "GANTRY_"),
        (none, "--"),
    ];
    if let Ok(chosen) = Choices::join(&places) {
        drop(broker::Config::from_entries(&chosen.settings));
    }
}

#[cfg(test)]
mod tests;
