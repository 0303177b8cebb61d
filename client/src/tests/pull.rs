//! Pulling and offsets: what comes back, and what a broker's other answers mean.

use std::net::SocketAddr;

use super::fake::{Fake, Next};
use crate::{Boundary, Pull, PullStatus, Queue, TagFilter, Tasks};
use proto::message::{Draft, LogOffset, Placement, QueueId, QueueOffset, SysFlag};
use proto::remoting::pull::{OffsetIs, Pulled};
use proto::remoting::{Reply, ResponseCode};

fn queue() -> Queue {
    Queue {
        topic: "orders".into(),
        broker: "broker-b".into(),
        id: 3,
    }
}

fn record(offset: u64, tag: &str) -> Vec<u8> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10911));
    let properties = format!("UNIQ_KEY\u{1}ID{offset}\u{2}TAGS\u{1}{tag}\u{2}KEYS\u{1}a b\u{2}");
    let body = format!("body {offset}");
    let draft = Draft {
        topic: "orders",
        queue_id: QueueId(3),
        flag: 0,
        sys_flag: SysFlag(0),
        born_timestamp: 5,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: &[&properties],
        tags_code: 0,
        unique_key: None,
        keys: None,
    };
    let at = Placement {
        log_offset: LogOffset(1000),
        queue_offset: QueueOffset(offset),
        store_timestamp: 6,
        body_crc: 0,
        record_crc: false,
    };
    let mut bytes = Vec::new();
    draft.encode(&at, &mut bytes);
    bytes
}

fn pulled(code: ResponseCode, next_offset: i64) -> Reply {
    Reply::new(code).with(Pulled {
        suggested_broker: 0,
        next_offset,
        min_offset: 0,
        max_offset: 9,
        topic_sys_flag: None,
        group_sys_flag: None,
    })
}

#[tokio::test]
async fn pulled_messages_have_what_was_stored() {
    let records = [record(4, "T"), record(5, "other")].concat();
    let reply = pulled(ResponseCode::SUCCESS, 6).body(records.into());
    let client = Fake::with(&["orders"], [Next::Reply(Box::new(reply))]).client(&Tasks::root());
    let mut pull = Pull::new("g", queue(), 4);
    pull.filter = TagFilter::parse("T");
    let pulled = client.pull(&pull).await.unwrap();
    assert_eq!((pulled.status, pulled.next_offset), (PullStatus::Found, 6));
    let [message] = &pulled.messages[..] else {
        panic!("a tag that is not wanted came through")
    };
    assert_eq!(
        (message.queue, message.offset, &message.body[..]),
        (3, 4, &b"body 4"[..])
    );
    assert_eq!((message.id(), message.tag()), (Some("ID4"), Some("T")));
    assert_eq!(message.keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn other_answers_have_their_meaning() {
    for (code, status) in [
        (ResponseCode::PULL_NOT_FOUND, PullStatus::NothingNew),
        (
            ResponseCode::PULL_RETRY_IMMEDIATELY,
            PullStatus::NothingWanted,
        ),
        (ResponseCode::PULL_OFFSET_MOVED, PullStatus::OffsetMoved),
    ] {
        let next = [Next::Reply(Box::new(pulled(code, 2)))];
        let client = Fake::with(&["orders"], next).client(&Tasks::root());
        let pulled = client.pull(&Pull::new("g", queue(), 7)).await.unwrap();
        assert_eq!((pulled.status, pulled.next_offset), (status, 2));
    }
}

#[tokio::test]
async fn a_cut_off_record_is_an_error_and_not_half_a_message() {
    let mut records = record(4, "T");
    records.pop();
    let reply = pulled(ResponseCode::SUCCESS, 5).body(records.into());
    let client = Fake::with(&["orders"], [Next::Reply(Box::new(reply))]).client(&Tasks::root());
    let error = client.pull(&Pull::new("g", queue(), 4)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "b:1 answered what cannot be read: the record is cut off"
    );
}

#[tokio::test]
async fn offsets_are_asked_for_at_the_queues_broker() {
    let offset = |offset| Next::Reply(Box::new(Reply::ok().with(OffsetIs { offset })));
    let none = Reply::refused(ResponseCode::QUERY_NOT_FOUND, "none");
    let next = [
        offset(1),
        offset(2),
        offset(3),
        Next::Reply(Box::new(none)),
        Next::Reply(Box::new(Reply::ok())),
    ];
    let client = Fake::with(&["orders"], next).client(&Tasks::root());
    assert_eq!(client.min_offset(&queue()).await, Ok(1));
    assert_eq!(client.max_offset(&queue()).await, Ok(2));
    assert_eq!(client.offset_at(&queue(), 5, Boundary::Lower).await, Ok(3));
    assert_eq!(client.committed_offset("g", &queue()).await, Ok(None));
    assert_eq!(client.commit_offset("g", &queue(), 4).await, Ok(()));
}
