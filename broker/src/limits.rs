//! The limits that no setting changes, for the manual: what, how much, what is beyond it.

use proto::names;
use proto::remoting::request::JSON_BODY_BYTES_MAX;

use crate::clients::GROUPS_MAX;
use crate::config_table;
use crate::handle::{query, send_batch, topics};
use crate::locks::GRANTS_MAX;

pub const FIXED_LIMITS: &[(&str, usize, &str)] = &[
    (
        "topic, bytes; characters `%`, `\\|`, `a-z`, `A-Z`, `0-9`, `_`, `-`",
        names::TOPIC_BYTES_MAX,
        "INVALID_PARAMETER, nothing is made",
    ),
    (
        "topic that begins with `%RETRY%` or `%DLQ%`, bytes",
        names::RETRY_TOPIC_BYTES_MAX,
        "INVALID_PARAMETER, nothing is made",
    ),
    (
        "group, bytes; the same characters",
        names::GROUP_BYTES_MAX,
        "INVALID_PARAMETER; left out of a heartbeat",
    ),
    (
        "a client's id, the name of a broker in a lock, bytes",
        names::ID_BYTES_MAX,
        "INVALID_PARAMETER",
    ),
    (
        "groups of a heartbeat",
        GROUPS_MAX,
        "INVALID_PARAMETER, nothing of it counts",
    ),
    (
        "locks of queues, of all groups",
        GRANTS_MAX,
        "not granted; renewed are those that are held",
    ),
    (
        "queues of a topic",
        topics::QUEUES_MAX as usize,
        "INVALID_PARAMETER",
    ),
    (
        "topics, and groups, that requests make; a table of Apache's that has more is taken as it is",
        config_table::ROWS_MAX,
        "SYSTEM_ERROR, nothing is made; a new group is left out of a heartbeat",
    ),
    (
        "a topic or group with its attributes and retry policy, bytes of JSON",
        config_table::ROW_BYTES_MAX,
        "INVALID_PARAMETER, it stays as it was",
    ),
    (
        "a topic or group, depth of its JSON",
        config_table::ROW_DEPTH_MAX,
        "INVALID_PARAMETER, it stays as it was",
    ),
    (
        "messages that wait to be written to the log, bytes",
        store::STAGING_BYTES_MAX,
        "SYSTEM_BUSY",
    ),
    (
        "properties of a message as stored, those of the broker included, bytes",
        i16::MAX as usize,
        "MESSAGE_ILLEGAL",
    ),
    (
        "characters U+0000 in properties",
        0,
        "MESSAGE_ILLEGAL. U+0001 and U+0002 are the separators: they end a name and a value, and \
         what is no pair then is dropped, as Apache drops it",
    ),
    (
        "topic of a batch, bytes",
        send_batch::TOPIC_BYTES_MAX,
        "MESSAGE_ILLEGAL",
    ),
    (
        "messages of a query by key",
        query::MESSAGES_MAX,
        "so many are given",
    ),
    (
        "body of a heartbeat, a lock, a group or settings, bytes",
        JSON_BODY_BYTES_MAX,
        "SYSTEM_ERROR, before it is read",
    ),
];
