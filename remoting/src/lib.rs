//! The native protocol between peers: who answers, whom one can call, and the two links that carry
//! both, TCP and in-process. Owns connections, matching of replies to requests, and the limits of
//! what a peer may make us hold. Knows no command's meaning: [`Serve`] does.
//!
//! Invariant: nothing above this crate can tell a TCP link from an in-process one.
#![forbid(unsafe_code)]

mod answer;
mod connection;
mod dial;
mod gated_replies;
mod in_flight;
mod limit_keys;
mod limits;
mod listen;
mod local;
mod outgoing;
mod pace;
mod peer;
mod room;

pub use answer::{Answer, Call, Gated, Replier, Serve, Unserved, unsupported};
pub use dial::dial;
pub use limit_keys::limit_keys;
pub use limits::Limits;
pub use listen::Listener;
pub use local::local_link;
pub use peer::{CallError, Peer};
pub use room::Room;
