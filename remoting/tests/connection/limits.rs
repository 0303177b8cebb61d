//! What a peer can make the server hold or wait for, and what happens beyond.

use std::time::Duration;

use bytes::Bytes;
use proto::remoting::Reply;
use remoting::{Answer, Call, CallError, Limits, Peer, Replier};
use tokio::sync::mpsc;

use crate::raw::{ECHO, Raw, Server, echo, echoed, frame, json, name, serve, skip, soon, unknown};

/// More than the buffers of both sockets take.
const FLOOD: usize = 64 << 20;
const ANSWER: &[u8] = &[7; 1 << 20];

#[tokio::test]
async fn the_first_frame_has_a_limit_of_its_own() {
    let limits = Limits {
        first_frame_bytes: 1000,
        frame_bytes: 2000,
        ..Limits::default()
    };
    let server = echo(limits).await;
    let sized = |size: usize| {
        let head = json(ECHO, 1, 0, b"").len();
        json(ECHO, 1, 0, &vec![b'x'; size - head])
    };
    let mut client = server.connect().await;
    client.send(&sized(1001)).await;
    assert_eq!(client.next().await, None);
    let mut client = server.connect().await;
    for size in [1000, 1001, 2000] {
        client.send(&sized(size)).await;
        assert_eq!(client.opaques(1).await, [1], "{size} bytes");
    }
    client.send(&sized(2001)).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn headers_have_limits_and_what_is_just_within_them_is_taken() {
    let server = echo(Limits::default()).await;
    let remark = |bytes: usize| {
        let text = "r".repeat(bytes);
        frame(
            0,
            format!(r#"{{"code":{ECHO},"opaque":1,"remark":"{text}"}}"#).as_bytes(),
            b"",
        )
    };
    let fields = |count: usize| {
        let fields: Vec<_> = (0..count).map(|n| format!("\"{n}\":\"v\"")).collect();
        let fields = fields.join(",");
        frame(
            0,
            format!(r#"{{"code":{ECHO},"opaque":1,"extFields":{{{fields}}}}}"#).as_bytes(),
            b"",
        )
    };
    let field = |name: usize, value: usize| {
        let (name, value) = ("n".repeat(name), "v".repeat(value));
        let head = format!(r#"{{"code":{ECHO},"opaque":1,"extFields":{{"{name}":"{value}"}}}}"#);
        frame(0, head.as_bytes(), b"")
    };
    let header = |bytes: usize| {
        let head = format!(r#"{{"code":{ECHO},"opaque":1}}"#);
        frame(
            0,
            (head.clone() + &" ".repeat(bytes - head.len())).as_bytes(),
            b"",
        )
    };
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        frame(
            0,
            format!(r#"{{"code":{ECHO},"opaque":1,"x":{open}{close}}}"#).as_bytes(),
            b"",
        )
    };
    let twice = format!(r#"{{"code":{ECHO},"opaque":1,"opaque":2}}"#);
    for (within, beyond) in [
        (remark(4096), remark(4097)),
        (fields(256), fields(257)),
        (field(255, 1), field(256, 1)),
        (field(1, 65_000), field(1, 65_536)),
        (header(65_536), header(65_537)),
        (deep(8), deep(9)),
        (json(ECHO, 1, 0, b""), frame(0, twice.as_bytes(), b"")),
    ] {
        let mut client = server.connect().await;
        client.send(&within).await;
        assert_eq!(client.opaques(1).await, [1]);
        client.send(&beyond).await;
        assert_eq!(client.next().await, None, "{} bytes", beyond.len());
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_read_when_an_answer_left() {
    let (told, mut held) = mpsc::channel::<Replier>(100);
    let limits = Limits {
        in_flight: 4,
        ..Limits::default()
    };
    let server = serve(limits, move |mut call| {
        if name(&call).is_some() {
            told.try_send(call.hold()).unwrap();
        }
        Answer::Held
    })
    .await;
    let mut client = server.connect().await;
    let requests: Vec<_> = (0..10).flat_map(|n| json(ECHO, n, 0, b"x")).collect();
    client.send(&requests).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(soon(held.recv()).await.unwrap());
    }
    for n in 0..6 {
        server.settle().await;
        assert!(held.is_empty(), "four wait, a fifth was read");
        waiting.remove(0).send(Reply::ok());
        assert_eq!(client.opaques(1).await, [n]);
        waiting.push(soon(held.recv()).await.unwrap());
    }
}

/// A server with large answers, and how many it gave.
async fn large(limits: Limits) -> (Server, mpsc::Receiver<Peer>) {
    let (told, asked) = mpsc::channel(1000);
    let server = serve(limits, move |call: Call| {
        if name(&call).is_some() {
            told.try_send(call.peer.clone()).unwrap();
        }
        Answer::Now(Reply::ok().body(Bytes::from_static(ANSWER)))
    })
    .await;
    (server, asked)
}

async fn flood(client: &mut Raw) -> usize {
    let count = FLOOD / ANSWER.len();
    let requests: Vec<_> = (0..count).flat_map(|_| json(ECHO, 1, 0, b"x")).collect();
    client.send(&requests).await;
    count
}

#[tokio::test]
async fn requests_of_a_peer_that_does_not_read_its_answers_are_not_read() {
    let limits = Limits {
        unsent_bytes: 64 << 10,
        ..Limits::default()
    };
    let (server, asked) = large(limits).await;
    let mut client = server.connect().await;
    let count = flood(&mut client).await;
    server.settle().await;
    let before = asked.len();
    server.settle().await;
    assert_eq!(asked.len(), before, "it pauses");
    assert!(before < count, "{before} of {count} were read");
    for _ in 0..count {
        assert_eq!(client.next().await.unwrap().body.len(), ANSWER.len());
    }
    assert_eq!(asked.len(), count);
}

#[tokio::test]
async fn a_peer_that_takes_no_byte_for_too_long_is_closed() {
    let (mut server, mut asked) = large(Limits::default()).await;
    let mut client = server.connect().await;
    flood(&mut client).await;
    let peer = soon(asked.recv()).await.unwrap();
    server.settle().await;
    skip(Duration::from_secs(28)).await;
    server.settle().await;
    assert!(peer.is_open());
    skip(Duration::from_secs(3)).await;
    soon(peer.closed()).await;
    while soon(server.left.recv()).await.as_ref() != Some(&peer) {}
}

#[tokio::test]
async fn what_else_there_is_to_tell_a_peer_does_not_excuse_it() {
    let (server, mut asked) = large(Limits::default()).await;
    let mut client = server.connect().await;
    flood(&mut client).await;
    let peer = soon(asked.recv()).await.unwrap();
    for _ in 0..7 {
        server.settle().await;
        drop(peer.notify(unknown(b"news")));
        skip(Duration::from_secs(5)).await;
    }
    soon(peer.closed()).await;
}

#[tokio::test]
async fn what_a_peer_does_not_take_is_not_piled_up_for_it() {
    let limits = Limits {
        unsent_bytes: 1 << 20,
        in_flight: 8,
        ..Limits::default()
    };
    let (server, mut asked) = large(limits).await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"x")).await;
    let peer = soon(asked.recv()).await.unwrap();
    let mut told = 0;
    loop {
        match peer.notify(unknown(ANSWER)) {
            Ok(()) => told += 1,
            Err(refused) => {
                assert_eq!(refused, CallError::NotSent("the link has no room"));
                let before = told;
                server.settle().await;
                if peer.notify(unknown(ANSWER)).is_err() && before == told {
                    break;
                }
                told += 1;
            }
        }
        assert!(told < FLOOD / ANSWER.len(), "there is a limit");
    }
    assert!(peer.is_open());
}

#[tokio::test]
async fn a_silent_connection_is_closed_in_time_and_not_before() {
    let mut server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.ping().await;
        skip(Duration::from_secs(118)).await;
    }
    client.ping().await;
    skip(Duration::from_secs(121)).await;
    assert_eq!(client.next().await, None);
    soon(server.left.recv()).await.unwrap();
}

#[tokio::test]
async fn who_never_says_a_word_is_closed_too() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    server.settle().await;
    skip(Duration::from_secs(121)).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_first_frame_that_has_begun_must_come_to_its_end() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    let request = json(ECHO, 1, 0, b"x");
    client.send(&request[..5]).await;
    server.settle().await;
    skip(Duration::from_secs(8)).await;
    client.send(&request[5..9]).await;
    server.settle().await;
    skip(Duration::from_secs(3)).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_later_frame_may_take_its_time() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    client.ping().await;
    let request = json(ECHO, 1, 0, b"x");
    client.send(&request[..5]).await;
    server.settle().await;
    skip(Duration::from_secs(60)).await;
    client.send(&request[5..]).await;
    assert_eq!(client.opaques(1).await, [1]);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let mut server = echo(limits).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    first.ping().await;
    second.ping().await;
    assert_eq!(server.connect().await.next().await, None);
    drop(first);
    soon(server.left.recv()).await.unwrap();
    // The place is free a moment after the end was told.
    soon(async {
        loop {
            let mut third = server.connect().await;
            third.send(&json(ECHO, 1, 0, b"x")).await;
            if third.next().await.is_some() {
                return;
            }
        }
    })
    .await;
    second.ping().await;
}

#[tokio::test]
async fn telling_a_peer_something_is_no_sign_of_its_life() {
    let (told, mut asked) = mpsc::channel(10);
    let mut server = serve(Limits::default(), move |call| {
        if name(&call).is_some() {
            told.try_send(call.peer.clone()).unwrap();
        }
        Answer::Now(Reply::ok())
    })
    .await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"x")).await;
    assert_eq!(client.opaques(1).await, [1]);
    let peer = soon(asked.recv()).await.unwrap();
    for _ in 0..3 {
        assert!(peer.is_open());
        peer.notify(unknown(b"news")).unwrap();
        client.next().await.unwrap();
        skip(Duration::from_secs(41)).await;
        server.settle().await;
    }
    soon(peer.closed()).await;
    while soon(server.left.recv()).await.as_ref() != Some(&peer) {}
}

#[tokio::test]
async fn while_all_together_hold_too_much_whoever_holds_some_waits_until_one_is_closed() {
    let limits = Limits {
        held_bytes: 700 << 10,
        ..Limits::default()
    };
    let server = echo(limits).await;
    let request = json(ECHO, 1, 0, &[7; 900 << 10]);
    let (most, rest) = request.split_at(500 << 10);
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut first, &mut second] {
        client.ping().await;
        client.send(most).await;
        server.settle().await;
    }
    // It is a matter of the two only: who holds nothing is served.
    server.connect().await.ping().await;
    for seconds in [2, 31, 1] {
        skip(Duration::from_secs(seconds)).await;
        server.settle().await;
    }
    assert_eq!(first.next().await, None);
    second.send(rest).await;
    assert_eq!(second.opaques(1).await, [1], "there is room again");
}

#[tokio::test]
async fn what_is_given_to_a_peer_that_takes_nothing_counts_until_it_is_closed() {
    let (told, mut held) = mpsc::channel::<Replier>(100);
    let limits = Limits {
        unsent_bytes: 1 << 20,
        held_bytes: 4 << 20,
        ..Limits::default()
    };
    let server = serve(limits, move |mut call| match name(&call) {
        Some(text) if text == "held" => {
            told.try_send(call.hold()).unwrap();
            Answer::Held
        }
        _ => Answer::Now(echoed(&call)),
    })
    .await;
    let mut first = server.connect().await;
    let requests: Vec<_> = (0..100).flat_map(|n| json(ECHO, n, 0, b"held")).collect();
    first.send(&requests).await;
    let mut repliers = Vec::new();
    for _ in 0..100 {
        repliers.push(soon(held.recv()).await.unwrap());
    }
    let peer = repliers[0].peer().clone();
    for replier in repliers {
        replier.send(Reply::ok().body(Bytes::from_static(ANSWER)));
    }
    server.settle().await;
    skip(Duration::from_secs(5)).await;
    let mut second = server.connect().await;
    second.ping().await;
    let request = json(ECHO, 1, 0, &[7; 900 << 10]);
    let (most, rest) = request.split_at(500 << 10);
    second.send(most).await;
    server.settle().await;
    second.send(rest).await;
    server.settle().await;
    let early = second
        .stream
        .try_read(&mut [0])
        .map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "it waits");
    server.connect().await.ping().await;
    for seconds in [24, 2] {
        assert!(peer.is_open());
        skip(Duration::from_secs(seconds)).await;
        server.settle().await;
    }
    soon(peer.closed()).await;
    assert_eq!(second.opaques(1).await, [1], "there is room again");
}

#[tokio::test]
async fn a_request_that_is_held_and_answered_all_the_same_breaks_nothing() {
    let (told, mut held) = mpsc::channel::<Replier>(100);
    let limits = Limits {
        in_flight: 2,
        ..Limits::default()
    };
    let server = serve(limits, move |mut call| {
        if name(&call).is_some() {
            told.try_send(call.hold()).unwrap();
        }
        Answer::Now(Reply::ok())
    })
    .await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"x")).await;
    assert_eq!(client.opaques(1).await, [1]);
    drop(soon(held.recv()).await.unwrap());
    client.send(&json(ECHO, 2, 0, b"x")).await;
    assert_eq!(client.opaques(1).await, [2]);
    soon(held.recv()).await.unwrap().send(Reply::ok());
    assert_eq!(client.opaques(1).await, [2], "once more");
    client.send(&json(ECHO, 3, 0, b"x")).await;
    assert_eq!(client.opaques(1).await, [3]);
}
