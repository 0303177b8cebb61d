//! A TCP proxy that does to connections what networks do: delay, throttle, swallow, end them after
//! any byte. What happens to a connection is decided when it is accepted, by the caller's dice.
//!
//! Invariant: bytes that pass are passed in order and unchanged; nothing of it outlives its tasks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use client::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Which bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What happens when they have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides see an orderly end.
    Close,
    /// Both sides see a reset.
    Reset,
    /// The side to which the bytes went sees their end; the other way goes on.
    HalfClose,
    /// Bytes of this way are swallowed for so long, then both sides see a reset.
    Stall(Duration),
}

/// A connection's fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Every read is passed on so much later.
    pub(crate) delay: Duration,
    /// Bytes a second in each way; 0: as many as come.
    pub(crate) throttle: u64,
    pub(crate) end: Option<(Way, u64, End)>,
}

/// Decides about the next connection.
type Decide = Box<dyn FnMut() -> Fate + Send>;

#[derive(Default)]
struct State {
    /// Connections are passed through untouched from now on.
    calm: AtomicBool,
    /// Nothing passes any more in either way, and nobody is told.
    frozen: AtomicBool,
    freeze: Notify,
    accepted: AtomicU64,
    ended: AtomicU64,
    open: AtomicUsize,
}

/// A proxy that listens.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// From `listen` to `upstream`, in `tasks`.
    pub(crate) async fn start(
        listen: SocketAddr,
        upstream: SocketAddr,
        mut decide: Decide,
        tasks: &Tasks,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::default());
        let (shared, connections) = (Arc::clone(&state), tasks.clone());
        tasks.spawn("proxy", async move {
            let stop = connections.token();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.cancelled() => return,
                };
                let Ok((client, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Relaxed);
                let fate = if shared.calm.load(Relaxed) {
                    Fate::default()
                } else {
                    decide()
                };
                let (state, stop) = (Arc::clone(&shared), connections.token());
                connections.spawn("proxied", async move {
                    state.open.fetch_add(1, Relaxed);
                    // A refused or broken connection is what this is about.
                    tokio::select! {
                        passed = pass(client, upstream, fate, &state) => drop(passed),
                        () = stop.cancelled() => {}
                    }
                    state.open.fetch_sub(1, Relaxed);
                });
            }
        });
        Ok(Self { addr, state })
    }

    /// Leaves connections that come from now on alone.
    pub(crate) fn calm(&self, calm: bool) {
        self.state.calm.store(calm, Relaxed);
    }

    /// Nothing passes any more; connections stay open on both sides.
    pub(crate) fn freeze(&self) {
        self.state.frozen.store(true, Relaxed);
        self.state.freeze.notify_waiters();
    }

    /// Connections that met their fate.
    pub(crate) fn ended(&self) -> u64 {
        self.state.ended.load(Relaxed)
    }

    pub(crate) fn open(&self) -> usize {
        self.state.open.load(Relaxed)
    }
}

/// One of the two directions of a connection.
struct Direction<'a> {
    way: Way,
    from: &'a mut OwnedReadHalf,
    to: &'a mut OwnedWriteHalf,
}

/// How a direction came to its end.
#[derive(PartialEq, Eq)]
enum Passed {
    /// The sender said so.
    Finished,
    /// Fate did.
    Fated(End),
}

async fn pass(
    client: TcpStream,
    upstream: SocketAddr,
    fate: Fate,
    state: &State,
) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = Direction {
        way: Way::ToServer,
        from: &mut from_client,
        to: &mut to_server,
    };
    let back = Direction {
        way: Way::ToClient,
        from: &mut from_server,
        to: &mut to_client,
    };
    let fated = {
        let both = async { tokio::try_join!(there.run(fate, state), back.run(fate, state)) };
        both.await
    };
    match fated {
        Err(Broken::Fated(End::Reset | End::Stall(_))) => {
            state.ended.fetch_add(1, Relaxed);
            to_client.as_ref().set_zero_linger()?;
            to_server.as_ref().set_zero_linger()?;
            // Dropping them would say an orderly end first.
            to_client.forget();
            to_server.forget();
        }
        Err(Broken::Fated(_)) => {
            state.ended.fetch_add(1, Relaxed);
        }
        Err(Broken::Io(error)) => return Err(error),
        Ok(_) => {}
    }
    Ok(())
}

/// Both directions end when one says this.
enum Broken {
    Fated(End),
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Direction<'_> {
    /// Passes bytes on until there are no more or fate ends both directions.
    async fn run(mut self, fate: Fate, state: &State) -> Result<(), Broken> {
        let mine = fate.end.filter(|(way, _, _)| *way == self.way);
        match self.pass(fate, mine, state).await? {
            Passed::Finished => Ok(self.to.shutdown().await?),
            Passed::Fated(End::HalfClose) => {
                state.ended.fetch_add(1, Relaxed);
                self.to.shutdown().await?;
                self.swallow().await?;
                Ok(())
            }
            Passed::Fated(End::Stall(time)) => {
                // Also one that is read to its end stalls: nobody is told.
                let until = Instant::now() + time;
                drop(timeout_at(until, self.swallow()).await);
                sleep_until(until).await;
                Err(Broken::Fated(End::Stall(time)))
            }
            Passed::Fated(end) => Err(Broken::Fated(end)),
        }
    }

    async fn pass(
        &mut self,
        fate: Fate,
        end: Option<(Way, u64, End)>,
        state: &State,
    ) -> io::Result<Passed> {
        let mut left = end.map_or(u64::MAX, |(_, after, _)| after);
        let mut buffer = vec![0; 16 << 10];
        loop {
            if let Some((_, _, end)) = end.filter(|_| left == 0) {
                return Ok(Passed::Fated(end));
            }
            let frozen = async {
                let told = state.freeze.notified();
                if !state.frozen.load(Relaxed) {
                    told.await;
                }
            };
            let count = tokio::select! {
                read = self.from.read(&mut buffer) => read?,
                () = frozen => {
                    self.swallow().await?;
                    std::future::pending().await
                }
            };
            if count == 0 {
                return Ok(Passed::Finished);
            }
            sleep_unless_zero(fate.delay).await;
            let allowed = count.min(usize::try_from(left).unwrap_or(usize::MAX));
            let bytes = buffer.get(..allowed).unwrap_or_default();
            self.put(bytes, fate.throttle).await?;
            left -= allowed as u64;
        }
    }

    async fn put(&mut self, bytes: &[u8], throttle: u64) -> io::Result<()> {
        if throttle == 0 {
            return self.to.write_all(bytes).await;
        }
        // A tenth of a second's bytes at a time.
        let step = usize::try_from(throttle / 10).unwrap_or(1).max(1);
        for bytes in bytes.chunks(step) {
            self.to.write_all(bytes).await?;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Reads to the end and passes nothing on.
    async fn swallow(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        while self.from.read(&mut buffer).await? > 0 {}
        Ok(())
    }
}

async fn sleep_unless_zero(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client reads that sends `sent` to an echo through a connection of this fate.
    async fn echoed(fate: Fate, sent: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
        let tasks = Tasks::root();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = TcpListener::bind(any).await.unwrap();
        let at = server.local_addr().unwrap();
        tasks.spawn("echo", async move {
            while let Ok((mut stream, _)) = server.accept().await {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            }
        });
        let proxy = Proxy::start(any, at, Box::new(move || fate), &tasks).await;
        let mut client = TcpStream::connect(proxy.unwrap().addr).await.unwrap();
        let (mut read, mut write) = client.split();
        let mut answer = Vec::new();
        let send = async {
            write.write_all(sent).await?;
            write.shutdown().await
        };
        let (sent, read) = tokio::join!(send, read.read_to_end(&mut answer));
        (
            answer,
            read.err().or_else(|| sent.err()).map(|error| error.kind()),
        )
    }

    fn ends(way: Way, after: u64, end: End) -> Fate {
        Fate {
            end: Some((way, after, end)),
            ..Fate::default()
        }
    }

    #[tokio::test]
    async fn without_a_fate_all_bytes_pass_unchanged() {
        let sent: Vec<_> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(echoed(Fate::default(), &sent).await, (sent, None));
        let slow = Fate {
            delay: Duration::from_millis(1),
            throttle: 1 << 20,
            end: None,
        };
        assert_eq!(echoed(slow, &[7; 50_000]).await, (vec![7; 50_000], None));
    }

    #[tokio::test]
    async fn a_connection_ends_behind_the_byte_that_was_named() {
        for after in [0, 1, 4999] {
            let sent = [7; 5000];
            let passed = vec![7; usize::try_from(after).unwrap()];
            let half = ends(Way::ToServer, after, End::HalfClose);
            assert_eq!(echoed(half, &sent).await, (passed.clone(), None));
            let close = ends(Way::ToClient, after, End::Close);
            assert_eq!(echoed(close, &sent).await.0, passed);
        }
    }

    #[tokio::test]
    async fn a_reset_is_seen_as_one_at_once_or_after_a_stall() {
        let reset = Some(io::ErrorKind::ConnectionReset);
        for end in [End::Reset, End::Stall(Duration::from_millis(1))] {
            assert_eq!(
                echoed(ends(Way::ToServer, 10, end), &[7; 5000]).await.1,
                reset
            );
        }
    }
}
