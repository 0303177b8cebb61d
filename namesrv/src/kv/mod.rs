//! The key-value settings: small texts by namespace and key, kept for tools and for ordered topics.
//! Owns what they are and how much of them; `keep.rs` stores them before anybody is told that a
//! change happened.
//!
//! Invariant: at most `BYTES_MAX` in all; a change beyond it is refused with a text that says so. A
//! namespace without keys does not exist.

mod keep;

pub(crate) use keep::Kv;

use std::collections::BTreeMap;

use proto::Text;
use proto::json::null_as_default;
use serde::{Deserialize, Serialize};

/// The namespace that says on which brokers an ordered topic has how many queues.
pub(crate) const ORDER_TOPICS: &str = "ORDER_TOPIC_CONFIG";
/// All namespaces, keys and values together.
pub(crate) const BYTES_MAX: usize = 4 << 20;
/// A namespace or a key.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Counted for every entry besides its texts, for what keeps it.
const ENTRY_BYTES: usize = 64;

/// All settings, in the form of Apache's `kvConfig.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    #[serde(deserialize_with = "null_as_default")]
    config_table: BTreeMap<String, BTreeMap<String, String>>,
}

/// What somebody wants changed.
#[derive(Debug)]
pub(crate) enum Change {
    Put {
        namespace: Text,
        key: Text,
        value: Text,
    },
    Delete {
        namespace: Text,
        key: Text,
    },
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("namespace and key must have 1 to {NAME_BYTES_MAX} bytes")]
    Name,
    #[error("the key-value settings may not exceed {BYTES_MAX} bytes")]
    Full,
}

impl Settings {
    pub(crate) fn value(&self, namespace: &str, key: &str) -> Option<&str> {
        let value = self.config_table.get(namespace)?.get(key)?;
        Some(value)
    }

    pub(crate) fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.config_table.get(namespace)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Refused> {
        match change {
            Change::Put {
                namespace,
                key,
                value,
            } => self.put(namespace, key, value),
            Change::Delete { namespace, key } => {
                self.delete(namespace, key);
                Ok(())
            }
        }
    }

    fn put(&mut self, namespace: &str, key: &str, value: &str) -> Result<(), Refused> {
        let is_name = |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len());
        if !is_name(namespace) || !is_name(key) {
            return Err(Refused::Name);
        }
        let before = self.value(namespace, key);
        let freed = before.map_or(0, |before| size(namespace, key, before));
        if self.bytes() - freed + size(namespace, key, value) > BYTES_MAX {
            return Err(Refused::Full);
        }
        let entries = self.config_table.entry(namespace.to_owned()).or_default();
        entries.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn delete(&mut self, namespace: &str, key: &str) {
        if let Some(entries) = self.config_table.get_mut(namespace) {
            entries.remove(key);
            if entries.is_empty() {
                self.config_table.remove(namespace);
            }
        }
    }

    fn bytes(&self) -> usize {
        let entries = |(namespace, entries): (&String, &BTreeMap<String, String>)| -> usize {
            let sizes = entries
                .iter()
                .map(|(key, value)| size(namespace, key, value));
            sizes.sum()
        };
        self.config_table.iter().map(entries).sum()
    }
}

fn size(namespace: &str, key: &str, value: &str) -> usize {
    namespace.len() + key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_exists_while_it_has_a_key() {
        let mut settings = Settings::default();
        assert_eq!(settings.put("ns", "k", "v"), Ok(()));
        assert_eq!(settings.put("ns", "k", "w"), Ok(()));
        assert_eq!(settings.value("ns", "k"), Some("w"));
        settings.delete("ns", "other");
        settings.delete("other", "k");
        assert_eq!(settings.namespace("ns").map(BTreeMap::len), Some(1));
        settings.delete("ns", "k");
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_settings_are_full_at_their_limit_and_not_before() {
        let mut settings = Settings::default();
        let room = BYTES_MAX - size("ns", "k", "") - size("ns", "l", "");
        let value = "v".repeat(room / 2);
        assert_eq!(settings.put("ns", "k", &value), Ok(()));
        assert_eq!(settings.put("ns", "l", &value), Ok(()));
        assert_eq!(settings.bytes(), BYTES_MAX);
        assert_eq!(
            settings.put("ns", "k", &value),
            Ok(()),
            "in place of itself"
        );
        assert_eq!(settings.put("ns", "m", ""), Err(Refused::Full));
        settings.delete("ns", "l");
        assert_eq!(settings.put("ns", "m", ""), Ok(()));
    }

    #[test]
    fn names_have_a_length() {
        let mut settings = Settings::default();
        let (longest, longer) = ("n".repeat(255), "n".repeat(256));
        assert_eq!(settings.put(&longest, &longest, ""), Ok(()));
        for (namespace, key) in [(&*longer, "k"), ("ns", &*longer), ("", "k"), ("ns", "")] {
            assert_eq!(settings.put(namespace, key, ""), Err(Refused::Name));
        }
    }
}
