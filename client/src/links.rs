//! Addresses to peers. An address is reached through the in-process link that was given for it, or
//! by one TCP connection, made when it is first needed and again when it broke.
//!
//! Invariant: after a failed dial an address rests, longer each time; until then it is
//! [`Unreachable`] at once, so callers go elsewhere instead of queueing behind a dead host.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proto::Text;
use proto::remoting::{Reply, Request};
use remoting::{CallError, Limits, Peer, Unserved};
use runtime::Tasks;
use tokio::time::{Instant, timeout};

/// Addresses that may be connected to at one time.
const ADDRESSES_MAX: usize = 1024;
/// Requests of ours that wait for an answer, for each connection.
const IN_FLIGHT_MAX: usize = 8192;
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A link that is silent for less may only be slow.
const SILENCE: Duration = Duration::from_millis(500);
const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// Nothing was sent, because there is no connection to send it on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot reach {addr}: {why}")]
pub struct Unreachable {
    pub addr: Text,
    pub why: String,
}

#[derive(Debug)]
pub(crate) struct Links {
    given: HashMap<Text, Peer>,
    dialed: RwLock<HashMap<Text, Arc<Dialed>>>,
    limits: Limits,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct Dialed {
    state: Mutex<State>,
    /// Held by the one caller that dials.
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    peer: Option<Peer>,
    failures: u32,
    rests_until: Option<Instant>,
}

impl Links {
    pub(crate) fn new(given: HashMap<Text, Peer>, tasks: Tasks) -> Self {
        let limits = Limits {
            in_flight: IN_FLIGHT_MAX,
            first_frame_bytes: Limits::default().frame_bytes,
            ..Limits::default()
        };
        Self {
            given,
            dialed: RwLock::default(),
            limits,
            tasks,
        }
    }

    /// The peer at `addr`, connected.
    pub(crate) async fn peer(&self, addr: &Text) -> Result<Peer, Unreachable> {
        if let Some(peer) = self.open(addr) {
            return Ok(peer);
        }
        let dialed = self.dialed(addr)?;
        let _dialing = dialed.dialing.lock().await;
        // Another caller may have dialed while this one waited.
        if let Some(peer) = dialed.open() {
            return Ok(peer);
        }
        if dialed.rests() {
            return Err(unreachable(addr, "it could not be reached a moment ago"));
        }
        match self.dial(addr).await {
            Ok(peer) => {
                *dialed.state.lock() = State {
                    peer: Some(peer.clone()),
                    ..State::default()
                };
                Ok(peer)
            }
            Err(error) => {
                dialed.failed();
                Err(unreachable(addr, error))
            }
        }
    }

    /// The peer at `addr` if it is connected already.
    pub(crate) fn open(&self, addr: &Text) -> Option<Peer> {
        match self.given.get(addr) {
            Some(peer) => Some(peer.clone()),
            None => self.dialed.read().get(addr)?.open(),
        }
    }

    /// Is it useless to try `addr` now?
    pub(crate) fn rests(&self, addr: &Text) -> bool {
        self.dialed
            .read()
            .get(addr)
            .is_some_and(|dialed| dialed.rests())
    }

    /// Forgets addresses that have neither a connection nor a rest to sit out.
    pub(crate) fn tidy(&self) {
        self.dialed.write().retain(|_, dialed| {
            Arc::strong_count(dialed) > 1 || dialed.open().is_some() || dialed.rests()
        });
    }

    fn dialed(&self, addr: &Text) -> Result<Arc<Dialed>, Unreachable> {
        if let Some(dialed) = self.dialed.read().get(addr) {
            return Ok(Arc::clone(dialed));
        }
        let mut all = self.dialed.write();
        if all.len() >= ADDRESSES_MAX && !all.contains_key(addr) {
            return Err(unreachable(addr, "connected to too many addresses already"));
        }
        Ok(Arc::clone(all.entry(addr.clone()).or_default()))
    }

    async fn dial(&self, addr: &Text) -> io::Result<Peer> {
        let found = timeout(RESOLVE_TIMEOUT, resolve(addr))
            .await
            .map_err(|_| io::Error::other("its name was not resolved in time"))??;
        remoting::dial(found, Arc::new(Unserved), self.limits.clone(), &self.tasks).await
    }
}

impl Dialed {
    fn open(&self) -> Option<Peer> {
        self.state.lock().peer.clone().filter(Peer::is_open)
    }

    fn rests(&self) -> bool {
        let until = self.state.lock().rests_until;
        until.is_some_and(|until| Instant::now() < until)
    }

    fn failed(&self) {
        let mut state = self.state.lock();
        let rest = FIRST_REST.saturating_mul(1 << state.failures.min(10));
        state.failures += 1;
        state.rests_until = Some(Instant::now() + rest.min(LONGEST_REST));
    }
}

/// Asks a peer. A link on which nothing came for all of that time leads nowhere: it is closed, so
/// that the next request takes a new one instead of waiting for as long.
pub(crate) async fn call(
    peer: &Peer,
    request: Request,
    within: Duration,
) -> Result<Reply, CallError> {
    let before = peer.heard();
    let answered = peer.call(request, within).await;
    let silent = before.is_some() && before == peer.heard();
    if answered == Err(CallError::TimedOut) && silent && within >= SILENCE {
        tracing::debug!(peer = %peer.addr(), "closing a link that leads nowhere");
        peer.close();
    }
    answered
}

async fn resolve(addr: &str) -> io::Result<SocketAddr> {
    if let Ok(literal) = addr.parse() {
        return Ok(literal);
    }
    let mut found = tokio::net::lookup_host(addr).await?;
    found
        .next()
        .ok_or_else(|| io::Error::other("its name has no address"))
}

fn unreachable(addr: &Text, why: impl ToString) -> Unreachable {
    Unreachable {
        addr: addr.clone(),
        why: why.to_string(),
    }
}
