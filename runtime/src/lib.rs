//! How a process of ours starts, keeps time, spawns, reads its settings and stops.
//!
//! Owns: the tree of tasks and threads, the wall clock, signals, watermarks, `.conf` files and the
//! tables of settings. Leaves to the crates above: every word of the domain.
//! Invariant: depends on none of our crates, so that any of them (but `proto` and `store`, which
//! know neither tokio nor a clock) may use it.

#![forbid(unsafe_code)]

pub mod clock;
pub mod conf_file;
pub mod settings;
mod signals;
mod sync;
mod tasks;
mod watermark;

pub use signals::Signals;
pub use tasks::{Ended, Tasks, Unfinished};
pub use watermark::{Reached, Stopped, Waiter, Watermark};
