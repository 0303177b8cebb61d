//! HTTP/1.1: listeners, connections, and the request's way from the socket to its handler.
//!
//! A request meets, in this order: the connection's seat and clock ([`connection`]), the router
//! ([`router`]), its metadata ([`metadata`]), the byte budget and the body ([`body`]), and then the
//! protocol-neutral core.

mod admin;
pub(crate) mod body;
pub(crate) mod connection;
mod duration;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub(crate) mod metadata;
mod percent;
mod problem;
mod publish;
pub(crate) mod router;
mod seats;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use runtime::Tasks;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::config::Config;
use crate::messaging::Messaging;
use seats::Seats;

/// Headers of one request.
pub(crate) const HEADERS_MAX: usize = 100;
/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What handlers need.
#[derive(Debug)]
struct App {
    config: Config,
    messaging: Messaging,
    budget: Budget,
    stop: CancellationToken,
    /// Makes request ids: distinct in this process, and most likely elsewhere.
    requests: AtomicU64,
}

/// Which listener a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Data,
    Admin,
}

impl App {
    fn new(config: Config, messaging: Messaging, stop: CancellationToken) -> Self {
        let salt = runtime::clock::now_ms().cast_unsigned() << 24;
        Self {
            budget: Budget::new(config.budget_bytes),
            config,
            messaging,
            stop,
            requests: AtomicU64::new(salt),
        }
    }
}

/// Serves both listeners in `tasks`.
pub(crate) fn serve(
    config: Config,
    messaging: Messaging,
    [data, admin]: [TcpListener; 2],
    tasks: &Tasks,
) {
    let app = Arc::new(App::new(config, messaging, tasks.token()));
    for (door, name, listener) in [
        (Door::Data, "http listener", data),
        (Door::Admin, "admin listener", admin),
    ] {
        tasks.spawn_essential(
            name,
            accept(door, listener, Arc::clone(&app), tasks.clone()),
        );
    }
}

/// Accepts until told to stop. Must not wait for any connection.
async fn accept(
    door: Door,
    listener: TcpListener,
    app: Arc<App>,
    tasks: Tasks,
) -> Result<(), io::Error> {
    let seats = Seats::new(
        app.config.connections_max,
        app.config.connections_per_address_max,
    );
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, from)) => match seats.take(from.ip()) {
                Some(seat) => {
                    let served = connection::serve(stream, door, Arc::clone(&app));
                    tasks.spawn("http connection", async move {
                        served.await;
                        drop(seat);
                    });
                }
                None => tracing::warn!(peer = %from, "too many connections, closing the newest"),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}
