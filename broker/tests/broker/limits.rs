//! Every limit of a broker at its edge: the last that is taken, the first that is not.

use std::fs;

use bytes::{BufMut, Bytes, BytesMut};
use proto::message::{BatchItem, encode_batch_item};
use proto::remoting::clients::{Heartbeat, MessageQueue, ProducerData, ProducerGroup, QueueLocks};
use proto::remoting::config::GroupConfig;
use proto::remoting::pull::Pull;
use proto::remoting::send::Send;
use proto::remoting::{Reply, Request, ResponseCode};

use tempfile::TempDir;

use crate::desk::{Client, start, start_in, start_with};
use crate::words::{bodies, consumer, message, messages, new_topic, properties, pull, waiting};

/// What is answered to a request that is not done, and with how long a text.
async fn code(client: &Client, request: Request) -> ResponseCode {
    let reply = client.ask(request).await;
    assert!(
        reply
            .remark
            .as_ref()
            .is_none_or(|remark| remark.len() <= 4096)
    );
    reply.code
}

fn batch(items: &[BatchItem<'_>]) -> Request {
    let mut body = Vec::new();
    for item in items {
        encode_batch_item(&mut body, item).unwrap();
    }
    let mut send = message("t", 0, "");
    (send.fields.batch, send.body) = (Some(true), body.into());
    Request::Send(send)
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_topics_and_groups_have_a_length() {
    let desk = start().await;
    let client = desk.client();
    let (ok, illegal) = (ResponseCode::SUCCESS, ResponseCode::INVALID_PARAMETER);
    for (topic, expected) in [
        ("t".repeat(127), ok),
        ("t".repeat(128), illegal),
        (format!("%RETRY%{}", "g".repeat(248)), ok),
        (format!("%RETRY%{}", "g".repeat(249)), illegal),
        (format!("%DLQ%{}", "g".repeat(251)), illegal),
        ("t".repeat(60_000), illegal),
    ] {
        let send = Request::Send(message(&topic, 0, "x"));
        assert_eq!(
            code(&client, send).await,
            expected,
            "a send to {}",
            topic.len()
        );
        let create = Request::CreateTopic(new_topic(&topic, 1));
        assert_eq!(
            code(&client, create).await,
            expected,
            "{} made",
            topic.len()
        );
    }
    for (bytes, expected) in [(120, ok), (121, illegal)] {
        let group = GroupConfig::new(&"g".repeat(bytes));
        assert_eq!(code(&client, Request::UpdateGroup(group)).await, expected);
    }
}

/// The edge is tested where a test can set it; here is what the full tables of Apache mean.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_makes_no_topics_and_groups_and_serves_those_it_has() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    fs::create_dir(&config).unwrap();
    let table = |kind: &str, name: &str| {
        let row = |n| format!(r#""has{n}":{{"{name}":"has{n}"}}"#);
        let rows: Vec<_> = (0..100_000).map(row).collect();
        format!(r#"{{"{kind}":{{{}}}}}"#, rows.join(","))
    };
    let topics = table("topicConfigTable", "topicName");
    fs::write(config.join("topics.json"), topics).unwrap();
    let groups = table("subscriptionGroupTable", "groupName");
    fs::write(config.join("subscriptionGroup.json"), groups).unwrap();
    let desk = start_in(folder, &[], Vec::new()).await.unwrap();
    let client = desk.client();
    let full = |what: &str| {
        let told = format!("this broker has room for 100000 {what}");
        Reply::refused(ResponseCode::SYSTEM_ERROR, told)
    };
    let group = |name: &str| Request::UpdateGroup(GroupConfig::new(name));
    let topic = |name: &str| Request::CreateTopic(new_topic(name, 1));
    for (request, reply) in [
        (topic("new"), full("topics")),
        (Request::Send(message("new", 0, "x")), full("topics")),
        (group("new"), full("groups")),
        (topic("has7"), Reply::ok()),
        (group("has7"), Reply::ok()),
    ] {
        assert_eq!(client.ask(request).await, reply);
    }
    client.send("has7", 0, "x").await;
    let mut beat = consumer("c", "new", "has7", "*");
    // One group is new, the other lacks its topic of retries: there is no room for either.
    let other = consumer("c", "has8", "has7", "*").consumer_data_set;
    beat.consumer_data_set.extend(other);
    beat.producer_data_set = vec![ProducerData {
        group_name: "p".into(),
    }];
    assert!(client.ask(Request::Heartbeat(beat)).await.is_ok());
    for name in ["new", "has8"] {
        let ids = Request::ConsumerIds(crate::words::group(name));
        assert_eq!(code(&client, ids).await, ResponseCode::SYSTEM_ERROR);
    }
    let producers = ProducerGroup { group: "p".into() };
    let producers = Request::ProducerConnections(producers);
    assert_eq!(code(&client, producers).await, ResponseCode::SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_properties_have_a_size() {
    let desk = start_with(&[("mappedFileSizeCommitLog", "16777216")]).await;
    let client = desk.client();
    let (ok, illegal) = (ResponseCode::SUCCESS, ResponseCode::MESSAGE_ILLEGAL);
    for (bytes, expected) in [
        (0, illegal),
        (1, ok),
        (4 << 20, ok),
        ((4 << 20) + 1, illegal),
    ] {
        let send = Request::Send(message("t", 0, &"x".repeat(bytes)));
        assert_eq!(code(&client, send).await, expected, "{bytes} bytes");
    }
    let with = |text: String| {
        let mut send = message("t", 1, "x");
        send.fields.properties = Some(text.into());
        Request::Send(send)
    };
    // What the broker adds is the same for each of these.
    let sized = |bytes: usize| properties(&[("UNIQ_KEY", "u"), ("a", &"x".repeat(bytes - 14))]);
    client.ask(with(sized(100))).await;
    let stored = messages(&client.pull_all("t", 1).await);
    let added: usize = stored[0]
        .properties
        .iter()
        .map(|(k, v)| k.len() + v.len() + 2)
        .sum();
    let most = 32_767 - (added - 100);
    assert_eq!(code(&client, with(sized(most))).await, ok);
    assert_eq!(code(&client, with(sized(most + 1))).await, illegal);
    let many = |count: usize| with("a\u{1}b\u{2}".repeat(count));
    assert_eq!(code(&client, many(160)).await, ok);
    assert_eq!(code(&client, many(161)).await, illegal);
    assert_eq!(code(&client, with("a\u{1}b\0\u{2}".into())).await, illegal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_at_most_1024_messages_whose_lengths_add_up() {
    let desk = start().await;
    let client = desk.client();
    let item = BatchItem {
        flag: 0,
        body: b"x",
        properties: "",
    };
    assert_eq!(
        code(&client, batch(&[item; 1024])).await,
        ResponseCode::SUCCESS
    );
    assert_eq!(
        code(&client, batch(&[item; 1025])).await,
        ResponseCode::MESSAGE_ILLEGAL
    );
    let Request::Send(whole) = batch(&[item; 3]) else {
        unreachable!()
    };
    for (what, body) in [
        ("one byte less", whole.body.slice(..whole.body.len() - 1)),
        ("one byte more", [&whole.body[..], b"x"].concat().into()),
        ("a longer first item", {
            let mut body = BytesMut::from(&whole.body[..]);
            body[3] += 1;
            body.freeze()
        }),
        ("an announced gibibyte", {
            let mut body = BytesMut::new();
            body.put_u32(1 << 30);
            body.put_slice(&[0; 18]);
            body.freeze()
        }),
        ("no item", Bytes::new()),
    ] {
        let send = Request::Send(Send {
            body,
            ..whole.clone()
        });
        assert_eq!(
            code(&client, send).await,
            ResponseCode::MESSAGE_ILLEGAL,
            "{what}"
        );
    }
    let read = client.ask(Request::Pull(Pull {
        messages_max: 1,
        ..pull("t", 0, 1024, "*")
    }));
    assert_eq!(
        bodies(&read.await).len(),
        0,
        "nothing of the refused ones is stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_gets_no_more_than_1024_messages_whatever_it_asks_for() {
    let most = [("maxTransferCountOnMessageInMemory", "1024")];
    let desk = start_with(&most).await;
    let client = desk.client();
    let item = BatchItem {
        flag: 0,
        body: b"x",
        properties: "",
    };
    for _ in 0..2 {
        client.ask(batch(&[item; 1000])).await;
    }
    for (asked, given) in [
        (1023, 1023),
        (1024, 1024),
        (1025, 1024),
        (i32::MAX, 1024),
        (-1, 1),
    ] {
        let pull = Pull {
            messages_max: asked,
            ..pull("t", 0, 0, "*")
        };
        assert_eq!(
            bodies(&client.ask(Request::Pull(pull)).await).len(),
            given,
            "{asked}"
        );
    }
    let config = Bytes::from_static(b"maxTransferCountOnMessageInMemory=1025");
    let refused = code(&client, Request::UpdateBrokerConfig(config)).await;
    assert_eq!(refused, ResponseCode::INVALID_PARAMETER);
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_have_a_size_in_pulls_and_heartbeats() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let (within, beyond) = ("x".repeat(8192), "x".repeat(8193));
    let asked = |tags: &str| Request::Pull(pull("t", 0, 0, tags));
    assert_eq!(
        code(&client, asked(&within)).await,
        ResponseCode::PULL_NOT_FOUND
    );
    assert_eq!(
        code(&client, asked(&beyond)).await,
        ResponseCode::SUBSCRIPTION_PARSE_FAILED
    );
    for (group, tags) in [("within", &within), ("beyond", &beyond)] {
        client
            .ask(Request::Heartbeat(consumer("c", group, "t", tags)))
            .await;
    }
    let ids = |name| Request::ConsumerIds(crate::words::group(name));
    assert_eq!(code(&client, ids("within")).await, ResponseCode::SUCCESS);
    assert_eq!(
        code(&client, ids("beyond")).await,
        ResponseCode::SYSTEM_ERROR
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_groups_of_clients_have_a_size_and_a_number() {
    let desk = start().await;
    let client = desk.client();
    let (ok, illegal) = (ResponseCode::SUCCESS, ResponseCode::INVALID_PARAMETER);
    for (bytes, groups, expected) in [
        (255, 1024, ok),
        (256, 1, illegal),
        (512 << 10, 1, illegal),
        (1, 1025, illegal),
    ] {
        let producer = |n| ProducerData {
            group_name: format!("p{n}"),
        };
        let beat = Heartbeat {
            client_id: "c".repeat(bytes),
            producer_data_set: (0..groups).map(producer).collect(),
            ..Heartbeat::default()
        };
        let got = code(&client, Request::Heartbeat(beat)).await;
        assert_eq!(
            got, expected,
            "{groups} groups of a client of {bytes} bytes"
        );
    }
    for (id, group, topic, broker, expected) in [
        ("c".repeat(255), "g", "t", "b".repeat(255), ok),
        ("c".repeat(256), "g", "t", "b".into(), illegal),
        ("c".into(), "g.h", "t", "b".into(), illegal),
        ("c".into(), "g", "t.u", "b".into(), illegal),
        ("c".into(), "g", "t", "b".repeat(256), illegal),
    ] {
        let queue = MessageQueue {
            broker_name: broker,
            queue_id: 0,
            topic: topic.into(),
        };
        let asked = QueueLocks {
            consumer_group: group.into(),
            client_id: id,
            only_this_broker: false,
            mq_set: vec![queue],
        };
        let lock = Request::LockQueues(asked.clone());
        assert_eq!(code(&client, lock).await, expected, "{asked:?}");
        let unlock = Request::UnlockQueues(asked.clone());
        assert_eq!(code(&client, unlock).await, expected, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_kept_for_queues_that_a_topic_may_have() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    client
        .ask(Request::UpdateGroup(GroupConfig::new("g")))
        .await;
    client.commit("g", "t", 65_535, 7).await;
    for queue_id in [-1, 65_536, i32::MAX] {
        let update = proto::remoting::pull::UpdateConsumerOffset {
            group: "g".into(),
            topic: "t".into(),
            queue_id,
            commit_offset: Some(7),
        };
        let text = format!("queueId[{queue_id}] is illegal");
        let refused = Reply::refused(ResponseCode::INVALID_PARAMETER, text);
        assert_eq!(
            client.ask(Request::UpdateConsumerOffset(update)).await,
            refused
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_that_ask_too_fast_are_slowed_down_and_then_refused() {
    let desk = start_with(&[("maxAdminRequestsPerSecond", "2")]).await;
    let client = desk.client();
    let asked = (0..20).map(|_| code(&client, Request::BrokerRuntime));
    let codes = crate::desk::in_order(asked.collect()).await;
    let count = |code: ResponseCode| codes.iter().filter(|other| **other == code).count();
    // A second's worth at once, three seconds' worth later, give or take what passes meanwhile.
    let done = count(ResponseCode::SUCCESS);
    assert!((6..=10).contains(&done), "{done} were done");
    assert_eq!(count(ResponseCode::SYSTEM_BUSY), 20 - done);
    client.send("t", 0, "messages are not slowed down").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_set_count_as_they_are_set() {
    let desk = start_with(&[
        ("maxMessageProperties", "170"),
        ("maxBatchMessages", "3"),
        ("maxFilterBytes", "100"),
        ("maxPullSuspendMillis", "1"),
    ])
    .await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let (ok, illegal) = (ResponseCode::SUCCESS, ResponseCode::MESSAGE_ILLEGAL);
    let many = |count: usize| {
        let mut send = message("t", 0, "x");
        send.fields.properties = Some("a\u{1}b\u{2}".repeat(count).into());
        Request::Send(send)
    };
    assert_eq!(code(&client, many(170)).await, ok);
    assert_eq!(code(&client, many(171)).await, illegal);
    let item = BatchItem {
        flag: 0,
        body: b"x",
        properties: "",
    };
    assert_eq!(code(&client, batch(&[item; 3])).await, ok);
    assert_eq!(code(&client, batch(&[item; 4])).await, illegal);
    // Nothing comes, and it may not wait as long as it asks for: else no answer would come in time.
    let tags = |bytes: usize| waiting(pull("t", 0, 4, &"x".repeat(bytes)), 3_600_000);
    let none = ResponseCode::PULL_NOT_FOUND;
    assert_eq!(code(&client, tags(100)).await, none);
    let refused = ResponseCode::SUBSCRIPTION_PARSE_FAILED;
    assert_eq!(code(&client, tags(101)).await, refused);

    let more = b"maxBatchMessages=5\nmaxMessageProperties=180\nmaxFilterBytes=200";
    let set = Request::UpdateBrokerConfig(Bytes::from_static(more));
    assert_eq!(code(&client, set).await, ok);
    assert_eq!(code(&client, many(180)).await, ok);
    assert_eq!(code(&client, many(181)).await, illegal);
    assert_eq!(code(&client, batch(&[item; 5])).await, ok);
    assert_eq!(code(&client, batch(&[item; 6])).await, illegal);
    assert_eq!(code(&client, tags(201)).await, refused);
    for (group, bytes, expected) in [
        ("within", 200, ok),
        ("beyond", 201, ResponseCode::SYSTEM_ERROR),
    ] {
        let beat = consumer("c", group, "t", &"x".repeat(bytes));
        client.ask(Request::Heartbeat(beat)).await;
        let ids = Request::ConsumerIds(crate::words::group(group));
        assert_eq!(code(&client, ids).await, expected);
    }
}
