//! Frames on a byte stream, big-endian:
//! ```text
//! 0    i32  L = 4 + H + B          (length of all that follows)
//! 4    i32  (serialization << 24) | H
//! 8    H bytes header | B bytes body
//! ```
//! Owns the split of a stream into frames and of a frame into header and body. Invariant: a length
//! is checked against its limit before anything waits for, or makes room for, that many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::fields::Sink;
use super::header::{Envelope, Header, HeaderError, Serialization};
use super::{header_binary, header_json};

/// Largest header of one frame.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// Why a stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame of {0} bytes is outside of 4 to {1}")]
    BadLength(i64, usize),
    #[error("header of {0} bytes does not fit its frame or the limit")]
    BadHeaderLength(usize),
    #[error("unknown header serialization {0}")]
    UnknownSerialization(u8),
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// One whole frame, cut from the stream, header not yet read.
#[derive(Clone, Debug)]
pub struct Frame {
    serialization: Serialization,
    header: Bytes,
    pub body: Bytes,
}

impl Frame {
    /// Takes the next whole frame off `stream`; `None` asks for more bytes. `frame_bytes_max`
    /// counts the whole frame with its length field, as Java does.
    ///
    /// # Errors
    /// When the bytes cannot be the start of a frame.
    pub fn split_off(
        stream: &mut BytesMut,
        frame_bytes_max: usize,
    ) -> Result<Option<Self>, FrameError> {
        let Some(announced) = stream.first_chunk::<4>() else {
            return Ok(None);
        };
        let announced = i32::from_be_bytes(*announced);
        let wrong = FrameError::BadLength(announced.into(), frame_bytes_max);
        let size = match usize::try_from(announced) {
            Ok(size) if size >= 4 && size <= frame_bytes_max.saturating_sub(4) => size,
            _ => return Err(wrong),
        };
        let Some(mark) = stream.get(4..8).and_then(|mark| mark.first_chunk::<4>()) else {
            return Ok(None);
        };
        let (serialization, header_bytes) = read_mark(u32::from_be_bytes(*mark), size)?;
        if stream.len() < 4 + size {
            return Ok(None);
        }
        let mut frame = stream.split_to(4 + size).freeze();
        frame.advance(8);
        let header = frame.split_to(header_bytes);
        Ok(Some(Self {
            serialization,
            header,
            body: frame,
        }))
    }

    pub fn serialization(&self) -> Serialization {
        self.serialization
    }

    /// # Errors
    /// When the header is not one.
    pub fn header(&self) -> Result<Header<'_>, FrameError> {
        Ok(Header::decode(&self.header, self.serialization)?)
    }

    /// The bytes that borrowed header text lies in.
    pub fn header_bytes(&self) -> &Bytes {
        &self.header
    }
}

fn read_mark(mark: u32, size: usize) -> Result<(Serialization, usize), FrameError> {
    let [kind, ..] = mark.to_be_bytes();
    let header_bytes = usize::try_from(mark & 0x00ff_ffff).unwrap_or(usize::MAX);
    if header_bytes > size - 4 || header_bytes > HEADER_BYTES_MAX {
        return Err(FrameError::BadHeaderLength(header_bytes));
    }
    match kind {
        0 => Ok((Serialization::Json, header_bytes)),
        1 => Ok((Serialization::Binary, header_bytes)),
        _ => Err(FrameError::UnknownSerialization(kind)),
    }
}

/// What writes the parameters of a frame, whichever serialization they go to.
pub trait WriteExt {
    fn write_ext<S: Sink>(&self, sink: &mut S);
}

/// Appends length, mark and header to `out`. The caller sends `body_bytes` more bytes after them.
pub fn encode_head<E: WriteExt>(
    envelope: &Envelope<'_>,
    how: Serialization,
    ext: &E,
    body_bytes: usize,
    out: &mut BytesMut,
) {
    let at = out.len();
    out.put_u64(0);
    let kind = match how {
        Serialization::Json => {
            header_json::encode(envelope, out, |sink| ext.write_ext(sink));
            0_u32
        }
        Serialization::Binary => {
            header_binary::encode(envelope, out, |sink| ext.write_ext(sink));
            1_u32
        }
    };
    let header_bytes = u32::try_from(out.len() - at - 8).unwrap_or(u32::MAX);
    let body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
    let size = 4_u32
        .saturating_add(header_bytes)
        .saturating_add(body_bytes);
    if let Some(prefix) = out.get_mut(at..at + 8) {
        let (length, mark) = prefix.split_at_mut(4);
        length.copy_from_slice(&size.to_be_bytes());
        mark.copy_from_slice(&((kind << 24) | (header_bytes & 0x00ff_ffff)).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct NoExt;

    impl WriteExt for NoExt {
        fn write_ext<S: Sink>(&self, _: &mut S) {}
    }

    fn sample(body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let envelope = Envelope::request(105, 7, false);
        encode_head(&envelope, Serialization::Json, &NoExt, body.len(), &mut out);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn frames_are_split_at_any_cut_of_the_stream() {
        let two = [sample(b"one"), sample(b"")].concat();
        for cut in 0..two.len() {
            let mut stream = BytesMut::from(&two[..cut]);
            let mut bodies = Vec::new();
            for rest in [&two[cut..], &[]] {
                while let Some(frame) = Frame::split_off(&mut stream, 1 << 20).unwrap() {
                    assert_eq!(frame.header().unwrap().code, 105);
                    bodies.push(frame.body);
                }
                stream.extend_from_slice(rest);
            }
            assert_eq!(bodies, [&b"one"[..], b""], "cut at {cut}");
        }
    }

    #[test]
    fn wrong_lengths_are_refused_before_their_bytes_arrive() {
        let split = |bytes: &[u8]| Frame::split_off(&mut BytesMut::from(bytes), 100).map(|_| ());
        assert_eq!(split(&[0, 0, 0, 3]), Err(FrameError::BadLength(3, 100)));
        assert_eq!(split(&[0, 0, 0, 97]), Err(FrameError::BadLength(97, 100)));
        assert_eq!(split(&[0, 0, 0, 96]), Ok(()));
        assert_eq!(
            split(&[0x80, 0, 0, 0]),
            Err(FrameError::BadLength(i32::MIN.into(), 100))
        );
        assert_eq!(
            split(&[0, 0, 0, 10, 0, 0, 0, 7]),
            Err(FrameError::BadHeaderLength(7))
        );
        assert_eq!(
            split(&[0, 0, 0, 10, 2, 0, 0, 6]),
            Err(FrameError::UnknownSerialization(2))
        );
    }
}
