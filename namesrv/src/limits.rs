//! The limits that no setting changes, for the manual: what, how much, what is beyond it.

use crate::kv;
use crate::registration::{INFLATED_RATIO_MAX, TOPICS_MAX};
use crate::route_table;

pub const FIXED_LIMITS: &[(&str, usize, &str)] = &[
    (
        "topics of a broker's registration",
        TOPICS_MAX,
        "SYSTEM_ERROR, the broker's routes stay as they were",
    ),
    (
        "topics of all brokers; one that two brokers have counts twice",
        route_table::TOPICS_MAX,
        "SYSTEM_ERROR, the broker's routes stay as they were",
    ),
    (
        "brokers by name",
        route_table::BROKERS_MAX,
        "SYSTEM_ERROR, a new one is not registered",
    ),
    (
        "members of a broker: a master and its replicas",
        route_table::MEMBERS_MAX,
        "SYSTEM_ERROR, a new one is not registered",
    ),
    (
        "name of a cluster, broker or topic, address of a broker, bytes",
        route_table::NAME_BYTES_MAX,
        "SYSTEM_ERROR, the broker's routes stay as they were",
    ),
    (
        "packed registration, times its own size when unpacked",
        INFLATED_RATIO_MAX,
        "SYSTEM_ERROR, unpacking stops there",
    ),
    (
        "namespace or key of a key-value setting, bytes",
        kv::NAME_BYTES_MAX,
        "SYSTEM_ERROR",
    ),
    (
        "all key-value settings, bytes",
        kv::BYTES_MAX,
        "SYSTEM_ERROR",
    ),
];
