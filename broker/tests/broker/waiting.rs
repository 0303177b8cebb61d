//! Pulls that wait for a message: what ends the wait, and what does not.

use proto::remoting::pull::Pulled;
use proto::remoting::{Request, ResponseCode};

use crate::desk::{WAIT, start, start_with, started_now};
use crate::words::{bodies, consumer, group, pull, pulled, waiting};

/// As long as a pull may wait; no test does.
const LONG: i64 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_append_wakes_the_pulls_of_its_queue_and_of_no_other() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    let mut first = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    let mut second = Box::pin(client.ask(waiting(pull("t", 1, 0, "*"), LONG)));
    assert_eq!(started_now(&mut first).await, None);
    assert_eq!(started_now(&mut second).await, None);

    client.send("t", 1, "one").await;
    let mut woken = second.await;
    assert_eq!(bodies(&woken), ["one"]);
    woken.body.clear();
    assert_eq!(woken, pulled(ResponseCode::SUCCESS, "FOUND", 1, (0, 1)));
    assert_eq!(started_now(&mut first).await, None);

    client.send("t", 0, "two").await;
    assert_eq!(bodies(&first.await), ["two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_wakes_only_the_pulls_that_want_its_tag() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let mut wants_a = Box::pin(client.ask(waiting(pull("t", 0, 0, "A"), LONG)));
    let mut wants_b = Box::pin(client.ask(waiting(pull("t", 0, 0, "B"), LONG)));
    assert_eq!(started_now(&mut wants_a).await, None);
    assert_eq!(started_now(&mut wants_b).await, None);

    // The one that parked first would be answered first.
    client.send_tagged("t", 0, "B").await;
    assert_eq!(bodies(&wants_b.await), ["B"]);
    assert_eq!(started_now(&mut wants_a).await, None);

    client.send_tagged("t", 0, "A").await;
    let mut woken = wants_a.await;
    assert_eq!(bodies(&woken), ["A"]);
    woken.body.clear();
    assert_eq!(woken, pulled(ResponseCode::SUCCESS, "FOUND", 2, (0, 2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_waits_on_the_wire_while_its_connection_does_other_things() {
    let desk = start().await;
    let client = desk.dial().await;
    desk.client().create_topic("t", 1).await;
    let mut parked = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut parked).await, None);
    client.send("t", 0, "one").await;
    assert_eq!(bodies(&parked.await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_whose_time_is_up_is_told_that_there_is_nothing() {
    let desk = start().await;
    let client = desk.client();
    client.send("t", 0, "old").await;
    let answer = client.ask(waiting(pull("t", 0, 1, "*"), 20)).await;
    let code = ResponseCode::PULL_NOT_FOUND;
    assert_eq!(answer, pulled(code, "OFFSET_OVERFLOW_ONE", 1, (0, 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_still_wait_when_an_earlier_one_has_run_out_of_time() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let mut long = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut long).await, None);
    let short = client.ask(waiting(pull("t", 0, 0, "*"), 20)).await;
    assert_eq!(short.code, ResponseCode::PULL_NOT_FOUND);
    assert_eq!(started_now(&mut long).await, None);
    client.send("t", 0, "one").await;
    assert_eq!(bodies(&long.await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_would_be_one_too_many_is_answered_at_once() {
    let desk = start_with(&[("maxParkedPullsPerQueue", "1")]).await;
    let client = desk.client();
    client.create_topic("t", 2).await;
    let mut first = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut first).await, None);
    let code = ResponseCode::PULL_NOT_FOUND;
    let nothing = pulled(code, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    let second = client.ask(waiting(pull("t", 0, 0, "*"), LONG)).await;
    assert_eq!(second, nothing);
    let mut elsewhere = Box::pin(client.ask(waiting(pull("t", 1, 0, "*"), LONG)));
    assert_eq!(started_now(&mut elsewhere).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pulls_of_a_client_that_is_gone_wait_no_more() {
    let desk = start_with(&[("maxParkedPullsPerQueue", "1")]).await;
    let mut client = desk.client();
    client.create_topic("t", 1).await;
    let leaver = desk.dial().await;
    // The group is told when the broker has noticed that its member is gone.
    client
        .ask(Request::Heartbeat(consumer("stays", "g", "t", "*")))
        .await;
    leaver
        .ask(Request::Heartbeat(consumer("leaves", "g", "t", "*")))
        .await;
    assert_eq!(client.hears().await, Request::ConsumersChanged(group("g")));
    assert_eq!(client.hears().await, Request::ConsumersChanged(group("g")));
    let parked = leaver.peer.call(waiting(pull("t", 0, 0, "*"), LONG), WAIT);
    let mut parked = Box::pin(parked);
    assert_eq!(started_now(&mut parked).await, None);
    // Requests of one connection are taken in order: with this one answered, the pull waits.
    leaver.ask(Request::AllGroupConfigs).await;
    let full = client.ask(waiting(pull("t", 0, 0, "*"), LONG)).await;
    assert_eq!(full.code, ResponseCode::PULL_NOT_FOUND);

    leaver.peer.close();
    assert_eq!(parked.await, Err(remoting::CallError::Closed));
    assert_eq!(client.hears().await, Request::ConsumersChanged(group("g")));
    let mut next = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut next).await, None);
    desk.client().send("t", 0, "one").await;
    assert_eq!(bodies(&next.await), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_answers_the_pulls_that_wait() {
    let desk = start().await;
    let client = desk.dial().await;
    desk.client().create_topic("t", 1).await;
    let mut parked = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut parked).await, None);
    client.ask(Request::AllGroupConfigs).await;
    let (answer, stopped) = tokio::join!(parked, desk.running.stop(WAIT));
    stopped.unwrap();
    assert_eq!(answer.code, ResponseCode::PULL_NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_meets_the_stop_of_its_broker_is_answered_and_does_not_wait() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    let mut before = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut before).await, None);
    desk.tasks.cancel();
    let code = ResponseCode::PULL_NOT_FOUND;
    let nothing = pulled(code, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    assert_eq!(before.await, nothing);
    // Those that waited are answered, and nobody looks after any that come now.
    let after = client.ask(waiting(pull("t", 0, 0, "*"), LONG)).await;
    assert_eq!(after, nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_slips_through_between_looking_and_waiting() {
    let desk = start_with(&[("flushDiskType", "ASYNC_FLUSH")]).await;
    desk.client().create_topic("t", 1).await;
    let (reader, writer) = (desk.dial().await, desk.dial().await);
    for offset in 0..2000 {
        let body = offset.to_string();
        let ask = reader.ask(waiting(pull("t", 0, offset, "*"), LONG));
        let send = writer.send("t", 0, &body);
        // At one time as nearly as can be, so that either may come first.
        let (sent, read) = tokio::join!(send, ask);
        assert_eq!(sent.queue_offset, offset);
        assert_eq!(bodies(&read), [body]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pulls_of_a_topic_that_is_deleted_wait_no_more() {
    let desk = start().await;
    let client = desk.client();
    client.create_topic("t", 1).await;
    client.create_topic("u", 1).await;
    let mut of_t = Box::pin(client.ask(waiting(pull("t", 0, 0, "*"), LONG)));
    let mut of_u = Box::pin(client.ask(waiting(pull("u", 0, 0, "*"), LONG)));
    assert_eq!(started_now(&mut of_t).await, None);
    assert_eq!(started_now(&mut of_u).await, None);
    client.delete_topic("t").await;
    let code = ResponseCode::PULL_NOT_FOUND;
    let nothing = pulled(code, "NO_MESSAGE_IN_QUEUE", 0, (0, 0));
    assert_eq!(of_t.await, nothing);
    assert_eq!(started_now(&mut of_u).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_meets_the_end_of_its_topic_is_answered_and_does_not_wait() {
    let desk = start().await;
    let (puller, admin) = (desk.dial().await, desk.dial().await);
    let nothing = pulled(
        ResponseCode::PULL_NOT_FOUND,
        "NO_MESSAGE_IN_QUEUE",
        0,
        (0, 0),
    );
    for _ in 0..100 {
        admin.create_topic("t", 1).await;
        let answer = puller.ask(waiting(pull("t", 0, 0, "*"), LONG));
        let (answer, ()) = tokio::join!(answer, admin.delete_topic("t"));
        match answer.code {
            ResponseCode::PULL_NOT_FOUND => {
                assert_eq!(answer.remark, nothing.remark);
                assert_eq!(answer.read::<Pulled>(), nothing.read());
            }
            behind_the_end => assert_eq!(behind_the_end, ResponseCode::TOPIC_NOT_EXIST),
        }
    }
}
