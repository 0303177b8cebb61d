//! The limits that no setting changes, for the manual: what, how much, what is beyond it.

use crate::http::metadata;
use crate::message;

pub const FIXED_LIMITS: &[(&str, usize, &str)] = &[
    ("HTTP versions other than 1.1", 0, "400, closed"),
    (
        "lines of a head that end in LF without CR",
        0,
        "400, closed",
    ),
    (
        "longest wait for the broker that may be asked for, s",
        metadata::TIMEOUT_MAX.as_secs() as usize,
        "400",
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
];
