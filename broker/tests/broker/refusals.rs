//! What a broker does not do, in the words that users search for.

use proto::remoting::config::CreateTopic;
use proto::remoting::fields::Ext;
use proto::remoting::send::Send;
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::{Desk, start, start_with};
use crate::words::{message, new_topic, properties};

async fn refused(desk: &Desk, send: Send) -> (i32, String) {
    let reply = desk.client().ask(Request::Send(send)).await;
    let remark = reply.remark.clone().unwrap_or_default();
    assert_eq!(reply, Reply::refused(reply.code, remark.clone()), "no more");
    (reply.code.0, remark.to_string())
}

const ILLEGAL: &str = "the message is illegal, maybe msg body or properties length not matched. \
                       msg body length limit 10B, msg properties length limit 32KB.";

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_nobody_made_is_unknown_when_messages_make_none() {
    let desk = start_with(&[("autoCreateTopicEnable", "false")]).await;
    let text = "topic[t] not exist, apply first please!\n\
                See https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";
    assert_eq!(
        refused(&desk, message("t", 0, "x")).await,
        (17, text.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_an_illegal_name_is_refused() {
    let desk = start().await;
    let text = "The specified topic: a/../b, contains illegal characters, allowing only \
                ^[%|a-zA-Z0-9_-]+$";
    assert_eq!(
        refused(&desk, message("a/../b", 0, "x")).await,
        (29, text.into())
    );
    assert!(!desk.path("consumequeue/a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_the_topic_does_not_have_is_refused() {
    let desk = start().await;
    desk.client().create_topic("t", 2).await;
    let text = "request queueId[2] is illegal, TopicConfig [topicName=t, readQueueNums=2, \
                writeQueueNums=2, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, \
                order=false, attributes={}] Producer: 127.0.0.1:4321";
    assert_eq!(
        refused(&desk, message("t", 2, "x")).await,
        (29, text.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_empty_or_too_large_is_refused_and_one_as_large_as_allowed_is_not() {
    let desk = start_with(&[("maxMessageSize", "10")]).await;
    assert_eq!(
        refused(&desk, message("t", 0, "")).await,
        (13, ILLEGAL.into())
    );
    let large = message("t", 0, "12345678901");
    assert_eq!(refused(&desk, large).await, (13, ILLEGAL.into()));
    desk.client().send("t", 0, "1234567890").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_beyond_what_a_record_can_hold_are_refused() {
    let desk = start_with(&[("maxMessageSize", "10")]).await;
    let mut send = message("t", 0, "x");
    send.fields.properties = Some(properties(&[("a", &"x".repeat(32_767))]).into());
    assert_eq!(refused(&desk, send).await, (13, ILLEGAL.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_the_system_take_no_messages_of_clients() {
    let desk = start().await;
    for topic in [
        "SCHEDULE_TOPIC_XXXX",
        "RMQ_SYS_TRANS_HALF_TOPIC",
        "TRANS_CHECK_MAX_TIME_TOPIC",
    ] {
        let text = format!("Sending message to topic[{topic}] is forbidden.");
        assert_eq!(refused(&desk, message(topic, 0, "x")).await, (16, text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_for_later_is_not_delivered_now() {
    let desk = start().await;
    let feature = |text: &str| (13, format!("{text} are not supported by this broker"));
    for (name, value, text) in [
        ("DELAY", "3", "delay levels"),
        ("TIMER_DELIVER_MS", "1", "delivery times"),
        ("TRAN_MSG", "true", "transactions"),
    ] {
        let mut send = message("t", 0, "x");
        send.fields.properties = Some(properties(&[(name, value)]).into());
        assert_eq!(refused(&desk, send).await, feature(text));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_supported_is_answered_with_its_name() {
    let desk = start().await;
    let request = Request::Unknown {
        code: 36,
        ext: Ext::default(),
        body: bytes::Bytes::new(),
    };
    let text = " request type 36 not supported (CONSUMER_SEND_MSG_BACK)";
    let refused = Reply::refused(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, text);
    assert_eq!(desk.client().ask(request).await, refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_permission_refuses_pulls_and_sends_to_ordered_topics() {
    let desk = start().await;
    let client = desk.client();
    let ordered = CreateTopic {
        order: true,
        ..new_topic("ordered", 1)
    };
    client.ask(Request::CreateTopic(ordered)).await;
    let closed = bytes::Bytes::from_static(b"brokerPermission=0");
    client.ask(Request::UpdateBrokerConfig(closed)).await;
    let text = "the broker[127.0.0.1] sending message is forbidden";
    let outcome = refused(&desk, message("ordered", 0, "x")).await;
    assert_eq!(outcome, (16, text.into()));
    client.send("t", 0, "x").await;
    let text = "the broker[127.0.0.1] pulling message is forbidden";
    let forbidden = Reply::refused(ResponseCode::NO_PERMISSION, text);
    assert_eq!(client.pull_all("t", 0).await, forbidden);
}
