//! Pulling (11, 361) and everything about offsets and single messages (12, 14, 15, 29-33).

use crate::{Text, wire_fields};

/// Bits of a pull's `sysFlag`.
pub const COMMIT_OFFSET: i32 = 1;
pub const SUSPEND: i32 = 2;
pub const SUBSCRIPTION: i32 = 4;
pub const LITE: i32 = 16;

wire_fields! {
    pub struct Pull {
        group: Text = "consumerGroup",
        topic: Text = "topic",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        messages_max: i32 = "maxMsgNums",
        sys_flag: i32 = "sysFlag",
        commit_offset: i64 = "commitOffset",
        suspend_timeout_ms: i64 = "suspendTimeoutMillis",
        subscription: Option<Text> = "subscription",
        sub_version: i64 = "subVersion",
        expression_type: Option<Text> = "expressionType",
        bytes_max: Option<i32> = "maxMsgBytes",
    }

    /// Stands on every answer of code 0, 19, 20 and 21, always whole.
    pub struct Pulled {
        suggested_broker: i64 = "suggestWhichBrokerId",
        next_offset: i64 = "nextBeginOffset",
        min_offset: i64 = "minOffset",
        max_offset: i64 = "maxOffset",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        group_sys_flag: Option<i32> = "groupSysFlag",
    }

    pub struct QueryMessage {
        topic: Text = "topic",
        key: Text = "key",
        max: i32 = "maxNum",
        begin_ms: i64 = "beginTimestamp",
        end_ms: i64 = "endTimestamp",
        unique_key: Option<bool> = "_UNIQUE_KEY_QUERY",
    }

    pub struct QueriedMessages {
        index_last_ms: i64 = "indexLastUpdateTimestamp",
        index_last_offset: i64 = "indexLastUpdatePhyoffset",
    }

    pub struct ViewMessage {
        offset: i64 = "offset",
    }

    pub struct QueryConsumerOffset {
        group: Text = "consumerGroup",
        topic: Text = "topic",
        queue_id: i32 = "queueId",
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }

    pub struct UpdateConsumerOffset {
        group: Text = "consumerGroup",
        topic: Text = "topic",
        queue_id: i32 = "queueId",
        commit_offset: Option<i64> = "commitOffset",
    }

    pub struct SearchOffset {
        topic: Text = "topic",
        queue_id: i32 = "queueId",
        timestamp_ms: i64 = "timestamp",
        /// `LOWER` (also when absent) or `UPPER`.
        boundary: Option<Text> = "boundaryType",
    }

    /// Names one queue: the parameters of codes 30, 31 and 32.
    pub struct QueueOf {
        topic: Text = "topic",
        queue_id: i32 = "queueId",
    }

    pub struct OffsetIs {
        offset: i64 = "offset",
    }

    pub struct TimestampIs {
        timestamp_ms: i64 = "timestamp",
    }
}
