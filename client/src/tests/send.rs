//! What a send promises, against a cluster that misbehaves on command.

use std::collections::BTreeSet;

use super::fake::{Fake, Next};
use crate::{Message, Outcome, RouteError, SendError, SendOptions, Stored, Tasks};
use proto::message::{BatchItems, Properties};
use proto::remoting::ResponseCode;

const KEEN: SendOptions = SendOptions {
    timeout: None,
    queue: None,
    duplicates: true,
};

fn hello() -> Message {
    Message::new("orders", "hello")
}

#[tokio::test]
async fn a_message_arrives_as_it_was_given_and_the_receipt_says_where() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    let receipt = client
        .send(hello().tag("T").key("k").property("n", "v"))
        .await
        .unwrap();
    let (_, sent) = fake.sends.lock().pop().unwrap();
    let properties = Properties::new(sent.properties());
    assert_eq!(
        (&*sent.fields.topic, &sent.body[..]),
        ("orders", &b"hello"[..])
    );
    assert_eq!(
        ["UNIQ_KEY", "TAGS", "KEYS", "n"].map(|name| properties.find(name)),
        [Some(&*receipt.id), Some("T"), Some("k"), Some("v")]
    );
    assert_eq!((receipt.queue, receipt.offset), (sent.fields.queue_id, 41));
    assert_eq!((receipt.id.len(), receipt.stored), (32, Stored::Confirmed));
}

#[tokio::test]
async fn sends_spread_over_all_queues_of_all_brokers() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    for _ in 0..16 {
        client.send(hello()).await.unwrap();
    }
    let places: BTreeSet<_> = fake
        .sends
        .lock()
        .iter()
        .map(|(broker, send)| (*broker, send.fields.queue_id))
        .collect();
    assert_eq!(places.len(), 16);
}

#[tokio::test]
async fn messages_with_one_sharding_key_go_to_one_queue() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    for _ in 0..8 {
        client.send(hello().sharding_key("u-7")).await.unwrap();
    }
    let sends = fake.sends.lock();
    // Queue 12 of 16, by Guava's hash: the fifth of the second broker.
    assert!(
        sends
            .iter()
            .all(|(broker, send)| (broker.port(), send.fields.queue_id) == (3, 4))
    );
}

#[tokio::test]
async fn a_busy_broker_is_left_for_another_one() {
    let fake = Fake::with(&["orders"], [Next::Refuse(ResponseCode::SYSTEM_BUSY)]);
    let client = fake.client(&Tasks::root());
    client.send(hello()).await.unwrap();
    let sends = fake.sends.lock();
    assert_eq!(sends.len(), 2);
    assert_ne!(sends[0].0, sends[1].0);
    assert_eq!(
        sends[0].1.properties(),
        sends[1].1.properties(),
        "the id stays"
    );
}

#[tokio::test]
async fn an_unanswered_send_is_unknown_and_not_repeated() {
    let fake = Fake::with(&["orders"], [Next::Forget]);
    let client = fake.client(&Tasks::root());
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        (error.outcome(), fake.sends.lock().len()),
        (Outcome::Unknown, 1)
    );
}

#[tokio::test]
async fn a_broker_that_failed_in_the_middle_is_unknown_too() {
    let fake = Fake::with(&["orders"], [Next::Refuse(ResponseCode::SYSTEM_ERROR)]);
    let client = fake.client(&Tasks::root());
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        (error.outcome(), fake.sends.lock().len()),
        (Outcome::Unknown, 1)
    );
}

#[tokio::test]
async fn whoever_accepts_duplicates_gets_another_attempt() {
    let fake = Fake::with(&["orders"], [Next::Forget, Next::Take]);
    let client = fake.client(&Tasks::root());
    client.send_with(hello(), &KEEN).await.unwrap();
    assert_eq!(fake.sends.lock().len(), 2);
}

#[tokio::test]
async fn a_refusal_after_an_unanswered_attempt_leaves_the_outcome_unknown() {
    let illegal = Next::Refuse(ResponseCode::MESSAGE_ILLEGAL);
    let fake = Fake::with(&["orders"], [Next::Forget, illegal]);
    let client = fake.client(&Tasks::root());
    let error = client.send_with(hello(), &KEEN).await.unwrap_err();
    assert!(matches!(&error, SendError::AfterUnknown(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_refusal_that_every_broker_would_give_is_not_repeated() {
    let fake = Fake::with(&["orders"], [Next::Refuse(ResponseCode::MESSAGE_ILLEGAL)]);
    let client = fake.client(&Tasks::root());
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        error.outcome(),
        Outcome::Rejected(ResponseCode::MESSAGE_ILLEGAL)
    );
    assert_eq!(fake.sends.lock().len(), 1);
}

#[tokio::test]
async fn a_full_disk_on_every_broker_is_told_as_it_is() {
    let full = || Next::Refuse(ResponseCode::SERVICE_NOT_AVAILABLE);
    let fake = Fake::with(&["orders"], [full(), full(), full()]);
    let client = fake.client(&Tasks::root());
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        error.outcome(),
        Outcome::Rejected(ResponseCode::SERVICE_NOT_AVAILABLE)
    );
    assert_eq!(fake.sends.lock().len(), 2, "once at each broker");
}

#[tokio::test]
async fn an_unflushed_message_is_stored_and_said_to_be_so() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    client.send(hello()).await.unwrap();
    let sent = proto::remoting::send::Sent {
        message_id: "ID".into(),
        queue_id: 1,
        queue_offset: 2,
        transaction_id: None,
        region: None,
        trace_on: None,
    };
    let late = proto::remoting::Reply::new(ResponseCode::FLUSH_DISK_TIMEOUT).with(sent);
    fake.next.lock().push_back(Next::Reply(Box::new(late)));
    let receipt = client.send(hello()).await.unwrap();
    assert_eq!(
        (receipt.offset, receipt.stored),
        (2, Stored::FlushDiskTimeout)
    );
}

#[tokio::test]
async fn an_unknown_topic_is_sent_to_where_the_template_is() {
    let fake = Fake::with(&["TBW102"], []);
    let client = fake.client(&Tasks::root());
    client.send(hello()).await.unwrap();
    let sends = fake.sends.lock();
    assert_eq!(&*sends[0].1.fields.default_topic, "TBW102");
    assert_eq!(*fake.routes_asked.lock(), ["orders", "TBW102"]);
}

#[tokio::test]
async fn a_topic_that_nobody_would_create_is_unknown() {
    let fake = Fake::with(&[], []);
    let client = fake.client(&Tasks::root());
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        error,
        SendError::Route(RouteError::UnknownTopic("orders".into()))
    );
    assert_eq!(error.outcome(), Outcome::NotSent);
}

#[tokio::test(start_paused = true)]
async fn routes_survive_a_silent_name_server() {
    let fake = Fake::with(&["TBW102"], []);
    let client = fake.client(&Tasks::root());
    client.send(hello()).await.unwrap();
    fake.topics.lock().clear();
    *fake.silent.lock() = true;
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    let error = client.send(hello()).await.unwrap_err();
    assert_eq!(
        error.outcome(),
        Outcome::Unknown,
        "got as far as the broker"
    );
}

#[tokio::test(start_paused = true)]
async fn routes_survive_a_name_server_that_comes_back_empty() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    client.send(hello()).await.unwrap();
    // Another broker was faster to register.
    *fake.topics.lock() = vec!["TBW102"];
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(fake.routes_asked.lock().len() > 1);
    client.send(hello()).await.unwrap();
    let routes = &fake.routes_asked;
    assert!(!routes.lock().contains(&"TBW102".into()));
    // But not when a broker says that the topic is gone.
    fake.topics.lock().clear();
    let gone = || Next::Refuse(ResponseCode::TOPIC_NOT_EXIST);
    fake.next.lock().extend([gone(), gone(), gone()]);
    client.send(hello()).await.unwrap_err();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let error = client.send(hello()).await.unwrap_err();
    assert!(
        matches!(error, SendError::Route(RouteError::UnknownTopic(_))),
        "{error}"
    );
}

#[tokio::test]
async fn a_batch_is_one_request_and_a_receipt_for_each() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    let messages = vec![hello().tag("1"), Message::new("orders", "again")];
    let receipts = client
        .send_batch(messages, &SendOptions::default())
        .await
        .unwrap();
    let places: Vec<_> = receipts.iter().map(|r| (r.offset, &*r.offset_id)).collect();
    assert_eq!(places, [(41, "FIRST"), (42, "SECOND")]);
    let (_, sent) = fake.sends.lock().pop().unwrap();
    let bodies: Vec<_> = BatchItems::new(&sent.body)
        .map(|item| item.unwrap().body)
        .collect();
    assert_eq!(
        (sent.is_batch(), bodies),
        (true, vec![&b"hello"[..], b"again"])
    );
}

#[tokio::test]
async fn what_is_no_batch_is_not_sent() {
    let fake = Fake::with(&["orders"], []);
    let client = fake.client(&Tasks::root());
    for messages in [
        vec![],
        vec![hello(), Message::new("other", "x")],
        vec![hello(); 1025],
    ] {
        let error = client
            .send_batch(messages, &SendOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
}

#[tokio::test]
async fn a_oneway_message_is_sent_and_nobody_waits() {
    let fake = Fake::with(&["orders"], [Next::Forget]);
    let client = fake.client(&Tasks::root());
    let id = client
        .send_oneway(hello(), &SendOptions::default())
        .await
        .unwrap();
    let (_, sent) = fake.sends.lock().pop().unwrap();
    assert_eq!(
        Properties::new(sent.properties()).find("UNIQ_KEY"),
        Some(&*id)
    );
}
