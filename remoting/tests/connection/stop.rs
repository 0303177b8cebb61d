//! What a stop does to connections: nothing more is read, what was read is answered.

use proto::remoting::Reply;
use remoting::{Answer, Gated, Limits};
use runtime::Watermark;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::raw::{ECHO, WAIT, echo, echoed, json, serve, soon};

#[tokio::test]
async fn connections_without_a_request_close_at_once_and_no_new_ones_are_taken() {
    let server = echo(Limits::default()).await;
    let mut client = server.connect().await;
    client.ping().await;
    assert_eq!(server.tasks.close(WAIT).await, Ok(()));
    assert_eq!(client.next().await, None);
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn what_was_read_before_a_stop_is_answered_and_nothing_after_it_is_read() {
    let (told, mut held) = mpsc::channel(10);
    let gate = Watermark::default();
    let opens = gate.clone();
    let server = serve(Limits::default(), move |mut call| {
        if call.request.body() == "gated" {
            return Answer::Gated(Gated {
                gate: gate.clone(),
                at: 1,
                reply: echoed(&call),
                within: WAIT,
            });
        }
        told.try_send(call.hold()).unwrap();
        Answer::Held
    })
    .await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"held")).await;
    client.send(&json(ECHO, 2, 0, b"gated")).await;
    client.send(&json(ECHO, 3, 0, b"held")).await;
    let (first, third) = (
        soon(held.recv()).await.unwrap(),
        soon(held.recv()).await.unwrap(),
    );

    server.tasks.cancel();
    tokio::task::yield_now().await;
    client.send(&json(ECHO, 4, 0, b"after")).await;
    opens.advance(1);
    assert_eq!(client.opaques(1).await, [2]);
    third.send(Reply::ok());
    assert_eq!(client.opaques(1).await, [3]);
    first.send(Reply::ok());
    assert_eq!(client.opaques(1).await, [1]);
    assert_eq!(client.next().await, None);
    assert!(held.is_empty());
    assert_eq!(server.tasks.close(WAIT).await, Ok(()));
}

#[tokio::test]
async fn a_stop_waits_until_answers_have_left() {
    let server = serve(Limits::default(), |_| {
        Answer::Now(Reply::ok().body(vec![7; 32 << 20].into()))
    })
    .await;
    let mut client = server.connect().await;
    client.send(&json(ECHO, 1, 0, b"x")).await;
    let mut peek = [0];
    soon(client.stream.peek(&mut peek)).await.unwrap();
    let read = async { client.next().await.map(|seen| seen.body.len()) };
    let (closed, read) = tokio::join!(server.tasks.close(WAIT), read);
    assert_eq!((closed, read), (Ok(()), Some(32 << 20)));
}

/// One worker, watched from outside of it: a task that spins without an await stops every clock of
/// its runtime.
#[test]
fn a_stop_ends_a_connection_that_is_at_its_limit() {
    let (tell, told) = std::sync::mpsc::channel();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        let (asks, mut asked) = mpsc::channel(10);
        let gate = Watermark::default();
        let opens = gate.clone();
        let limits = Limits {
            in_flight: 1,
            ..Limits::default()
        };
        let server = serve(limits, move |call| {
            asks.try_send(()).unwrap();
            Answer::Gated(Gated {
                gate: gate.clone(),
                at: 1,
                reply: echoed(&call),
                within: WAIT,
            })
        })
        .await;
        let mut client = server.connect().await;
        let both = [json(ECHO, 1, 0, b"x"), json(ECHO, 2, 0, b"x")].concat();
        client.send(&both).await;
        soon(asked.recv()).await.unwrap();

        server.tasks.cancel();
        tokio::task::yield_now().await;
        opens.advance(1);
        assert_eq!(client.opaques(1).await, [1]);
        assert_eq!(client.next().await, None);
        tell.send(server.tasks.close(WAIT).await).unwrap();
    });
    let closed = told.recv_timeout(WAIT);
    runtime.shutdown_background();
    assert_eq!(closed, Ok(Ok(())));
}
