//! What Java brokers and name servers answer.

use bytes::Bytes;
use proto::json;
use proto::message::records;
use proto::remoting::clients::{ConsumerIds, HeartbeatTaken, Locked, MessageQueue};
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::naming::{BrokerData, BrokerRegistered, Cluster, QueueData, TopicRoute};
use proto::remoting::pull::{OffsetIs, Pulled};
use proto::remoting::reply::ReplyFields;
use proto::remoting::send::Sent;
use proto::remoting::stats::{ConsumeStats, KvTable, QueueOffsets, QueueProgress, TopicStats};
use proto::remoting::{Content, Reply, ResponseCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{again, fixture, sorted_pairs};

/// The captured frames of one answer, read.
fn captured(name: &str) -> Vec<(String, Reply, Vec<u8>)> {
    let mut frames = fixture::frames();
    frames.retain(|(file, _)| file.split('.').next() == Some(name));
    assert!(!frames.is_empty(), "{name}");
    let read = |(file, bytes): (String, Vec<u8>)| {
        let frame = fixture::frame(&bytes);
        let header = frame.header().unwrap();
        assert!(header.is_response(), "{file}");
        (file, Reply::decode(header, &frame), bytes)
    };
    frames.into_iter().map(read).collect()
}

/// Checks the parameters of an answer, and that ours with the same are no others.
fn check<T>(name: &str, code: ResponseCode, remark: Option<&str>, fields: &T)
where
    T: ReplyFields + Into<Content> + std::fmt::Debug + PartialEq,
{
    for (file, reply, bytes) in captured(name) {
        assert_eq!(
            (reply.code, reply.remark.as_deref()),
            (code, remark),
            "{file}"
        );
        assert_eq!(reply.read::<T>().as_ref(), Ok(fields), "{file}");
        let ours = Reply {
            body: reply.body.clone(),
            remark: reply.remark.clone(),
            ..Reply::new(code).with(fields.clone())
        };
        assert_eq!(ours.read::<T>().as_ref(), Ok(fields), "in process");
        for how in [Serialization::Json, Serialization::Binary] {
            let envelope = Envelope::response(code.0, 7, remark);
            let frame = again(&ours, &envelope, how, &ours.whole_body());
            let back = Reply::decode(frame.header().unwrap(), &frame);
            assert_eq!(back.read::<T>().as_ref(), Ok(fields), "{file} {how:?}");
            assert_eq!(
                (back.remark, back.body),
                (ours.remark.clone(), ours.body.clone())
            );
            let java = sorted_pairs(&fixture::frame(&bytes));
            assert_eq!(sorted_pairs(&frame), java, "{file} {how:?}");
        }
    }
}

/// Checks the body of an answer, and that ours with the same content has the same value.
fn check_body<T>(name: &str, wanted: &T, ours: impl Fn(&T) -> Bytes)
where
    T: DeserializeOwned + std::fmt::Debug + PartialEq,
{
    for (file, reply, _) in captured(name) {
        let body = reply.whole_body();
        assert_eq!(json::read::<T>(&body).as_ref(), Ok(wanted), "{file}");
        let value = |body: &[u8]| json::read::<Value>(body).unwrap();
        let mut ours = value(&ours(wanted));
        if file.ends_with(".4.9") {
            // Not known there yet.
            for broker in ours["brokerDatas"].as_array_mut().unwrap() {
                broker.as_object_mut().unwrap().remove("enableActingMaster");
            }
        }
        assert_eq!(ours, value(&body), "{file}");
    }
}

fn by_serde<T: Serialize>(value: &T) -> Bytes {
    json::write(value)
}

fn sent(message_id: &str) -> Sent {
    Sent {
        message_id: message_id.into(),
        queue_id: 3,
        queue_offset: 41,
        transaction_id: Some("7F0000010001000000000000000000AA".into()),
        region: Some("DefaultRegion".into()),
        trace_on: Some("true".into()),
    }
}

#[test]
fn answers_carry_their_parameters() {
    let ok = ResponseCode::SUCCESS;
    check(
        "send-response",
        ok,
        None,
        &sent("0A01020300002A9F0000000000000400"),
    );
    check(
        "query-consumer-offset-response",
        ok,
        None,
        &OffsetIs { offset: 41 },
    );
    let registered = BrokerRegistered {
        ha_server_addr: Some("10.1.2.3:10912".into()),
        master_addr: Some("10.1.2.3:10911".into()),
    };
    check("register-broker-response-kv", ok, None, &registered);
    let taken = HeartbeatTaken {
        v2_supported: true,
        subscription_changed: true,
    };
    check("live-heartbeat-response", ok, None, &taken);
}

#[test]
fn pulls_say_where_to_go_on_whatever_came_of_them() {
    let pulled = Pulled {
        suggested_broker: 0,
        next_offset: 43,
        min_offset: 0,
        max_offset: 43,
        topic_sys_flag: None,
        group_sys_flag: None,
    };
    let outcomes = [
        ("found", ResponseCode::SUCCESS, "FOUND"),
        (
            "not-found",
            ResponseCode::PULL_NOT_FOUND,
            "OFFSET_OVERFLOW_ONE",
        ),
        (
            "retry",
            ResponseCode::PULL_RETRY_IMMEDIATELY,
            "NO_MATCHED_MESSAGE",
        ),
        (
            "moved",
            ResponseCode::PULL_OFFSET_MOVED,
            "OFFSET_OVERFLOW_BADLY",
        ),
    ];
    for (name, code, status) in outcomes {
        check(
            &format!("pull-response-{name}"),
            code,
            Some(status),
            &pulled,
        );
    }
    for (file, reply, _) in captured("pull-response-found") {
        let body = reply.whole_body();
        let offsets = records(&body).map(|record| record.unwrap().queue_offset.0);
        assert!(offsets.eq([41, 42]), "{file}");
    }
}

#[test]
fn routes_are_read_with_and_without_quoted_keys() {
    let addrs = [(0, "10.1.2.3:10911"), (1, "10.1.2.4:10911")];
    let addrs = addrs.map(|(id, addr)| (id, addr.to_owned()));
    let route = TopicRoute {
        broker_datas: vec![BrokerData {
            broker_addrs: addrs.into(),
            broker_name: "broker-a".to_owned(),
            cluster: "DefaultCluster".to_owned(),
            enable_acting_master: false,
        }],
        queue_datas: vec![QueueData {
            broker_name: "broker-a".to_owned(),
            perm: 6,
            read_queue_nums: 8,
            topic_sys_flag: 0,
            write_queue_nums: 8,
        }],
        ..TopicRoute::default()
    };
    check_body("route-response", &route, by_serde);
    check_body("route-response-standard-json", &route, by_serde);
    for (file, reply, _) in captured("route-response-standard-json") {
        let body = reply.whole_body();
        assert_eq!(json::write(&route), body, "{file}: to the byte");
    }
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue {
        broker_name: "broker-a".to_owned(),
        queue_id,
        topic: "orders".to_owned(),
    }
}

#[test]
fn bodies_say_what_they_said_in_java() {
    let table = [("orders".to_owned(), "broker-a:8;broker-b:8".to_owned())];
    let table = KvTable {
        table: table.into(),
    };
    check_body("register-broker-response-kv", &table, by_serde);
    let locked = Locked {
        queues: vec![queue(0), queue(1)],
    };
    check_body("lock-batch-response", &locked, by_serde);
    for (file, reply, _) in captured("consumer-list-response") {
        let ids: ConsumerIds = json::read(&reply.whole_body()).unwrap();
        assert_eq!(ids.consumer_id_list.len(), 2, "{file}");
        assert_eq!(json::write(&ids), reply.whole_body(), "{file}: to the byte");
    }
}

#[test]
fn figures_by_queue_have_objects_as_keys() {
    let offsets = |max_offset| QueueOffsets {
        last_update_timestamp: 1_700_000_000_123,
        max_offset,
        min_offset: 0,
    };
    let mut stats = TopicStats::default();
    stats.offset_table.0 = vec![(queue(0), offsets(41)), (queue(1), offsets(42))];
    check_body("topic-stats-response", &stats, TopicStats::to_body);
    let progress = || QueueProgress {
        broker_offset: 41,
        consumer_offset: 40,
        pull_offset: 41,
        last_timestamp: 1_700_000_000_123,
    };
    let mut stats = ConsumeStats {
        consume_tps: 1.5,
        ..ConsumeStats::default()
    };
    stats.offset_table.0 = vec![(queue(0), progress()), (queue(1), progress())];
    check_body("consume-stats-response", &stats, ConsumeStats::to_body);
}

#[test]
fn remarks_and_parameters_may_be_there_or_not() {
    let told = "topic[grüße] not exist, apply first please!";
    let wanted = [
        ("error-response", ResponseCode::TOPIC_NOT_EXIST, Some(told)),
        ("response-empty-ext-fields", ResponseCode::SUCCESS, None),
        ("response-null-remark", ResponseCode::SUCCESS, None),
        (
            "live-unsupported-response",
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            Some(" request type 9999 not supported"),
        ),
    ];
    for (name, code, remark) in wanted {
        for (file, reply, _) in captured(name) {
            let wanted = Reply {
                remark: remark.map(Into::into),
                ..Reply::new(code)
            };
            assert_eq!(reply, wanted, "{file}");
        }
    }
}

fn live(name: &str) -> Reply {
    let (_, reply, _) = captured(&format!("live-{name}")).remove(0);
    reply
}

fn live_body<T: DeserializeOwned>(name: &str) -> T {
    json::read(&live(name).whole_body()).unwrap()
}

#[test]
fn a_running_broker_answers_sends_and_pulls() {
    let one: Sent = live("send-response").read().unwrap();
    assert_eq!((one.queue_id, one.queue_offset), (0, 0));
    let four: Sent = live("send-batch-response").read().unwrap();
    assert_eq!(four.queue_offset, 1);
    assert_eq!(four.message_id.split(',').count(), 4);

    let found = live("pull-response-found");
    let pulled: Pulled = found.read().unwrap();
    assert_eq!((pulled.next_offset, pulled.max_offset), (5, 5));
    let body = found.whole_body();
    let offsets = records(&body).map(|record| record.unwrap().queue_offset.0);
    assert!(offsets.eq(0..5));
    let first = records(&body).next().unwrap().unwrap();
    assert_eq!(first.offset_id().to_string(), &*one.message_id);

    let outcomes = [
        ("not-found", ResponseCode::PULL_NOT_FOUND),
        ("moved", ResponseCode::PULL_OFFSET_MOVED),
    ];
    for (name, code) in outcomes {
        let reply = live(&format!("pull-response-{name}"));
        let pulled: Pulled = reply.read().unwrap();
        assert_eq!((reply.code, pulled.next_offset), (code, 5), "{name}");
    }
    assert!(live("update-offset-response").is_ok());
}

#[test]
fn a_running_broker_answers_questions() {
    let cluster: Cluster = live_body("cluster-info-response");
    let names = vec!["broker-a".to_owned()];
    assert_eq!(
        cluster.cluster_addr_table,
        [("DefaultCluster".to_owned(), names)].into()
    );
    assert_eq!(cluster.broker_addr_table["broker-a"].broker_addrs.len(), 1);
    let routes = ["classic", "standard-json"]
        .map(|name| live_body::<TopicRoute>(&format!("route-response-{name}")));
    assert_eq!(routes[0], routes[1]);
    assert_eq!(routes[0].queue_datas[0].read_queue_nums, 1);
    let unknown = live("route-response-unknown");
    assert_eq!(unknown.code, ResponseCode::TOPIC_NOT_EXIST);

    let stats: TopicStats = live_body("topic-stats-response");
    let (queue, offsets) = &stats.offset_table.0[0];
    assert_eq!((&*queue.topic, offsets.max_offset), ("captured", 5));
    let stats: ConsumeStats = live_body("consume-stats-response");
    let (_, progress) = &stats.offset_table.0[0];
    assert_eq!((progress.broker_offset, progress.consumer_offset), (5, 2));
    let locked: Locked = live_body("lock-batch-response");
    assert!(!locked.queues.is_empty());
    let ids: ConsumerIds = live_body("consumer-list-response");
    assert_eq!(ids.consumer_id_list, ["127.0.0.1@1#2"]);
}
