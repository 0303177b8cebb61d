//! Replies of one connection that wait for a watermark, in the order in which they become due.
//!
//! Each is encoded when it is made: what waits holds nothing of its request, so the memory of both
//! is used again at once. Invariants: `encoded` has the bytes of those that wait and no others; none
//! leaves as a success before its gate has reached its mark.

use std::collections::VecDeque;

use bytes::{Buf, BytesMut};
use proto::remoting::Reply;
use proto::remoting::frame::Frame;
use proto::remoting::header::Serialization;
use runtime::{Reached, Stopped, Watermark};
use tokio::time::Instant;

use crate::answer::{Gated, overdue, stopped};
use crate::outgoing::{KEPT_BYTES, Unsent, put_reply};

#[derive(Debug, Default)]
pub(crate) struct GatedReplies {
    waiting: VecDeque<Waiting>,
    /// Theirs, one behind the other.
    encoded: BytesMut,
}

#[derive(Debug)]
struct Waiting {
    gate: Watermark,
    at: u64,
    bytes: usize,
    until: Instant,
    opaque: i32,
    how: Serialization,
}

impl GatedReplies {
    pub(crate) fn push(&mut self, (opaque, how): (i32, Serialization), gated: Gated, now: Instant) {
        let before = self.encoded.len();
        put_reply(opaque, how, &gated.reply, &mut self.encoded);
        for slice in &gated.reply.body {
            self.encoded.extend_from_slice(slice);
        }
        self.waiting.push_back(Waiting {
            gate: gated.gate,
            at: gated.at,
            bytes: self.encoded.len() - before,
            until: now + gated.within,
            opaque,
            how,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.encoded.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Resolves when the first of them is due.
    pub(crate) fn first_due(&self) -> Option<Reached> {
        let first = self.waiting.front()?;
        Some(first.gate.wait(first.at))
    }

    /// Hands over what is due.
    pub(crate) fn release(&mut self, to: &mut Unsent) {
        let mut due = 0;
        while let Some(first) = self.waiting.front()
            && let Some(outcome) = first.gate.outcome(first.at)
        {
            let (opaque, how, bytes) = (first.opaque, first.how, first.bytes);
            match outcome {
                Ok(()) => due += bytes,
                Err(Stopped) => {
                    self.hand_over(std::mem::take(&mut due), to);
                    self.encoded.advance(bytes);
                    to.reply(opaque, how, stopped());
                }
            }
            self.waiting.pop_front();
        }
        self.hand_over(due, to);
        self.assert_whole();
    }

    /// Hands over what has waited for too long, as such, behind what is due by now.
    pub(crate) fn release_overdue(&mut self, now: Instant, to: &mut Unsent) {
        self.release(to);
        while let Some(first) = self.waiting.pop_front_if(|first| now >= first.until) {
            let reply = read_back(self.encoded.split_to(first.bytes)).unwrap_or_else(Reply::ok);
            to.reply(first.opaque, first.how, overdue(reply));
        }
        self.assert_whole();
    }

    fn assert_whole(&self) {
        let (waits, has_bytes) = (!self.waiting.is_empty(), !self.encoded.is_empty());
        assert_eq!(waits, has_bytes, "bytes of nobody, or a reply without any");
    }

    fn hand_over(&mut self, bytes: usize, to: &mut Unsent) {
        to.encoded(&self.encoded[..bytes]);
        if bytes < self.encoded.len() {
            self.encoded.advance(bytes);
        } else if self.encoded.capacity() > KEPT_BYTES {
            self.shrink();
        } else {
            // Keeps the room, which `advance` would walk through and leave behind.
            self.encoded.clear();
        }
    }

    /// Lets go of the room that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// What one of ours says.
fn read_back(mut encoded: BytesMut) -> Option<Reply> {
    let frame = Frame::split_off(&mut encoded, usize::MAX).ok()??;
    Some(Reply::decode(frame.header().ok()?, &frame))
}

#[cfg(test)]
mod tests {
    use proto::remoting::send::Sent;

    use super::*;

    #[test]
    fn what_was_encoded_reads_back_with_parameters_and_body() {
        let sent = Sent {
            message_id: "7F\u{1}\"é".into(),
            queue_id: 3,
            queue_offset: 1 << 40,
            transaction_id: None,
            region: Some("r".into()),
            trace_on: None,
        };
        let reply = Reply::ok().with(sent.clone()).body("body".into());
        for how in [Serialization::Json, Serialization::Binary] {
            let mut encoded = BytesMut::new();
            put_reply(-7, how, &reply, &mut encoded);
            encoded.extend_from_slice(b"body");
            let back = read_back(encoded).unwrap();
            assert_eq!((back.code, &back.body), (reply.code, &reply.body));
            assert_eq!(back.read(), Ok(sent.clone()), "{how:?}");
        }
    }

    #[test]
    #[should_panic(expected = "bytes of nobody")]
    fn bytes_of_nobody_are_our_own_fault() {
        let mut replies = GatedReplies::default();
        replies.encoded.extend_from_slice(b"x");
        replies.release(&mut Unsent::default());
    }

    #[test]
    fn what_is_due_leaves_as_such_however_late() {
        let gate = Watermark::default();
        let (mut replies, mut out) = (GatedReplies::default(), Unsent::default());
        let now = Instant::now();
        for at in [5, 9] {
            let gated = Gated {
                gate: gate.clone(),
                at,
                reply: Reply::ok(),
                within: std::time::Duration::ZERO,
            };
            replies.push((1, Serialization::Binary), gated, now);
        }
        gate.advance(5);
        let (mut on_time, mut late) = (BytesMut::new(), Unsent::default());
        put_reply(1, Serialization::Binary, &Reply::ok(), &mut on_time);
        let overdue = overdue(Reply::ok());
        late.reply(1, Serialization::Binary, overdue);
        replies.release_overdue(now, &mut out);
        assert_eq!(out.bytes(), on_time.len() + late.bytes());
        assert!(replies.is_empty() && replies.bytes() == 0);
    }
}
