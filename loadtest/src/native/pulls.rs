//! Pulls that cost the client little: a request is encoded once and patched, and of an answer only the
//! header is looked at. Bodies go into memory that is used again and are never in one piece.
//!
//! Invariant: a slot has one pull in flight, and the next one goes when the whole answer is there.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use proto::Text;
use proto::remoting::frame::encode_head;
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::pull::{Pull, SUBSCRIPTION};
use proto::remoting::{Request, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::frame::{Answer, FIRST_OPAQUE, behind, decimal};
use super::scattered;
use crate::failure::Failure;

/// Pulls in flight, over all connections.
pub(crate) const SLOTS: u32 = 8;
const MESSAGES: i32 = 32;
const BUFFER_BYTES: usize = 256 << 10;
const QUEUE: i32 = 10;
/// As many digits as an offset may have.
const OFFSET: i64 = 1_000_000_000_000_000_000;

/// What is pulled, and when it counts.
#[derive(Clone, Debug)]
pub(crate) struct Pulls {
    pub(crate) addr: Text,
    pub(crate) topic: Text,
    /// Slots take them in turn.
    pub(crate) queues: u32,
    pub(crate) conns: u32,
    pub(crate) walk: Walk,
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Where a pull goes on.
#[derive(Clone, Debug)]
pub(crate) enum Walk {
    /// From a queue's first message to its last.
    Once,
    /// The same again and again.
    Around,
    /// Anywhere in here, by chance.
    Within(Range<u64>),
}

/// What was pulled in the time that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulled {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Pulls {
    /// Ends when the time is over, or all is read.
    pub(crate) async fn run(self) -> Result<Pulled, Failure> {
        let pulls = Arc::new(self);
        let mut conns = JoinSet::new();
        for first in 0..pulls.conns {
            let pulls = Arc::clone(&pulls);
            conns.spawn(async move {
                let failed = || Failure::io(format!("pulls from {}", pulls.addr));
                let stream = TcpStream::connect(&*pulls.addr).await.map_err(failed())?;
                stream.set_nodelay(true).map_err(failed())?;
                Conn::new(&pulls)
                    .serve(stream, first)
                    .await
                    .map_err(failed())
            });
        }
        let mut all = Pulled::default();
        while let Some(conn) = conns.join_next().await {
            let conn = conn.map_err(|why| Failure::Impossible(why.to_string()))??;
            all.messages += conn.messages;
            all.bytes += conn.bytes;
        }
        if all.messages == 0 {
            let why = format!("nothing could be pulled from {}", pulls.addr);
            return Err(Failure::Impossible(why));
        }
        Ok(all)
    }
}

/// An answer whose header has come.
struct Begun {
    slot: u32,
    code: i64,
    next: u64,
    min: u64,
    body_bytes: usize,
    missing: usize,
}

struct Conn<'a> {
    pulls: &'a Pulls,
    frame: PullFrame,
    /// The offset that each slot has asked for.
    asked: Vec<u64>,
    in_flight: u32,
    output: Vec<u8>,
    buffer: Vec<u8>,
    filled: usize,
    begun: Option<Begun>,
    pulled: Pulled,
    /// How often a place was chosen by chance.
    chosen: u64,
}

impl<'a> Conn<'a> {
    fn new(pulls: &'a Pulls) -> Self {
        Self {
            pulls,
            frame: PullFrame::new(&pulls.topic),
            asked: vec![0; SLOTS as usize],
            in_flight: 0,
            output: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            begun: None,
            pulled: Pulled::default(),
            chosen: 0,
        }
    }

    async fn serve(mut self, mut stream: TcpStream, first: u32) -> io::Result<Pulled> {
        for slot in (first..SLOTS).step_by(self.pulls.conns as usize) {
            let offset = self.by_chance(slot).unwrap_or(0);
            self.ask(slot, offset);
        }
        while self.in_flight > 0 {
            stream.write_all(&self.output).await?;
            self.output.clear();
            let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
            match stream.read(free).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.filled += read,
            }
            self.take_answers()?;
        }
        Ok(self.pulled)
    }

    fn ask(&mut self, slot: u32, offset: u64) {
        if let Some(asked) = self.asked.get_mut(slot as usize) {
            *asked = offset;
            let queue = slot % self.pulls.queues;
            self.frame.put(&mut self.output, slot, queue, offset);
            self.in_flight += 1;
        }
    }

    fn by_chance(&mut self, slot: u32) -> Option<u64> {
        let Walk::Within(range) = &self.pulls.walk else {
            return None;
        };
        self.chosen += 1;
        let n = scattered(u64::from(slot) << 40 | self.chosen);
        Some(range.start + n % (range.end - range.start).max(1))
    }

    fn take_answers(&mut self) -> io::Result<()> {
        let mut at = 0;
        loop {
            if let Some(mut answer) = self.begun.take() {
                let here = answer.missing.min(self.filled - at);
                at += here;
                answer.missing -= here;
                if answer.missing > 0 {
                    self.begun = Some(answer);
                    break;
                }
                self.go_on(&answer);
            }
            let rest = self.buffer.get(at..self.filled).unwrap_or_default();
            let Some((head_bytes, answer)) = begun(rest)? else {
                break;
            };
            at += head_bytes;
            self.begun = Some(answer);
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// Counts an answer that is all there, and asks for what comes behind it.
    fn go_on(&mut self, answer: &Begun) {
        self.in_flight -= 1;
        let now = Instant::now();
        let asked = self.asked.get(answer.slot as usize).copied().unwrap_or(0);
        if answer.code == 0 && now >= self.pulls.from && now < self.pulls.until {
            self.pulled.messages += answer.next.saturating_sub(asked);
            self.pulled.bytes += answer.body_bytes as u64;
        }
        if now >= self.pulls.until {
            return;
        }
        let next = match &self.pulls.walk {
            Walk::Within(_) => self.by_chance(answer.slot),
            _ if answer.next != asked => Some(answer.next),
            Walk::Around => Some(answer.min),
            Walk::Once => None,
        };
        if let Some(next) = next {
            self.ask(answer.slot, next);
        }
    }
}

/// The answer that begins with these bytes, and how many of them are before its body; `None` if its
/// header is not all there.
fn begun(bytes: &[u8]) -> io::Result<Option<(usize, Begun)>> {
    let unreadable = || io::Error::other("an answer cannot be read");
    let Some((lengths, _)) = bytes.split_first_chunk::<8>() else {
        return Ok(None);
    };
    let [frame_bytes, header_bytes] = [0, 4].map(|at| {
        let length = lengths.get(at..).and_then(|rest| rest.first_chunk());
        length.map_or(0, |length| u32::from_be_bytes(*length) as usize)
    });
    let head_bytes = 8 + (header_bytes & 0x00ff_ffff);
    let body_bytes = (4 + frame_bytes)
        .checked_sub(head_bytes)
        .ok_or_else(unreadable)?;
    let Some(head) = bytes.get(4..head_bytes) else {
        return Ok(None);
    };
    let answer = Answer::read(head).ok_or_else(unreadable)?;
    let expected = [
        ResponseCode::SUCCESS,
        ResponseCode::PULL_NOT_FOUND,
        ResponseCode::PULL_RETRY_IMMEDIATELY,
        ResponseCode::PULL_OFFSET_MOVED,
    ];
    if !expected.iter().any(|code| i64::from(code.0) == answer.code) {
        return Err(io::Error::other(answer.text()));
    }
    let field = |name| {
        answer
            .field(name)
            .and_then(|offset| u64::try_from(offset).ok())
    };
    let begun = Begun {
        slot: u32::try_from(answer.sequence).map_err(io::Error::other)?,
        code: answer.code,
        next: field(b"nextBeginOffset").ok_or_else(unreadable)?,
        min: field(b"minOffset").ok_or_else(unreadable)?,
        body_bytes,
        missing: body_bytes,
    };
    Ok(Some((head_bytes, begun)))
}

/// One pull, ready to be asked again and again.
struct PullFrame {
    bytes: Vec<u8>,
    opaque_at: usize,
    queue_at: usize,
    offset_at: usize,
}

impl PullFrame {
    fn new(topic: &Text) -> Self {
        let request = Request::Pull(Pull {
            group: Text::from_static("loadtest"),
            topic: topic.clone(),
            queue_id: QUEUE,
            queue_offset: OFFSET,
            messages_max: MESSAGES,
            sys_flag: SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_ms: 0,
            subscription: Some(Text::from_static("*")),
            sub_version: 0,
            expression_type: Some(Text::from_static("TAG")),
            bytes_max: None,
        });
        let envelope = Envelope::request(request.code(), FIRST_OPAQUE.cast_signed(), false);
        let mut head = BytesMut::new();
        encode_head(&envelope, Serialization::Json, &request, 0, &mut head);
        let bytes = head.to_vec();
        Self {
            opaque_at: behind(&bytes, b"\"opaque\":"),
            queue_at: behind(&bytes, b"\"queueId\":\""),
            offset_at: behind(&bytes, b"\"queueOffset\":\""),
            bytes,
        }
    }

    fn put(&mut self, out: &mut Vec<u8>, slot: u32, queue: u32, offset: u64) {
        for (at, digits, number) in [
            (self.opaque_at, 10, u64::from(FIRST_OPAQUE + slot)),
            (self.queue_at, 2, queue.into()),
            (self.offset_at, 19, offset),
        ] {
            let part = self.bytes.get_mut(at..at + digits);
            decimal(part.expect("its own template"), number);
        }
        out.extend_from_slice(&self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::remoting::Reply;
    use proto::remoting::frame::Frame;
    use proto::remoting::pull::Pulled as PulledFields;

    #[test]
    fn a_patched_pull_is_what_an_encoder_would_have_made() {
        let mut out = Vec::new();
        PullFrame::new(&"orders".into()).put(&mut out, 3, 7, 123);
        let mut stream = BytesMut::from(&out[..]);
        let frame = Frame::split_off(&mut stream, 1 << 20).unwrap().unwrap();
        let header = frame.header().unwrap();
        assert_eq!(header.opaque, 1_000_000_003);
        let Request::Pull(pull) = Request::decode(header, &frame).unwrap() else {
            panic!("not a pull")
        };
        assert_eq!(
            (&*pull.topic, pull.queue_id, pull.queue_offset),
            ("orders", 7, 123)
        );
    }

    fn answer(slot: u32, code: i32, next: i64, body: &[u8]) -> Vec<u8> {
        let reply = Reply::ok().with(PulledFields {
            suggested_broker: 0,
            next_offset: next,
            min_offset: 5,
            max_offset: 90,
            topic_sys_flag: None,
            group_sys_flag: None,
        });
        let mut out = BytesMut::new();
        let opaque = (FIRST_OPAQUE + slot).cast_signed();
        let envelope = Envelope::response(code, opaque, None);
        encode_head(&envelope, Serialization::Json, &reply, body.len(), &mut out);
        [&out, body].concat()
    }

    fn pulls(walk: Walk) -> Pulls {
        let now = Instant::now();
        Pulls {
            addr: Text::new(),
            topic: "t".into(),
            queues: 8,
            conns: 1,
            walk,
            from: now,
            until: now + std::time::Duration::from_secs(3600),
        }
    }

    #[test]
    fn answers_in_pieces_of_any_size_are_counted_and_their_queues_read_on() {
        let bytes = [answer(2, 0, 32, b"bodies"), answer(4, 19, 0, b"")].concat();
        for piece in 1..bytes.len() {
            let pulls = pulls(Walk::Around);
            let mut conn = Conn::new(&pulls);
            conn.ask(2, 0);
            conn.ask(4, 0);
            for piece in bytes.chunks(piece) {
                let end = conn.filled + piece.len();
                conn.buffer[conn.filled..end].copy_from_slice(piece);
                conn.filled = end;
                conn.take_answers().unwrap();
            }
            let expected = Pulled {
                messages: 32,
                bytes: 6,
            };
            assert_eq!((conn.pulled, conn.in_flight), (expected, 2), "{piece}");
            assert_eq!((conn.asked[2], conn.asked[4]), (32, 5), "{piece}");
        }
    }

    #[test]
    fn what_is_read_once_ends_where_nothing_follows() {
        let pulls = pulls(Walk::Once);
        let mut conn = Conn::new(&pulls);
        conn.ask(0, 90);
        let bytes = answer(0, 19, 90, b"");
        conn.buffer[..bytes.len()].copy_from_slice(&bytes);
        conn.filled = bytes.len();
        conn.take_answers().unwrap();
        assert_eq!((conn.pulled, conn.in_flight), (Pulled::default(), 0));
    }

    #[test]
    fn a_refusal_ends_it_with_its_reason() {
        let refused = begun(&answer(0, 17, 0, b"")).err();
        assert!(refused.is_some_and(|why| why.to_string().contains("17")));
        assert!(begun(b"\0\0\0\x01\0\0\0\x09{").is_err());
    }
}
