//! One TCP connection: a single task that reads frames, has them answered in order, and writes what
//! is due. Both ends of a connection are this same thing.
//!
//! Invariants: requests are handed to [`Serve`] in the order in which they arrived; reads pause
//! while `in_flight`, `unsent` or the memory of all is at its limit, so a peer can make us hold no
//! more than that, and what it has not said or taken for too long ends it; all
//! answers that are due at one moment leave in one write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use proto::remoting::frame::{Frame, FrameError};
use proto::remoting::header::Serialization;
use proto::remoting::{Reply, Request, ResponseCode};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Call, ReplyTo, Serve};
use crate::gated_replies::GatedReplies;
use crate::limits::Limits;
use crate::outgoing::{Outgoing, Queued, Unsent};
use crate::pace::{Late, Pace, TICK};
use crate::peer::{Departure, Outbox, Peer};
use crate::room::{Queue, Share};

/// Room that reads keep ahead of what has arrived.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Why a connection ended, when it was not in order.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Late(#[from] Late),
}

/// What the task waited for and got.
#[expect(
    clippy::large_enum_variant,
    reason = "lives on the stack, one at a time"
)]
enum Event {
    Read(usize),
    Readable,
    Writable,
    Asked(Outgoing),
    Gate,
    Tick,
    Stop,
    Closed,
}

pub(crate) struct Connection {
    peer: Peer,
    serve: Arc<dyn Serve>,
    limits: Arc<Limits>,
    outbox: mpsc::Receiver<Queued>,
    input: BytesMut,
    unsent: Unsent,
    gated: GatedReplies,
    share: Share,
    pace: Pace,
    stopping: bool,
}

impl Connection {
    /// Takes over `stream`. The peer is usable once [`Connection::run`] runs.
    pub(crate) fn new(
        stream: &TcpStream,
        serve: Arc<dyn Serve>,
        limits: Arc<Limits>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // Room for every held answer at once, and for calls of our own.
        let (sender, outbox) = mpsc::channel(limits.in_flight * 2);
        let queue = Queue::of(&limits.held);
        let share = Share::of(Arc::clone(&queue), limits.held_bytes);
        let to_us = Outbox { sender, queue };
        let peer = Peer::wire(stream.peer_addr()?, to_us, limits.in_flight);
        let pace = Pace::new(Instant::now());
        Ok(Self {
            peer,
            serve,
            limits,
            outbox,
            input: BytesMut::new(),
            unsent: Unsent::default(),
            gated: GatedReplies::default(),
            share,
            pace,
            stopping: false,
        })
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Serves until the peer leaves, breaks a rule, or `stop` is cancelled and all is answered.
    pub(crate) async fn run(mut self, mut stream: TcpStream, stop: CancellationToken) {
        let departure = Departure::of(&self.peer, &self.serve);
        let (mut input, output) = stream.split();
        match self.serve_until_closed(&mut input, &output, &stop).await {
            Ok(()) => {}
            // No fault, and thousands may leave so at once.
            Err(broken @ (Broken::Io(_) | Broken::Late(Late::Idle))) => {
                tracing::debug!(peer = %self.peer.addr(), reason = %broken, "connection ended");
            }
            Err(broken) => {
                tracing::warn!(peer = %self.peer.addr(), reason = %broken, "closing connection");
                // The answers to what came before it, as far as the socket takes them.
                drop(self.unsent.write_to(&output));
            }
        }
        drop(departure);
    }

    async fn serve_until_closed(
        &mut self,
        input: &mut ReadHalf<'_>,
        output: &WriteHalf<'_>,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        let timer = sleep(self.limits.idle);
        tokio::pin!(timer);
        loop {
            self.answer_frames()?;
            self.gated.release(&mut self.unsent);
            while self.has_space()
                && let Ok((outgoing, _load)) = self.outbox.try_recv()
            {
                self.take(outgoing);
            }
            self.write(output)?;
            let held = self.input.len() + self.gated.bytes() + self.unsent.bytes();
            self.share.hold(held);
            // What was written made room for frames that had to wait; a stop leaves them unanswered.
            if !self.stopping && self.has_room() && self.has_frame() {
                continue;
            }
            if self.stopping
                && self.gated.is_empty()
                && self.peer.held() == 0
                && self.unsent.is_empty()
            {
                return Ok(());
            }
            match self.next_event(input, output, stop, timer.as_mut()).await? {
                Event::Read(0) | Event::Closed => return Ok(()),
                Event::Read(_) => self.heard(timer.as_mut()),
                Event::Readable => {
                    self.input.reserve(READ_AHEAD_BYTES);
                    self.heard(timer.as_mut());
                    if !self.pace.framed {
                        self.pace.first_byte = self.pace.moved;
                    }
                }
                Event::Asked(outgoing) => {
                    self.take(outgoing);
                    self.pace.moved_now(timer.as_mut());
                }
                Event::Writable | Event::Gate => {}
                Event::Tick => self.tick(timer.as_mut())?,
                Event::Stop => self.stopping = true,
            }
        }
    }

    async fn next_event(
        &mut self,
        input: &mut ReadHalf<'_>,
        output: &WriteHalf<'_>,
        stop: &CancellationToken,
        timer: Pin<&mut Sleep>,
    ) -> io::Result<Event> {
        if let Some(event) = self.due_without_waiting(stop, timer.deadline()) {
            return Ok(event);
        }
        let may_read = !self.stopping && self.has_room() && !self.share.must_wait();
        let may_take = self.has_space();
        let gate = self.gated.first_due();
        let peer = &self.peer;
        let outbox = &mut self.outbox;
        let buffer = &mut self.input;
        if may_read && buffer.capacity() > 0 {
            // Begins anew in memory that was just used, unless somebody still holds some of it.
            let anew = buffer.is_empty() && buffer.try_reclaim(READ_AHEAD_BYTES);
            if !anew && buffer.capacity() - buffer.len() < 4096 {
                buffer.reserve(READ_AHEAD_BYTES);
            }
        }
        // An idle connection has no buffer and only waits for the first byte.
        let read = async {
            if buffer.capacity() == 0 {
                input.readable().await.map(|()| Event::Readable)
            } else {
                input.read_buf(buffer).await.map(Event::Read)
            }
        };
        tokio::select! {
            biased;
            event = read, if may_read => event,
            _ = async { match gate { Some(gate) => gate.await.is_ok(), None => false } },
                if !self.gated.is_empty() => Ok(Event::Gate),
            Some((outgoing, _load)) = outbox.recv(), if may_take => Ok(Event::Asked(outgoing)),
            ready = output.writable(), if !self.unsent.is_empty() => ready.map(|()| Event::Writable),
            () = timer => Ok(Event::Tick),
            () = peer.closed() => Ok(Event::Closed),
            () = stop.cancelled(), if !self.stopping => Ok(Event::Stop),
        }
    }

    /// Reads come first and need not run dry: while they last, nothing below them is looked at. So
    /// the last three are looked at here, whenever a tick is due.
    fn due_without_waiting(&self, stop: &CancellationToken, tick: Instant) -> Option<Event> {
        if self.pace.moved < tick {
            None
        } else if !self.peer.is_open() {
            Some(Event::Closed)
        } else if stop.is_cancelled() && !self.stopping {
            Some(Event::Stop)
        } else {
            Some(Event::Tick)
        }
    }

    fn has_room(&self) -> bool {
        self.gated.len() + self.peer.held() < self.limits.in_flight && self.has_space()
    }

    /// May more be put to what is unsent?
    fn has_space(&self) -> bool {
        let crowded = self.share.must_wait() && !self.unsent.is_empty();
        self.unsent.bytes() < self.limits.unsent_bytes && !crowded
    }

    fn write(&mut self, output: &WriteHalf<'_>) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let taken = self.unsent.write_to(output)?;
        let now = Instant::now();
        if taken > 0 && self.pace.stuck.take().is_some() {
            self.pace.heard = now;
            self.peer.hear();
        }
        if !self.unsent.is_empty() {
            self.pace.stuck.get_or_insert(now);
        }
        Ok(())
    }

    /// Might `input` hold a whole frame? Only the length is looked at.
    fn has_frame(&self) -> bool {
        let length = self
            .input
            .first_chunk::<4>()
            .map(|length| u32::from_be_bytes(*length));
        length.is_some_and(|length| self.input.len() - 4 >= length as usize)
    }

    fn answer_frames(&mut self) -> Result<(), FrameError> {
        while self.has_room() && !self.stopping {
            let max = if self.pace.framed {
                self.limits.frame_bytes
            } else {
                self.limits.first_frame_bytes
            };
            let Some(frame) = Frame::split_off(&mut self.input, max)? else {
                break;
            };
            self.answer(&frame)?;
            self.pace.framed = true;
        }
        Ok(())
    }

    fn answer(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let header = frame.header()?;
        if header.is_response() {
            let opaque = header.opaque;
            let reply = Reply::decode(header, frame);
            if let Some(in_flight) = self.peer.in_flight() {
                // Nobody may wait for it any more: its caller gave up.
                in_flight.complete(opaque, reply);
            }
            return Ok(());
        }
        let (opaque, how, oneway) = (header.opaque, frame.serialization(), header.is_oneway());
        let (version, language) = (header.version, header.language);
        let answer = match Request::decode(header, frame) {
            Ok(request) => {
                let reply_to = if oneway {
                    ReplyTo::Nobody
                } else {
                    ReplyTo::Wire { opaque, how }
                };
                let peer = self.peer.clone();
                self.serve.answer(Call {
                    peer,
                    version,
                    language,
                    oneway,
                    request,
                    reply_to,
                })
            }
            Err(error) => Answer::Now(Reply::refused(
                ResponseCode::SYSTEM_ERROR,
                error.to_string(),
            )),
        };
        if !oneway {
            self.give(opaque, how, answer);
        }
        Ok(())
    }

    fn give(&mut self, opaque: i32, how: Serialization, answer: Answer) {
        match answer {
            Answer::Now(reply) => self.unsent.reply(opaque, how, reply),
            Answer::Gated(gated) => {
                // To the moment its bytes were read: near enough, and one clock reading a batch.
                self.gated.push((opaque, how), gated, self.pace.moved);
            }
            // Counted since it was taken, see `Call::hold`.
            Answer::Held => {}
        }
    }

    fn take(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Answer {
                opaque,
                how,
                answer,
            } => {
                self.peer.let_go();
                self.give(opaque, how, answer);
            }
            Outgoing::Request {
                opaque,
                oneway,
                request,
            } => {
                if oneway || self.peer.awaits(opaque) {
                    self.unsent.request(opaque, oneway, &request);
                }
            }
            Outgoing::Abandoned => self.peer.let_go(),
        }
    }

    fn heard(&mut self, timer: Pin<&mut Sleep>) {
        self.pace.moved_now(timer);
        self.pace.heard = self.pace.moved;
        self.peer.hear();
    }

    /// An idle connection is not looked at again before a deadline is due.
    fn tick(&mut self, timer: Pin<&mut Sleep>) -> Result<(), Late> {
        let now = Instant::now();
        let crowded = self.share.must_wait();
        self.pace.crowded = crowded.then(|| self.pace.crowded.unwrap_or(now));
        let has_input = !self.input.is_empty();
        self.pace.check(now, &self.limits, has_input)?;
        self.gated.release_overdue(now, &mut self.unsent);
        let busy = !self.gated.is_empty() || !self.unsent.is_empty() || has_input;
        self.pace.ticking = busy || now < self.pace.moved + TICK;
        if self.pace.ticking {
            timer.reset(now + TICK);
        } else {
            self.input = BytesMut::new();
            self.unsent.shrink();
            self.gated.shrink();
            timer.reset(self.pace.heard + self.limits.idle);
        }
        Ok(())
    }
}
