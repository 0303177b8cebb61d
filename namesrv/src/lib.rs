//! The name server: which broker has which topic. Owns the route table, which brokers refill by
//! registering, and the key-value settings, the one thing here that survives a restart. Knows no
//! sockets: `remoting` hands it requests and takes its answers.
#![forbid(unsafe_code)]

pub mod config;
mod handle;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod kv;
mod limits;
mod registration;
mod route_table;
mod server;

pub use config::Config;
pub use limits::FIXED_LIMITS;
pub use server::{NameServer, Running, StartError};
