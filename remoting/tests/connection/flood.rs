//! Who sends one-way requests without end: nothing else has to wait until it pauses.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::Mutex;
use proto::remoting::Reply;
use remoting::{Answer, Limits, Peer};
use tokio::sync::mpsc;

use crate::raw::{ECHO, Server, WAIT, json, serve, soon};

/// By then the system has given the socket so much room that it holds more than one read takes.
const BROAD: u32 = 20_000;

/// Sends one-way requests over and over.
struct Flood {
    stream: TcpStream,
    requests: Vec<u8>,
    sent: usize,
    handled: u32,
}

impl Flood {
    /// Sends as much as the socket takes.
    fn go_on(&mut self) {
        while let Ok(taken) = self.stream.write(&self.requests[self.sent..]) {
            self.sent = (self.sent + taken) % self.requests.len();
        }
    }
}

/// A server, and its peer that floods it: whenever a request is handled it sends on, so that no read
/// finds too little, however crowded the machine is.
async fn flooded() -> (Server, Peer) {
    let (told, mut asked) = mpsc::channel(1);
    let (begun, last) = (Arc::new(Mutex::new(None::<Flood>)), Mutex::new(None));
    let flood = Arc::clone(&begun);
    let server = serve(Limits::default(), move |call| {
        if let Some(flood) = &mut *flood.lock() {
            flood.go_on();
            flood.handled += 1;
            if flood.handled == BROAD {
                told.try_send(call.peer.clone()).unwrap();
            }
        }
        // Somebody holds some of what was read last: each read begins in new memory, of one size.
        *last.lock() = Some(call);
        Answer::Now(Reply::ok())
    })
    .await;
    let stream = TcpStream::connect(server.addr).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut flood = Flood {
        stream,
        requests: json(ECHO, 1, 2, &[b'x'; 8 << 10]).repeat(100),
        sent: 0,
        handled: 0,
    };
    flood.go_on();
    *begun.lock() = Some(flood);
    let peer = soon(asked.recv()).await.unwrap();
    (server, peer)
}

#[tokio::test]
async fn a_flood_does_not_keep_a_stop_from_its_connection() {
    let (server, _peer) = flooded().await;
    assert_eq!(server.tasks.close(WAIT).await, Ok(()));
}

#[tokio::test]
async fn a_peer_that_floods_can_be_closed() {
    let (mut server, peer) = flooded().await;
    peer.close();
    assert_eq!(soon(server.left.recv()).await, Some(peer));
}
