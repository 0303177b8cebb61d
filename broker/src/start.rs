//! Putting a broker together, and taking it apart in the order that loses nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::Text;
use proto::message::{QueueId, UniqueIds, property, push_property};
use remoting::{Listener, Serve};
use runtime::state_file::{self, LoadError};
use runtime::{Tasks, clock};
use store::files::{Disk, OsDisk};
use store::{OpenError, PersistError, Store};

use crate::broker::{Broker, Parts, Signature, State};
use crate::config::{Config, FlushMode, Listen};
use crate::handle::{Front, VipFront};
use crate::loops;
use crate::offsets::Offsets;
use crate::register::{Identity, NameServer, Registrar};

/// How many pairs of free ports are tried when any will do.
const PAIR_ATTEMPTS: u32 = 20;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error(transparent)]
    State(#[from] LoadError),
    #[error("brokerIP1={ip}: not an address of this broker: {reason}")]
    Address { ip: String, reason: String },
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// Why a broker did not stop cleanly. Nothing acknowledged is lost; the next start looks again.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error(transparent)]
    Store(#[from] PersistError),
    #[error("cannot write topics, groups or offsets: {0}")]
    State(#[from] io::Error),
    #[error("the log is still being written")]
    LogBusy,
}

/// A broker that serves.
#[derive(Debug)]
pub struct Running {
    broker: Arc<Broker>,
    /// Connections, and what looks after clients.
    front_tasks: Tasks,
    /// What writes; outlives the connections.
    log_tasks: Tasks,
    addr: SocketAddr,
    vip_addr: SocketAddr,
    opened: store::Opened,
}

impl Running {
    /// Opens the store, listens, and registers. Essential parts run in `tasks`.
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it runs.
    pub async fn start(
        config: Config,
        name_servers: Vec<NameServer>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        Self::start_on(Arc::new(OsDisk), config, name_servers, tasks).await
    }

    /// [`Running::start`] with a store on another disk, for tests of what a bad one does.
    ///
    /// # Errors
    /// [`StartError`]; then nothing of it runs.
    pub async fn start_on(
        disk: Arc<dyn Disk>,
        mut config: Config,
        name_servers: Vec<NameServer>,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        // Ports first: a second broker by mistake should not come as far as the store.
        let [(main, addr), (vip, vip_addr)] = bind_both(&config.listen).await?;
        config.listen.port = addr.port();
        let config_dir = config_dir(&config);
        // A full disk must not keep a broker from starting: there is still everything to be read.
        state_file::give_back_room(&config_dir);
        let (store, opened) = Store::open(store_config(&config), disk)?;
        let (log_tasks, front_tasks) = (tasks.child(), tasks.child());
        let broker = Arc::new(build(config, name_servers, store, addr, &front_tasks)?);
        if opened.lost_power || opened.queues_rebuilt {
            pull_offsets_back(&broker)?;
        }
        warn_of_a_small_disk(&broker);
        loops::start_log(&broker, &log_tasks).map_err(StartError::Thread)?;
        loops::start_clients(&broker, &front_tasks);
        let limits = broker.config().limits.clone();
        main.serve(
            Arc::new(Front(Arc::clone(&broker))),
            limits.clone(),
            &front_tasks,
        );
        vip.serve(
            Arc::new(VipFront(Arc::clone(&broker))),
            limits,
            &front_tasks,
        );
        broker.registrar.start().await;
        Ok(Self {
            broker,
            front_tasks,
            log_tasks,
            addr,
            vip_addr,
            opened,
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn vip_addr(&self) -> SocketAddr {
        self.vip_addr
    }

    /// The address that clients are told.
    pub fn announced_addr(&self) -> Text {
        self.broker.registrar.identity().addr.clone()
    }

    /// What opening the store found.
    pub fn opened(&self) -> &store::Opened {
        &self.opened
    }

    /// The broker for links within this process.
    pub fn serve(&self) -> Arc<dyn Serve> {
        Arc::new(Front(Arc::clone(&self.broker)))
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<Config> {
        self.broker.config()
    }

    /// Unregisters, answers what is in flight within `grace`, writes everything, and marks the
    /// store as cleanly closed.
    ///
    /// # Errors
    /// [`StopError`] when not everything could be written.
    pub async fn stop(self, grace: Duration) -> Result<(), StopError> {
        self.broker.registrar.unregister().await;
        if let Err(late) = self.front_tasks.close(grace).await {
            tracing::warn!(%late, "closed connections that were not finished");
        }
        if let Err(late) = self.log_tasks.close(grace).await {
            tracing::error!(%late, "the log did not stop in time");
        }
        // A disk may let it wait for ever; whoever awaits this must be able to give up.
        let closing = tokio::task::spawn_blocking(move || close(&self.broker));
        closing
            .await
            .unwrap_or_else(|ended| resume_unwind(ended.into_panic()))
    }
}

/// Writes what is not written yet and marks the store as cleanly closed.
fn close(broker: &Broker) -> Result<(), StopError> {
    // A full disk must not keep it from being closed.
    state_file::give_back_room(&config_dir(&broker.config()));
    let now_ms = clock::now_ms();
    let state = &broker.state;
    state.topics.fold()?;
    state.groups.fold()?;
    state.offsets.fold(now_ms)?;
    if broker.gates.written.outcome(u64::MAX).is_none() {
        // The writer has not ended: the next start must look for what it is about to write.
        return Err(StopError::LogBusy);
    }
    Ok(broker.store.close()?)
}

/// Both listeners. Clients take the VIP port to be the broker's - 2, also where any port will do.
async fn bind_both(listen: &Listen) -> Result<[(Listener, SocketAddr); 2], StartError> {
    let mut attempts = if listen.port == 0 { PAIR_ATTEMPTS } else { 1 };
    loop {
        let main = bind(SocketAddr::new(listen.bind, listen.port)).await?;
        attempts -= 1;
        let vip_port = main.1.port().saturating_sub(2);
        match bind(SocketAddr::new(listen.bind, vip_port)).await {
            Ok(vip) => return Ok([main, vip]),
            Err(_) if attempts > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

async fn bind(addr: SocketAddr) -> Result<(Listener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { addr, source };
    let listener = Listener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

/// The folder of topics, groups and offsets.
pub(crate) fn config_dir(config: &Config) -> PathBuf {
    Path::new(&config.files.root).join("config")
}

fn build(
    config: Config,
    name_servers: Vec<NameServer>,
    store: Store,
    addr: SocketAddr,
    tasks: &Tasks,
) -> Result<Broker, StartError> {
    let config_dir = config_dir(&config);
    let now_ms = clock::now_ms();
    let topics = Arc::new(crate::topics::load(&config_dir, &config, now_ms)?);
    let state = State {
        topics: Arc::clone(&topics),
        groups: crate::groups::load(&config_dir, now_ms)?,
        offsets: Offsets::load(&config_dir)?,
    };
    let store_host = SocketAddr::new(address_of(&config)?, addr.port());
    let ha_port = match config.listen.ha_port {
        0 => addr.port().wrapping_add(1),
        port => port,
    };
    let identity = Identity {
        cluster: config.names.cluster.as_str().into(),
        broker: config.names.broker.as_str().into(),
        addr: format!("{}:{}", config.listen.ip1, addr.port()).into(),
        ha_addr: format!("{}:{ha_port}", config.listen.ip2).into(),
        id: config.names.id.cast_signed(),
        perm: config.topics.permission.cast_signed(),
        period: config.listen.register_every,
    };
    let registrar = Arc::new(Registrar::new(identity, topics, name_servers, tasks));
    let signature = signature(&config, store_host, now_ms);
    let (store, tasks) = (Arc::new(store), tasks.clone());
    Ok(Broker::new(Parts {
        config,
        signature,
        store,
        state,
        registrar,
        tasks,
    }))
}

/// Only whole segments go, and never the last one: where few fit, old messages stay until the disk is
/// full and new ones are refused.
fn warn_of_a_small_disk(broker: &Broker) {
    let segment_bytes = broker.config().files.log_segment_bytes;
    if let Ok(disk) = broker.store.check_disk()
        && disk.log_space.total_bytes / 8 < segment_bytes
    {
        tracing::warn!(
            disk_mib = disk.log_space.total_bytes >> 20,
            segment_mib = segment_bytes >> 20,
            "few segments fit on this disk, and only whole ones are removed: make mappedFileSizeCommitLog smaller"
        );
    }
}

/// Messages that were lost with the end of a queue were perhaps consumed before. Whoever did must not
/// miss those that get their offsets now. A kill loses none, so whatever was committed stays then.
fn pull_offsets_back(broker: &Broker) -> Result<(), StartError> {
    let end = |topic: &str, queue: i32| broker.bounds(topic, QueueId(queue.cast_unsigned())).max;
    let pulled = broker.state.offsets.pull_back(&end);
    pulled.map_err(|source| {
        let path = config_dir(&broker.config()).join("consumerOffset.json");
        StartError::State(LoadError::Io { path, source })
    })
}

fn address_of(config: &Config) -> Result<IpAddr, StartError> {
    let ip = &config.listen.ip1;
    let wrong = |reason: String| StartError::Address {
        ip: ip.clone(),
        reason,
    };
    if let Ok(ip) = ip.parse() {
        return Ok(ip);
    }
    // A host name is told to clients as it is; message ids need its address.
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(ip.as_str(), 0));
    let mut found = found.map_err(|error| wrong(error.to_string()))?;
    found
        .next()
        .map(|addr| addr.ip())
        .ok_or_else(|| wrong("it has no address".into()))
}

fn signature(config: &Config, store_host: SocketAddr, now_ms: i64) -> Signature {
    let mut properties = String::new();
    push_property(
        &mut properties,
        property::CLUSTER,
        config.names.cluster.as_str(),
    );
    push_property(
        &mut properties,
        property::MSG_REGION,
        config.names.region.as_str(),
    );
    push_property(&mut properties, property::TRACE_ON, "true");
    let host = match store_host.ip() {
        unspecified if unspecified.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    // Tells the ids of this run from those of the one before.
    let salt = u32::try_from(now_ms & 0x7FFF_FFFF).unwrap_or(0);
    Signature {
        store_host,
        region: config.names.region.as_str().into(),
        properties,
        unique_ids: UniqueIds::new(host, std::process::id(), salt),
        started_ms: now_ms,
    }
}

/// Consumers that keep up read what was just written.
const LOG_CACHE_BYTES_MIN: u64 = 32 << 20;

fn store_config(config: &Config) -> store::Config {
    let files = &config.files;
    let mut to = store::Config::new(&files.root);
    to.commit_log_dir = PathBuf::from(&files.log);
    to.segment_bytes = files.log_segment_bytes;
    to.queue_file_bytes = files.queue_segment_bytes;
    to.index_slots = files.index_slots;
    to.index_entries = files.index_entries;
    to.max_message_bytes = config.topics.message_bytes_max;
    to.record_crc = files.record_crc;
    to.cache_bytes = log_cache_bytes(files.log_cache_percent);
    to.zero_fill = config.flush.mode == FlushMode::Sync;
    to.salvage = files.salvage;
    to.retention = retention(config);
    to
}

/// As much of the log as the page cache may keep.
fn log_cache_bytes(percent: u8) -> u64 {
    let memory = runtime::memory::limit_bytes().unwrap_or(u64::MAX);
    match percent {
        100.. => u64::MAX,
        percent => (memory / 100 * u64::from(percent)).max(LOG_CACHE_BYTES_MIN),
    }
}

/// When the store removes old segments.
pub(crate) fn retention(config: &Config) -> store::Retention {
    let retention = &config.retention;
    store::Retention {
        delete_hours: retention.delete_at.as_slice().to_vec(),
        reserved_hours: retention.keep_hours,
        used_ratio_max: f64::from(retention.used_percent_max) / 100.0,
        used_ratio_force: retention.delete_unexpired.as_f64(),
        used_ratio_full: retention.refuse_writes.as_f64(),
    }
}
