//! Messages by key.

use std::collections::HashSet;

use bytes::Bytes;
use proto::message::{
    LogOffset, StoredMessage, extend_java_hash, java_string_hash, property, split_keys,
};

use crate::Store;
use crate::index::key_hash;

/// Which messages are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyQuery<'a> {
    pub topic: &'a str,
    /// A unique key or one of the `KEYS`.
    pub key: &'a str,
    pub max: usize,
    /// Store times, both included.
    pub begin_ms: i64,
    pub end_ms: i64,
}

impl Store {
    /// The records that carry a key, the newest first. Other keys with the same hash are left out.
    ///
    /// # Errors
    /// What the disk says when an index file cannot be read.
    pub fn query_by_key(&self, query: &KeyQuery<'_>) -> std::io::Result<Vec<Bytes>> {
        let topic_hash = java_string_hash(&format!("{}#", query.topic));
        let hash = key_hash(extend_java_hash(topic_hash, query.key));
        let mut records = Vec::new();
        let mut seen = HashSet::new();
        let KeyQuery {
            begin_ms,
            end_ms,
            max,
            ..
        } = *query;
        self.index.find(hash, begin_ms, end_ms, &mut |offset| {
            if records.len() < max && seen.insert(offset) {
                records.extend(
                    self.record_at(LogOffset(offset))
                        .filter(|r| is_meant(r, query)),
                );
            }
            records.len() < max
        })?;
        Ok(records)
    }
}

fn is_meant(record: &[u8], query: &KeyQuery<'_>) -> bool {
    let Ok(message) = StoredMessage::parse(record) else {
        return false;
    };
    let keys = message.properties.find(property::KEYS).unwrap_or("");
    message.topic == query.topic
        && (query.begin_ms..=query.end_ms).contains(&message.store_timestamp)
        && (message.properties.find(property::UNIQUE_KEY) == Some(query.key)
            || split_keys(keys).any(|key| key == query.key))
}
