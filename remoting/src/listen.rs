//! Accepting connections, within limits.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use runtime::{AcceptLimits, Tasks, accept};
use tokio::net::TcpListener;

use crate::answer::Serve;
use crate::connection::Connection;
use crate::limits::Limits;

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
        let (limits, connections) = (Arc::new(limits), tasks.clone());
        let let_in = AcceptLimits {
            connections: limits.connections,
            per_address: limits.connections_per_address,
            per_second: limits.accepts_per_second,
        };
        let accepting =
            accept(
                self.0,
                let_in,
                tasks.token(),
                move |stream, from, seat| match Connection::new(
                    &stream,
                    Arc::clone(&serve),
                    Arc::clone(&limits),
                ) {
                    Ok(connection) => {
                        let stop = connections.token();
                        connections.spawn("connection", async move {
                            let _seat = seat;
                            connection.run(stream, stop).await;
                        });
                    }
                    Err(error) => tracing::debug!(peer = %from, %error, "connection broke at once"),
                },
            );
        tasks.spawn_essential("listener", async move {
            accepting.await;
            Ok::<(), Infallible>(())
        });
    }
}
