//! The vocabulary of these tests: a server whose answers a closure gives, and a client that knows
//! nothing but bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proto::remoting::frame::Frame;
use proto::remoting::header::Serialization;
use proto::remoting::{Reply, Request};
use remoting::{Answer, Call, Limits, Listener, Peer, Serve};
use runtime::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Longer than anything here takes.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// A code without a meaning, for requests that carry a body only.
pub(crate) const ECHO: i32 = 7777;

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, what).await.expect("in time")
}

/// Lets `time` pass at once for everything that waits on a clock.
pub(crate) async fn skip(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Answers by a closure and tells of links that are gone.
struct Desk<F> {
    answer: F,
    left: mpsc::Sender<Peer>,
}

impl<F: Fn(Call) -> Answer + Send + Sync + 'static> Serve for Desk<F> {
    fn answer(&self, call: Call) -> Answer {
        (self.answer)(call)
    }

    fn disconnected(&self, peer: &Peer) {
        // Nobody listens any more when the test is at its end.
        drop(self.left.try_send(peer.clone()));
    }
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) tasks: Tasks,
    /// Peers whose link is gone.
    pub(crate) left: mpsc::Receiver<Peer>,
}

pub(crate) async fn serve<F>(limits: Limits, answer: F) -> Server
where
    F: Fn(Call) -> Answer + Send + Sync + 'static,
{
    let tasks = Tasks::root();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (told, left) = mpsc::channel(1000);
    let desk = Desk { answer, left: told };
    listener.serve(Arc::new(desk), limits, &tasks);
    Server { addr, tasks, left }
}

/// A server that answers each request with the body it came with.
pub(crate) async fn echo(limits: Limits) -> Server {
    serve(limits, |call| Answer::Now(echoed(&call))).await
}

pub(crate) fn echoed(call: &Call) -> Reply {
    Reply::ok().body(call.request.body())
}

impl Server {
    pub(crate) async fn connect(&self) -> Raw {
        Raw {
            stream: TcpStream::connect(self.addr).await.unwrap(),
            input: BytesMut::new(),
        }
    }

    /// Lets the server see what has arrived by now, and act on it.
    pub(crate) async fn settle(&self) {
        for _ in 0..20 {
            let mut other = self.connect().await;
            other.send(&json(ECHO, 1, 2, b"settle")).await;
            other.stream.shutdown().await.unwrap();
            assert_eq!(soon(other.stream.read(&mut [0])).await.unwrap_or(0), 0);
        }
    }
}

/// The body of an echo request as text; "settle" is not for the tests.
pub(crate) fn name(call: &Call) -> Option<String> {
    let body = call.request.body();
    (body != "settle").then(|| String::from_utf8_lossy(&body).into_owned())
}

/// A frame of bytes that were put together by hand.
pub(crate) fn frame(kind: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let (all, head) = (4 + header.len() + body.len(), header.len());
    let mark = (u32::from(kind) << 24) | u32::try_from(head).unwrap();
    let length = u32::try_from(all).unwrap().to_be_bytes();
    [&length, &mark.to_be_bytes(), header, body].concat()
}

pub(crate) fn json(code: i32, opaque: i32, flag: i32, body: &[u8]) -> Vec<u8> {
    let header = format!(
        r#"{{"code":{code},"language":"JAVA","opaque":{opaque},"flag":{flag},"version":401}}"#
    );
    frame(0, header.as_bytes(), body)
}

pub(crate) fn binary(code: i16, opaque: i32, flag: i32, body: &[u8]) -> Vec<u8> {
    let header = [
        &code.to_be_bytes()[..],
        &[0, 1, 145],
        &opaque.to_be_bytes(),
        &flag.to_be_bytes(),
        &[0; 8],
    ];
    frame(1, &header.concat(), body)
}

/// One frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) opaque: i32,
    pub(crate) flag: i32,
    pub(crate) remark: Option<String>,
    pub(crate) is_json: bool,
    pub(crate) body: Bytes,
}

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    input: BytesMut,
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// The next frame; `None` when the other side closed.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            if let Some(frame) = Frame::split_off(&mut self.input, 1 << 28).unwrap() {
                let header = frame.header().unwrap();
                return Some(Seen {
                    code: header.code,
                    opaque: header.opaque,
                    flag: header.flag,
                    remark: header.remark.as_deref().map(str::to_owned),
                    is_json: frame.serialization() == Serialization::Json,
                    body: frame.body.clone(),
                });
            }
            match soon(self.stream.read_buf(&mut self.input)).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The opaques of the next frames.
    pub(crate) async fn opaques(&mut self, count: usize) -> Vec<i32> {
        let mut opaques = Vec::new();
        for _ in 0..count {
            opaques.push(self.next().await.expect("an answer").opaque);
        }
        opaques
    }

    /// Asks for an echo and expects it.
    pub(crate) async fn ping(&mut self) {
        self.send(&json(ECHO, 4242, 0, b"ping")).await;
        let seen = self.next().await.expect("an answer");
        assert_eq!((seen.opaque, &seen.body[..]), (4242, &b"ping"[..]));
    }
}

pub(crate) fn unknown(body: &'static [u8]) -> Request {
    Request::Unknown {
        code: ECHO,
        ext: proto::remoting::fields::Ext::default(),
        body: Bytes::from_static(body),
    }
}
