//! A running name server: what it consists of, how it starts, what it does by itself.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use remoting::{Listener, Serve};
use runtime::Tasks;
use runtime::state_file::LoadError;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::config::Config;
use crate::kv::Kv;
use crate::route_table::{Gone, RouteTable};

/// Why a name server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] LoadError),
    #[error("cannot listen on {addr}: {cause}")]
    Listen { addr: SocketAddr, cause: io::Error },
}

/// A name server that answers.
pub struct Running {
    /// Where it listens; the port is the one in use.
    pub addr: SocketAddr,
    /// For links inside this process.
    pub serve: Arc<dyn Serve>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name server on {}", self.addr)
    }
}

/// What all requests work on.
#[derive(Debug)]
pub struct NameServer {
    pub(crate) config: RwLock<Config>,
    pub(crate) table: RwLock<RouteTable>,
    pub(crate) kv: Kv,
    started: Instant,
}

impl NameServer {
    /// Starts one. It lives in `tasks`, and ends with them once all that was asked is answered.
    ///
    /// # Errors
    /// Its settings cannot be read, or it cannot listen where it should.
    pub async fn start(config: Config, tasks: &Tasks) -> Result<Running, StartError> {
        let addr = SocketAddr::new(config.listen.bind, config.listen.port);
        let failed = |cause| StartError::Listen { addr, cause };
        let listener = Listener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let kv = Kv::start(PathBuf::from(&config.routes.kv_file), tasks)?;
        let (limits, scan_every) = (config.limits.clone(), config.routes.scan_every);
        let server = Arc::new(Self {
            config: RwLock::new(config),
            table: RwLock::default(),
            kv,
            started: Instant::now(),
        });
        let (scanned, stop) = (Arc::clone(&server), tasks.token());
        tasks.spawn_essential("expire brokers", async move {
            tokio::select! {
                never = scanned.expire(scan_every) => never,
                () = stop.cancelled() => Ok(()),
            }
        });
        let serve: Arc<dyn Serve> = server;
        listener.serve(Arc::clone(&serve), limits, tasks);
        Ok(Running { addr, serve })
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn expire(&self, every: Duration) -> Result<(), Infallible> {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let gone = self.table.write().expire(self.now());
            report(&gone, "silent for too long");
        }
    }
}

/// Tells the operator who is no longer in any route.
pub(crate) fn report(gone: &[Gone], why: &'static str) {
    for Gone { broker, id, addr } in gone {
        tracing::info!(broker, id, addr, why, "broker unregistered");
    }
}
