//! What a gateway is told when it starts: where it listens, and the limits of what comes in.
//!
//! Invariant: one row of the table per limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use runtime::settings::{Group, Key, Table};

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
    /// Path and query (8 KiB).
    pub target_bytes_max: usize,
    /// Request line and headers (64 KiB), and how many headers (100).
    pub head_bytes_max: usize,
    pub headers_max: usize,
    /// How long a broker may take to confirm, unless the request says otherwise (5 s).
    pub publish_timeout: Duration,
    /// From a request's first byte to the end of its headers (10 s).
    pub head_timeout: Duration,
    /// From the end of its headers to the end of a body (30 s).
    pub body_timeout: Duration,
    /// The slowest that a body may arrive after its first 5 s (1 KiB/s).
    pub body_bytes_per_second_min: u64,
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
            target_bytes_max: 8 << 10,
            head_bytes_max: 64 << 10,
            headers_max: 100,
            publish_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_bytes_per_second_min: 1024,
            idle_timeout: Duration::from_secs(75),
            connections_max: 20_000,
            connections_per_address_max: 512,
            accepts_per_second_max: 1_000,
        }
    }
}

/// The settings of a gateway.
pub static TABLE: Table<Config> = Table {
    groups: &[Group {
        title: "Limits of HTTP",
        keys: LIMITS,
    }],
    absent: &[],
};

type K = Key<Config>;

const HOUR_MS: u64 = 3_600_000;

const LIMITS: &[K] = &[
    K::new(
        "maxHttpTargetBytes",
        |c| &mut c.target_bytes_max,
        "Path and query, in bytes. More: 414.",
    )
    .range(256, 64 << 10),
    K::new(
        "maxHttpHeadBytes",
        |c| &mut c.head_bytes_max,
        "Request line and headers (to the end of a read), in bytes. More: 431, closed.",
    )
    .range(8 << 10, 1 << 20),
    K::new(
        "maxHttpHeaders",
        |c| &mut c.headers_max,
        "Headers of a request. More: 431, closed.",
    )
    .range(16, 1000),
    K::new(
        "maxHttpHeadMillis",
        |c| &mut c.head_timeout,
        "From a request's first byte to the end of its headers, in ms. Longer: 408, closed.",
    )
    .range(100, HOUR_MS),
    K::new(
        "maxHttpBodyMillis",
        |c| &mut c.body_timeout,
        "From the end of its headers to the end of its body, in ms. Longer: 408, closed.",
    )
    .range(100, HOUR_MS),
    K::new(
        "minHttpBodyBytesPerSecond",
        |c| &mut c.body_bytes_per_second_min,
        "The slowest body after its first 5 s, in bytes a second. Less: 408, closed.",
    )
    .range(0, 1 << 30),
    K::new(
        "maxHttpIdleMillis",
        |c| &mut c.idle_timeout,
        "A connection without a request, in ms. Longer: closed.",
    )
    .range(100, 24 * HOUR_MS),
    K::new(
        "maxHttpPublishMillis",
        |c| &mut c.publish_timeout,
        "A broker's confirmation, unless the request says otherwise, in ms. Longer: 504, outcome \
         unknown.",
    )
    .range(1, 30_000),
    K::new(
        "maxHttpHeldBytes",
        |c| &mut c.budget_bytes,
        "All bodies that are being read or sent, in bytes. More: 503 overloaded.",
    )
    .range(1 << 20, 1 << 50),
    K::new(
        "maxHttpConnections",
        |c| &mut c.connections_max,
        "Connections of one HTTP listener. More: closed at once.",
    )
    .range(1, 1 << 20),
    K::new(
        "maxHttpConnectionsPerAddress",
        |c| &mut c.connections_per_address_max,
        "Connections of one address to it, loopback excepted. More: closed at once.",
    )
    .range(1, 1 << 20),
    K::new(
        "maxHttpAcceptsPerSecond",
        |c| &mut c.accepts_per_second_max,
        "New connections of one HTTP listener in a second. More: they wait in the system's queue.",
    )
    .range(1, 1 << 20),
];
