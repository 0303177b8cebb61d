//! What an operator can choose for a name server: the keys of `namesrv.conf`, typed.
//!
//! Owns: the fields, their defaults, one row per key (reading, printing, run-time changes and the
//! manual all come from it). Leaves to `runtime::settings`: the machinery. Invariant: a `Config`
//! outside this file is complete; each field is read by somebody.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use remoting::Limits;
use runtime::{
    conf_file::Entry,
    settings::{Absent, BadValue, Group, Key, SetError, Table, Warning},
};

/// All settings of one name server.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Listen,
    pub routes: Routes,
    pub limits: Limits,
}

/// Where it listens.
#[derive(Debug, Clone)]
pub struct Listen {
    pub bind: IpAddr,
    /// 0: any free port.
    pub port: u16,
}

/// What it keeps and how it answers.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of namesrv.conf, named as there"
)]
pub struct Routes {
    /// The one thing that survives a restart.
    pub kv_file: String,
    /// Between two looks for brokers that fell silent.
    pub scan_every: Duration,
    pub order_config_in_routes: bool,
    pub order_config_to_brokers: bool,
    pub list_all_topics: bool,
    pub list_topics_of_cluster: bool,
    pub forget_unregistered_topics: bool,
    /// Answer "not ready" to route requests until `wait_for_brokers` after the start.
    pub refuse_while_waiting: bool,
    pub wait_for_brokers_s: u32,
    /// A packed registration, unpacked.
    pub unpacked_bytes_max: usize,
}

impl Config {
    /// The defaults, changed by `entries`: the later of two wins.
    ///
    /// # Errors
    /// A value that its key cannot have.
    pub fn from_entries(entries: &[Entry]) -> Result<(Self, Vec<Warning>), BadValue> {
        let mut config = Self::default();
        let warnings = TABLE.read(&mut config, entries)?;
        Ok((config, warnings))
    }

    /// Changes one key of a running name server: those that the manual marks so, no others.
    ///
    /// # Errors
    /// The key or the value is refused; the configuration is as before.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SetError> {
        TABLE.set(self, key, value)
    }

    /// Every key as a `key=value` line, sorted.
    #[must_use]
    pub fn to_properties_text(&self) -> String {
        TABLE.to_properties_text(&mut self.clone())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen {
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 9876,
            },
            routes: Routes {
                kv_file: "./gantry-data/namesrv/kvConfig.json".to_owned(),
                scan_every: Duration::from_secs(5),
                order_config_in_routes: false,
                order_config_to_brokers: true,
                list_all_topics: true,
                list_topics_of_cluster: true,
                forget_unregistered_topics: false,
                refuse_while_waiting: false,
                wait_for_brokers_s: 45,
                unpacked_bytes_max: 4 << 20,
            },
            limits: Limits {
                // As many topics as a registration may have, with names as long as may be.
                frame_bytes: 64 << 20,
                ..Limits::default()
            },
        }
    }
}

impl AsMut<Limits> for Config {
    fn as_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }
}

/// All that a name server understands.
pub static TABLE: Table<Config> = Table {
    groups: &[
        Group {
            title: "Addresses",
            keys: LISTEN,
        },
        Group {
            title: "Routes",
            keys: ROUTES,
        },
        Group {
            title: "Limits of a connection",
            keys: &LIMITS,
        },
    ],
    absent: ABSENT,
};

type K = Key<Config>;

const LISTEN: &[K] = &[
    K::new(
        "bindAddress",
        |c| &mut c.listen.bind,
        "The address to listen on. Other machines reach it only if it is not a loopback one, and \
         that needs `--insecure` until authentication exists.",
    ),
    K::new(
        "listenPort",
        |c| &mut c.listen.port,
        "The port of the native protocol. 0: any free one.",
    ),
];

const ROUTES: &[K] = &[
    K::new(
        "kvConfigPath",
        |c| &mut c.routes.kv_file,
        "The file of the key-value settings.",
    ),
    K::new(
        "scanNotActiveBrokerInterval",
        |c| &mut c.routes.scan_every,
        "Time between two looks for brokers that fell silent, in ms.",
    )
    .range(100, 600_000),
    K::new(
        "orderMessageEnable",
        |c| &mut c.routes.order_config_in_routes,
        "Whether a route carries the order settings of its topic.",
    )
    .live(),
    K::new(
        "returnOrderTopicConfigToBroker",
        |c| &mut c.routes.order_config_to_brokers,
        "Whether a broker that registers is told the order settings of all topics.",
    )
    .live(),
    K::new(
        "enableAllTopicList",
        |c| &mut c.routes.list_all_topics,
        "Whether the list of all topics is given out.",
    )
    .live(),
    K::new(
        "enableTopicList",
        |c| &mut c.routes.list_topics_of_cluster,
        "Whether the other lists of topics are given out.",
    )
    .live(),
    K::new(
        "deleteTopicWithBrokerRegistration",
        |c| &mut c.routes.forget_unregistered_topics,
        "Whether a topic that a broker no longer registers is forgotten.",
    )
    .live(),
    K::new(
        "needWaitForService",
        |c| &mut c.routes.refuse_while_waiting,
        "Whether routes are refused for a time after the start, until brokers have registered.",
    ),
    K::new(
        "waitSecondsForService",
        |c| &mut c.routes.wait_for_brokers_s,
        "That time, in seconds.",
    )
    .range(0, 3600),
    K::new(
        "maxUnpackedBytes",
        |c| &mut c.routes.unpacked_bytes_max,
        "A packed registration when unpacked (nothing else is ever unpacked), in bytes. More: \
         SYSTEM_ERROR, unpacking stops there.",
    )
    .range(1 << 10, 1 << 30)
    .live(),
];

const LIMITS: [K; 11] = remoting::limit_keys::<Config>();

const ONE_POOL: &str = "one pool of threads, one per core, serves all requests";
const NO_ACTING_MASTER: &str = "there is no acting master";
const NO_CONTROLLER: &str = "there is no controller";
const OWN_LIMITS: &str =
    "connections have limits of their own, see maxFrameBytes and its neighbours";
const NOT_NEEDED: &str = "it has no counterpart";

const fn ignored(key: &'static str, reason: &'static str) -> Absent {
    Absent::Ignored { key, reason }
}

const fn only(key: &'static str, value: &'static str, reason: &'static str) -> Absent {
    Absent::Only { key, value, reason }
}

const ABSENT: &[Absent] = &[
    only("enableControllerInNamesrv", "false", NO_CONTROLLER),
    only("clusterTest", "false", "there is no second cluster to ask"),
    only("tlsEnable", "false", "there is no TLS yet"),
    ignored("supportActingMaster", NO_ACTING_MASTER),
    ignored("notifyMinBrokerIdChanged", NO_ACTING_MASTER),
    ignored("productEnvName", NOT_NEEDED),
    ignored("rocketmqHome", NOT_NEEDED),
    ignored(
        "configStorePath",
        "changes at run time are not written to a file",
    ),
    ignored("clientRequestThreadPoolNums", ONE_POOL),
    ignored("defaultThreadPoolNums", ONE_POOL),
    ignored("clientRequestThreadPoolQueueCapacity", ONE_POOL),
    ignored("defaultThreadPoolQueueCapacity", ONE_POOL),
    ignored("unRegisterBrokerQueueCapacity", ONE_POOL),
    ignored("serverWorkerThreads", OWN_LIMITS),
    ignored("serverSelectorThreads", OWN_LIMITS),
    ignored("serverCallbackExecutorThreads", OWN_LIMITS),
    ignored("serverOnewaySemaphoreValue", OWN_LIMITS),
    ignored("serverAsyncSemaphoreValue", OWN_LIMITS),
    ignored("serverChannelMaxIdleTimeSeconds", OWN_LIMITS),
    ignored("serverSocketSndBufSize", OWN_LIMITS),
    ignored("serverSocketRcvBufSize", OWN_LIMITS),
    ignored("useEpollNativeSelector", OWN_LIMITS),
];

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::conf_file;

    fn read(text: &str) -> Result<(Config, Vec<Warning>), BadValue> {
        Config::from_entries(&conf_file::parse(text, "namesrv.conf").unwrap())
    }

    #[test]
    fn a_file_for_apache_is_honoured() {
        let (config, warnings) = read(
            "listenPort=9877\nbindAddress=0.0.0.0\nkvConfigPath=/d/kv.json\nclusterTest=false\n\
             deleteTopicWithBrokerRegistration=true",
        )
        .unwrap();
        assert_eq!(warnings, []);
        assert_eq!(
            (
                config.listen.port,
                config.listen.bind.is_unspecified(),
                &*config.routes.kv_file
            ),
            (9877, true, "/d/kv.json")
        );
        assert!(config.routes.forget_unregistered_topics);
    }

    #[test]
    fn the_printed_text_reads_back_to_itself() {
        let text = Config::default().to_properties_text();
        let (again, warnings) = read(&text).unwrap();
        assert_eq!((again.to_properties_text(), warnings), (text, vec![]));
    }

    #[test]
    fn only_what_the_manual_marks_changes_at_run_time() {
        let mut config = Config::default();
        assert_eq!(config.set("orderMessageEnable", "true"), Ok(()));
        assert!(config.routes.order_config_in_routes);
        assert_eq!(
            config.set("kvConfigPath", "/etc/passwd"),
            Err(SetError::Fixed {
                key: "kvConfigPath"
            })
        );
    }

    #[test]
    fn what_would_be_dangerous_to_leave_out_is_refused() {
        let told = read("enableControllerInNamesrv=true")
            .unwrap_err()
            .to_string();
        assert!(
            told.ends_with("expected false, because there is no controller"),
            "{told}"
        );
    }
}
