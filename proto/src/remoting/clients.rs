//! Clients at a broker: heartbeats and leaving (34, 35), who consumes (38, 40), queue locks (41, 42),
//! what is connected (203, 204, 307).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::json::{lenient, lenient_list, null_as_default};
use crate::{Text, wire_fields};

/// Body of a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    #[serde(rename = "clientID")]
    #[serde(deserialize_with = "lenient")]
    pub client_id: String,
    #[serde(deserialize_with = "null_as_default")]
    pub producer_data_set: Vec<ProducerData>,
    #[serde(deserialize_with = "null_as_default")]
    pub consumer_data_set: Vec<ConsumerData>,
    #[serde(deserialize_with = "lenient")]
    pub heartbeat_fingerprint: i32,
    #[serde(deserialize_with = "lenient")]
    pub without_sub: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    #[serde(deserialize_with = "lenient")]
    pub group_name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    #[serde(deserialize_with = "lenient")]
    pub group_name: String,
    #[serde(deserialize_with = "lenient")]
    pub consume_type: String,
    #[serde(deserialize_with = "lenient")]
    pub message_model: String,
    #[serde(deserialize_with = "lenient")]
    pub consume_from_where: String,
    #[serde(deserialize_with = "null_as_default")]
    pub subscription_data_set: Vec<Subscription>,
    #[serde(deserialize_with = "lenient")]
    pub unit_mode: bool,
}

/// What a group wants of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subscription {
    #[serde(deserialize_with = "lenient")]
    pub class_filter_mode: bool,
    #[serde(deserialize_with = "lenient")]
    pub topic: String,
    #[serde(deserialize_with = "lenient")]
    pub sub_string: String,
    #[serde(deserialize_with = "lenient_list")]
    pub tags_set: Vec<String>,
    #[serde(deserialize_with = "lenient_list")]
    pub code_set: Vec<i32>,
    #[serde(deserialize_with = "lenient")]
    pub sub_version: i64,
    #[serde(deserialize_with = "lenient")]
    pub expression_type: String,
}

wire_fields! {
    pub struct HeartbeatTaken {
        v2_supported: bool = "IS_SUPPORT_HEART_BEAT_V2",
        subscription_changed: bool = "IS_SUB_CHANGE",
    }

    pub struct UnregisterClient {
        client_id: Text = "clientID",
        producer_group: Option<Text> = "producerGroup",
        consumer_group: Option<Text> = "consumerGroup",
    }

    /// Names a consumer group: codes 38, 40 and 203.
    pub struct ConsumerGroup {
        group: Text = "consumerGroup",
    }

    pub struct ProducerGroup {
        group: Text = "producerGroup",
    }

    /// Asks one client of a group for its state; the parameters pass through to the client.
    pub struct RunningState {
        group: Text = "consumerGroup",
        client_id: Text = "clientId",
        jstack: Option<bool> = "jstackEnable",
    }
}

/// Body of the answer to 38.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerIds {
    pub consumer_id_list: Vec<String>,
}

/// One queue of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    #[serde(deserialize_with = "lenient")]
    pub broker_name: String,
    #[serde(deserialize_with = "lenient")]
    pub queue_id: i32,
    #[serde(deserialize_with = "lenient")]
    pub topic: String,
}

/// Body of 41 and 42.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueLocks {
    #[serde(deserialize_with = "lenient")]
    pub consumer_group: String,
    #[serde(deserialize_with = "lenient")]
    pub client_id: String,
    #[serde(deserialize_with = "lenient")]
    pub only_this_broker: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub mq_set: Vec<MessageQueue>,
}

/// Body of the answer to 41.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    #[serde(rename = "lockOKMQSet", default)]
    pub queues: Vec<MessageQueue>,
}

/// Body of the answers to 203 and 204; the latter has only connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connections {
    pub connection_set: Vec<ConnectedClient>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consume_from_where: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_table: Option<BTreeMap<String, Subscription>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectedClient {
    pub client_id: String,
    pub client_addr: String,
    pub language: String,
    pub version: i32,
}
