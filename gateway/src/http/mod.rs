//! HTTP/1.1: listeners, connections, and the request's way from the socket to its handler.
//!
//! A request meets, in this order: the connection's clock ([`connection`]), the router
//! ([`router`]), its metadata ([`metadata`]), the byte budget and the body ([`body`]), and then the
//! protocol-neutral core.

mod admin;
mod body;
mod connection;
mod duration;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub(crate) mod metadata;
mod percent;
mod problem;
mod publish;
mod router;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use runtime::{AcceptLimits, Tasks, accept};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::config::Config;
use crate::messaging::Messaging;

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
    let let_in = AcceptLimits {
        connections: app.config.connections_max,
        per_address: app.config.connections_per_address_max,
        per_second: app.config.accepts_per_second_max,
    };
    for (door, name, listener) in [
        (Door::Data, "http listener", data),
        (Door::Admin, "admin listener", admin),
    ] {
        let (app, connections) = (Arc::clone(&app), tasks.clone());
        let accepting = accept(listener, let_in, tasks.token(), move |stream, _, seat| {
            let served = connection::serve(stream, door, Arc::clone(&app));
            connections.spawn("http connection", async move {
                served.await;
                drop(seat);
            });
        });
        tasks.spawn_essential(name, async move {
            accepting.await;
            Ok::<(), Infallible>(())
        });
    }
}
