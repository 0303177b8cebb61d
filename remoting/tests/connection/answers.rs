//! Answers that are not given at once: held ones, and those that wait for a watermark.

use std::time::Duration;

use proto::remoting::Reply;
use remoting::{Answer, Call, Gated, Limits, Replier};
use runtime::Watermark;
use tokio::sync::mpsc;

use crate::raw::{ECHO, WAIT, echoed, json, name, serve, skip, soon};

fn gated(call: &Call, gate: &Watermark, at: u64) -> Gated {
    Gated {
        gate: gate.clone(),
        at,
        reply: echoed(call),
        within: WAIT,
    }
}

/// A server that gates each request at the number in its body.
async fn gating(gate: &Watermark) -> crate::raw::Server {
    let gate = gate.clone();
    serve(Limits::default(), move |call| match name(&call) {
        Some(at) if at != "ping" => Answer::Gated(gated(&call, &gate, at.parse().unwrap())),
        _ => Answer::Now(echoed(&call)),
    })
    .await
}

/// A server that hands out the right to answer.
async fn holding(limits: Limits) -> (crate::raw::Server, mpsc::Receiver<Replier>) {
    let (told, held) = mpsc::channel(1000);
    let server = serve(limits, move |mut call| match name(&call).as_deref() {
        Some("ping") | None => Answer::Now(echoed(&call)),
        Some(_) => {
            told.try_send(call.hold()).unwrap();
            Answer::Held
        }
    })
    .await;
    (server, held)
}

#[tokio::test]
async fn held_answers_leave_when_they_are_given() {
    let (server, mut held) = holding(Limits::default()).await;
    let mut client = server.connect().await;
    for n in 0..3 {
        client.send(&json(ECHO, n, 0, b"held")).await;
    }
    client.ping().await;
    let mut repliers = Vec::new();
    for _ in 0..3 {
        repliers.push(soon(held.recv()).await.unwrap());
    }
    for replier in repliers.into_iter().rev() {
        replier.send(Reply::ok());
    }
    assert_eq!(client.opaques(3).await, [2, 1, 0]);
}

#[tokio::test]
async fn an_abandoned_request_is_never_answered_and_takes_no_room() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let (server, mut held) = holding(limits).await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"held")).await;
    client.send(&json(ECHO, 2, 0, b"held")).await;
    drop(soon(held.recv()).await.unwrap());
    soon(held.recv()).await.unwrap().send(Reply::ok());
    assert_eq!(client.opaques(1).await, [2]);
}

#[tokio::test]
async fn an_answer_to_somebody_who_left_is_dropped() {
    let (mut server, mut held) = holding(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"held")).await;
    let replier = soon(held.recv()).await.unwrap();
    drop(client);
    assert_eq!(
        soon(server.left.recv()).await.as_ref(),
        Some(replier.peer())
    );
    assert!(!replier.peer().is_open());
    replier.send(Reply::ok());
    server.connect().await.ping().await;
}

#[tokio::test]
async fn gated_answers_leave_in_order_when_their_mark_is_reached() {
    let gate = Watermark::default();
    let server = gating(&gate).await;
    let mut client = server.connect().await;
    let requests: Vec<_> = (1..=9)
        .flat_map(|n| json(ECHO, n, 0, n.to_string().as_bytes()))
        .collect();
    client.send(&requests).await;
    client.ping().await;
    gate.advance(3);
    assert_eq!(client.opaques(3).await, [1, 2, 3]);
    client.ping().await;
    gate.advance(9);
    assert_eq!(client.opaques(6).await, [4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_mark_that_is_reached_already_delays_nothing() {
    let server = gating(&Watermark::starting_at(5)).await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"5")).await;
    assert_eq!(client.opaques(1).await, [1]);
}

#[tokio::test]
async fn an_overdue_answer_says_so_and_is_given_once() {
    let gate = Watermark::default();
    let server = gating(&gate).await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"1")).await;
    client.ping().await;
    skip(WAIT - Duration::from_secs(2)).await;
    client.ping().await;
    skip(Duration::from_secs(3)).await;
    let seen = client.next().await.unwrap();
    let remark = seen.remark.as_deref();
    assert_eq!(
        (seen.opaque, seen.code, remark, &seen.body[..]),
        (1, 10, Some("FLUSH_DISK_TIMEOUT"), &b"1"[..])
    );
    gate.advance(1);
    client.ping().await;
}

#[tokio::test]
async fn a_gate_that_will_never_open_is_an_error_and_no_success() {
    let gate = Watermark::default();
    let server = gating(&gate).await;
    let mut client = server.connect().await;
    client
        .send(&[json(ECHO, 1, 0, b"1"), json(ECHO, 2, 0, b"2")].concat())
        .await;
    client.ping().await;
    gate.advance(1);
    gate.stop();
    let (first, second) = (client.next().await.unwrap(), client.next().await.unwrap());
    assert_eq!((first.opaque, first.code), (1, 0));
    let told = "the store has stopped, the outcome is unknown";
    assert_eq!(
        (second.opaque, second.code, second.remark.as_deref()),
        (2, 1, Some(told))
    );
}

#[tokio::test]
async fn a_held_answer_may_be_gated() {
    let gate = Watermark::default();
    let (told, mut held) = mpsc::channel(10);
    let server = serve(Limits::default(), move |mut call| {
        if name(&call).as_deref() == Some("ping") {
            return Answer::Now(echoed(&call));
        }
        let replier = call.hold();
        told.try_send((replier, call)).unwrap();
        Answer::Held
    })
    .await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"x")).await;
    let (replier, call) = soon(held.recv()).await.unwrap();
    replier.send(Answer::Gated(gated(&call, &gate, 7)));
    client.ping().await;
    gate.advance(7);
    assert_eq!(client.opaques(1).await, [1]);
}
