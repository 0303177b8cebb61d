//! Frames that cost nothing to make: a send is encoded once, then only its opaque, queue, id and
//! body change in place; an answer is searched for the few numbers that matter.

use bytes::BytesMut;
use proto::Text;
use proto::remoting::Request;
use proto::remoting::frame::encode_head;
use proto::remoting::header::{Envelope, Serialization};
use proto::remoting::send::{Send, SendFields};

use super::payload::Payload;

/// Opaques begin here, so that they always have ten digits.
pub(crate) const FIRST_OPAQUE: u32 = 1_000_000_000;
/// An opaque is an i32 on the wire.
pub(crate) const SENDS_MAX: u32 = i32::MAX.cast_unsigned() - FIRST_OPAQUE;
/// Stands in the template where a unique id goes: run, producer and sequence in hex.
const ID: &str = "5EED5EED5EED5EED5EED5EED5EED5EED";
const QUEUE: i32 = 10;
/// With so many digits ends the name of a topic that is one of many.
const TOPIC_DIGITS: usize = 5;

/// Where a send goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct To {
    /// Its number, if it is one of many.
    pub(crate) topic: Option<u32>,
    pub(crate) queue: u32,
}

/// One send, ready to be sent again and again.
#[derive(Clone, Debug)]
pub(crate) struct SendFrame {
    bytes: Vec<u8>,
    how: Serialization,
    opaque_at: usize,
    topic_end: usize,
    queue_at: usize,
    id_at: usize,
    body_at: usize,
}

impl SendFrame {
    pub(crate) fn new(topic: &Text, size: usize, how: Serialization) -> Self {
        let request = Request::Send(Send {
            fields: SendFields {
                producer_group: Some(Text::from_static("loadtest")),
                topic: topic.clone(),
                default_topic: Text::from_static("TBW102"),
                default_topic_queues: 4,
                queue_id: QUEUE,
                sys_flag: 0,
                born_timestamp: runtime::clock::now_ms(),
                flag: 0,
                properties: Some(format!("UNIQ_KEY\u{1}{ID}\u{2}TAGS\u{1}load\u{2}").into()),
                reconsume_times: Some(0),
                unit_mode: Some(false),
                max_reconsume_times: None,
                batch: Some(false),
            },
            body: bytes::Bytes::new(),
        });
        let envelope = Envelope::request(request.code(), FIRST_OPAQUE.cast_signed(), false);
        let mut head = BytesMut::new();
        encode_head(&envelope, how, &request, size, &mut head);
        let mut bytes = head.to_vec();
        let (opaque, queue): (&[u8], &[u8]) = match how {
            Serialization::Json => (b"\"opaque\":", b"\"e\":\""),
            // After the code, the language and the version; and the letter and its lengths.
            Serialization::Binary => (&[], b"\0\x01e\0\0\0\x02"),
        };
        let opaque_at = match how {
            Serialization::Json => behind(&bytes, opaque),
            Serialization::Binary => 8 + 5,
        };
        let queue_at = behind(&bytes, queue);
        // Only numbered topics are looked for, and their names are nowhere else in it.
        let topic_end = behind(&bytes, topic.as_bytes());
        let id_at = behind(&bytes, ID.as_bytes()) - ID.len();
        let body_at = bytes.len();
        bytes.extend((b'a'..=b'z').cycle().take(size));
        Self {
            bytes,
            how,
            opaque_at,
            topic_end,
            queue_at,
            id_at,
            body_at,
        }
    }

    /// Appends the send number `payload.sequence` of its connection.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, to: To, payload: &Payload, checked: bool) {
        let opaque = opaque_of(payload.sequence);
        match self.how {
            Serialization::Json => decimal(self.part(self.opaque_at, 10), opaque.into()),
            Serialization::Binary => {
                self.part(self.opaque_at, 4)
                    .copy_from_slice(&opaque.to_be_bytes());
            }
        }
        if let Some(topic) = to.topic {
            let part = self.part(self.topic_end - TOPIC_DIGITS, TOPIC_DIGITS);
            decimal(part, topic.into());
        }
        decimal(self.part(self.queue_at, 2), to.queue.into());
        let id = self.part(self.id_at, ID.len());
        let (origin, sequence) = id.split_at_mut(16);
        let (run, producer) = origin.split_at_mut(8);
        hex(run, payload.run);
        hex(producer, payload.producer.into());
        hex(sequence, payload.sequence);
        if checked {
            payload.write(self.bytes.get_mut(self.body_at..).unwrap_or_default());
        }
        out.extend_from_slice(&self.bytes);
    }

    fn part(&mut self, at: usize, bytes: usize) -> &mut [u8] {
        self.bytes
            .get_mut(at..at + bytes)
            .expect("its own template")
    }
}

/// The opaque of a connection's send.
fn opaque_of(sequence: u64) -> u32 {
    FIRST_OPAQUE + u32::try_from(sequence % u64::from(SENDS_MAX)).unwrap_or(0)
}

pub(super) fn behind(bytes: &[u8], mark: &[u8]) -> usize {
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    at.expect("our own encoder wrote it") + mark.len()
}

pub(super) fn decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        let nibble = u8::try_from(number & 15).unwrap_or(0);
        *digit = nibble + if nibble < 10 { b'0' } else { b'A' - 10 };
        number >>= 4;
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) code: i64,
    /// Of which send of its connection.
    pub(crate) sequence: u64,
    header: &'a [u8],
    how: Serialization,
}

impl<'a> Answer<'a> {
    /// Reads a frame without its length field.
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        let (mark, rest) = frame.split_first_chunk::<4>()?;
        let mark = u32::from_be_bytes(*mark);
        let header = rest.get(..usize::try_from(mark & 0x00ff_ffff).ok()?)?;
        let (how, code, opaque) = if mark >> 24 == 1 {
            let code = i16::from_be_bytes(*header.first_chunk()?);
            let opaque = i32::from_be_bytes(*header.get(5..)?.first_chunk()?);
            (Serialization::Binary, code.into(), opaque.into())
        } else {
            let code = number_behind(header, b"\"code\":")?;
            (
                Serialization::Json,
                code,
                number_behind(header, b"\"opaque\":")?,
            )
        };
        let sequence = u64::try_from(opaque - i64::from(FIRST_OPAQUE)).ok()?;
        Some(Self {
            code,
            sequence,
            header,
            how,
        })
    }

    /// Queue and offset of a message that was stored.
    pub(crate) fn place(&self) -> Option<(u32, u64)> {
        let queue = self.field(b"queueId")?;
        let offset = self.field(b"queueOffset")?;
        Some((queue.try_into().ok()?, offset.try_into().ok()?))
    }

    /// A number among the answer's fields.
    pub(super) fn field(&self, name: &[u8]) -> Option<i64> {
        match self.how {
            Serialization::Json => {
                let mut key = [0; 32];
                let length = name.len() + 4;
                let quoted = key.get_mut(..length)?;
                quoted.fill(b'"');
                quoted.get_mut(1..=name.len())?.copy_from_slice(name);
                *quoted.get_mut(name.len() + 2)? = b':';
                number_behind(self.header, key.get(..length)?)
            }
            Serialization::Binary => {
                let at = self
                    .header
                    .windows(name.len())
                    .position(|window| window == name)?;
                // The value's length lies between.
                number(self.header.get(at + name.len() + 4..)?)
            }
        }
    }

    /// For people: what a refusal says.
    pub(crate) fn text(&self) -> String {
        let text = String::from_utf8_lossy(self.header);
        text.chars().filter(|c| !c.is_control()).take(300).collect()
    }
}

fn number_behind(text: &[u8], key: &[u8]) -> Option<i64> {
    let at = text.windows(key.len()).position(|window| window == key)?;
    number(text.get(at + key.len()..)?)
}

fn number(text: &[u8]) -> Option<i64> {
    let is_digit = |byte: &&u8| byte.is_ascii_digit() || **byte == b'-';
    let digits = text.iter().take_while(is_digit).count();
    str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::message::Properties;
    use proto::remoting::Reply;
    use proto::remoting::frame::Frame;
    use proto::remoting::send::Sent;

    const HOWS: [Serialization; 2] = [Serialization::Json, Serialization::Binary];

    #[test]
    fn a_patched_frame_is_what_an_encoder_would_have_made() {
        for how in HOWS {
            let payload = Payload {
                run: 0x0BAD,
                producer: 7,
                sequence: 123,
                due_ns: 9,
            };
            let mut out = Vec::new();
            let mut template = SendFrame::new(&"many-00000".into(), 64, how);
            let to = |topic, queue| To { topic, queue };
            template.put(&mut out, to(None, 99), &payload, true);
            template.put(&mut out, to(Some(42), 3), &payload, true);
            let mut stream = BytesMut::from(&out[..]);
            Frame::split_off(&mut stream, 1 << 20).unwrap();
            let frame = Frame::split_off(&mut stream, 1 << 20).unwrap().unwrap();
            let header = frame.header().unwrap();
            let opaque = header.opaque;
            let Request::Send(send) = Request::decode(header, &frame).unwrap() else {
                panic!("not a send")
            };
            assert_eq!((opaque, send.fields.queue_id), (1_000_000_123, 3));
            assert_eq!(send.fields.topic, "many-00042");
            let id = Properties::new(send.properties())
                .find("UNIQ_KEY")
                .map(str::to_owned);
            assert_eq!(id.as_deref(), Some("00000BAD00000007000000000000007B"));
            assert_eq!(Payload::read(&send.body), Some(payload));
        }
    }

    #[test]
    fn an_answer_is_found_in_either_serialization() {
        for how in HOWS {
            let reply = Reply::ok().with(Sent {
                message_id: "7F".into(),
                queue_id: 5,
                queue_offset: 1_234,
                transaction_id: None,
                region: Some("DefaultRegion".into()),
                trace_on: None,
            });
            let mut out = BytesMut::new();
            let envelope = Envelope::response(0, 1_000_000_042, Some("fine"));
            encode_head(&envelope, how, &reply, 0, &mut out);
            let answer = Answer::read(&out[4..]).unwrap();
            assert_eq!((answer.code, answer.sequence), (0, 42));
            assert_eq!(answer.place(), Some((5, 1_234)));
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for frame in [
            &b""[..],
            &[0, 0, 0, 9, b'{'],
            &[1, 0, 0, 2, 0, 0],
            b"\0\0\0\x02{}",
        ] {
            assert_eq!(Answer::read(frame), None);
        }
    }
}
