//! One connection: hyper speaks HTTP on it, a clock beside it closes it when its peer is too slow.
//!
//! The clock knows three states: waiting for a request (idle limit), a request's head arriving
//! (head limit), a request being answered (its handler has limits of its own). hyper's own head
//! timer would also run while a connection is idle, and allocates for every request.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{App, Door};

/// How long a peer that was too slow may take for the answer that says so.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves requests until the peer leaves, is too slow, or the gateway stops.
pub(super) async fn serve(stream: TcpStream, door: Door, app: Arc<App>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "connection broke at once");
        return;
    }
    serve_on(stream, door, app).await;
}

/// Speaks HTTP on a stream of bytes, wherever it comes from.
pub(super) async fn serve_on<S>(stream: S, door: Door, app: Arc<App>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pace = Arc::new(Pace::new());
    let io = TokioIo::new(Paced {
        stream,
        pace: Arc::clone(&pace),
        head: Head::default(),
    });
    let service = service_fn(|request| {
        pace.enter(State::Busy);
        let (app, pace) = (&app, &pace);
        async move {
            let response = app.answer(door, request).await;
            pace.enter(State::Idle);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(app.config.head_bytes_max)
        .max_headers(app.config.headers_max)
        .header_read_timeout(None);
    let mut connection = http.serve_connection(io, service);
    // Not longer than either limit, so that none that begins meanwhile is missed.
    let look_every = app.config.head_timeout.min(app.config.idle_timeout);
    let mut clock = pin!(tokio::time::sleep(look_every));
    let mut stop = pin!(app.stop.cancelled());
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection broke");
                }
                return;
            }
            () = clock.as_mut() => {
                let (now, due) = (Instant::now(), pace.due(&app));
                if due.is_some_and(|due| due <= now) {
                    let parts = connection.into_parts();
                    if !parts.read_buf.is_empty() {
                        refuse_half_a_head(parts.io.into_inner()).await;
                    }
                    return;
                }
                let next = now + look_every;
                clock.as_mut().reset(due.map_or(next, |due| due.min(next)));
            }
            () = stop.as_mut(), if !stopping => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// hyper answers nothing before a head is whole. Who does not take this may do without.
async fn refuse_half_a_head(mut stream: impl AsyncWrite + Unpin) {
    let answer = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    drop(timeout(LAST_WORD, stream.write_all(answer)).await);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle = 0,
    Head = 1,
    Busy = 2,
}

/// The state of a connection and since when it is in it, in one number: milliseconds * 4 + state.
#[derive(Debug)]
struct Pace {
    born: Instant,
    now: AtomicU64,
}

impl Pace {
    /// The head of a first request is due at once.
    fn new() -> Self {
        Self {
            born: Instant::now(),
            now: AtomicU64::new(State::Head as u64),
        }
    }

    fn enter(&self, state: State) {
        let age = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX / 4);
        self.now.store(age * 4 + state as u64, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        self.now.load(Ordering::Relaxed) % 4 == State::Idle as u64
    }

    fn arrived(&self) {
        if self.is_idle() {
            self.enter(State::Head);
        }
    }

    /// When the connection has been in its state for too long.
    fn due(&self, app: &App) -> Option<Instant> {
        let now = self.now.load(Ordering::Relaxed);
        let limit = match now % 4 {
            0 => app.config.idle_timeout,
            1 => app.config.head_timeout,
            _ => return None,
        };
        Some(self.born + Duration::from_millis(now / 4) + limit)
    }
}

/// A socket that tells its pace when bytes arrive, and lets no line of a head end in a bare LF.
struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    head: Head,
}

/// How far the head of a request has arrived. hyper takes a bare LF for the end of a line, which
/// whoever is in front of us may not. What is sent before its predecessor was answered is not seen
/// here.
#[derive(Debug, Default)]
struct Head {
    /// The last bytes, newest last.
    tail: [u8; 3],
    ended: bool,
}

impl Head {
    /// Makes a bare LF a byte that no head may have, for hyper to answer as it answers those.
    fn spoil_bare_line_ends(&mut self, arrived: &mut [u8]) {
        for byte in arrived {
            if self.ended {
                return;
            }
            if self.tail == [0; 3] && matches!(*byte, b'\r' | b'\n') {
                // Empty lines before a request are no part of it.
                continue;
            }
            let [before_last, _, last] = self.tail;
            if *byte == b'\n' && last != b'\r' {
                *byte = 0;
            }
            self.ended = *byte == b'\n' && before_last == b'\r' && self.tail[1] == b'\n';
            self.tail = [self.tail[1], last, *byte];
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(arrived @ [_, ..]) = buffer.filled_mut().get_mut(before..) {
            if self.pace.is_idle() {
                self.head = Head::default();
            }
            self.pace.arrived();
            self.head.spoil_bare_line_ends(arrived);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
