//! Accepting connections, within limits.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Tasks;
use tokio::net::{TcpListener, TcpStream};

use crate::answer::Serve;
use crate::connection::Connection;
use crate::limits::Limits;

/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A bound port that does not accept yet.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// # Errors
    /// The port is in use, or the address is not ours.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(addr).await.map(Self)
    }

    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts until `tasks` is told to stop. Connections end with it too, once all that they asked
    /// is answered.
    pub fn serve(self, serve: Arc<dyn Serve>, limits: Limits, tasks: &Tasks) {
        let tasks = tasks.clone();
        let open = Arc::new(Open {
            limits: Arc::new(limits),
            by_address: Mutex::default(),
        });
        let accepting = tasks.clone();
        tasks.spawn_essential("listener", async move {
            let stop = accepting.token();
            loop {
                let accepted = tokio::select! {
                    accepted = self.0.accept() => accepted,
                    () = stop.cancelled() => return Ok::<(), io::Error>(()),
                };
                match accepted {
                    Ok((stream, from)) => open.admit(stream, from, &serve, &accepting),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        });
    }
}

/// The connections of one listener.
struct Open {
    limits: Arc<Limits>,
    by_address: Mutex<ByAddress>,
}

#[derive(Default)]
struct ByAddress {
    all: usize,
    counts: HashMap<IpAddr, usize>,
}

impl Open {
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        serve: &Arc<dyn Serve>,
        tasks: &Tasks,
    ) {
        let Some(seat) = self.take_seat(from.ip()) else {
            tracing::warn!(peer = %from, "too many connections, closing the newest");
            return;
        };
        match Connection::new(&stream, Arc::clone(serve), Arc::clone(&self.limits)) {
            Ok(connection) => {
                let stop = tasks.token();
                tasks.spawn("connection", async move {
                    let _seat = seat;
                    connection.run(stream, stop).await;
                });
            }
            Err(error) => tracing::debug!(peer = %from, %error, "connection broke at once"),
        }
    }

    fn take_seat(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let mut taken = self.by_address.lock();
        let here = taken.counts.get(&ip).copied().unwrap_or(0);
        let crowded = !ip.is_loopback() && here >= self.limits.connections_per_address;
        if crowded || taken.all >= self.limits.connections {
            return None;
        }
        taken.all += 1;
        taken.counts.insert(ip, here + 1);
        Some(Seat {
            open: Arc::clone(self),
            ip,
        })
    }
}

/// One connection's place in the count.
struct Seat {
    open: Arc<Open>,
    ip: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.open.by_address.lock();
        taken.all -= 1;
        if let Some(count) = taken.counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.counts.remove(&self.ip);
            }
        }
    }
}
