//! How far groups are, and the offsets of queues.

use proto::remoting::pull::{
    COMMIT_OFFSET, Pull, QueryConsumerOffset, QueueOf, SearchOffset, TimestampIs,
    UpdateConsumerOffset,
};
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::{start, start_in};
use crate::words::{consumer, offset_is, pull};

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_offset_is_found_and_one_of_a_new_group_begins_where_the_queue_does() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "x").await;
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    let text = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    let not_found = Reply::refused(ResponseCode::QUERY_NOT_FOUND, text);
    assert_eq!(client.query_offset("g", "t", 0).await, offset_is(0));
    assert_eq!(client.query_offset("g", "t", 1).await, not_found);
    let strict = QueryConsumerOffset {
        group: "g".into(),
        topic: "t".into(),
        queue_id: 0,
        set_zero_if_not_found: Some(false),
    };
    let text = "Not found, do not set to zero, maybe this group boot first";
    let not_zero = Reply::refused(ResponseCode::QUERY_NOT_FOUND, text);
    let asked = Request::QueryConsumerOffset(strict);
    assert_eq!(client.ask(asked).await, not_zero);
    client.commit("g", "t", 1, 7).await;
    client.commit("g", "t", 1, 5).await;
    assert_eq!(client.query_offset("g", "t", 1).await, offset_is(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_a_group_or_topic_that_is_not_there_is_refused() {
    let desk = start().await;
    let client = desk.client();
    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "*")))
        .await;
    let update = |group: &str, commit_offset| {
        Request::UpdateConsumerOffset(UpdateConsumerOffset {
            group: group.into(),
            topic: "none".into(),
            queue_id: 0,
            commit_offset,
        })
    };
    let refused = |code, text: &'static str| Reply::refused(code, text);
    let group = refused(
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        "Group h not exist!",
    );
    assert_eq!(client.ask(update("h", Some(1))).await, group);
    let topic = refused(ResponseCode::TOPIC_NOT_EXIST, "Topic none not exist!");
    assert_eq!(client.ask(update("g", Some(1))).await, topic);
    let null = refused(
        ResponseCode::INVALID_PARAMETER,
        "Offset is null, topic is none",
    );
    assert_eq!(client.ask(update("g", None)).await, null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_comes_along_with_a_pull_is_kept() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "x").await;
    let carrying = |sys_flag| Pull {
        commit_offset: 1,
        sys_flag,
        ..pull("t", 0, 1, "*")
    };
    let plain = carrying(pull("t", 0, 0, "*").sys_flag);
    client.ask(Request::Pull(plain.clone())).await;
    assert_eq!(client.query_offset("readers", "t", 0).await, offset_is(0));
    let commits = carrying(plain.sys_flag | COMMIT_OFFSET);
    client.ask(Request::Pull(commits)).await;
    assert_eq!(client.query_offset("readers", "t", 0).await, offset_is(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_tells_its_range_and_finds_offsets_by_time() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "x").await;
    client.send("t", 0, "y").await;
    let queue = |queue_id| QueueOf {
        topic: "t".into(),
        queue_id,
    };
    assert_eq!(client.ask(Request::MaxOffset(queue(0))).await, offset_is(2));
    assert_eq!(client.ask(Request::MinOffset(queue(0))).await, offset_is(0));
    assert_eq!(client.ask(Request::MaxOffset(queue(1))).await, offset_is(0));
    let empty = Reply::ok().with(TimestampIs { timestamp_ms: -1 });
    assert_eq!(client.ask(Request::EarliestTime(queue(1))).await, empty);
    let search = |timestamp_ms| {
        Request::SearchOffset(SearchOffset {
            topic: "t".into(),
            queue_id: 0,
            timestamp_ms,
            boundary: None,
        })
    };
    assert_eq!(client.ask(search(0)).await, offset_is(0));
    assert_eq!(client.ask(search(i64::MAX)).await, offset_is(2));
}

/// Clients then go on at the end or at the beginning, as their group wants it.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_is_not_sent_to_the_beginning_of_a_queue_that_has_lost_it() {
    let desk = start().await;
    let client = desk.client();
    let body = "x".repeat(700_000);
    for _ in 0..3 {
        client.send("t", 0, &body).await;
    }
    let lost = [
        desk.path("commitlog/00000000000000000000"),
        desk.path("queues.snapshot"),
    ];
    drop(client);
    let folder = desk.stop().await;
    for path in lost {
        std::fs::remove_file(path).unwrap();
    }
    let desk = start_in(folder, &[], Vec::new()).await.unwrap();
    let client = desk.client();
    let queue = QueueOf {
        topic: "t".into(),
        queue_id: 0,
    };
    let asked = Request::MinOffset(queue.clone());
    assert_eq!(client.ask(asked).await, offset_is(1));
    let asked = Request::MaxOffset(queue);
    assert_eq!(client.ask(asked).await, offset_is(3));
    let text = "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first";
    let not_found = Reply::refused(ResponseCode::QUERY_NOT_FOUND, text);
    assert_eq!(client.query_offset("g", "t", 0).await, not_found);
}
