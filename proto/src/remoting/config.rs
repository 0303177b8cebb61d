//! Topics and groups as brokers keep, register and change them (17, 18, 21, 200, 201, 207, 215, 351,
//! 352), and the version that says whether a set of them changed. The JSON forms here are also those
//! of Apache's files `topics.json` and `subscriptionGroup.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{lenient, null_as_default};
use crate::{Text, wire_fields};

/// Bits of a topic's `perm`.
pub const INHERIT: i32 = 1;
pub const WRITE: i32 = 2;
pub const READ: i32 = 4;

/// Names one state of a table; name servers compare it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    #[serde(deserialize_with = "lenient")]
    pub counter: i64,
    #[serde(deserialize_with = "lenient")]
    pub state_version: i64,
    #[serde(deserialize_with = "lenient")]
    pub timestamp: i64,
}

impl DataVersion {
    pub fn bump(&mut self, now_ms: i64) {
        self.counter += 1;
        self.timestamp = now_ms;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    #[serde(deserialize_with = "null_as_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient")]
    pub order: bool,
    #[serde(deserialize_with = "lenient")]
    pub perm: i32,
    #[serde(deserialize_with = "lenient")]
    pub read_queue_nums: i32,
    #[serde(deserialize_with = "lenient")]
    pub topic_filter_type: String,
    #[serde(deserialize_with = "lenient")]
    pub topic_name: String,
    #[serde(deserialize_with = "lenient")]
    pub topic_sys_flag: i32,
    #[serde(deserialize_with = "lenient")]
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: READ | WRITE,
            read_queue_nums: 16,
            topic_filter_type: "SINGLE_TAG".into(),
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

impl TopicConfig {
    pub fn new(name: &str, queues: i32, perm: i32) -> Self {
        let name = name.to_owned();
        Self {
            topic_name: name,
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm,
            ..Self::default()
        }
    }

    pub fn is_readable(&self) -> bool {
        self.perm & READ != 0
    }

    pub fn is_writable(&self) -> bool {
        self.perm & WRITE != 0
    }

    /// compat: TopicConfig#toString, which stands in refusals that users search for.
    pub fn describe(&self) -> String {
        let perm: String = [(READ, 'R'), (WRITE, 'W'), (INHERIT, 'X')]
            .map(|(bit, letter)| if self.perm & bit == 0 { '-' } else { letter })
            .into_iter()
            .collect();
        let attributes: Vec<_> = self
            .attributes
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        format!(
            "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={perm}, \
             topicFilterType={}, topicSysFlag={}, order={}, attributes={{{}}}]",
            self.topic_name,
            self.read_queue_nums,
            self.write_queue_nums,
            self.topic_filter_type,
            self.topic_sys_flag,
            self.order,
            attributes.join(", "),
        )
    }
}

/// Topics with their version: answer to 21, part of a registration, file `topics.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicTable {
    #[serde(deserialize_with = "null_as_default")]
    pub data_version: DataVersion,
    #[serde(deserialize_with = "null_as_default")]
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_data_version: Option<DataVersion>,
    #[serde(deserialize_with = "null_as_default", skip_deserializing)]
    pub topic_queue_mapping_info_map: BTreeMap<String, ()>,
}

wire_fields! {
    pub struct CreateTopic {
        topic: Text = "topic",
        default_topic: Option<Text> = "defaultTopic",
        read_queues: i32 = "readQueueNums",
        write_queues: i32 = "writeQueueNums",
        perm: i32 = "perm",
        filter_type: Text = "topicFilterType" else "SINGLE_TAG".into(),
        sys_flag: Option<i32> = "topicSysFlag",
        order: bool = "order" else false,
        attributes: Option<Text> = "attributes",
    }

    /// Names one topic: codes 105, 202, 215, 216, 300 and 351.
    pub struct TopicOf {
        topic: Text = "topic",
        cluster: Option<Text> = "clusterName",
        standard_json: Option<bool> = "acceptStandardJsonOnly",
    }

    pub struct DeleteGroup {
        group: Text = "groupName",
        clean_offset: Option<bool> = "cleanOffset",
    }

    pub struct GroupOf {
        group: Text = "group",
    }

    pub struct ConfigVersion {
        /// A [`DataVersion`] as JSON.
        version: Text = "version",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the members are Apache's")]
pub struct GroupConfig {
    #[serde(deserialize_with = "null_as_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient")]
    pub broker_id: i64,
    #[serde(deserialize_with = "lenient")]
    pub consume_broadcast_enable: bool,
    #[serde(deserialize_with = "lenient")]
    pub consume_enable: bool,
    #[serde(deserialize_with = "lenient")]
    pub consume_from_min_enable: bool,
    #[serde(deserialize_with = "lenient")]
    pub consume_message_orderly: bool,
    #[serde(deserialize_with = "lenient")]
    pub consume_timeout_minute: i32,
    #[serde(deserialize_with = "lenient")]
    pub group_name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub group_retry_policy: GroupRetryPolicy,
    #[serde(deserialize_with = "lenient")]
    pub group_sys_flag: i32,
    #[serde(deserialize_with = "lenient")]
    pub notify_consumer_ids_changed_enable: bool,
    #[serde(deserialize_with = "lenient")]
    pub retry_max_times: i32,
    #[serde(deserialize_with = "lenient")]
    pub retry_queue_nums: i32,
    #[serde(deserialize_with = "lenient")]
    pub which_broker_when_consume_slowly: i64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: GroupRetryPolicy::default(),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            which_broker_when_consume_slowly: 1,
        }
    }
}

impl GroupConfig {
    pub fn new(name: &str) -> Self {
        Self {
            group_name: name.to_owned(),
            ..Self::default()
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRetryPolicy {
    #[serde(rename = "type")]
    pub kind: String,
    /// Parameters of a policy that is not the customary one, kept as they are.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, serde_json::Value>,
}

impl Default for GroupRetryPolicy {
    fn default() -> Self {
        Self {
            kind: "CUSTOMIZED".into(),
            rest: serde_json::Map::new(),
        }
    }
}

/// Groups with their version: answer to 201, file `subscriptionGroup.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupTable {
    #[serde(deserialize_with = "null_as_default")]
    pub data_version: DataVersion,
    #[serde(deserialize_with = "null_as_default")]
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    #[serde(deserialize_with = "null_as_default")]
    pub subscription_group_table: BTreeMap<String, GroupConfig>,
}
