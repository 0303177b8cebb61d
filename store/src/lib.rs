//! The log engine: commit log, consume queues, key index, recovery, in RocketMQ's formats.
//!
//! Owns the bytes of one broker's store folder. Passive: knows no network and no async, and starts
//! no threads; the broker's threads call the steps, which are
//!
//! ```text
//! any thread   append            places and encodes a message
//! writer       write_staged      one write of all that was appended meanwhile
//!              flush_once        one flush for all that was written
//!              dispatch          makes it readable, tells who waits
//! filler       prepare_once      room in the log ahead of the writer
//! caretaker    persist_once      queues, index and checkpoint, each second
//!              expire_once       old segments, disk level
//! any thread   read, ...
//! ```
//!
//! With sync flush the order is write, flush, dispatch, acknowledge; else write, dispatch,
//! acknowledge, and flushes come by the clock. Four marks only move forward, and at any moment
//! `persisted_to <= dispatched_to <= appended_to` and `persisted_to <= durable_to <= appended_to`. What
//! must hold for a message to be acknowledged is asserted by the step that relies on it; a step that
//! panics moves no mark.

mod append;
mod by_time;
mod checkpoint;
mod config;
mod dispatch;
mod expire;
pub mod files;
mod index;
pub mod inspect;
mod log;
mod marks;
mod mend;
mod persist;
mod query;
mod queue;
mod read;
mod recover;
mod segment;
mod staging;
mod store;
mod sync;
mod trim;
mod unflushed;
mod write;

pub use append::{AppendError, Appended};
pub use by_time::Boundary;
pub use config::{Config, Retention, STAGING_BYTES_MAX};
pub use dispatch::Arrival;
pub use expire::{DiskLevel, DiskUsage, ExpireTime, Expired};
pub use persist::PersistError;
pub use query::KeyQuery;
pub use queue::QueueError;
pub use read::{QueueBounds, Read, ReadError, ReadLimits, ReadStatus};
pub use recover::{Damage, OpenError, Opened};
pub use staging::Batch;
pub use store::{QueueListing, Store};
pub use write::WriteError;
