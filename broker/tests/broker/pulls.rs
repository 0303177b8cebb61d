//! Pulls that are answered at once: each status with its whole header.

use proto::remoting::pull::Pull;
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::start;
use crate::words::{bodies, consumer, message, messages, pull, pulled};

const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_answers_by_where_the_pull_begins() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    for body in ["a", "b", "c"] {
        client.send("t", 0, body).await;
    }
    let ask = async |queue, offset| {
        client
            .ask(Request::Pull(pull("t", queue, offset, "*")))
            .await
    };

    let mut found = ask(0, 1).await;
    assert_eq!(bodies(&found), ["b", "c"]);
    found.body.clear();
    let ok = ResponseCode::SUCCESS;
    assert_eq!(found, pulled(ok, "FOUND", 3, (0, 3)));

    let (not_found, moved) = (
        ResponseCode::PULL_NOT_FOUND,
        ResponseCode::PULL_OFFSET_MOVED,
    );
    let at_end = pulled(not_found, "OFFSET_OVERFLOW_ONE", 3, (0, 3));
    assert_eq!(ask(0, 3).await, at_end);
    let beyond = pulled(moved, "OFFSET_OVERFLOW_BADLY", 3, (0, 3));
    assert_eq!(ask(0, 4).await, beyond);
    let below = pulled(moved, "OFFSET_TOO_SMALL", 0, (0, 3));
    assert_eq!(ask(0, -1).await, below);
    let empty = pulled(not_found, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    assert_eq!(ask(1, 0).await, empty);
    let empty_beyond = pulled(moved, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    assert_eq!(ask(1, 7).await, empty_beyond);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_an_answer_is_whole_on_the_wire_too() {
    let desk = start().await;
    desk.client().create_topic("t", 1).await;
    let client = desk.dial().await;
    let answer = client.ask(Request::Pull(pull("t", 0, 0, "*"))).await;
    let code = ResponseCode::PULL_NOT_FOUND;
    let wanted = pulled(code, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    let read = |reply: &Reply| reply.read::<proto::remoting::pull::Pulled>().unwrap();
    assert_eq!(
        (answer.code, &answer.remark, read(&answer)),
        (wanted.code, &wanted.remark, read(&wanted))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_choose_messages_and_a_pull_that_wants_none_moves_on() {
    let desk = start().await;
    let client = desk.client();
    for tag in ["A", "B", "C", "A"] {
        client.send_tagged("t", 0, tag).await;
    }
    client.send("t", 0, "no tag").await;
    let ask = async |offset, tags| client.ask(Request::Pull(pull("t", 0, offset, tags))).await;
    assert_eq!(bodies(&ask(0, "A || C").await), ["A", "C", "A"]);
    assert_eq!(bodies(&ask(0, "*").await).len(), 5);
    let code = ResponseCode::PULL_RETRY_IMMEDIATELY;
    let none = pulled(code, "NO_MATCHED_MESSAGE", 5, (0, 5));
    assert_eq!(ask(1, "Z").await, none);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_without_tags_of_its_own_uses_those_of_its_heartbeat() {
    let desk = start().await;
    let client = desk.client();
    for tag in ["A", "B"] {
        client.send_tagged("t", 0, tag).await;
    }
    let bare = |group: &str, sub_version| {
        Request::Pull(Pull {
            group: group.into(),
            sys_flag: 0,
            subscription: None,
            sub_version,
            ..pull("t", 0, 0, "")
        })
    };
    let refused = |text: String| Reply::refused(ResponseCode::SUBSCRIPTION_NOT_EXIST, text);
    let unknown = refused(format!("the consumer's group info not exist{FAQ}"));
    assert_eq!(client.ask(bare("g", 0)).await, unknown);

    client
        .ask(Request::Heartbeat(consumer("c", "g", "t", "B")))
        .await;
    assert_eq!(bodies(&client.ask(bare("g", 0)).await), ["B"]);
    let text = "the consumer's subscription not latest";
    let newer = Reply::refused(ResponseCode::SUBSCRIPTION_NOT_LATEST, text);
    assert_eq!(client.ask(bare("g", 2)).await, newer);

    client
        .ask(Request::Heartbeat(consumer("c", "h", "other", "B")))
        .await;
    let other = refused(format!("the consumer's subscription not exist{FAQ}"));
    assert_eq!(client.ask(bare("h", 0)).await, other);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_no_more_messages_than_were_asked_for_and_at_least_one() {
    let desk = start().await;
    let client = desk.client();
    for body in ["a", "b", "c"] {
        client.send("t", 0, body).await;
    }
    let two = Pull {
        messages_max: 2,
        ..pull("t", 0, 0, "*")
    };
    assert_eq!(bodies(&client.ask(Request::Pull(two)).await), ["a", "b"]);
    let one_byte = Pull {
        bytes_max: Some(1),
        ..pull("t", 0, 1, "*")
    };
    assert_eq!(bodies(&client.ask(Request::Pull(one_byte)).await), ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_keep_their_order_and_place_across_segments_of_the_log() {
    let desk = start().await;
    let client = desk.client();
    let body = "x".repeat(300 << 10);
    for _ in 0..5 {
        client.ask(Request::Send(message("t", 0, &body))).await;
    }
    let mut offsets = Vec::new();
    for from in 0..5 {
        let reply = client.ask(Request::Pull(pull("t", 0, from, "*"))).await;
        let read = messages(&reply);
        assert_eq!(read.len(), 1, "one is more than an answer holds");
        assert_eq!(read[0].body, body);
        offsets.push((read[0].queue.1, read[0].log_offset.0 >> 20));
    }
    assert_eq!(offsets, [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_of_what_is_not_there_or_not_allowed_are_refused() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    let ask = async |topic, queue| client.ask(Request::Pull(pull(topic, queue, 0, "*"))).await;
    let text = format!("topic[none] not exist, apply first please! {FAQ}");
    let unknown = Reply::refused(ResponseCode::TOPIC_NOT_EXIST, text);
    assert_eq!(ask("none", 0).await, unknown);
    for queue in [2, -1] {
        let text = format!(
            "queueId[{queue}] is illegal, topic:[t] topicConfig.readQueueNums:[2] \
             consumer:[/127.0.0.1:4321]"
        );
        let outside = Reply::refused(ResponseCode::INVALID_PARAMETER, text);
        assert_eq!(ask("t", queue).await, outside);
    }
    let sql = Pull {
        expression_type: Some("SQL92".into()),
        ..pull("t", 0, 0, "a > 1")
    };
    let text = "The broker does not support consumer to filter message by SQL92";
    let sql_refused = Reply::refused(ResponseCode::SYSTEM_ERROR, text);
    assert_eq!(client.ask(Request::Pull(sql)).await, sql_refused);
}
