//! Figures that operators ask for: topic offsets (202), group progress (208), who consumes what (300,
//! 343), broker runtime (28). Maps keyed by a queue have objects as keys on the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::clients::MessageQueue;
use crate::json::{self, ObjectKeyed};
use crate::{Text, wire_fields};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueOffsets {
    pub last_update_timestamp: i64,
    pub max_offset: i64,
    pub min_offset: i64,
}

/// Body of the answer to 202.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStats {
    pub offset_table: ObjectKeyed<MessageQueue, QueueOffsets>,
    pub topic_put_tps: f64,
}

impl TopicStats {
    pub fn to_body(&self) -> Bytes {
        let tps = format!("{:?}", self.topic_put_tps);
        json::object(&[
            ("offsetTable", self.offset_table.to_text()),
            ("topicPutTps", tps),
        ])
    }
}

wire_fields! {
    pub struct ConsumeStatsOf {
        group: Text = "consumerGroup",
        topic: Option<Text> = "topic",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueProgress {
    pub broker_offset: i64,
    pub consumer_offset: i64,
    pub pull_offset: i64,
    pub last_timestamp: i64,
}

/// Body of the answer to 208.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    pub consume_tps: f64,
    pub offset_table: ObjectKeyed<MessageQueue, QueueProgress>,
}

impl ConsumeStats {
    pub fn to_body(&self) -> Bytes {
        let tps = format!("{:?}", self.consume_tps);
        json::object(&[
            ("consumeTps", tps),
            ("offsetTable", self.offset_table.to_text()),
        ])
    }
}

/// Body of the answer to 300.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupNames {
    pub group_list: Vec<String>,
}

/// Body of the answers to 206, 224, 304 and 343.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicNames {
    pub topic_list: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
}

/// A table of text: runtime figures, KV configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    pub table: BTreeMap<String, String>,
}
