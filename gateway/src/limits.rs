//! The limits that no setting changes, for the manual: what, how much, what is beyond it.

use std::time::Duration;

use crate::config::Config;
use crate::http::{HEADERS_MAX, body, connection, metadata, router};
use crate::message;

/// What, how much, what is beyond it.
type Row = (&'static str, usize, &'static str);

/// Those of a gateway with this configuration.
#[must_use]
pub fn fixed_limits(config: &Config) -> Vec<Row> {
    [&heads()[..], &times(config), &messages(config)].concat()
}

fn heads() -> [Row; 5] {
    let (target, head) = (router::TARGET_BYTES_MAX, connection::HEAD_BYTES_MAX);
    [
        ("HTTP versions other than 1.1", 0, "400, closed"),
        (
            "lines of a head that end in LF without CR",
            0,
            "400, closed",
        ),
        ("path and query, bytes", target, "414"),
        (
            "request line and headers, bytes (to the end of a read)",
            head,
            "431, closed",
        ),
        ("headers", HEADERS_MAX, "431, closed"),
    ]
}

fn times(config: &Config) -> [Row; 6] {
    let slowest = usize::try_from(body::BYTES_PER_SECOND_MIN).unwrap_or(usize::MAX);
    [
        (
            "from a request's first byte to the end of its headers, s",
            seconds(config.head_timeout),
            "closed",
        ),
        (
            "from the end of its headers to the end of its body, s",
            seconds(config.body_timeout),
            "408, closed",
        ),
        (
            "slowest body after its first 5 s, bytes a second",
            slowest,
            "408, closed",
        ),
        (
            "a connection without a request, s",
            seconds(config.idle_timeout),
            "closed",
        ),
        (
            "longest wait for the broker that may be asked for, s",
            seconds(metadata::TIMEOUT_MAX),
            "400",
        ),
        (
            "a broker's confirmation, unless the request says otherwise, s",
            seconds(config.publish_timeout),
            "504, outcome unknown",
        ),
    ]
}

fn messages(config: &Config) -> [Row; 8] {
    [
        (
            "all bodies that are being read or sent, bytes",
            config.budget_bytes,
            "503 overloaded",
        ),
        (
            "user properties of a message",
            message::PROPERTIES_MAX,
            "431",
        ),
        (
            "tag, keys, properties and trace of a message, bytes",
            message::METADATA_BYTES_MAX,
            "431",
        ),
        (
            "sharding key, bytes",
            message::SHARDING_KEY_BYTES_MAX,
            "400",
        ),
        ("control characters in tag, keys and properties", 0, "400"),
        (
            "connections of a listener",
            config.connections_max,
            "closed at once",
        ),
        (
            "connections of an address, loopback excepted",
            config.connections_per_address_max,
            "closed at once",
        ),
        (
            "new connections of a listener in a second",
            config.accepts_per_second_max,
            "wait in the system's queue",
        ),
    ]
}

fn seconds(time: Duration) -> usize {
    usize::try_from(time.as_secs()).unwrap_or(usize::MAX)
}
