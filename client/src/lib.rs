//! A native RocketMQ client: routes, sends, pulls, offsets and administration, against any
//! RocketMQ 4.9 or 5 name server and broker.
//!
//! ```no_run
//! use client::{Client, Config, Message, Tasks};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let tasks = Tasks::root();
//! let client = Client::connect(Config::new(["127.0.0.1:9876"]), &tasks);
//! let receipt = client
//!     .send(Message::new("orders", "hello").tag("created").key("o-42"))
//!     .await?;
//! println!("{} stands at {}:{}", receipt.id, receipt.queue, receipt.offset);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/hello.rs` sends and reads back a few messages.
//!
//! Owns: which broker and queue a message goes to, what may be repeated after a failure, and the
//! connections to name servers and brokers (or their in-process stand-ins, [`Client::with_links`];
//! nothing here can tell the two apart). Leaves to the caller: what a message means, and where a
//! consumer goes on after a restart ([`Client::commit_offset`] remembers it).
//!
//! Invariant: a send that ends without an answer is [`Outcome::Unknown`], never "not stored", and is
//! not repeated unless the caller accepts duplicates.
//!
//! Limits: one connection an address and 1,024 addresses, 8,192 unanswered requests a connection,
//! [`Config::topics_max`] cached routes. Every wait has a time limit.
#![forbid(unsafe_code)]

mod admin;
mod ask;
mod batch;
mod choose;
mod config;
mod links;
mod message;
mod offsets;
mod pull;
mod received;
mod routes;
mod send;
mod send_error;
mod upkeep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use proto::message::UniqueIds;

pub use admin::TopicSpec;
pub use ask::AskError;
pub use config::Config;
pub use links::Unreachable;
pub use message::Message;
pub use offsets::Boundary;
pub use proto::Text;
pub use proto::message::BodyCompression;
pub use pull::{Pull, PullStatus, Pulled, TagFilter};
pub use received::{BodyError, Received};
pub use remoting::CallError;
pub use routes::{Queue, RouteError};
pub use runtime::Tasks;
pub use send::{Receipt, SendOptions, Stored};
pub use send_error::{Outcome, SendError};

use links::Links;
use routes::Routes;

/// A connection to a RocketMQ cluster. Clones are handles to the same one; dropping the last closes
/// its connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    links: Links,
    routes: Routes,
    ids: UniqueIds,
    client_id: String,
    /// Which name server answered last.
    name_server: AtomicUsize,
    tasks: Tasks,
}

impl Client {
    /// A client that connects over TCP. Nothing is contacted before it is needed; its background
    /// work (route refresh, heartbeats, connections) lives in `tasks`.
    #[must_use]
    pub fn connect(config: Config, tasks: &Tasks) -> Self {
        Self::with_links(config, HashMap::new(), tasks)
    }

    /// Like [`connect`](Self::connect), with peers that are already linked: an address that is a
    /// key of `links` is reached through that peer, any other over TCP.
    #[must_use]
    pub fn with_links(config: Config, links: HashMap<Text, remoting::Peer>, tasks: &Tasks) -> Self {
        let tasks = tasks.child();
        let salt = config::salt();
        let host = config.local_ip();
        let inner = Arc::new(Inner {
            links: Links::new(links, tasks.clone()),
            routes: Routes::new(config.topics_max),
            ids: UniqueIds::new(host, std::process::id(), salt),
            client_id: format!("{host}@{}#{salt}", std::process::id()),
            name_server: AtomicUsize::new(0),
            config,
            tasks,
        });
        upkeep::start(&inner);
        Self(inner)
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

#[cfg(test)]
mod tests;
