//! How a process of ours starts, keeps time, spawns, reads its settings and stops.
//!
//! Owns: the tree of tasks and threads, the wall clock, signals, watermarks, who is let in at a port,
//! how many files may be open, `.conf` files, the tables of settings and small files that outlive the
//! process. Leaves to the crates above: every word of the domain.
//! Invariant: depends on none of our crates, so that any of them (but `proto` and `store`, which
//! know neither tokio nor a clock) may use it.

#![forbid(unsafe_code)]

mod accept;
pub mod clock;
pub mod conf_file;
pub mod memory;
mod open_files;
mod seldom;
pub mod settings;
mod signals;
pub mod state_file;
mod sync;
mod tasks;
mod watermark;

pub use accept::{AcceptLimits, Seat, accept};
pub use open_files::raise_limit as raise_limit_of_open_files;
pub use seldom::Seldom;
pub use signals::Signals;
pub use tasks::{Ended, Tasks, Unfinished};
pub use watermark::{Reached, Stopped, Waiter, Watermark};
