//! Requests and the frames they come in.

use remoting::{Answer, Limits, unsupported};
use tokio::sync::mpsc;

use crate::raw::{ECHO, Seen, binary, echo, frame, json, name, serve};

#[tokio::test]
async fn pipelined_requests_are_handed_over_and_answered_in_their_order() {
    let (told, mut order) = mpsc::channel(1000);
    let server = serve(Limits::default(), move |call| {
        told.try_send(name(&call).unwrap()).unwrap();
        Answer::Now(crate::raw::echoed(&call))
    })
    .await;
    let mut client = server.connect().await;
    let requests: Vec<_> = (0..500)
        .flat_map(|n| json(ECHO, n, 0, n.to_string().as_bytes()))
        .collect();
    client.send(&requests).await;
    for n in 0..500 {
        let seen = client.next().await.unwrap();
        let wanted = n.to_string();
        assert_eq!((seen.opaque, &seen.body[..]), (n, wanted.as_bytes()));
        assert_eq!(order.try_recv(), Ok(wanted));
    }
}

#[tokio::test]
async fn each_answer_is_serialized_as_its_request_was() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    let mixed = [
        json(ECHO, -1, 0, b"a"),
        binary(7777, i32::MIN, 0, b"b"),
        binary(7777, 3, 0, b""),
        json(ECHO, 4, 0, b""),
    ];
    client.send(&mixed.concat()).await;
    for (opaque, is_json, body) in [
        (-1, true, "a"),
        (i32::MIN, false, "b"),
        (3, false, ""),
        (4, true, ""),
    ] {
        let wanted = Seen {
            code: 0,
            opaque,
            flag: 1,
            remark: None,
            is_json,
            body: body.into(),
        };
        assert_eq!(client.next().await, Some(wanted));
    }
}

#[tokio::test]
async fn a_stream_may_be_cut_anywhere() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    let frames = [
        json(ECHO, 1, 0, b"one"),
        binary(7777, 2, 0, b"two"),
        json(ECHO, 3, 0, b""),
    ];
    let stream = frames.concat();
    let mut other = server.connect().await;
    for cut in 1..stream.len() {
        client.send(&stream[..cut]).await;
        other.ping().await;
        client.send(&stream[cut..]).await;
        assert_eq!(client.opaques(3).await, [1, 2, 3], "cut at {cut}");
    }
    for byte in &stream {
        client.send(&[*byte]).await;
        other.ping().await;
    }
    assert_eq!(client.opaques(3).await, [1, 2, 3]);
}

fn wrong_frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut cut = frame(1, &binary(7777, 1, 0, b"")[8..], b"");
    cut[4 + 3] -= 1;
    vec![
        ("length 3", vec![0, 0, 0, 3, 0, 0, 0]),
        ("negative length", vec![0xff; 8]),
        ("beyond the limit", vec![0x7f, 0xff, 0xff, 0xff]),
        ("header beyond frame", vec![0, 0, 0, 10, 0, 0, 0, 7]),
        ("header beyond limit", vec![0, 2, 0, 0, 0, 1, 0, 1]),
        ("unknown serialization", frame(2, b"{}", b"")),
        ("no json", frame(0, b"GET / HTTP/1.1", b"")),
        ("json without a code", frame(0, b"{}", b"")),
        ("a member twice", frame(0, br#"{"code":1,"code":1}"#, b"")),
        ("binary header too short", cut),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

#[tokio::test]
async fn a_wrong_frame_closes_its_connection_and_no_other() {
    let mut server = echo(Limits::default()).await;
    let mut other = server.connect().await;
    for (what, bytes) in wrong_frames() {
        let mut client = server.connect().await;
        client.send(&bytes).await;
        assert_eq!(client.next().await, None, "{what}");
        let left = crate::raw::soon(server.left.recv()).await.unwrap();
        assert!(!left.is_open(), "{what}");
        other.ping().await;
    }
}

#[tokio::test]
async fn what_was_answered_before_a_wrong_frame_still_leaves() {
    let server = echo(Limits::default()).await;
    for (what, bytes) in wrong_frames() {
        let mut client = server.connect().await;
        client.send(&[json(ECHO, 1, 0, b"x"), bytes].concat()).await;
        assert_eq!(
            client.next().await.map(|seen| seen.opaque),
            Some(1),
            "{what}"
        );
        assert_eq!(client.next().await, None, "{what}");
    }
}

#[tokio::test]
async fn a_one_way_request_gets_no_answer_whatever_comes_of_it() {
    let server = serve(Limits::default(), |mut call| {
        match (call.request.code(), call.oneway) {
            (ECHO, false) => Answer::Now(crate::raw::echoed(&call)),
            (ECHO, true) => {
                call.hold().send(crate::raw::echoed(&call));
                Answer::Held
            }
            _ => Answer::Now(unsupported(&call.request)),
        }
    })
    .await;
    let mut client = server.connect().await;
    // An echo that is held, an unknown code, and one whose parameters are missing.
    let oneway = [
        json(ECHO, 1, 2, b"x"),
        json(9999, 2, 2, b""),
        json(15, 3, 2, b""),
    ];
    client.send(&oneway.concat()).await;
    client.ping().await;
}

#[tokio::test]
async fn what_cannot_be_understood_but_framed_is_answered() {
    let server = serve(Limits::default(), |call| {
        Answer::Now(unsupported(&call.request))
    })
    .await;
    let mut client = server.connect().await;
    let requests = [
        json(9999, 1, 0, b""),
        json(105, 2, 0, b""),
        json(34, 3, 0, b"{"),
    ];
    client.send(&requests.concat()).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let next = client.next().await.unwrap();
        seen.push((next.opaque, next.code, next.remark.unwrap()));
    }
    let (last, told) = (seen.pop().unwrap(), "body is not the expected json");
    assert_eq!((last.0, last.1, last.2.starts_with(told)), (3, 1, true));
    assert_eq!(
        seen,
        [
            (
                1,
                3,
                " request type 9999 not supported (UNKNOWN)".to_owned()
            ),
            (2, 1, "the custom field <topic> is null".to_owned()),
        ]
    );
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_passed_over() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(&json(0, 99, 1, b"for whom?")).await;
    client.ping().await;
}
