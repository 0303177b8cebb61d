//! The limits that no setting changes, for the manual: what, how much, what is beyond it.

use crate::kv;
use crate::registration::{INFLATED_BYTES_MAX, INFLATED_RATIO_MAX, TOPICS_MAX};

pub const FIXED_LIMITS: &[(&str, usize, &str)] = &[
    (
        "topics of a broker's registration",
        TOPICS_MAX,
        "SYSTEM_ERROR, the broker's routes stay as they were",
    ),
    (
        "packed registration, bytes when unpacked (nothing else is ever unpacked)",
        INFLATED_BYTES_MAX,
        "SYSTEM_ERROR, unpacking stops there",
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
