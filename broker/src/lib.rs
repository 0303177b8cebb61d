//! The broker: topics, groups, sends, pulls and everything that keeps them. Speaks the native
//! protocol through `remoting`; keeps messages in `store`; tells name servers what it has.
//!
//! Invariant: nothing is acknowledged before the store is as far as the acknowledgement says.
#![forbid(unsafe_code)]

mod admin_pace;
mod broker;
mod client_properties;
mod clients;
pub mod config;
mod config_table;
mod figures;
mod groups;
mod handle;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod limits;
mod locks;
mod long_poll;
mod loops;
mod offsets;
mod pressure;
mod refusal;
mod register;
mod start;
mod state_file;
mod topics;

pub use config::Config;
pub use limits::FIXED_LIMITS;
pub use register::NameServer;
pub use start::{Running, StartError, StopError};
pub use state_file::damaged_lines;
