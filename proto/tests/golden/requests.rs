//! Requests of Java clients and brokers.

use bytes::Bytes;
use proto::message::BatchItems;
use proto::remoting::Request;
use proto::remoting::clients::{
    ConsumerData, ConsumerGroup, Heartbeat, MessageQueue, ProducerData, QueueLocks, Subscription,
};
use proto::remoting::config::{DataVersion, TopicConfig, TopicOf};
use proto::remoting::header::{Envelope, Language, Serialization};
use proto::remoting::naming::{RegisterBody, RegisterBroker};
use proto::remoting::pull::{Pull, QueryConsumerOffset, UpdateConsumerOffset};
use proto::remoting::send::{Send, SendFields};
use serde_json::Value;

use crate::{again, fixture, sorted_pairs};

const TEXT: &str = "grüße 世界 🚀";
const PROPERTIES: &str = "KEYS\u{1}k1 schlüssel\u{2}UNIQ_KEY\u{1}7F0000010001000000000000000000AA\
    \u{2}WAIT\u{1}true\u{2}TAGS\u{1}created\u{2}größe\u{1}grüße 世界 🚀\u{2}";

fn send(batch: bool, properties: &str, body: &[u8]) -> Request {
    let fields = SendFields {
        producer_group: Some("producers".into()),
        topic: "orders".into(),
        default_topic: "TBW102".into(),
        default_topic_queues: 4,
        queue_id: 3,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 7,
        properties: Some(properties.into()),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: Some(0),
        batch: Some(batch),
    };
    let body = Bytes::copy_from_slice(body);
    Request::Send(Send { fields, body })
}

fn subscription(topic: &str, text: &str, sub_version: i64) -> Subscription {
    Subscription {
        topic: topic.to_owned(),
        sub_string: text.to_owned(),
        sub_version,
        expression_type: "TAG".to_owned(),
        ..Subscription::default()
    }
}

fn heartbeat() -> Heartbeat {
    let by_tag = Subscription {
        tags_set: vec!["A".to_owned(), "B".to_owned()],
        code_set: vec![65, 66],
        ..subscription("orders", "A || B", 1_700_000_000_000)
    };
    let retry = subscription("%RETRY%group-1", "*", 1_700_000_000_001);
    Heartbeat {
        client_id: "127.0.0.1@1#2".to_owned(),
        producer_data_set: vec![ProducerData {
            group_name: "producers".to_owned(),
        }],
        consumer_data_set: vec![ConsumerData {
            group_name: "group-1".to_owned(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            message_model: "CLUSTERING".to_owned(),
            consume_from_where: "CONSUME_FROM_LAST_OFFSET".to_owned(),
            subscription_data_set: vec![by_tag, retry],
            unit_mode: false,
        }],
        heartbeat_fingerprint: 0,
        without_sub: false,
    }
}

fn route(standard_json: Option<bool>) -> Request {
    Request::Route(TopicOf {
        topic: "orders".into(),
        cluster: None,
        standard_json,
    })
}

fn pull() -> Request {
    Request::Pull(Pull {
        group: "group-1".into(),
        topic: "orders".into(),
        queue_id: 3,
        queue_offset: 41,
        messages_max: 32,
        sys_flag: 7,
        commit_offset: 40,
        suspend_timeout_ms: 15_000,
        subscription: Some("A || B".into()),
        sub_version: 1_700_000_000_000,
        expression_type: Some("TAG".into()),
        bytes_max: Some(i32::MAX),
    })
}

fn locks() -> QueueLocks {
    let queue = |queue_id| MessageQueue {
        broker_name: "broker-a".to_owned(),
        queue_id,
        topic: "orders".to_owned(),
    };
    QueueLocks {
        consumer_group: "group-1".to_owned(),
        client_id: "127.0.0.1@1#2".to_owned(),
        only_this_broker: false,
        mq_set: vec![queue(0), queue(1)],
    }
}

/// What every request that has no body of its own form says.
fn wanted() -> Vec<(&'static str, Request)> {
    let group = || ConsumerGroup {
        group: "group-1".into(),
    };
    let text = TEXT.as_bytes();
    let query = QueryConsumerOffset {
        group: "group-1".into(),
        topic: "orders".into(),
        queue_id: 3,
        set_zero_if_not_found: None,
    };
    let update = UpdateConsumerOffset {
        group: "group-1".into(),
        topic: "orders".into(),
        queue_id: 3,
        commit_offset: Some((1 << 53) + 1),
    };
    let consumers_changed = Request::ConsumersChanged(group());
    // 4.9 leaves out the last separator.
    let old_properties = PROPERTIES.trim_end_matches('\u{2}');
    vec![
        ("send-v1", send(false, PROPERTIES, text)),
        ("send-v1.4.9", send(false, old_properties, text)),
        ("send-v2.4.9", send(false, old_properties, text)),
        ("send-v2", send(false, PROPERTIES, text)),
        ("pull", pull()),
        ("heartbeat", Request::Heartbeat(heartbeat())),
        ("route", route(None)),
        ("route-standard-json", route(Some(true))),
        ("query-consumer-offset", Request::QueryConsumerOffset(query)),
        (
            "update-consumer-offset-oneway",
            Request::UpdateConsumerOffset(update),
        ),
        ("lock-batch", Request::LockQueues(locks())),
        ("consumer-list", Request::ConsumerIds(group())),
        ("notify-consumer-ids-changed-oneway", consumers_changed),
    ]
}

/// The captured frames of one request in both serializations, and those of 4.9 where it says the
/// same in other words. What 4.9 says differently is a request of its own, `name.4.9`.
fn captured(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut frames = fixture::frames();
    let differs = ["send-v1", "send-v2"].contains(&name);
    frames.retain(
        |(file, _)| match (name.strip_suffix(".4.9"), file.strip_suffix(".4.9")) {
            (Some(name), Some(file)) => file.split('.').next() == Some(name),
            (None, old) => file.split('.').next() == Some(name) && !(differs && old.is_some()),
            (Some(_), None) => false,
        },
    );
    assert!(frames.len() >= 2, "{name}");
    frames
}

fn read(file: &str, bytes: &[u8]) -> Request {
    let frame = fixture::frame(bytes);
    let header = frame.header().unwrap();
    let version = if file.ends_with(".4.9") { 409 } else { 513 };
    assert_eq!(
        (header.language, header.version, header.is_response()),
        (Language::JAVA, version, false),
        "{file}"
    );
    assert_eq!(header.is_oneway(), file.contains("-oneway"), "{file}");
    Request::decode(header, &frame).unwrap()
}

#[test]
fn requests_say_what_their_java_senders_said() {
    for (name, wanted) in wanted() {
        for (file, bytes) in captured(name) {
            assert_eq!(read(&file, &bytes), wanted, "{file}");
        }
    }
}

#[test]
fn our_own_requests_read_back_and_carry_what_java_carries() {
    for (name, request) in wanted() {
        let envelope = Envelope::request(request.code(), 7, false);
        for how in [Serialization::Json, Serialization::Binary] {
            let frame = again(&request, &envelope, how, &request.body());
            let back = Request::decode(frame.header().unwrap(), &frame);
            assert_eq!(back.as_ref(), Ok(&request), "{name} {how:?}");
            if name.starts_with("send-v1") {
                // We only send the form with letters.
                continue;
            }
            for (file, bytes) in captured(name) {
                let java = fixture::frame(&bytes);
                let mut pairs = sorted_pairs(&java);
                // The name of the broker, which no server here needs.
                pairs.retain(|(name, _)| name != "n" && name != "bname");
                assert_eq!(sorted_pairs(&frame), pairs, "{file} {how:?}");
                if !file.ends_with(".4.9") {
                    assert_eq!(value(&frame.body), value(&java.body), "{file}");
                }
            }
        }
    }
}

/// A body that is JSON as its value, another as text.
fn value(body: &[u8]) -> Value {
    let text = || String::from_utf8_lossy(body).into_owned();
    serde_json::from_slice(&proto::json::standard(body)).unwrap_or_else(|_| text().into())
}

#[test]
fn a_batch_keeps_its_messages() {
    for (file, bytes) in captured("send-batch") {
        let Request::Send(sent) = read(&file, &bytes) else {
            panic!("{file} is a send");
        };
        let wanted = send(true, "WAIT\u{1}true\u{2}", &sent.body);
        assert_eq!(Request::Send(sent.clone()), wanted, "{file}");
        assert_eq!(Request::Send(sent.clone()).code(), 320);
        let items: Vec<_> = BatchItems::new(&sent.body).map(Result::unwrap).collect();
        let bodies = items.iter().map(|item| String::from_utf8_lossy(item.body));
        let texts = ["0", "1", "2"].map(|n| format!("body {n} {TEXT}"));
        let wanted = texts.into_iter().chain(["\u{1}".to_owned()]);
        assert!(bodies.eq(wanted), "{file}");
    }
}

#[test]
fn registrations_name_their_broker_and_their_topics() {
    for (file, bytes) in captured("register-broker") {
        let Request::RegisterBroker { fields, body } = read(&file, &bytes) else {
            panic!("{file} is a registration");
        };
        let is_old = file.ends_with(".4.9");
        assert_eq!(fields, registration(is_old, false, &body), "{file}");
        let topic = |name: &str, perm| (name.to_owned(), TopicConfig::new(name, 8, perm));
        let said = proto::json::read::<RegisterBody>(&body).unwrap();
        let table = said.topic_config_serialize_wrapper;
        let version = DataVersion {
            counter: 7,
            state_version: 0,
            timestamp: 1_700_000_000_000,
        };
        assert_eq!(table.data_version, version, "{file}");
        assert_eq!(
            table.topic_config_table,
            [topic("TBW102", 7), topic("orders", 6)].into(),
            "{file}"
        );
    }
    for (file, bytes) in captured("register-broker-compressed") {
        let Request::RegisterBroker { fields, body } = read(&file, &bytes) else {
            panic!("{file} is a registration");
        };
        let is_old = file.ends_with(".4.9");
        assert_eq!(fields, registration(is_old, true, &body), "{file}");
        assert_eq!(body[0], 0x78, "{file} is zlib");
    }
}

fn registration(is_old: bool, compressed: bool, body: &[u8]) -> RegisterBroker {
    let crc32 = crc32fast::hash(body) & 0x7fff_ffff;
    RegisterBroker {
        broker_name: "broker-a".into(),
        broker_addr: "10.1.2.3:10911".into(),
        cluster_name: "DefaultCluster".into(),
        ha_server_addr: "10.1.2.3:10912".into(),
        broker_id: 0,
        heartbeat_timeout_ms: (!is_old).then_some(120_000),
        acting_master: (!is_old).then_some(false),
        compressed: Some(compressed),
        body_crc32: Some(crc32.into()),
        is_part: None,
    }
}
