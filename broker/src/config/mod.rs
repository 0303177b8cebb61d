//! What an operator can choose for a broker: the keys of `broker.conf`, typed.
//!
//! Owns: the fields, their defaults, and the rules that join several of them. `table.rs` has one row
//! per key (reading, printing, run-time changes and the manual all come from it), `absent.rs` the
//! keys of Apache's that mean nothing here, `values.rs` the types. Leaves to `runtime::settings`: the
//! machinery. Invariant: a `Config` outside this folder is complete (no field is left to derive) and
//! free of contradictions; each field is read by somebody.

mod absent;
mod table;
mod values;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::Duration,
};

use remoting::Limits;
use runtime::{
    conf_file::Entry,
    settings::{BadValue, SetError, Warning},
};

pub use table::TABLE;
pub use values::{Addresses, FlushMode, Hours, Name, Ratio};

/// All settings of one broker.
#[derive(Debug, Clone)]
pub struct Config {
    pub names: Names,
    pub listen: Listen,
    pub topics: Topics,
    pub files: Files,
    pub flush: Flush,
    pub retention: Retention,
    pub pulls: Pulls,
    pub limits: Limits,
    /// Requests of operators and their tools.
    pub admin_per_second_max: u32,
}

/// What the broker is called.
#[derive(Debug, Clone)]
pub struct Names {
    pub cluster: Name,
    pub broker: Name,
    /// 0: a master.
    pub id: u64,
    pub region: Name,
}

/// Where it listens and where it says it does.
#[derive(Debug, Clone)]
pub struct Listen {
    pub bind: IpAddr,
    /// 0: any free port, for this and the VIP port.
    pub port: u16,
    /// What name servers and clients are told.
    pub ip1: String,
    /// What replicas are told.
    pub ip2: String,
    /// What replicas are told; 0: the broker's port + 1. Nothing listens there yet.
    pub ha_port: u16,
    pub name_servers: Addresses,
    pub register_every: Duration,
}

/// Topics, groups, and what a message may be.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "five switches of broker.conf, named as there"
)]
pub struct Topics {
    pub auto_create: bool,
    pub auto_create_groups: bool,
    /// Of a topic that is created by the first message.
    pub queues: u32,
    /// Bits: 4 read, 2 write.
    pub permission: u32,
    pub cluster_topic: bool,
    pub broker_topic: bool,
    pub trace_topic: bool,
    pub trace_topic_name: Name,
    pub message_bytes_max: u32,
    /// Of one message: its sender's own, and those that RocketMQ's clients add.
    pub properties_max: usize,
    pub batch_messages_max: usize,
    pub tell_consumers_of_changes: bool,
}

/// Where the store is and how its files are cut.
#[derive(Debug, Clone)]
pub struct Files {
    pub root: String,
    /// The log may be on a disk of its own.
    pub log: String,
    pub log_segment_bytes: u64,
    /// A multiple of the 20 bytes of an entry.
    pub queue_segment_bytes: u64,
    pub index_slots: u32,
    pub index_entries: u32,
    pub record_crc: bool,
    /// Of the machine's memory.
    pub log_cache_percent: u8,
    /// Not a key: asked for at one start, by a flag.
    pub salvage: bool,
}

/// When what was written becomes durable.
#[derive(Debug, Clone)]
pub struct Flush {
    pub mode: FlushMode,
    /// Between two flushes in `ASYNC_FLUSH`.
    pub interval: Duration,
    /// How long a sender is made to wait in `SYNC_FLUSH`.
    pub timeout: Duration,
    /// When one waits for longer than this, new sends are refused.
    pub wait_max: Duration,
}

/// When old segments go, and what a disk that fills up does.
#[derive(Debug, Clone)]
pub struct Retention {
    pub delete_at: Hours,
    pub keep_hours: u32,
    /// Percent of the disk above which expired segments go at any hour.
    pub used_percent_max: u8,
    /// Above it the oldest segments go, expired or not. Never above `refuse_writes`.
    pub delete_unexpired: Ratio,
    /// Above it sends are refused.
    pub refuse_writes: Ratio,
}

/// How much a pull gets, and how it waits.
#[derive(Debug, Clone)]
pub struct Pulls {
    pub long_poll: bool,
    /// The longest wait when long polls are off.
    pub short_poll: Duration,
    /// The longest wait when they are on.
    pub suspend_max: Duration,
    /// Of a filter, in a pull and in a heartbeat.
    pub expression_bytes_max: usize,
    pub memory_bytes: u32,
    pub memory_count: u32,
    pub parked_per_queue_max: usize,
    pub parked_max: usize,
}

/// Why no configuration came out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Value(#[from] BadValue),
    #[error("{keys}: {reason}")]
    Contradiction { keys: &'static str, reason: String },
}

impl Config {
    /// The defaults, changed by `entries` (the later of two wins) and completed.
    ///
    /// # Errors
    /// A value that its key cannot have, or values that contradict each other.
    pub fn from_entries(entries: &[Entry]) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut config = Self::unsettled();
        let warnings = TABLE.read(&mut config, entries)?;
        config.settle();
        config.check()?;
        Ok((config, warnings))
    }

    /// Changes one key of a running broker: those that the manual marks so, no others.
    ///
    /// # Errors
    /// The key or the value is refused; the configuration is as before.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SetError> {
        let mut changed = self.clone();
        TABLE.set(&mut changed, key, value)?;
        changed.check().map_err(|error| SetError::Contradiction {
            why: error.to_string(),
        })?;
        *self = changed;
        Ok(())
    }

    /// Every key as a `key=value` line, sorted.
    #[must_use]
    pub fn to_properties_text(&self) -> String {
        TABLE.to_properties_text(&mut self.clone())
    }

    /// The defaults; texts that other fields decide are still empty.
    #[must_use]
    pub fn unsettled() -> Self {
        Self {
            names: Names {
                cluster: Name::new("DefaultCluster"),
                broker: Name::default(),
                id: 0,
                region: Name::new("DefaultRegion"),
            },
            listen: Listen {
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port: 10911,
                ip1: String::new(),
                ip2: String::new(),
                ha_port: 0,
                name_servers: Addresses::default(),
                register_every: Duration::from_secs(30),
            },
            topics: Topics::default(),
            files: Files::default(),
            flush: Flush {
                mode: FlushMode::Sync,
                interval: Duration::from_millis(500),
                timeout: Duration::from_secs(5),
                wait_max: Duration::from_millis(200),
            },
            retention: Retention {
                delete_at: Hours::new(4),
                keep_hours: 72,
                used_percent_max: 75,
                delete_unexpired: Ratio::percent(85),
                refuse_writes: Ratio::percent(90),
            },
            pulls: Pulls::default(),
            limits: Limits::default(),
            admin_per_second_max: 100,
        }
    }

    fn settle(&mut self) {
        let Self {
            names,
            listen,
            files,
            ..
        } = self;
        // compat: BrokerStartup gives every master id 0.
        names.id = 0;
        if names.broker.is_empty() {
            names.broker = host_name();
        }
        if listen.ip1.is_empty() {
            listen.ip1 = reachable_address(listen.bind).to_string();
        }
        if listen.ip2.is_empty() {
            listen.ip2.clone_from(&listen.ip1);
        }
        if files.log.is_empty() {
            files.log = format!("{}/commitlog", files.root);
        }
        // compat: MessageStoreConfig#getMappedFileSizeConsumeQueue rounds up to whole entries.
        files.queue_segment_bytes = files.queue_segment_bytes.next_multiple_of(20);
    }

    fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |keys, reason: &str| {
            Err(ConfigError::Contradiction {
                keys,
                reason: reason.to_owned(),
            })
        };
        if matches!(self.listen.port, 1 | 2 | u16::MAX) {
            return contradiction("listenPort", "the ports two below and one above must exist");
        }
        if self.retention.delete_unexpired > self.retention.refuse_writes {
            return contradiction(
                "diskSpaceCleanForciblyRatio, diskSpaceWarningLevelRatio",
                "segments must be deleted before writes are refused: the first is the larger",
            );
        }
        Ok(())
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            auto_create: true,
            auto_create_groups: true,
            queues: 8,
            permission: 6,
            cluster_topic: true,
            broker_topic: true,
            trace_topic: false,
            trace_topic_name: Name::new("RMQ_SYS_TRACE_TOPIC"),
            message_bytes_max: 4 << 20,
            properties_max: 160,
            batch_messages_max: 1024,
            tell_consumers_of_changes: true,
        }
    }
}

impl Default for Files {
    fn default() -> Self {
        Self {
            root: "./gantry-data/store".to_owned(),
            log: String::new(),
            log_segment_bytes: 1 << 30,
            queue_segment_bytes: 300_000 * 20,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            record_crc: true,
            log_cache_percent: 10,
            salvage: false,
        }
    }
}

impl Default for Pulls {
    fn default() -> Self {
        Self {
            long_poll: true,
            short_poll: Duration::from_secs(1),
            suspend_max: Duration::from_secs(30),
            expression_bytes_max: 8 << 10,
            memory_bytes: 256 << 10,
            memory_count: 32,
            parked_per_queue_max: 1024,
            parked_max: 100_000,
        }
    }
}

/// The name of this machine, with what no topic may be called replaced.
fn host_name() -> Name {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let legal = name
        .trim()
        .chars()
        .map(|c| if Name::may_contain(c) { c } else { '-' });
    let name: String = legal.take(Name::BYTES_MAX).collect();
    Name::new(if name.is_empty() { "broker-a" } else { &name })
}

/// What to tell others when the operator does not say: the address bound, or, if that is "all", the
/// one that a packet to the outside would leave from (none is sent).
fn reachable_address(bind: IpAddr) -> IpAddr {
    if !bind.is_unspecified() {
        return bind;
    }
    let outwards = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        socket.local_addr().ok()
    };
    outwards().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests;
