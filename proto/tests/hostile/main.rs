//! Captured bytes, cut at every length and damaged at every byte: each reading ends in an error or
//! in something that is written and read again as the same. And arbitrary headers, which the reader
//! without a tree must take for what a generic JSON reader takes them for.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../golden/fixture.rs"]
mod fixture;
mod generic;
mod headers;

use bytes::BytesMut;
use proto::json;
use proto::message::{BatchItems, StoredMessage, records, store_timestamp};
use proto::remoting::clients::{ConsumerIds, HeartbeatTaken, Locked};
use proto::remoting::fields::{Ext, Sink};
use proto::remoting::frame::{Frame, WriteExt, encode_head};
use proto::remoting::header::{Envelope, Header, Serialization};
use proto::remoting::naming::{BrokerRegistered, Cluster, RegisterBody, TopicRoute};
use proto::remoting::pull::{OffsetIs, Pulled};
use proto::remoting::send::Sent;
use proto::remoting::stats::{ConsumeStats, KvTable, TopicStats};
use proto::remoting::{Reply, Request};
use serde::de::DeserializeOwned;

const FRAME_BYTES_MAX: usize = 1 << 24;
/// One bit, the sign, all.
const DAMAGES: [u8; 3] = [0x01, 0x80, 0xff];

fn split(bytes: &[u8]) -> Option<Frame> {
    let mut stream = BytesMut::from(bytes);
    Frame::split_off(&mut stream, FRAME_BYTES_MAX)
        .ok()
        .flatten()
}

/// Every copy of `bytes` with one damaged byte.
fn damaged(bytes: &[u8], mut each: impl FnMut(usize, &[u8])) {
    let mut copy = bytes.to_vec();
    for at in 0..bytes.len() {
        for damage in DAMAGES {
            copy[at] ^= damage;
            each(at, &copy);
            copy[at] ^= damage;
        }
    }
}

struct Pairs(Ext);

impl WriteExt for Pairs {
    fn write_ext<S: Sink>(&self, sink: &mut S) {
        self.0.write(sink);
    }
}

/// Reads all that a server or client would of a frame. What can be read must be what it is after
/// it was written and read again.
fn use_frame(frame: &Frame) {
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
    let pairs = Pairs(Ext::keep(header.pairs(), frame.header_bytes()));
    let how = frame.serialization();
    let again = written(&envelope, how, &pairs, &frame.body);
    // Numbers that the binary form cannot hold come from the JSON form only, and go back to it.
    assert_eq!(again.header().as_ref(), Ok(&header));

    if header.is_response() {
        use_reply(&Reply::decode(&header, frame));
    } else if let Ok(request) = Request::decode(&header, frame) {
        let envelope = Envelope::request(request.code(), 1, false);
        let again = written(&envelope, Serialization::Json, &request, &request.body());
        let back = Request::decode(&again.header().unwrap(), &again);
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

#[test]
fn a_frame_that_is_cut_is_no_frame_and_its_parts_are_no_trouble() {
    for (name, bytes) in fixture::frames() {
        for end in 0..bytes.len() {
            assert!(split(&bytes[..end]).is_none(), "{name} cut at {end}");
        }
        let frame = fixture::frame(&bytes);
        let (header, how) = (frame.header_bytes(), frame.serialization());
        for end in 0..header.len() {
            let cut = Header::decode(&header[..end], how);
            assert!(cut.is_err(), "{name}: header cut at {end}");
        }
        for end in 0..frame.body.len() {
            let mut cut = frame.clone();
            cut.body = frame.body.slice(..end);
            use_frame(&cut);
        }
    }
}

#[test]
fn a_damaged_frame_is_refused_or_means_something() {
    for (_, bytes) in fixture::frames() {
        damaged(&bytes, |_, bytes| {
            if let Some(frame) = split(bytes) {
                use_frame(&frame);
            }
        });
    }
}

#[test]
fn damaged_json_headers_mean_what_a_generic_reader_makes_of_them() {
    for (name, bytes) in fixture::frames() {
        let frame = fixture::frame(&bytes);
        if frame.serialization() == Serialization::Json {
            damaged(frame.header_bytes(), |at, header| {
                let ours = Header::decode(header, Serialization::Json).ok();
                assert_eq!(ours, generic::header(header), "{name} damaged at {at}");
            });
        }
    }
}

#[test]
fn a_record_that_is_cut_or_damaged_is_refused() {
    for (name, bytes) in fixture::records() {
        if name == "batch-body" {
            continue;
        }
        let first = StoredMessage::parse(&bytes).unwrap();
        let (size, place) = (first.size as usize, first.log_offset);
        let record = &bytes[..size];
        for end in 0..size {
            assert!(
                StoredMessage::parse(&record[..end]).is_err(),
                "{name} at {end}"
            );
            let _ = store_timestamp(&record[..end]);
        }
        damaged(record, |_, record| {
            let _ = records(record).count();
            let _ = StoredMessage::verify(record, place);
            let _ = store_timestamp(record);
        });
        let mut copy = record.to_vec();
        copy[first.body.as_ptr() as usize - bytes.as_ptr() as usize] ^= 1;
        let told = StoredMessage::verify(&copy, place);
        assert!(told.is_err(), "{name}: a damaged body is noticed");
    }
}

#[test]
fn a_batch_that_is_cut_or_damaged_ends_there() {
    let files = fixture::records();
    let (_, bytes) = files.iter().find(|(name, _)| name == "batch-body").unwrap();
    let ends: Vec<_> = [0].into_iter().chain(item_ends(bytes)).collect();
    for end in 0..bytes.len() {
        let is_whole = BatchItems::new(&bytes[..end]).all(|item| item.is_ok());
        assert_eq!(is_whole, ends.contains(&end), "cut at {end}");
    }
    damaged(bytes, |_, bytes| {
        let _ = BatchItems::new(bytes).count();
    });
}

fn item_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(size) = bytes[at..].first_chunk::<4>() {
        at += usize::try_from(u32::from_be_bytes(*size)).unwrap();
        ends.push(at);
    }
    ends
}
