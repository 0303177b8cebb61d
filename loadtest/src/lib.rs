//! Load, latency and proof for a native RocketMQ broker, ours or any other.
//!
//! It owns the generator, the log of what was acknowledged, and the checker that reads it all back.
//! It keeps apart what it knows and what it does not: a message is acknowledged, refused, or
//! unanswered, and only acknowledged ones can be lost. `loadtest` is its command line; `chaos` puts
//! the same load on servers that it breaks.
#![forbid(unsafe_code)]

pub mod command;
pub mod compare;
mod failure;
pub mod native;
pub mod performance;
pub mod report;
pub mod sink;
pub mod verify;

pub use failure::Failure;
