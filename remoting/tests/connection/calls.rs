//! Calls the other way: a server that asks its clients; and links with our own code on both ends.

use std::sync::Arc;
use std::time::Duration;

use proto::remoting::Request;
use remoting::{Answer, Call, CallError, Limits, Peer, Serve, Unserved, dial};
use tokio::sync::mpsc;

use crate::raw::{ECHO, Raw, Server, WAIT, echo, echoed, json, serve, skip, soon, unknown};

/// A server that shows its peers, and one client with the server's handle to it.
async fn linked(limits: Limits) -> (Server, Raw, Peer) {
    let (told, mut peers) = mpsc::channel(100);
    let server = serve(limits, move |call: Call| {
        drop(told.try_send(call.peer.clone()));
        Answer::Now(echoed(&call))
    })
    .await;
    let mut client = server.connect().await;
    client.ping().await;
    let peer = soon(peers.recv()).await.unwrap();
    (server, client, peer)
}

fn called(peer: &Peer, body: &'static [u8]) -> impl Future<Output = Result<String, CallError>> {
    let peer = peer.clone();
    async move {
        let reply = peer.call(unknown(body), WAIT).await?;
        Ok(String::from_utf8(reply.whole_body().to_vec()).unwrap())
    }
}

#[tokio::test]
async fn a_client_is_asked_and_answers_on_the_same_connection() {
    let (_server, mut client, peer) = linked(Limits::default()).await;
    let calls = async { tokio::join!(called(&peer, b"a"), called(&peer, b"b")) };
    let answers = async {
        let (first, second) = (client.next().await.unwrap(), client.next().await.unwrap());
        assert_eq!((first.code, first.flag, second.flag), (ECHO, 0, 0));
        assert_ne!(first.opaque, second.opaque);
        // A request of the client's own with the opaque of one that it is asked.
        client.send(&json(ECHO, first.opaque, 0, b"mine")).await;
        client.send(&json(0, second.opaque, 1, b"B")).await;
        client.send(&json(0, first.opaque, 1, b"A")).await;
        let own = client.next().await.unwrap();
        assert_eq!(
            (own.opaque, own.flag, &own.body[..]),
            (first.opaque, 1, &b"mine"[..])
        );
    };
    let (results, ()) = tokio::join!(calls, answers);
    assert_eq!(results, (Ok("A".to_owned()), Ok("B".to_owned())));
}

#[tokio::test]
async fn a_notice_is_one_way() {
    let (_server, mut client, peer) = linked(Limits::default()).await;
    assert_eq!(peer.notify(unknown(b"news")), Ok(()));
    let seen = client.next().await.unwrap();
    assert_eq!(
        (seen.code, seen.flag, &seen.body[..]),
        (ECHO, 2, &b"news"[..])
    );
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_in_time_and_its_answer_comes_too_late() {
    let (_server, mut client, peer) = linked(Limits::default()).await;
    let within = Duration::from_secs(5);
    let call = peer.call(unknown(b"a"), within);
    let late = async {
        let seen = client.next().await.unwrap();
        skip(within).await;
        seen.opaque
    };
    let (result, opaque) = tokio::join!(call, late);
    assert_eq!(result, Err(CallError::TimedOut));
    client.send(&json(0, opaque, 1, b"A")).await;
    client.ping().await;
}

#[tokio::test]
async fn a_call_that_timed_out_before_it_left_is_not_sent_any_more() {
    static LARGE: [u8; 1 << 20] = [7; 1 << 20];
    let (_server, mut client, peer) = linked(Limits::default()).await;
    // More than the buffers of both sockets take.
    let calls = 64;
    for _ in 0..calls {
        let result = peer.call(unknown(&LARGE), Duration::ZERO).await;
        assert_eq!(result, Err(CallError::TimedOut));
    }
    let came = async {
        let mut came = 0;
        loop {
            let seen = client.next().await.unwrap();
            if &seen.body[..] == b"last" {
                client.send(&json(0, seen.opaque, 1, b"A")).await;
                return came;
            }
            came += 1;
        }
    };
    let (last, came) = tokio::join!(called(&peer, b"last"), came);
    assert_eq!(last, Ok("A".to_owned()));
    assert!(came < calls, "all {calls} came");
}

#[tokio::test]
async fn a_call_ends_with_its_connection() {
    let (_server, mut client, peer) = linked(Limits::default()).await;
    let leave = async {
        client.next().await.unwrap();
        drop(client);
    };
    let (result, ()) = tokio::join!(called(&peer, b"a"), leave);
    assert_eq!(result, Err(CallError::Closed));
    soon(peer.closed()).await;
    let closed = Err(CallError::NotSent("the link is closed"));
    assert_eq!(called(&peer, b"a").await, closed);
}

#[tokio::test]
async fn calls_beyond_the_limit_are_not_sent() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let (_server, mut client, peer) = linked(limits).await;
    let second = async {
        let seen = client.next().await.unwrap();
        let full = CallError::NotSent("too many requests wait for an answer");
        assert_eq!(called(&peer, b"b").await, Err(full));
        client.send(&json(0, seen.opaque, 1, b"A")).await;
    };
    let (first, ()) = tokio::join!(called(&peer, b"a"), second);
    assert_eq!(first, Ok("A".to_owned()));
}

#[tokio::test]
async fn closing_a_peer_closes_its_connection() {
    let (mut server, mut client, peer) = linked(Limits::default()).await;
    peer.close();
    assert_eq!(client.next().await, None);
    assert_eq!(soon(server.left.recv()).await, Some(peer));
}

struct Shout;

impl Serve for Shout {
    fn answer(&self, call: Call) -> Answer {
        let Request::Unknown { body, .. } = &call.request else {
            return Answer::Now(remoting::unsupported(&call.request));
        };
        let loud = body.to_ascii_uppercase();
        Answer::Now(proto::remoting::Reply::ok().body(loud.into()))
    }
}

#[tokio::test]
async fn both_ends_of_a_dialed_link_ask_and_answer() {
    let (told, mut peers) = mpsc::channel(10);
    let server = serve(Limits::default(), move |call: Call| {
        told.try_send(call.peer.clone()).unwrap();
        Answer::Now(echoed(&call))
    })
    .await;
    let to_server = dial(
        server.addr,
        Arc::new(Shout),
        Limits::default(),
        &server.tasks,
    )
    .await;
    let to_server = to_server.unwrap();
    assert_eq!(called(&to_server, b"quiet").await, Ok("quiet".to_owned()));
    let to_client = soon(peers.recv()).await.unwrap();
    assert_eq!(called(&to_client, b"loud").await, Ok("LOUD".to_owned()));
}

#[tokio::test]
async fn a_large_body_arrives_whole_in_both_directions() {
    static LARGE: [u8; 15 << 20] = [b'x'; 15 << 20];
    let server = echo(Limits::default()).await;
    let unserved = Arc::new(Unserved);
    let peer = dial(server.addr, unserved, Limits::default(), &server.tasks).await;
    let peer = peer.unwrap();
    assert!(called(&peer, b"a first frame is a small one").await.is_ok());
    let reply = peer.call(unknown(&LARGE), WAIT).await.unwrap();
    assert_eq!(reply.body_bytes(), LARGE.len());
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error() {
    let server = echo(Limits::default()).await;
    server.tasks.close(WAIT).await.unwrap();
    let tasks = runtime::Tasks::root();
    let refused = dial(server.addr, Arc::new(Unserved), Limits::default(), &tasks).await;
    let kind = refused.unwrap_err().kind();
    assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
}
