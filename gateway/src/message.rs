//! The message, whatever door it comes through, and what may be in it.
//!
//! | concept | field | native | HTTP |
//! |---|---|---|---|
//! | topic, tag | `topic`, `tag` | topic, `TAGS` | `/t/{topic}:{tag}` |
//! | keys | `keys` | `KEYS` | `Mq-Key` |
//! | user properties | `properties` | properties | `Mq-Property` |
//! | order | `sharding_key` | sharding key -> queue | `Mq-Sharding-Key` |
//! | content type | `content_type` | `contentType` | `Content-Type` |
//! | trace context | `trace` | `traceparent`, `tracestate` | `traceparent`, `tracestate` |
//!
//! Invariant: what passes [`Message::check`] carries no character and no name that RocketMQ uses for
//! itself, so no door can make a message say what its sender may not.

use bytes::Bytes;
use proto::Text;
use proto::names;

use crate::error::{Code, Error};

/// User properties of one message.
pub(crate) const PROPERTIES_MAX: usize = 128;
/// Names and values of user properties, tag, keys and sharding key, in all.
pub(crate) const METADATA_BYTES_MAX: usize = 16 << 10;
pub(crate) const SHARDING_KEY_BYTES_MAX: usize = 63;

/// The property that remembers a content type (as Spring messaging names it).
pub(crate) const CONTENT_TYPE: &str = "contentType";
pub(crate) const TRACE: [&str; 2] = ["traceparent", "tracestate"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: Text,
    pub(crate) tag: Option<Text>,
    pub(crate) keys: Vec<Text>,
    pub(crate) sharding_key: Option<Text>,
    pub(crate) content_type: Option<Text>,
    /// `traceparent` and `tracestate`.
    pub(crate) trace: [Option<Text>; 2],
    pub(crate) properties: Vec<(Text, Text)>,
    pub(crate) body: Bytes,
}

impl Message {
    /// Checks all but the body, which may not have arrived yet.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_topic(&self.topic)?;
        if let Some(tag) = &self.tag
            && (is_blank(tag) || tag.contains('|') || has_control(tag))
        {
            return Err(Error::new(
                Code::IllegalMessageTag,
                "A tag is not blank and has no '|' and no control characters.",
            ));
        }
        if self
            .keys
            .iter()
            .any(|key| is_blank(key) || key.contains(' ') || has_control(key))
        {
            return Err(Error::new(
                Code::IllegalMessageKey,
                "A key is not blank and has no spaces and no control characters.",
            ));
        }
        if let Some(key) = &self.sharding_key
            && (is_blank(key) || key.len() > SHARDING_KEY_BYTES_MAX || has_control(key))
        {
            let detail =
                "A sharding key is not blank, shorter than 64 bytes, without control characters.";
            return Err(Error::new(Code::IllegalMessageGroup, detail).max(SHARDING_KEY_BYTES_MAX));
        }
        self.check_properties()
    }

    fn check_properties(&self) -> Result<(), Error> {
        for (name, value) in &self.properties {
            let wrong = if is_blank(name) || value.is_empty() {
                "is empty"
            } else if has_control(name) || has_control(value) {
                "has control characters"
            } else if is_reserved(name) {
                "has a name that is reserved"
            } else {
                continue;
            };
            let detail = format!("Property '{}' {wrong}.", name.escape_debug());
            return Err(Error::new(Code::IllegalMessagePropertyKey, detail));
        }
        if self.properties.len() > PROPERTIES_MAX {
            let detail = format!("There are more than {PROPERTIES_MAX} properties.");
            return Err(Error::new(Code::MessagePropertiesTooLarge, detail).max(PROPERTIES_MAX));
        }
        let texts = self.tag.iter().chain(&self.keys).chain(&self.sharding_key);
        let more = self.trace.iter().flatten().chain(&self.content_type);
        let pairs = self
            .properties
            .iter()
            .flat_map(|(name, value)| [name, value]);
        if texts
            .chain(more)
            .chain(pairs)
            .map(|text| text.len())
            .sum::<usize>()
            > METADATA_BYTES_MAX
        {
            let detail =
                format!("Tag, keys and properties together exceed {METADATA_BYTES_MAX} bytes.");
            return Err(Error::new(Code::MessagePropertiesTooLarge, detail).max(METADATA_BYTES_MAX));
        }
        Ok(())
    }
}

impl From<Message> for client::Message {
    fn from(message: Message) -> Self {
        let mut properties = message.properties;
        let trace = TRACE.iter().zip(message.trace);
        let trace = trace.filter_map(|(name, value)| Some((*name, value?)));
        let content_type = message.content_type.map(|value| (CONTENT_TYPE, value));
        let more = trace.chain(content_type);
        properties.extend(more.map(|(name, value)| (Text::from_static(name), value)));
        Self {
            topic: message.topic,
            tag: message.tag,
            keys: message.keys,
            sharding_key: message.sharding_key,
            properties,
            body: message.body,
        }
    }
}

fn check_topic(topic: &str) -> Result<(), Error> {
    let illegal = |detail: String| Error::new(Code::IllegalTopic, detail);
    names::check_topic(topic).map_err(|error| illegal(error.to_string()))?;
    let is_internal = names::is_retry_topic(topic) || names::is_dlq_topic(topic);
    if is_internal || names::is_system_topic(topic) || names::is_closed_to_clients(topic) {
        let detail = format!("Topic '{topic}' belongs to the system.");
        return Err(Error::new(Code::SystemTopic, detail));
    }
    Ok(())
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn has_control(text: &str) -> bool {
    // ASCII first: almost every text is.
    text.bytes().any(|byte| byte < b' ' || byte == 0x7f)
        || !text.is_ascii() && text.chars().any(char::is_control)
}

/// Is this property RocketMQ's own, or set by a field of the message?
fn is_reserved(name: &str) -> bool {
    const TRANSIENT: &str = "__RMQ.";
    RESERVED.binary_search(&name).is_ok()
        || TRACE.contains(&name)
        || name == CONTENT_TYPE
        || name.starts_with(TRANSIENT)
}

/// Sorted.
const RESERVED: [&str; 60] = [
    "1ST_POP_TIME",
    "ARRIVE_TIME",
    "BORN_TIMESTAMP",
    "BUYER_ID",
    "CHECK_IMMUNITY_TIME_IN_SECONDS",
    "CLUSTER",
    "CONSUME_START_TIME",
    "CORRECTION_FLAG",
    "CORRELATION_ID",
    "DELAY",
    "DLQ_ORIGIN_MESSAGE_ID",
    "DLQ_ORIGIN_TOPIC",
    "EXTEND_UNIQ_INFO",
    "INNER_BASE",
    "INNER_MULTI_DISPATCH",
    "INNER_MULTI_QUEUE_OFFSET",
    "INNER_NUM",
    "INSTANCE_ID",
    "KEYS",
    "MAX_OFFSET",
    "MAX_RECONSUME_TIMES",
    "MIN_OFFSET",
    "MQ2_FLAG",
    "MSG_REGION",
    "MSG_TYPE",
    "ORIGIN_MESSAGE_ID",
    "PGROUP",
    "POP_CK",
    "POP_CK_OFFSET",
    "PROPERTY_FORWARD_QUEUE_ID",
    "PUSH_REPLY_TIME",
    "REAL_QID",
    "REAL_TOPIC",
    "RECONSUME_TIME",
    "REDIRECT",
    "REPLY_TO_CLIENT",
    "RETRY_TOPIC",
    "TAGS",
    "TIMER_DELAY_LEVEL",
    "TIMER_DELAY_MS",
    "TIMER_DELAY_SEC",
    "TIMER_DELIVER_MS",
    "TIMER_DEL_UNIQKEY",
    "TIMER_DEQUEUE_MS",
    "TIMER_ENQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "TRACE_CONTEXT",
    "TRACE_ON",
    "TRANSACTION_CHECK_TIMES",
    "TRANSFER_FLAG",
    "TRAN_MSG",
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TTL",
    "UNIQ_KEY",
    "WAIT",
    "__BORNHOST",
    "__CRC32#",
    "__SHARDINGKEY",
    "__transactionId__",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            topic: "orders".into(),
            ..Message::default()
        }
    }

    fn code(message: Message) -> Option<Code> {
        message.check().err().map(|error| error.code)
    }

    #[test]
    fn reserved_names_are_sorted_so_that_each_is_found() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED
            .iter()
            .chain(&TRACE)
            .chain(&[CONTENT_TYPE, "__RMQ.x"])
        {
            assert!(is_reserved(name), "{name}");
        }
        assert!(!is_reserved("region"));
    }

    #[test]
    fn what_is_illegal_is_told_by_its_code() {
        let topic = |topic: &str| Message {
            topic: topic.into(),
            ..message()
        };
        let tag = |tag: &str| Message {
            tag: Some(tag.into()),
            ..message()
        };
        let key = |key: &str| Message {
            keys: vec![key.into()],
            ..message()
        };
        let shard = |key: &str| Message {
            sharding_key: Some(key.into()),
            ..message()
        };
        let property = |name: &str, value: &str| Message {
            properties: vec![(name.into(), value.into())],
            ..message()
        };
        let many = Message {
            properties: vec![("a".into(), "b".into()); 129],
            ..message()
        };
        let table = [
            (message(), None),
            (topic(""), Some(Code::IllegalTopic)),
            (topic("a.b"), Some(Code::IllegalTopic)),
            (topic(&"t".repeat(128)), Some(Code::IllegalTopic)),
            (topic("%RETRY%g"), Some(Code::SystemTopic)),
            (topic("%DLQ%g"), Some(Code::SystemTopic)),
            (topic("rmq_sys_x"), Some(Code::SystemTopic)),
            (topic("SCHEDULE_TOPIC_XXXX"), Some(Code::SystemTopic)),
            (topic("TBW102"), Some(Code::SystemTopic)),
            (tag("paid"), None),
            (tag(" "), Some(Code::IllegalMessageTag)),
            (tag("a|b"), Some(Code::IllegalMessageTag)),
            (tag("a\u{1}"), Some(Code::IllegalMessageTag)),
            (tag("a\u{85}"), Some(Code::IllegalMessageTag)),
            (key("a b"), Some(Code::IllegalMessageKey)),
            (key(""), Some(Code::IllegalMessageKey)),
            (shard(&"s".repeat(63)), None),
            (shard(&"s".repeat(64)), Some(Code::IllegalMessageGroup)),
            (property("region", "eu"), None),
            (property("KEYS", "x"), Some(Code::IllegalMessagePropertyKey)),
            (
                property("contentType", "x"),
                Some(Code::IllegalMessagePropertyKey),
            ),
            (
                property("a", "b\u{2}"),
                Some(Code::IllegalMessagePropertyKey),
            ),
            (property("", "b"), Some(Code::IllegalMessagePropertyKey)),
            (
                property("a", &"v".repeat(16 << 10)),
                Some(Code::MessagePropertiesTooLarge),
            ),
            (many, Some(Code::MessagePropertiesTooLarge)),
        ];
        for (message, expected) in table {
            let what = format!("{message:?}");
            assert_eq!(code(message), expected, "{what}");
        }
    }

    #[test]
    fn fields_become_the_properties_that_native_clients_know() {
        let sent = client::Message::from(Message {
            content_type: Some("text/plain".into()),
            trace: [Some("00-1-2-01".into()), None],
            properties: vec![("n".into(), "v".into())],
            ..message()
        });
        let pairs: Vec<_> = sent.properties.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            pairs,
            [
                ("n", "v"),
                ("traceparent", "00-1-2-01"),
                ("contentType", "text/plain")
            ]
        );
    }
}
