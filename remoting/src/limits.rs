//! What one peer, and all of them together, may make us hold or wait for.

use std::time::Duration;

use crate::room::Room;

/// The limits of a listener and of the connections it accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A frame, before the peer has sent a first valid one.
    pub first_frame_bytes: usize,
    /// A frame afterwards.
    pub frame_bytes: usize,
    /// Requests of one connection that are not answered yet; then its reads pause.
    pub in_flight: usize,
    /// Answers of one connection that are not sent yet; then its reads pause.
    pub unsent_bytes: usize,
    /// No byte of an unsent answer leaves for so long: closed.
    pub write_stall: Duration,
    /// All connections that share these limits (clones are the same) hold so much of frames that
    /// are not whole and of what has not left; then only those that hold next to nothing are read, and who
    /// has to wait for longer than `write_stall` is closed. 0: a quarter of the memory.
    pub held_bytes: usize,
    /// What is held at the moment.
    pub held: Room,
    /// No byte from the peer for so long, nor one that it took of what is stuck: closed.
    pub idle: Duration,
    /// No valid first frame for so long, once its bytes have begun to arrive: closed.
    pub first_frame: Duration,
    /// Connections of one listener; more are closed at once.
    pub connections: usize,
    /// Connections of one address that is not loopback.
    pub connections_per_address: usize,
    /// New connections of one listener a second; more wait in the system's queue.
    pub accepts_per_second: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A first frame may be a message: Java clients heartbeat first, bare ones do not.
            first_frame_bytes: 5 << 20,
            frame_bytes: 16 << 20,
            in_flight: 1024,
            unsent_bytes: 4 << 20,
            write_stall: Duration::from_secs(30),
            held_bytes: 0,
            held: Room::default(),
            idle: Duration::from_secs(120),
            first_frame: Duration::from_secs(10),
            connections: 20_000,
            connections_per_address: 512,
            accepts_per_second: 1_000,
        }
    }
}
