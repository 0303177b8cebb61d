//! How a connection behaves, seen from outside: real sockets on free ports, requests as raw bytes.
//! Time is real but for the leaps that `raw::skip` makes.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod answers;
mod calls;
mod flood;
mod limits;
mod raw;
mod requests;
mod stop;
