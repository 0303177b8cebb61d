//! Name servers: registration (103, 104, 322), routes (105, 106), KV configuration (100-102, 219),
//! write permission of a broker (205, 327).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::TopicTable;
use crate::json::{null_as_default, quoted_keys};
use crate::{Text, wire_fields};

/// Topics that one broker makes, and that one registration may name; Apache has no limit.
pub const BROKER_TOPICS_MAX: usize = 100_000;

wire_fields! {
    pub struct RegisterBroker {
        broker_name: Text = "brokerName",
        broker_addr: Text = "brokerAddr",
        cluster_name: Text = "clusterName",
        ha_server_addr: Text = "haServerAddr",
        broker_id: i64 = "brokerId",
        heartbeat_timeout_ms: Option<i64> = "heartbeatTimeoutMillis",
        acting_master: Option<bool> = "enableActingMaster",
        compressed: Option<bool> = "compressed",
        body_crc32: Option<i64> = "bodyCrc32",
        /// Our own: it does not name all topics. Apache's servers do not know it.
        is_part: Option<bool> = "isPart",
    }

    pub struct BrokerRegistered {
        ha_server_addr: Option<Text> = "haServerAddr",
        master_addr: Option<Text> = "masterAddr",
    }

    /// Names one broker: codes 104 and 322.
    pub struct BrokerOf {
        broker_name: Text = "brokerName",
        broker_addr: Text = "brokerAddr",
        cluster_name: Text = "clusterName",
        broker_id: i64 = "brokerId",
    }

    pub struct VersionChanged {
        changed: bool = "changed",
    }

    pub struct BrokerName {
        broker_name: Text = "brokerName",
    }

    pub struct TopicsWiped {
        count: i32 = "wipeTopicCount",
    }

    pub struct TopicsOpened {
        count: i32 = "addTopicCount",
    }

    pub struct KvPut {
        namespace: Text = "namespace",
        key: Text = "key",
        value: Text = "value",
    }

    pub struct KvKey {
        namespace: Text = "namespace",
        key: Text = "key",
    }

    pub struct KvNamespace {
        namespace: Text = "namespace",
    }

    pub struct KvValue {
        value: Option<Text> = "value",
    }

    pub struct ClusterOf {
        cluster: Text = "cluster",
    }
}

/// Body of a registration, uncompressed form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBody {
    #[serde(deserialize_with = "null_as_default")]
    pub filter_server_list: Vec<String>,
    pub topic_config_serialize_wrapper: TopicTable,
}

/// All addresses of one broker name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// Keys are written quoted (trap 7 of the protocol notes: every client reads that).
    #[serde(serialize_with = "quoted_keys")]
    pub broker_addrs: BTreeMap<i64, String>,
    pub broker_name: String,
    pub cluster: String,
    pub enable_acting_master: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    pub broker_name: String,
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

/// Body of the answer to 105. Members in alphabetical order, as Java sorts them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRoute {
    pub broker_datas: Vec<BrokerData>,
    #[serde(deserialize_with = "null_as_default")]
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    pub queue_datas: Vec<QueueData>,
}

/// Body of the answer to 106.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}
