//! What arbitrary bytes are put to, and what must hold whatever they are. The bodies of the fuzz
//! targets in `fuzz/`; `main.rs` runs them on the committed seeds.

use bytes::BytesMut;
use proto::json;
use proto::message::{
    BatchItem, BatchItems, LogOffset, OffsetMessageId, Properties, RecordPrefix, StoredMessage,
    encode_batch_item, records, store_timestamp,
};
use proto::names;
use proto::remoting::clients::{ConsumerIds, Heartbeat, HeartbeatTaken, Locked, QueueLocks};
use proto::remoting::config::{GroupConfig, GroupTable, TopicTable};
use proto::remoting::fields::{Ext, Sink};
use proto::remoting::frame::{Frame, WriteExt, encode_head};
use proto::remoting::header::{Envelope, Header, Serialization};
use proto::remoting::naming::{BrokerRegistered, Cluster, RegisterBody, TopicRoute};
use proto::remoting::pull::{OffsetIs, Pulled};
use proto::remoting::send::Sent;
use proto::remoting::stats::{ConsumeStats, KvTable, TopicStats};
use proto::remoting::{Reply, Request};
use serde::de::DeserializeOwned;

use super::generic;

/// A JSON header, and behind a NUL (which no header contains) a body: the reader that builds no
/// tree takes it for what the generic one does, and what is a frame is one again when written.
pub(crate) fn frame_json(data: &[u8]) {
    let (header, body) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let read = Header::decode(header, Serialization::Json).ok();
    assert_eq!(read, generic::header(header));
    use_parts(0, header, body);
}

/// The length of a binary header in two bytes, the header, a body.
pub(crate) fn frame_binary(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (header, body) = rest.split_at(length);
    use_parts(1, header, body);
}

/// A stream of frames gives the same ones in whatever pieces it arrives. The first byte is the size
/// of the pieces.
pub(crate) fn frame_stream(data: &[u8]) {
    const MAX: usize = 1 << 16;
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let (mut whole, mut expected) = (BytesMut::from(stream), Vec::new());
    let end = loop {
        match Frame::split_off(&mut whole, MAX) {
            Ok(Some(frame)) => expected.push(frame.body.clone()),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let (mut pieces, mut bodies, mut wrong) = (BytesMut::new(), Vec::new(), None);
    for piece in stream.chunks(usize::from(*step).max(1)) {
        pieces.extend_from_slice(piece);
        while wrong.is_none() {
            match Frame::split_off(&mut pieces, MAX) {
                Ok(Some(frame)) => bodies.push(frame.body.clone()),
                Ok(None) => break,
                Err(error) => wrong = Some(error),
            }
        }
    }
    assert_eq!((bodies, wrong), (expected, end));
}

/// The bodies that are JSON, in Java's dialect of it.
pub(crate) fn json_body(data: &[u8]) {
    let once = json::standard(data).into_owned();
    if serde_json::from_slice::<serde_json::Value>(data).is_ok() {
        assert_eq!(once, data, "standard JSON is left alone");
    }
    use_body::<RegisterBody>(data);
    use_body::<Heartbeat>(data);
    use_body::<QueueLocks>(data);
    use_body::<GroupConfig>(data);
    use_body::<TopicTable>(data);
    use_body::<GroupTable>(data);
    use_body::<ConsumeStats>(data);
    use_body::<TopicRoute>(data);
}

/// A property string, names of topics and groups, message ids: small texts.
pub(crate) fn texts(data: &[u8]) {
    let properties = Properties::from_bytes(data);
    for (name, value) in properties.iter() {
        assert!(!name.is_empty() && !value.is_empty());
        assert!(!name.contains(['\u{1}', '\u{2}']) && !value.contains('\u{2}'));
        assert!(properties.find(name).is_some() || !data.is_ascii());
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for checked in [names::check_topic(text), names::check_group(text)] {
        let is_safe = !text.is_empty()
            && text.len() <= 255
            && !text.contains(['/', '\\', '.', '\0', '\n', '\r', '\u{1b}', '\u{1}', '\u{2}']);
        assert!(checked.is_err() || is_safe, "{text:?} is no name");
    }
    if let Ok(id) = text.parse::<OffsetMessageId>() {
        assert_eq!(id.to_text().parse(), Ok(id));
    }
}

/// A batch's body: whole items come out as they went in, and their lengths add up to the body's.
pub(crate) fn batch_body(data: &[u8]) {
    let items: Result<Vec<BatchItem<'_>>, _> = BatchItems::new(data).collect();
    let Ok(items) = items else { return };
    let mut again = Vec::new();
    for item in &items {
        encode_batch_item(&mut again, item).expect("what was an item is one again");
    }
    assert_eq!(again.len(), data.len());
    let back: Result<Vec<_>, _> = BatchItems::new(&again).collect();
    assert_eq!(back, Ok(items));
}

/// Stored records, in a pull's answer or in the log.
pub(crate) fn stored_record(data: &[u8]) {
    let mut bytes = 0;
    for record in records(data).map_while(Result::ok) {
        let rest = &data[bytes..];
        assert_eq!(RecordPrefix::read(rest), RecordPrefix::Message(record.size));
        bytes += record.size as usize;
        let verified = StoredMessage::verify(rest, record.log_offset);
        assert!(verified.is_err() || verified == Ok(record));
        let other = LogOffset(record.log_offset.0.wrapping_add(1));
        assert!(StoredMessage::verify(rest, other).is_err());
        assert_eq!(store_timestamp(rest), Some(record.store_timestamp));
        record.properties.iter().for_each(drop);
    }
    assert!(bytes <= data.len());
    let _ = store_timestamp(data);
}

fn use_parts(kind: u8, header: &[u8], body: &[u8]) {
    let size = u32::try_from(4 + header.len() + body.len()).unwrap_or(u32::MAX);
    let mark = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(&((u32::from(kind) << 24) | mark).to_be_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    if let Some(frame) = split(&bytes) {
        use_frame(&frame);
    }
}

pub(super) const FRAME_BYTES_MAX: usize = 1 << 24;
pub(super) fn split(bytes: &[u8]) -> Option<Frame> {
    let mut stream = BytesMut::from(bytes);
    Frame::split_off(&mut stream, FRAME_BYTES_MAX)
        .ok()
        .flatten()
}

struct Pairs(Ext);

impl WriteExt for Pairs {
    fn write_ext<S: Sink>(&self, sink: &mut S) {
        self.0.write(sink);
    }
}

/// Reads all that a server or client would of a frame. What can be read must be what it is after
/// it was written and read again.
pub(super) fn use_frame(frame: &Frame) {
    let Ok(header) = frame.header() else {
        return;
    };
    let envelope = Envelope {
        code: header.code,
        opaque: header.opaque,
        version: header.version,
        language: header.language,
        flag: header.flag,
        remark: header.remark.as_deref(),
    };
    let pairs = Pairs(Ext::keep(header.ext.clone(), frame.header_bytes()));
    let how = frame.serialization();
    let again = written(&envelope, how, &pairs, &frame.body);
    // Numbers that the binary form cannot hold come from the JSON form only, and go back to it.
    assert_eq!(again.header().as_ref(), Ok(&header));

    if header.is_response() {
        use_reply(&Reply::decode(header, frame));
    } else if let Ok(request) = Request::decode(header, frame) {
        let envelope = Envelope::request(request.code(), 1, false);
        let again = written(&envelope, Serialization::Json, &request, &request.body());
        let back = Request::decode(again.header().unwrap(), &again);
        assert_eq!(back, Ok(request));
        use_body::<RegisterBody>(&frame.body);
    }
}

fn written<E: WriteExt>(
    envelope: &Envelope<'_>,
    how: Serialization,
    ext: &E,
    body: &[u8],
) -> Frame {
    let mut stream = BytesMut::new();
    encode_head(envelope, how, ext, body.len(), &mut stream);
    stream.extend_from_slice(body);
    split(&stream).expect("our own frames are frames")
}

fn use_reply(reply: &Reply) {
    // None of these may panic; which of them succeed depends on what was asked.
    drop(reply.read::<Sent>());
    drop(reply.read::<Pulled>());
    drop(reply.read::<OffsetIs>());
    drop(reply.read::<HeartbeatTaken>());
    drop(reply.read::<BrokerRegistered>());
    let body = reply.whole_body();
    use_body::<TopicRoute>(&body);
    use_body::<Cluster>(&body);
    use_body::<KvTable>(&body);
    use_body::<Locked>(&body);
    use_body::<ConsumerIds>(&body);
    use_body::<TopicStats>(&body);
    use_body::<ConsumeStats>(&body);
    let _ = records(&body).count();
}

fn use_body<T: DeserializeOwned>(body: &[u8]) {
    drop(json::read::<T>(body));
}
