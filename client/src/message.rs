//! What a producer gives: a message before it has a place.

use bytes::Bytes;
use proto::Text;
use proto::message::{property, push_property};

/// Bytes of a body, and of a whole batch, that brokers take by default.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of all properties as they are stored.
const PROPERTY_BYTES_MAX: usize = 32_767;
/// Room for the id and the separators.
const ID_PROPERTY_BYTES: usize = 68;

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub topic: Text,
    /// What consumers of a topic filter by.
    pub tag: Option<Text>,
    /// Words by which it can be found again; none contains a blank.
    pub keys: Vec<Text>,
    /// Messages with one sharding key go to one queue, so they are read in order.
    pub sharding_key: Option<Text>,
    /// User properties.
    pub properties: Vec<(Text, Text)>,
    pub body: Bytes,
}

impl Message {
    pub fn new(topic: impl Into<Text>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<Text>) -> Self {
        self.keys.push(key.into());
        self
    }

    #[must_use]
    pub fn sharding_key(mut self, key: impl Into<Text>) -> Self {
        self.sharding_key = Some(key.into());
        self
    }

    #[must_use]
    pub fn property(mut self, name: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// What a broker would refuse, in words; checked before anything is sent.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.topic.is_empty() {
            return Some("the topic is empty");
        }
        if self.body.is_empty() {
            return Some("the body is empty");
        }
        if self.body.len() > BODY_BYTES_MAX {
            return Some("the body is larger than 4 MiB");
        }
        let texts = self.tag.iter().chain(&self.keys).chain(&self.sharding_key);
        let pairs = self
            .properties
            .iter()
            .flat_map(|(name, value)| [name, value]);
        if texts.chain(pairs).any(|text| is_illegal(text)) {
            return Some(
                "a tag, key or property is empty or has one of the characters U+0000 to U+0002",
            );
        }
        (self.property_bytes() > PROPERTY_BYTES_MAX).then_some("the properties are too large")
    }

    fn property_bytes(&self) -> usize {
        let texts = self.tag.iter().chain(&self.keys).chain(&self.sharding_key);
        let pairs = self
            .properties
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2);
        ID_PROPERTY_BYTES
            + 32
            + texts.map(|text| text.len() + 1).sum::<usize>()
            + pairs.sum::<usize>()
    }

    /// All its properties in the form in which they travel and are stored.
    pub(crate) fn encode_properties(&self, id: &str) -> String {
        let mut text = String::with_capacity(self.property_bytes());
        push_property(&mut text, property::UNIQUE_KEY, id);
        if let Some(tag) = &self.tag {
            push_property(&mut text, property::TAGS, tag);
        }
        match self.keys.as_slice() {
            [] => {}
            [one] => push_property(&mut text, property::KEYS, one),
            many => push_property(&mut text, property::KEYS, &many.join(" ")),
        }
        if let Some(key) = &self.sharding_key {
            push_property(&mut text, property::SHARDING_KEY, key);
        }
        for (name, value) in &self.properties {
            push_property(&mut text, name, value);
        }
        text
    }
}

fn is_illegal(text: &str) -> bool {
    text.is_empty() || text.bytes().any(|byte| byte <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_encoded_as_rocketmq_has_them() {
        let message = Message::new("t", "b")
            .tag("T")
            .key("a")
            .key("b")
            .sharding_key("s")
            .property("n", "v");
        assert_eq!(
            message.encode_properties("ID"),
            "UNIQ_KEY\u{1}ID\u{2}TAGS\u{1}T\u{2}KEYS\u{1}a b\u{2}__SHARDINGKEY\u{1}s\u{2}n\u{1}v\u{2}"
        );
        assert_eq!(message.fault(), None);
    }

    #[test]
    fn what_a_broker_would_refuse_is_found_before() {
        let message = Message::new("t", "b");
        let faults = [
            Message::new("", "b"),
            Message::new("t", ""),
            Message::new("t", vec![0; BODY_BYTES_MAX + 1]),
            message.clone().tag(""),
            message.clone().key("a\u{1}"),
            message.clone().property("", "v"),
            message.clone().property("n", "\u{2}"),
            message
                .clone()
                .property("n", "v".repeat(PROPERTY_BYTES_MAX)),
        ];
        for faulty in faults {
            assert!(faulty.fault().is_some(), "{:?}", faulty.properties);
        }
    }
}
