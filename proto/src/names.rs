//! Names of topics and groups: what a name may look like, and which ones RocketMQ keeps for itself.
//!
//! One check for every door and for recovery: a name that passes here is safe as a file name, a
//! property and a metric label. The texts are the ones RocketMQ answers.

/// Prefix of the topic that redelivers to one group.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of the topic that keeps what one group gave up.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Prefix of topics that RocketMQ made for itself.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// Prefix of groups that RocketMQ made for itself.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// The topic that lends its settings to automatically created ones.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
pub const CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
pub const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
const ROCKSDB_OFFSET_TOPIC: &str = "CHECKPOINT_TOPIC";

const SYSTEM_TOPICS: [&str; 10] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    HALF_TOPIC,
    TRACE_TOPIC,
    OP_HALF_TOPIC,
    CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_TOPIC,
    ROCKSDB_OFFSET_TOPIC,
];

const TOPICS_CLOSED_TO_CLIENTS: [&str; 6] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_TOPIC,
];

/// Groups that exist on every broker.
pub const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

pub const TOPIC_BYTES_MAX: usize = 127;
pub const RETRY_TOPIC_BYTES_MAX: usize = 255;
pub const GROUP_BYTES_MAX: usize = 120;
/// Of a client's id, and of a broker's name as clients say it.
pub const ID_BYTES_MAX: usize = 255;

/// Why a name was refused; the text is the one RocketMQ answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("The specified {kind} is blank.")]
    Blank { kind: &'static str },
    #[error(
        "The specified {kind}: {name}, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
    )]
    IllegalCharacters { kind: &'static str, name: String },
    #[error("The specified {kind}: {name}, is longer than {kind} max length: {max}")]
    TooLong {
        kind: &'static str,
        name: String,
        max: usize,
    },
    #[error(
        "The specified topic is DLQ or Retry topic: {name}, and it's longer than topic max length: {}",
        RETRY_TOPIC_BYTES_MAX
    )]
    RetryTooLong { name: String },
}

/// Checks the name of a topic.
///
/// # Errors
/// [`NameError`] with RocketMQ's text.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    check_characters("topic", topic)?;
    if is_retry_topic(topic) || is_dlq_topic(topic) {
        if topic.len() > RETRY_TOPIC_BYTES_MAX {
            return Err(NameError::RetryTooLong {
                name: topic.to_owned(),
            });
        }
        return Ok(());
    }
    check_length("topic", topic, TOPIC_BYTES_MAX)
}

/// Checks the name of a consumer or producer group.
///
/// # Errors
/// [`NameError`] with RocketMQ's text.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check_characters("group", group)?;
    check_length("group", group, GROUP_BYTES_MAX)
}

/// Checks the id of a client or the name of a broker: any characters, but not too many.
///
/// # Errors
/// [`NameError`] worded as RocketMQ's.
pub fn check_id(kind: &'static str, id: &str) -> Result<(), NameError> {
    check_length(kind, id, ID_BYTES_MAX)
}

fn check_characters(kind: &'static str, name: &str) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank { kind });
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    if name.bytes().all(legal) {
        Ok(())
    } else {
        Err(NameError::IllegalCharacters {
            kind,
            name: name.to_owned(),
        })
    }
}

fn check_length(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.len() > max {
        return Err(NameError::TooLong {
            kind,
            name: name.to_owned(),
            max,
        });
    }
    Ok(())
}

/// The topic that redelivers to `group`.
#[must_use]
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The topic that keeps what `group` gave up.
#[must_use]
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

#[must_use]
pub fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

#[must_use]
pub fn is_dlq_topic(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// Whether RocketMQ made this topic for itself.
#[must_use]
pub fn is_system_topic(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic) || topic.starts_with(SYSTEM_TOPIC_PREFIX)
}

/// Whether RocketMQ made this group for itself.
#[must_use]
pub fn is_system_group(group: &str) -> bool {
    SYSTEM_GROUPS.contains(&group) || group.starts_with(SYSTEM_GROUP_PREFIX)
}

/// Whether clients must not send to this topic.
#[must_use]
pub fn is_closed_to_clients(topic: &str) -> bool {
    TOPICS_CLOSED_TO_CLIENTS.contains(&topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result<(), NameError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn names_within_the_limits_pass() {
        for topic in [
            "a",
            "A-b_c|1",
            &"t".repeat(127),
            &retry_topic(&"g".repeat(248)),
        ] {
            assert_eq!(check_topic(topic), Ok(()));
        }
        assert_eq!(check_group(&"g".repeat(120)), Ok(()));
    }

    #[test]
    fn refusals_carry_the_texts_of_rocketmq() {
        assert_eq!(refusal(check_topic(" \t")), "The specified topic is blank.");
        assert_eq!(refusal(check_group("")), "The specified group is blank.");
        assert_eq!(
            refusal(check_topic("a/b")),
            "The specified topic: a/b, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"
        );
        let long = "t".repeat(128);
        assert_eq!(
            refusal(check_topic(&long)),
            format!("The specified topic: {long}, is longer than topic max length: 127")
        );
        assert_eq!(
            refusal(check_group(&long)),
            format!("The specified group: {long}, is longer than group max length: 120")
        );
        let retry = dlq_topic(&"g".repeat(251));
        assert_eq!(
            refusal(check_topic(&retry)),
            format!(
                "The specified topic is DLQ or Retry topic: {retry}, and it's longer than topic max length: 255"
            )
        );
    }

    #[test]
    fn names_that_would_leave_a_folder_are_refused() {
        for name in ["..", ".", "a/..", "a\\b", "a\0b", "é", "a.b", "~"] {
            assert!(
                matches!(check_topic(name), Err(NameError::IllegalCharacters { .. })),
                "{name}"
            );
            assert!(
                matches!(check_group(name), Err(NameError::IllegalCharacters { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn system_names_are_known() {
        assert!(is_system_topic("TBW102") && is_system_topic("rmq_sys_x"));
        assert!(!is_system_topic("orders") && !is_closed_to_clients("TBW102"));
        assert!(is_closed_to_clients("SCHEDULE_TOPIC_XXXX"));
        assert!(is_system_group("TOOLS_CONSUMER") && is_system_group("CID_RMQ_SYS_y"));
        assert!(is_retry_topic(&retry_topic("g")) && is_dlq_topic(&dlq_topic("g")));
    }
}
