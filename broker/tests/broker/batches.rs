//! Batches: many messages in one send, all of them or none.

use proto::message::{BatchItem, encode_batch_item};
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::start;
use crate::words::{bodies, message, messages, properties, pulled};

fn batch(topic: &str, items: &[(&str, &str)]) -> Send {
    let mut body = Vec::new();
    for (text, properties) in items {
        let item = BatchItem {
            flag: 0,
            body: text.as_bytes(),
            properties,
        };
        encode_batch_item(&mut body, &item).unwrap();
    }
    let mut send = message(topic, 0, "");
    send.fields.batch = Some(true);
    send.body = body.into();
    send
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gets_offsets_in_a_row_and_an_id_for_each_message() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "before").await;
    let keys = ["u1", "u2", "u3"].map(|key| properties(&[("UNIQ_KEY", key)]));
    let items = [("a", &*keys[0]), ("b", &*keys[1]), ("c", &*keys[2])];
    let reply = client.ask(Request::Send(batch("t", &items))).await;

    let read = messages(&client.pull_all("t", 0).await);
    let ids: Vec<_> = read.iter().map(|m| desk.id(m.log_offset)).collect();
    let sent = Sent {
        message_id: ids[1..].join(",").into(),
        queue_id: 0,
        queue_offset: 1,
        transaction_id: None,
        region: Some("DefaultRegion".into()),
        trace_on: Some("true".into()),
    };
    assert_eq!(reply, Reply::ok().with(sent));
    let seen: Vec<_> = read
        .iter()
        .skip(1)
        .map(|m| (m.queue, &*m.body, &*m.properties["UNIQ_KEY"]))
        .collect();
    let wanted = [
        ((0, 1), "a", "u1"),
        ((0, 2), "b", "u2"),
        ((0, 3), "c", "u3"),
    ];
    assert_eq!(seen, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_with_one_bad_message_none_is_stored() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let delayed = properties(&[("DELAY", "3")]);
    let refused = client
        .ask(Request::Send(batch("t", &[("a", ""), ("b", &delayed)])))
        .await;
    let text = "delay levels are not supported by this broker";
    assert_eq!(refused, Reply::refused(ResponseCode::MESSAGE_ILLEGAL, text));

    let mut torn = batch("t", &[("a", ""), ("b", "")]);
    torn.body.truncate(torn.body.len() - 1);
    let refused = client.ask(Request::Send(torn)).await;
    let text = "the message is illegal, maybe msg body or properties length not matched. msg body \
                length limit 4194304B, msg properties length limit 32KB.";
    assert_eq!(refused, Reply::refused(ResponseCode::MESSAGE_ILLEGAL, text));

    let code = ResponseCode::PULL_NOT_FOUND;
    let empty = pulled(code, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    assert_eq!(client.pull_all("t", 0).await, empty);
    client
        .ask(Request::Send(batch("t", &[("a", ""), ("b", "")])))
        .await;
    assert_eq!(bodies(&client.pull_all("t", 0).await), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_to_a_retry_topic_is_refused() {
    let desk = start().await;
    let client = desk.client();
    let refused = client
        .ask(Request::Send(batch("%RETRY%g", &[("a", "")])))
        .await;
    let text = "batch request does not support retry group %RETRY%g";
    assert_eq!(refused, Reply::refused(ResponseCode::MESSAGE_ILLEGAL, text));
}
