//! The doors: other protocols in front, the native client behind. Today that is HTTP.
//!
//! A request becomes a `message::Message` (one type, whatever the door), goes through
//! `messaging::Messaging` to the client, and comes back as a receipt or an `error::Error` whose
//! table has the answer for every protocol. Knows no broker and no store: only `client`.
//!
//! Invariants: nothing is confirmed before the broker confirmed it; a body's bytes are what is
//! stored; memory for a body is reserved before it is read.
#![forbid(unsafe_code)]

mod budget;
mod config;
mod error;
mod http;
mod limits;
mod message;
mod messaging;

use std::io;
use std::net::SocketAddr;

use client::Client;
use runtime::Tasks;
use tokio::net::TcpListener;

pub use config::{Config, TABLE};
#[cfg(any(test, fuzzing))]
pub use http::hostile;
pub use limits::FIXED_LIMITS;

use messaging::Messaging;

/// A gateway that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where messages are published.
    pub http_addr: SocketAddr,
    /// Where health and version are told.
    pub admin_addr: SocketAddr,
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("the {listener} listener cannot use {addr}: {cause}")]
pub struct StartError {
    pub listener: &'static str,
    pub addr: SocketAddr,
    pub cause: io::Error,
}

impl Gateway {
    /// Opens the listeners and serves until `tasks` is told to stop: then nothing new is accepted,
    /// and what is being answered is finished.
    ///
    /// # Errors
    /// A port is in use, or an address is not ours.
    pub async fn start(config: Config, client: Client, tasks: &Tasks) -> Result<Self, StartError> {
        let (http, http_addr) = bind("HTTP", config.http).await?;
        let (admin, admin_addr) = bind("admin", config.admin).await?;
        http::serve(config, Messaging::new(client), [http, admin], tasks);
        Ok(Self {
            http_addr,
            admin_addr,
        })
    }
}

async fn bind(
    listener: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let socket = TcpListener::bind(addr).await?;
        let addr = socket.local_addr()?;
        Ok((socket, addr))
    };
    bound.await.map_err(|cause| StartError {
        listener,
        addr,
        cause,
    })
}
