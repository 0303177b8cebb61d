//! What tools ask a broker: figures, settings, single messages.

use std::collections::BTreeMap;

use proto::json;
use proto::json::ObjectKeyed;
use proto::message::{OffsetMessageId, StoredMessage};
use proto::remoting::clients::MessageQueue;
use proto::remoting::config::{ConfigVersion, TopicConfig, TopicOf};
use proto::remoting::pull::{QueryMessage, ViewMessage};
use proto::remoting::stats::{
    ConsumeStats, ConsumeStatsOf, GroupNames, KvTable, QueueOffsets, QueueProgress, TopicStats,
};
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::{Client, start};
use crate::words::{bodies, consumer, fields, message, properties};

pub(crate) fn topic_of(topic: &str) -> TopicOf {
    TopicOf {
        topic: topic.into(),
        cluster: None,
        standard_json: None,
    }
}

pub(crate) async fn topic_config(client: &Client, topic: &str) -> TopicConfig {
    let reply = client.ask(Request::TopicConfig(topic_of(topic))).await;
    assert_eq!(reply.code, ResponseCode::SUCCESS, "{reply:?}");
    json::read(&reply.whole_body()).unwrap()
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue {
        broker_name: "b".into(),
        queue_id,
        topic: "t".into(),
    }
}

async fn store_time(client: &Client, topic: &str) -> i64 {
    let body = client.pull_all(topic, 0).await.whole_body();
    let mut rest = &body[..];
    let mut last = 0;
    while !rest.is_empty() {
        let stored = StoredMessage::parse(rest).unwrap();
        last = stored.store_timestamp;
        rest = &rest[stored.size as usize..];
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_a_topic_have_queues_for_keys() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    client.send("t", 0, "x").await;
    let reply = client.ask(Request::TopicStats(topic_of("t"))).await;
    let last_update_timestamp = store_time(&client, "t").await;
    let one = QueueOffsets {
        last_update_timestamp,
        max_offset: 1,
        min_offset: 0,
    };
    let rows = vec![(queue(0), one), (queue(1), QueueOffsets::default())];
    let wanted = TopicStats {
        offset_table: ObjectKeyed(rows),
        topic_put_tps: 0.0,
    };
    let body = reply.whole_body();
    assert_eq!(json::read::<TopicStats>(&body).unwrap(), wanted);
    let text = str::from_utf8(&body).unwrap();
    let start = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:{"#;
    assert_eq!(text.get(..start.len()), Some(start));

    let text = "topic[none] not exist";
    let none = Reply::refused(ResponseCode::TOPIC_NOT_EXIST, text);
    let asked = Request::TopicStats(topic_of("none"));
    assert_eq!(client.ask(asked).await, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_group_is_what_it_committed_of_what_is_there() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    client.send("t", 0, "x").await;
    let last_timestamp = store_time(&client, "t").await;
    client.send("t", 0, "y").await;
    client.commit("g", "t", 0, 1).await;
    let of = ConsumeStatsOf {
        group: "g".into(),
        topic: None,
    };
    let reply = client.ask(Request::ConsumeStats(of)).await;
    let behind = QueueProgress {
        broker_offset: 2,
        consumer_offset: 1,
        pull_offset: 1,
        last_timestamp,
    };
    let rows = vec![(queue(0), behind), (queue(1), QueueProgress::default())];
    let wanted = ConsumeStats {
        consume_tps: 0.0,
        offset_table: ObjectKeyed(rows),
    };
    let read: ConsumeStats = json::read(&reply.whole_body()).unwrap();
    assert_eq!(read, wanted);

    let reply = client.ask(Request::GroupsOfTopic(topic_of("t"))).await;
    let groups: GroupNames = json::read(&reply.whole_body()).unwrap();
    assert_eq!(groups.group_list, ["g"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_runtime_table_has_what_tools_take_apart() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "x").await;
    let reply = client.ask(Request::BrokerRuntime).await;
    let table = json::read::<KvTable>(&reply.whole_body()).unwrap().table;
    let number = |key: &str| table[key].parse::<i64>().map_err(|e| format!("{key}: {e}"));
    for key in [
        "msgPutTotalTodayNow",
        "msgGetTotalTodayNow",
        "msgPutTotalYesterdayMorning",
        "msgPutTotalTodayMorning",
        "msgGetTotalYesterdayMorning",
        "msgGetTotalTodayMorning",
        "commitLogMinOffset",
        "commitLogMaxOffset",
        "sendThreadPoolQueueSize",
        "sendThreadPoolQueueCapacity",
        "sendThreadPoolQueueHeadWaitTimeMills",
        "pullThreadPoolQueueSize",
        "pullThreadPoolQueueCapacity",
        "pullThreadPoolQueueHeadWaitTimeMills",
        "queryThreadPoolQueueSize",
        "queryThreadPoolQueueCapacity",
        "queryThreadPoolQueueHeadWaitTimeMills",
        "pageCacheLockTimeMills",
        "getMessageEntireTimeMax",
        "putMessageEntireTimeMax",
        "putMessageAverageSize",
        "putMessageTimesTotal",
        "putMessageSizeTotal",
        "putMessageFailedTimes",
        "startAcceptSendRequestTimeStamp",
        "bootTimestamp",
        "dispatchMaxBuffer",
        "dispatchBehindBytes",
        "remainTransientStoreBufferNumbs",
        "earliestMessageTimeStamp",
        "brokerVersion",
    ] {
        number(key).unwrap();
    }
    for key in ["putTps", "getFoundTps", "getMissTps", "getTransferredTps"] {
        let rates: Result<Vec<f64>, _> = table[key].split(' ').map(str::parse).collect();
        assert_eq!(rates.unwrap().len(), 3, "{key}");
    }
    assert_eq!(table["getTransferedTps"], table["getTransferredTps"]);
    assert_eq!(table["getTotalTps"].split(' ').count(), 3);
    assert_eq!(table["remainHowManyDataToFlush"], "0 B");
    assert_eq!(table["remainHowManyDataToCommit"], "0 B");
    assert_eq!(number("putMessageTimesTotal"), Ok(1));
    assert_eq!(number("msgPutTotalTodayNow"), Ok(1));
    assert_eq!(table["putMessageDistributeTime"], "[<=0ms]:0 ");
    for key in ["commitLogDiskRatio", "consumeQueueDiskRatio"] {
        let ratio: f64 = table[key].parse().unwrap();
        assert!((0.0..=1.0).contains(&ratio), "{key}={ratio}");
    }
    let capacity = &table["commitLogDirCapacity"];
    assert!(
        capacity.starts_with("Total : ") && capacity.contains(", Free : "),
        "{capacity}"
    );
    assert!(capacity.ends_with("iB."), "{capacity}");
    assert!(table["runtime"].starts_with("[ 0 days, 0 hours, "));
    assert!(table.contains_key("brokerVersionDesc") && table["brokerActive"] == "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_by_its_keys_and_by_its_id() {
    let desk = start().await;
    let client = desk.client();
    for (body, keys) in [("one", "k1 k2"), ("two", "k2")] {
        let mut send = message("t", 0, body);
        let pairs = [("UNIQ_KEY", body), ("KEYS", keys)];
        send.fields.properties = Some(properties(&pairs).into());
        client.ask(Request::Send(send)).await;
    }
    let query = |key: &str, unique_key| {
        Request::QueryMessage(QueryMessage {
            topic: "t".into(),
            key: key.into(),
            max: 10,
            begin_ms: 0,
            end_ms: i64::MAX,
            unique_key,
        })
    };
    let found = async |key, unique| {
        let mut found = bodies(&client.ask(query(key, unique)).await);
        found.sort();
        found
    };
    assert_eq!(found("k1", None).await, ["one"]);
    assert_eq!(found("k2", None).await, ["one", "two"]);
    assert_eq!(found("two", Some(true)).await, ["two"]);
    let text = "can not find message, maybe time range not correct";
    let none = Reply::refused(ResponseCode::QUERY_NOT_FOUND, text);
    assert_eq!(client.ask(query("k3", None)).await, none);

    let sent = client.send("t", 1, "three").await;
    let id: OffsetMessageId = sent.message_id.parse().unwrap();
    assert_eq!(id.host, desk.running.addr());
    let offset = id.offset.0.cast_signed();
    let view = async |offset| {
        client
            .ask(Request::ViewMessage(ViewMessage { offset }))
            .await
    };
    assert_eq!(bodies(&view(offset).await), ["three"]);
    let text = format!("can not find message by the offset, {}", offset + 1);
    let none = Reply::refused(ResponseCode::SYSTEM_ERROR, text);
    assert_eq!(view(offset + 1).await, none);
}

async fn settings(client: &Client) -> BTreeMap<String, String> {
    let reply = client.ask(Request::BrokerConfig).await;
    fields::<ConfigVersion>(&reply);
    let body = reply.whole_body();
    let text = str::from_utf8(&body).unwrap();
    let pair = |line: &str| {
        let (key, value) = line.split_once('=').unwrap();
        (key.to_owned(), value.to_owned())
    };
    text.lines().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_may_change_do_and_others_are_refused_with_all_that_came_along() {
    let desk = start().await;
    let client = desk.client();
    let update = async |text: &'static str| {
        let body = bytes::Bytes::from_static(text.as_bytes());
        client.ask(Request::UpdateBrokerConfig(body)).await
    };
    let mut wanted = settings(&client).await;
    assert_eq!(
        update("maxMessageSize=3\nfileReservedTime=24\n").await,
        Reply::ok()
    );
    wanted.insert("maxMessageSize".into(), "3".into());
    wanted.insert("fileReservedTime".into(), "24".into());
    assert_eq!(settings(&client).await, wanted);
    let too_large = client.ask(Request::Send(message("t", 0, "four"))).await;
    assert_eq!(too_large.code, ResponseCode::MESSAGE_ILLEGAL);

    let invalid = |text: &'static str| Reply::refused(ResponseCode::INVALID_PARAMETER, text);
    let fixed = update("maxMessageSize=100\nlistenPort=1234").await;
    let text = "listenPort cannot be changed while the process runs";
    assert_eq!(fixed, invalid(text));
    let unknown = update("maxMessageSize=100\nnoSuchKey=1").await;
    assert_eq!(unknown, invalid("noSuchKey is not a known key"));
    let text = "Can not update config in black list.";
    let black = Reply::refused(ResponseCode::NO_PERMISSION, text);
    assert_eq!(
        update("maxMessageSize=100\nbrokerConfigPath=/x").await,
        black
    );
    assert_eq!(settings(&client).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_and_made_again_is_empty() {
    let desk = start().await;
    let client = desk.client();
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    client.send("t", 0, "old").await;
    client.commit("g", "t", 0, 1).await;
    client.delete_topic("t").await;
    let text = "No topic in this broker. topic: t";
    let gone = Reply::refused(ResponseCode::TOPIC_NOT_EXIST, text);
    assert_eq!(client.ask(Request::TopicConfig(topic_of("t"))).await, gone);

    assert_eq!(client.send("t", 0, "new").await.queue_offset, 0);
    assert_eq!(bodies(&client.pull_all("t", 0).await), ["new"]);
    let offset = client.query_offset("g", "t", 0).await;
    assert_eq!(offset, crate::words::offset_is(0));
    let text = "The topic[SCHEDULE_TOPIC_XXXX] is conflict with system topic.";
    let system = Reply::refused(ResponseCode::INVALID_PARAMETER, text);
    let delete = Request::DeleteTopic(topic_of("SCHEDULE_TOPIC_XXXX"));
    assert_eq!(client.ask(delete).await, system);
}
