//! What a client is told when it is made, with defaults that fit most uses.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use proto::Text;

/// How a [`Client`](crate::Client) behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of the name servers; one that answers is enough.
    pub name_servers: Vec<Text>,
    /// As whom messages are sent; brokers list their producers by it.
    pub producer_group: Text,
    /// All attempts of one send together (3 s).
    pub send_timeout: Duration,
    /// Any other request (3 s).
    pub request_timeout: Duration,
    /// How often a send is tried in all when it was surely not stored (3).
    pub send_attempts: u32,
    /// How often routes are asked for again, and heartbeats sent (30 s).
    pub refresh: Duration,
    /// Routes kept at most; the least used one goes first (10,000).
    pub topics_max: usize,
}

impl Config {
    /// Default settings with these name servers.
    pub fn new<A: Into<Text>>(name_servers: impl IntoIterator<Item = A>) -> Self {
        Self {
            name_servers: name_servers.into_iter().map(Into::into).collect(),
            producer_group: "GANTRY_PRODUCER".into(),
            send_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(3),
            send_attempts: 3,
            refresh: Duration::from_secs(30),
            topics_max: 10_000,
        }
    }

    /// The address from which this machine would talk to a name server; no packet is sent for it.
    pub(crate) fn local_ip(&self) -> IpAddr {
        let towards = self.name_servers.iter().find_map(|addr| addr.parse().ok());
        towards
            .and_then(outgoing_ip)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

fn outgoing_ip(towards: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if towards.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(towards).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// A number that other clients, of this process and of others with its id, do not have.
pub(crate) fn salt() -> u32 {
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random >> 32).unwrap_or_default()
}
