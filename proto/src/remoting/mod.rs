//! The native protocol ("remoting"): frames, headers in both serializations, and the commands they
//! carry as typed [`Request`] and [`Reply`].

pub mod clients;
pub mod code;
pub mod config;
pub mod fields;
pub mod frame;
pub mod header;
mod header_binary;
mod header_json;
mod header_json_fast;
pub mod naming;
pub mod pull;
pub mod reply;
pub mod request;
pub mod send;
pub mod stats;

pub use code::ResponseCode;
pub use reply::{Content, Reply};
pub use request::{Request, RequestError};

/// The protocol version that we state. compat: MQVersion, V5_3_3; 0 would switch SQL filters off in
/// Java clients, and what lies above may be told to go away.
pub const VERSION: i32 = 479;
