//! What waits to leave on one connection. Small things are encoded one behind the other into one
//! buffer; large bodies are kept as the slices they came as, so stored bytes go from the page cache
//! to the socket without a copy. One write takes as much of all that as the socket does.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use proto::remoting::frame::encode_head;
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::{Reply, Request};
use tokio::net::tcp::WriteHalf;

use crate::answer::{Answer, Gated};
use crate::room::Load;

/// Bodies up to this size are copied behind their header: cheaper than a slice of their own.
const COPIED_BODY_BYTES: usize = 2048;
/// Slices handed to one `writev`.
const SLICES_MAX: usize = 64;
/// The buffer is given back when it has grown beyond this and is empty.
pub(crate) const KEPT_BYTES: usize = 64 << 10;

/// Something that another task asks a connection to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// To a request that was held.
    Answer {
        opaque: i32,
        how: Serialization,
        answer: Answer,
    },
    Request {
        opaque: i32,
        oneway: bool,
        request: Request,
    },
    /// A held request will not be answered.
    Abandoned,
}

/// As it waits in the outbox, with what it counts there.
pub(crate) type Queued = (Outgoing, Load);

impl Outgoing {
    pub(crate) fn body_bytes(&self) -> usize {
        match self {
            Self::Answer {
                answer: Answer::Now(reply) | Answer::Gated(Gated { reply, .. }),
                ..
            } => reply.body_bytes(),
            Self::Request { request, .. } => request.body().len(),
            Self::Answer {
                answer: Answer::Held,
                ..
            }
            | Self::Abandoned => 0,
        }
    }
}

/// Appends a reply as far as its body.
pub(crate) fn put_reply(opaque: i32, how: Serialization, reply: &Reply, to: &mut BytesMut) {
    let envelope = Envelope::response(reply.code.0, opaque, reply.remark.as_deref());
    encode_head(&envelope, how, reply, reply.body_bytes(), to);
}

/// Encoded bytes in the order in which they leave: `chunks`, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    tail: BytesMut,
}

impl Unsent {
    pub(crate) fn bytes(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    pub(crate) fn reply(&mut self, opaque: i32, how: Serialization, reply: Reply) {
        put_reply(opaque, how, &reply, &mut self.tail);
        self.body(reply.body);
    }

    /// Replies that were encoded before.
    pub(crate) fn encoded(&mut self, replies: &[u8]) {
        self.tail.extend_from_slice(replies);
    }

    pub(crate) fn request(&mut self, opaque: i32, oneway: bool, request: &Request) {
        let envelope = Envelope::request(request.code(), opaque, oneway);
        let body = request.body();
        encode_head(
            &envelope,
            Serialization::Json,
            request,
            body.len(),
            &mut self.tail,
        );
        self.body(vec![body]);
    }

    fn body(&mut self, slices: Vec<Bytes>) {
        let size: usize = slices.iter().map(Bytes::len).sum();
        if size <= COPIED_BODY_BYTES {
            slices
                .iter()
                .for_each(|slice| self.tail.extend_from_slice(slice));
            return;
        }
        self.chunk_bytes += self.tail.len() + size;
        self.chunks.push_back(self.tail.split().freeze());
        self.chunks
            .extend(slices.into_iter().filter(|slice| !slice.is_empty()));
    }

    /// Writes what the socket takes now; the number of bytes it took.
    pub(crate) fn write_to(&mut self, socket: &WriteHalf<'_>) -> io::Result<usize> {
        let mut written = 0;
        while !self.is_empty() {
            let result = if self.chunks.is_empty() {
                socket.try_write(&self.tail)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let waiting = self
                    .chunks
                    .iter()
                    .map(|chunk| &chunk[..])
                    .chain([&self.tail[..]]);
                let mut count = 0;
                for (slice, bytes) in slices.iter_mut().zip(waiting) {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                }
                socket.try_write_vectored(slices.get(..count).unwrap_or_default())
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    written += taken;
                    self.take_off(taken);
                }
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => break,
                Err(broken) => return Err(broken),
            }
        }
        if self.is_empty() && self.tail.capacity() > KEPT_BYTES {
            self.tail = BytesMut::new();
        }
        Ok(written)
    }

    fn take_off(&mut self, mut taken: usize) {
        while let Some(chunk) = self.chunks.front_mut() {
            let here = taken.min(chunk.len());
            chunk.advance(here);
            self.chunk_bytes -= here;
            taken -= here;
            if !chunk.is_empty() {
                return;
            }
            self.chunks.pop_front();
        }
        if taken == self.tail.len() {
            // Keeps the room, which `advance` would walk through and leave behind.
            self.tail.clear();
        } else {
            self.tail.advance(taken);
        }
    }

    /// Lets go of the room that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}
