//! The body of a registration, in the two forms that brokers send:
//! ```text
//! JSON        {"topicConfigSerializeWrapper":{"dataVersion":{..},"topicConfigTable":{"t":{..}}},..}
//! compressed  zlib of: i32 length | data version as JSON
//!                      i32 topics | repeat { i32 length | "name readQueues writeQueues perm .." }
//!                      further blocks, not read here
//! ```
//! The first byte tells which it is (`{` or 0x78): what the header says about it is not always true.
//! Filter servers and static topics, which no longer have users, are passed over.
//!
//! Invariant: what comes out is bounded, however small the body was: at most `TOPICS_MAX` topics, and
//! at most `maxUnpackedBytes` and `INFLATED_RATIO_MAX` times the body while it is unpacked.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use bytes::Buf;
use flate2::read::ZlibDecoder;
use proto::json::{self, JsonError, null_as_default};
use proto::remoting::config::DataVersion;
use proto::remoting::naming::BROKER_TOPICS_MAX;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Topics of one registration; more are refused.
pub(crate) const TOPICS_MAX: usize = BROKER_TOPICS_MAX;
/// An unpacked body, in times its own size; a larger one is refused.
pub(crate) const INFLATED_RATIO_MAX: usize = 100;

/// Why a registration could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistrationError {
    /// compat: DefaultRequestProcessor#registerBroker words it so.
    #[error("crc32 not match")]
    Checksum,
    #[error("the registration is neither json nor zlib")]
    UnknownForm,
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("the registration cannot be unpacked: {0}")]
    Zlib(#[from] io::Error),
    #[error("the registration unpacks to more than {0} bytes")]
    TooLarge(usize),
    #[error("the registration has more than {TOPICS_MAX} topics")]
    TooManyTopics,
    #[error("the registration ends inside {0}, or has an illegal {0}")]
    Malformed(&'static str),
}

/// What a broker says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) version: DataVersion,
    pub(crate) topics: BTreeMap<String, Queues>,
}

/// One topic on one broker, as far as a route tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Queues {
    pub(crate) perm: i32,
    pub(crate) read_queue_nums: i32,
    pub(crate) write_queue_nums: i32,
    pub(crate) topic_sys_flag: i32,
}

impl Default for Queues {
    /// compat: TopicConfig, what an absent member means.
    fn default() -> Self {
        Self {
            perm: 6,
            read_queue_nums: 16,
            write_queue_nums: 16,
            topic_sys_flag: 0,
        }
    }
}

impl Registration {
    /// Reads `body`. `crc32` is what the header says; 0 says nothing. A packed one may have
    /// `unpacked_max` bytes; the other form is bounded by its frame.
    pub(crate) fn decode(
        body: &[u8],
        crc32: i64,
        unpacked_max: usize,
    ) -> Result<Self, RegistrationError> {
        // compat: UtilAll#crc32 drops the sign bit.
        if crc32 != 0 && crc32 != i64::from(crc32fast::hash(body) & 0x7fff_ffff) {
            return Err(RegistrationError::Checksum);
        }
        match body.first() {
            None => Ok(Self::default()),
            Some(b'{') => {
                let Json { topics: table } = json::read(body)?;
                Ok(Self {
                    version: table.data_version,
                    topics: table.topic_config_table,
                })
            }
            Some(0x78) => Self::unpacked(&inflate(body, unpacked_max)?),
            Some(_) => Err(RegistrationError::UnknownForm),
        }
    }

    fn unpacked(mut bytes: &[u8]) -> Result<Self, RegistrationError> {
        let version = json::read(block(&mut bytes, "data version")?)?;
        let count = length(&mut bytes, "number of topics")?;
        if count > TOPICS_MAX {
            return Err(RegistrationError::TooManyTopics);
        }
        let mut topics = BTreeMap::new();
        for _ in 0..count {
            let line = str::from_utf8(block(&mut bytes, "topic")?).ok();
            let (name, queues) = line
                .and_then(topic)
                .ok_or(RegistrationError::Malformed("topic"))?;
            topics.insert(name.to_owned(), queues);
        }
        Ok(Self { version, topics })
    }
}

fn inflate(body: &[u8], most: usize) -> Result<Vec<u8>, RegistrationError> {
    let max = most.min(body.len().saturating_mul(INFLATED_RATIO_MAX));
    let mut bytes = Vec::new();
    ZlibDecoder::new(body)
        .take(max as u64 + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(RegistrationError::TooLarge(max));
    }
    Ok(bytes)
}

fn length(bytes: &mut &[u8], what: &'static str) -> Result<usize, RegistrationError> {
    let length = bytes.try_get_i32().ok();
    length
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(RegistrationError::Malformed(what))
}

fn block<'a>(bytes: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], RegistrationError> {
    let length = length(bytes, what)?;
    let (block, rest) = bytes
        .split_at_checked(length)
        .ok_or(RegistrationError::Malformed(what))?;
    *bytes = rest;
    Ok(block)
}

/// compat: TopicConfig#encode; the filter type and the attributes behind it are of no use here.
fn topic(line: &str) -> Option<(&str, Queues)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    let (read_queue_nums, write_queue_nums) = (number()?, number()?);
    let queues = Queues {
        read_queue_nums,
        write_queue_nums,
        perm: number()?,
        topic_sys_flag: 0,
    };
    Some((name, queues))
}

#[derive(Deserialize)]
struct Json {
    #[serde(
        rename = "topicConfigSerializeWrapper",
        default,
        deserialize_with = "null_as_default"
    )]
    topics: Topics,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Topics {
    #[serde(deserialize_with = "null_as_default")]
    data_version: DataVersion,
    #[serde(deserialize_with = "topics")]
    topic_config_table: BTreeMap<String, Queues>,
}

/// A map, or null, that is refused when it grows beyond its limit, not after.
fn topics<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, Queues>, D::Error> {
    struct Topics;

    impl<'de> Visitor<'de> for Topics {
        type Value = BTreeMap<String, Queues>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table of topics")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut topics = BTreeMap::new();
            while let Some((name, queues)) = map.next_entry()? {
                if topics.len() == TOPICS_MAX {
                    return Err(A::Error::custom(RegistrationError::TooManyTopics));
                }
                topics.insert(name, queues);
            }
            Ok(topics)
        }
    }

    input.deserialize_any(Topics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use proto::remoting::Request;
    use proto::remoting::frame::Frame;
    use std::io::Write;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(bytes).unwrap();
        zlib.finish().unwrap()
    }

    fn blocks(topics: i32, texts: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            if at == 1 {
                bytes.extend(topics.to_be_bytes());
            }
            bytes.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    fn refusal(body: &[u8]) -> String {
        Registration::decode(body, 0, 4 << 20)
            .unwrap_err()
            .to_string()
    }

    const VERSION: &str = r#"{"counter":7,"stateVersion":2,"timestamp":5}"#;

    fn orders() -> Registration {
        let queues = Queues {
            perm: 4,
            read_queue_nums: 8,
            write_queue_nums: 3,
            topic_sys_flag: 0,
        };
        Registration {
            version: DataVersion {
                counter: 7,
                state_version: 2,
                timestamp: 5,
            },
            topics: BTreeMap::from([("orders".to_owned(), queues)]),
        }
    }

    #[test]
    fn both_forms_mean_the_same() {
        let json = format!(
            r#"{{"filterServerList":["x"],"topicConfigSerializeWrapper":{{"dataVersion":{VERSION},
            "topicConfigTable":{{"orders":{{"attributes":{{}},"perm":4,"readQueueNums":8,
            "topicName":"orders","writeQueueNums":3}}}},"topicQueueMappingInfoMap":{{"a":{{}}}}}}}}"#
        );
        assert_eq!(
            Registration::decode(json.as_bytes(), 0, 4 << 20).unwrap(),
            orders()
        );
        let line = r#"orders 8 3 4 SINGLE_TAG {"+a b":"c"}"#;
        let body = packed(&blocks(1, &[VERSION, line, "[]"]));
        assert_eq!(Registration::decode(&body, 0, 4 << 20).unwrap(), orders());
    }

    /// Frames of the Java brokers 5.5.0 and 4.9.8, each with the same two topics in both forms.
    const CAPTURED: [&[u8]; 4] = [
        include_bytes!("../../proto/fixtures/remoting/register-broker.json.bin"),
        include_bytes!("../../proto/fixtures/remoting/register-broker-compressed.json.bin"),
        include_bytes!("../../proto/fixtures/remoting/register-broker.json.4.9.bin"),
        include_bytes!("../../proto/fixtures/remoting/register-broker-compressed.json.4.9.bin"),
    ];

    #[test]
    fn registrations_of_java_brokers_are_read() {
        let queues = |perm| Queues {
            perm,
            read_queue_nums: 8,
            write_queue_nums: 8,
            topic_sys_flag: 0,
        };
        let wanted = BTreeMap::from([
            ("TBW102".to_owned(), queues(7)),
            ("orders".to_owned(), queues(6)),
        ]);
        for bytes in CAPTURED {
            let frame = Frame::split_off(&mut bytes.into(), 1 << 20);
            let frame = frame.unwrap().unwrap();
            let request = Request::decode(frame.header().unwrap(), &frame);
            let Ok(Request::RegisterBroker { fields, body }) = request else {
                panic!("{request:?}");
            };
            let crc32 = fields.body_crc32.unwrap();
            assert_ne!(crc32, 0);
            let read = Registration::decode(&body, crc32, 4 << 20).unwrap();
            assert_eq!((read.topics, read.version.counter), (wanted.clone(), 7));
        }
    }

    #[test]
    fn nothing_and_nulls_are_an_empty_registration() {
        let empty: [&[u8]; 3] = [
            b"",
            br#"{"topicConfigSerializeWrapper":null}"#,
            br#"{"topicConfigSerializeWrapper":{"dataVersion":null,"topicConfigTable":null}}"#,
        ];
        for body in empty {
            let read = Registration::decode(body, 0, 4 << 20).unwrap();
            assert_eq!(read, Registration::default());
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused_and_none_is_not_checked() {
        let body = b"{}";
        let right = i64::from(crc32fast::hash(body) & 0x7fff_ffff);
        assert!(Registration::decode(body, right, 4 << 20).is_ok());
        let wrong = Registration::decode(body, right ^ 1, 4 << 20).unwrap_err();
        assert_eq!(wrong.to_string(), "crc32 not match");
    }

    #[test]
    fn a_bomb_is_refused_without_being_unpacked() {
        let dense = packed(&vec![0; 1 << 20]);
        let sparse: Vec<_> = (0_u64..40_000)
            .flat_map(|n| [n.to_be_bytes(); 16])
            .flatten()
            .collect();
        let sparse = packed(&sparse);
        assert!(sparse.len() * 100 > 4 << 20);
        for (bomb, max) in [(&dense, dense.len() * 100), (&sparse, 4 << 20)] {
            let told = format!("the registration unpacks to more than {max} bytes");
            assert_eq!(refusal(bomb), told);
        }
    }

    #[test]
    fn an_unpacked_body_has_the_size_that_is_set() {
        let raw = blocks(1, &[VERSION, "orders 8 3 4 SINGLE_TAG"]);
        let body = packed(&raw);
        assert!(Registration::decode(&body, 0, raw.len()).is_ok());
        let refused = Registration::decode(&body, 0, raw.len() - 1).unwrap_err();
        let told = format!(
            "the registration unpacks to more than {} bytes",
            raw.len() - 1
        );
        assert_eq!(refused.to_string(), told);
    }

    #[test]
    fn too_many_topics_are_refused_in_both_forms() {
        let announced = packed(&blocks(100_001, &[VERSION, ""]));
        assert_eq!(
            refusal(&announced),
            "the registration has more than 100000 topics"
        );
        let table: Vec<_> = (0..=TOPICS_MAX).map(|n| format!("\"{n}\":{{}}")).collect();
        let json = format!(
            r#"{{"topicConfigSerializeWrapper":{{"topicConfigTable":{{{}}}}}}}"#,
            table.join(",")
        );
        assert!(refusal(json.as_bytes()).contains("more than 100000 topics"));
    }

    #[test]
    fn every_cut_of_a_body_is_refused() {
        let raw = blocks(1, &[VERSION, "orders 8 3 4 SINGLE_TAG"]);
        for end in 0..raw.len() {
            assert!(
                Registration::decode(&packed(&raw[..end]), 0, 4 << 20).is_err(),
                "unpacked body cut at {end}"
            );
        }
        let body = packed(&raw);
        for end in 1..body.len() {
            assert!(
                Registration::decode(&body[..end], 0, 4 << 20).is_err(),
                "body cut at {end}"
            );
        }
    }

    #[test]
    fn odd_lengths_and_lines_are_refused() {
        let mut negative = blocks(1, &[VERSION, "t"]);
        negative[..4].copy_from_slice(&(-1_i32).to_be_bytes());
        assert!(refusal(&packed(&negative)).contains("data version"));
        for line in ["", "t", "t 1 2", "t 1 2 x SINGLE_TAG"] {
            let told = refusal(&packed(&blocks(1, &[VERSION, line])));
            assert!(told.ends_with("illegal topic"), "{line}: {told}");
        }
        assert_eq!(refusal(b"?"), "the registration is neither json nor zlib");
    }
}
