//! A peer that one can call, whichever link leads to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use proto::remoting::{Reply, Request};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::answer::Serve;
use crate::in_flight::InFlight;
use crate::local::LocalEnd;
use crate::outgoing::{Outgoing, Queued};
use crate::room::Queue;

/// Why a call has no reply. Only `NotSent` promises that the peer did not act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("not sent: {0}")]
    NotSent(&'static str),
    #[error("the link closed before the answer")]
    Closed,
    #[error("no answer in time")]
    TimedOut,
}

/// A handle to the other end of a link. Clones are the same peer; equality is identity.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Link>);

#[derive(Debug)]
struct Link {
    id: u64,
    addr: SocketAddr,
    closed: CancellationToken,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Wire {
        outbox: Outbox,
        in_flight: InFlight,
        /// How often there was a sign of life from the peer.
        heard: AtomicU64,
        /// Requests of the peer whose answer somebody took upon himself.
        held: AtomicUsize,
    },
    Local(LocalEnd),
}

/// The way to a connection's own task.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) sender: mpsc::Sender<Queued>,
    pub(crate) queue: Arc<Queue>,
}

impl Outbox {
    fn try_send(&self, outgoing: Outgoing) -> bool {
        let load = self.queue.load(outgoing.body_bytes());
        self.sender.try_send((outgoing, load)).is_ok()
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Peer {
    pub(crate) fn wire(addr: SocketAddr, outbox: Outbox, in_flight_max: usize) -> Self {
        Self::new(
            addr,
            Way::Wire {
                outbox,
                in_flight: InFlight::new(in_flight_max),
                heard: AtomicU64::new(0),
                held: AtomicUsize::new(0),
            },
        )
    }

    pub(crate) fn local(addr: SocketAddr, end: LocalEnd) -> Self {
        Self::new(addr, Way::Local(end))
    }

    fn new(addr: SocketAddr, way: Way) -> Self {
        Self(Arc::new(Link {
            id: next_id(),
            addr,
            closed: CancellationToken::new(),
            way,
        }))
    }

    /// Unique in this process, never reused.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Where it is; for an in-process link, the address it was given.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    pub fn is_open(&self) -> bool {
        !self.0.closed.is_cancelled()
    }

    /// Resolves when the link is gone.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }

    /// Closes the link; what is unsent is dropped.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// When there is no reply in time; only [`CallError::NotSent`] says that nothing happened.
    pub async fn call(&self, request: Request, within: Duration) -> Result<Reply, CallError> {
        if !self.is_open() {
            return Err(CallError::NotSent("the link is closed"));
        }
        match &self.0.way {
            Way::Local(end) => tokio::time::timeout(within, end.call(request))
                .await
                .unwrap_or(Err(CallError::TimedOut)),
            Way::Wire {
                outbox, in_flight, ..
            } => {
                let Some((opaque, reply)) = in_flight.enter() else {
                    return Err(CallError::NotSent("too many requests wait for an answer"));
                };
                // Leaves the table also when the caller goes away in the middle of the wait.
                let _entry = Entry { in_flight, opaque };
                let wait = async {
                    let request = Outgoing::Request {
                        opaque,
                        oneway: false,
                        request,
                    };
                    let load = outbox.queue.load(request.body_bytes());
                    if outbox.sender.send((request, load)).await.is_err() {
                        return Err(CallError::NotSent("the link is closed"));
                    }
                    reply.await.map_err(|_| CallError::Closed)
                };
                tokio::time::timeout(within, wait)
                    .await
                    .unwrap_or(Err(CallError::TimedOut))
            }
        }
    }

    /// A number that grows whenever bytes come from the peer, or it takes some that waited for it;
    /// none for an in-process link.
    pub fn heard(&self) -> Option<u64> {
        match &self.0.way {
            Way::Wire { heard, .. } => Some(heard.load(Ordering::Relaxed)),
            Way::Local(_) => None,
        }
    }

    /// Tells without waiting for anything; dropped when the link is gone.
    ///
    /// # Errors
    /// When nothing was sent: the link is gone or has too much to send already.
    pub fn notify(&self, request: Request) -> Result<(), CallError> {
        match &self.0.way {
            Way::Local(end) => {
                end.notify(request);
                Ok(())
            }
            Way::Wire {
                outbox, in_flight, ..
            } => {
                let request = Outgoing::Request {
                    opaque: in_flight.opaque(),
                    oneway: true,
                    request,
                };
                if outbox.try_send(request) {
                    Ok(())
                } else {
                    Err(CallError::NotSent("the link has no room"))
                }
            }
        }
    }

    /// Hands something to the connection's own task. Its room is that of all the requests in
    /// flight, so a peer for whom it overflows is not reading at all: closed.
    pub(crate) fn push(&self, outgoing: Outgoing) {
        if let Way::Wire { outbox, .. } = &self.0.way
            && !outbox.try_send(outgoing)
        {
            self.close();
        }
    }

    /// A sign of life came from the peer.
    pub(crate) fn hear(&self) {
        if let Way::Wire { heard, .. } = &self.0.way {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests of the peer that somebody else answers, later.
    pub(crate) fn held(&self) -> usize {
        match &self.0.way {
            Way::Wire { held, .. } => held.load(Ordering::Relaxed),
            Way::Local(_) => 0,
        }
    }

    /// One more; who takes it gives an [`Outgoing::Answer`] or [`Outgoing::Abandoned`] back.
    pub(crate) fn hold(&self) {
        if let Way::Wire { held, .. } = &self.0.way {
            held.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One fewer: what was given back came.
    pub(crate) fn let_go(&self) {
        if let Way::Wire { held, .. } = &self.0.way {
            let before = held.fetch_sub(1, Ordering::Relaxed);
            assert!(before > 0, "nobody held it");
        }
    }

    /// Does the caller of this request still wait? One that gave up may have asked elsewhere since.
    pub(crate) fn awaits(&self, opaque: i32) -> bool {
        self.in_flight().is_some_and(|table| table.has(opaque))
    }

    pub(crate) fn in_flight(&self) -> Option<&InFlight> {
        match &self.0.way {
            Way::Wire { in_flight, .. } => Some(in_flight),
            Way::Local(_) => None,
        }
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Peer {}

struct Entry<'a> {
    in_flight: &'a InFlight,
    opaque: i32,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.in_flight.forget(self.opaque);
    }
}

/// Tells everybody that a connection is gone, also when its task panicked or was aborted.
pub(crate) struct Departure {
    peer: Peer,
    serve: Arc<dyn Serve>,
}

impl Departure {
    pub(crate) fn of(peer: &Peer, serve: &Arc<dyn Serve>) -> Self {
        Self {
            peer: peer.clone(),
            serve: Arc::clone(serve),
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.peer.close();
        if let Some(in_flight) = self.peer.in_flight() {
            in_flight.close();
        }
        self.serve.disconnected(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "nobody held it")]
    fn to_let_go_what_nobody_held_is_our_own_fault() {
        let (sender, _outbox) = mpsc::channel(1);
        let queue = Queue::of(&crate::Room::default());
        let peer = Peer::wire(([127, 0, 0, 1], 0).into(), Outbox { sender, queue }, 1);
        peer.hold();
        peer.let_go();
        peer.let_go();
    }
}
