//! What a gateway is told when it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Addresses and limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// Publishing (127.0.0.1:8090).
    pub http: SocketAddr,
    /// Health and version (127.0.0.1:8091).
    pub admin: SocketAddr,
    /// The largest message body (4 MiB); brokers have a limit of their own.
    pub body_bytes_max: usize,
    /// All bodies that are being read or sent, together (256 MiB).
    pub budget_bytes: usize,
    /// How long a broker may take to confirm, unless the request says otherwise (5 s).
    pub publish_timeout: Duration,
    /// From a request's first byte to the end of its headers (10 s).
    pub head_timeout: Duration,
    /// From the end of its headers to the end of a body (30 s).
    pub body_timeout: Duration,
    /// No request on a connection for so long (75 s).
    pub idle_timeout: Duration,
    /// Connections of one listener (20,000), and of one address that is not loopback.
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    /// New connections of one listener a second (1,000); more wait in the system's queue.
    pub accepts_per_second_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8091)),
            body_bytes_max: 4 << 20,
            budget_bytes: 256 << 20,
            publish_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            connections_max: 20_000,
            connections_per_address_max: 512,
            accepts_per_second_max: 1_000,
        }
    }
}
