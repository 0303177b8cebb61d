//! Sending: what is stored, in which order, and what the answer says of it.

use std::collections::BTreeMap;

use proto::remoting::send::Sent;
use proto::remoting::{Reply, Request};

use crate::desk::{in_order, start};
use crate::words::{bodies, fields, message, messages, properties};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_can_be_read_as_soon_as_its_send_is_answered() {
    let desk = start().await;
    let client = desk.client();
    let pairs = [
        ("UNIQ_KEY", "u1"),
        ("WAIT", "true"),
        ("TAGS", "A"),
        ("mine", "x y"),
    ];
    let mut message = message("t", 2, "hello");
    message.fields.properties = Some(properties(&pairs).into());
    let reply = client.ask(Request::Send(message)).await;
    let read = messages(&client.pull_all("t", 2).await);

    let sent = Sent {
        message_id: desk.id(read[0].log_offset).into(),
        queue_id: 2,
        queue_offset: 0,
        transaction_id: Some("u1".into()),
        region: Some("DefaultRegion".into()),
        trace_on: Some("true".into()),
    };
    assert_eq!(reply, Reply::ok().with(sent));
    let stored = [
        ("UNIQ_KEY", "u1"),
        ("WAIT", "true"),
        ("TAGS", "A"),
        ("mine", "x y"),
        ("CLUSTER", "DefaultCluster"),
        ("MSG_REGION", "DefaultRegion"),
        ("TRACE_ON", "true"),
    ];
    let stored = stored.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(read.len(), 1);
    assert_eq!(
        (
            &*read[0].topic,
            read[0].queue,
            &*read[0].body,
            &read[0].properties
        ),
        ("t", (2, 0), "hello", &BTreeMap::from(stored))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_unique_key_gets_one_and_its_sender_is_told() {
    let desk = start().await;
    let client = desk.client();
    let first = client.send("t", 0, "one").await.transaction_id.unwrap();
    let second = client.send("t", 0, "two").await.transaction_id.unwrap();
    assert_ne!(first, second);
    let read = messages(&client.pull_all("t", 0).await);
    let keys: Vec<_> = read.iter().map(|m| &*m.properties["UNIQ_KEY"]).collect();
    assert_eq!(keys, [&*first, &*second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_sends_keep_their_order_also_when_the_first_makes_the_topic() {
    let desk = start().await;
    let client = desk.dial().await;
    let wanted: Vec<_> = (0..200).map(|n| n.to_string()).collect();
    let sends = wanted.iter().map(|body| client.send("new", 0, body));
    let sent = in_order(sends.collect()).await;
    let offsets: Vec<_> = sent.iter().map(|sent| sent.queue_offset).collect();
    assert_eq!(offsets, (0..200).collect::<Vec<_>>());

    let mut read = Vec::new();
    while read.len() < wanted.len() {
        let from = i64::try_from(read.len()).unwrap();
        let pull = crate::words::pull("new", 0, from, "*");
        let more = bodies(&client.ask(Request::Pull(pull)).await);
        assert!(!more.is_empty(), "the queue ends after {from}");
        read.extend(more);
    }
    assert_eq!(read, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_names_no_queue_gets_each_in_turn() {
    let desk = start().await;
    let client = desk.client();
    let mut queues = Vec::new();
    for _ in 0..8 {
        queues.push(client.send("t", -1, "x").await.queue_id);
    }
    queues.sort_unstable();
    assert_eq!(queues, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_makes_a_topic_with_no_more_queues_than_its_template() {
    let desk = start().await;
    let client = desk.client();
    let mut wish = message("t", 0, "x");
    wish.fields.default_topic_queues = 100;
    let sent: Sent = fields(&client.ask(Request::Send(wish)).await);
    assert_eq!((sent.queue_id, sent.queue_offset), (0, 0));
    let topic = crate::tools::topic_config(&client, "t").await;
    let made = proto::remoting::config::TopicConfig::new("t", 8, 6);
    assert_eq!(topic, made);
}
