//! Bytes that Apache RocketMQ wrote, read here and written again. What each of them says stands in
//! `fixtures/remoting/NOTES.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

mod fixture;
mod records;
mod replies;
mod requests;

use bytes::BytesMut;
use proto::remoting::fields::Ext;
use proto::remoting::frame::{Frame, WriteExt, encode_head};
use proto::remoting::header::{Envelope, Header, Serialization};

/// Untyped parameters.
struct Pairs(Ext);

impl WriteExt for Pairs {
    fn write_ext<S: proto::remoting::fields::Sink>(&self, sink: &mut S) {
        self.0.write(sink);
    }
}

#[test]
fn every_frame_is_written_again_to_the_byte() {
    let mut frames = 0;
    for (name, bytes) in fixture::frames() {
        let frame = fixture::frame(&bytes);
        let header = frame.header().unwrap();
        let mut written = head(&header, &frame);
        written.extend_from_slice(&frame.body);
        assert_eq!(as_java_omits(&written, &bytes), bytes, "{name}");
        frames += 1;
    }
    assert!(frames > 80, "{frames} frames");
}

fn head(header: &Header<'_>, frame: &Frame) -> BytesMut {
    let envelope = Envelope {
        code: header.code,
        opaque: header.opaque,
        version: header.version,
        language: header.language,
        flag: header.flag,
        remark: header.remark.as_deref(),
    };
    let mut head = BytesMut::new();
    let pairs = Pairs(Ext::keep(header.ext.clone(), frame.header_bytes()));
    let (how, body) = (frame.serialization(), frame.body.len());
    encode_head(&envelope, how, &pairs, body, &mut head);
    head
}

/// Takes the empty `extFields` out, which Java leaves out where there is no header class.
fn as_java_omits(ours: &[u8], java: &[u8]) -> Vec<u8> {
    let none = br#","extFields":{}"#;
    let at = |bytes: &[u8]| bytes.windows(none.len()).position(|at| at == none);
    let (Some(start), None) = (at(ours), at(java)) else {
        return ours.to_vec();
    };
    let mut shorter = [&ours[..start], &ours[start + none.len()..]].concat();
    for at in [0, 4] {
        let length = shorter[at..].first_chunk::<4>().unwrap();
        let length = u32::from_be_bytes(*length) - u32::try_from(none.len()).unwrap();
        shorter[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    shorter
}

/// A frame with the parameters and body of `what`, read back.
fn again<E: WriteExt>(what: &E, envelope: &Envelope<'_>, how: Serialization, body: &[u8]) -> Frame {
    let mut stream = BytesMut::new();
    encode_head(envelope, how, what, body.len(), &mut stream);
    stream.extend_from_slice(body);
    let frame = Frame::split_off(&mut stream, 1 << 24).unwrap().unwrap();
    assert!(stream.is_empty());
    frame
}

/// The parameters of a frame, sorted.
fn sorted_pairs(frame: &Frame) -> Vec<(String, String)> {
    let header = frame.header().unwrap();
    let pairs = header.ext.iter();
    let mut pairs: Vec<_> = pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    pairs.sort_unstable();
    pairs
}
