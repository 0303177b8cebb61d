//! The ROCKETMQ binary form of a header; the layout is drawn in [`super::header`].

use std::borrow::Cow;

use bytes::{Buf, BufMut, BytesMut};

use super::fields::Sink;
use super::header::{
    Envelope, FIELDS_MAX, Header, HeaderError, KEY_BYTES_MAX, Language, REMARK_BYTES_MAX,
    VALUE_BYTES_MAX,
};

/// Codes of the POP family do not fit the 16 bits they get here; Java truncates them.
/// compat: RocketMQSerializable#rocketMQProtocolEncode
fn widened(code: i16) -> i32 {
    match i32::from(code) {
        code @ 3442..=3448 => code - 3442 + 200_050,
        3543 => 200_151,
        code => code,
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    let mut input = bytes;
    let truncated = |_| HeaderError::Truncated("the fixed part");
    let code = widened(input.try_get_i16().map_err(truncated)?);
    let language = Language(input.try_get_u8().map_err(truncated)?);
    let version = i32::from(input.try_get_i16().map_err(truncated)?);
    let opaque = input.try_get_i32().map_err(truncated)?;
    let flag = input.try_get_i32().map_err(truncated)?;
    let remark = long_text(&mut input, "remark", REMARK_BYTES_MAX)?;
    let mut ext = block(&mut input, "ext fields", usize::MAX)?;
    let mut pairs = Vec::new();
    while !ext.is_empty() {
        let key_bytes = ext
            .try_get_i16()
            .map_err(|_| HeaderError::Truncated("a key"))?;
        let key_bytes = usize::try_from(key_bytes).map_err(|_| HeaderError::BadLength("a key"))?;
        if key_bytes > KEY_BYTES_MAX {
            return Err(HeaderError::BadLength("a key"));
        }
        let key = text(take(&mut ext, key_bytes, "a key")?, "a key")?;
        let value = long_text(&mut ext, "a value", VALUE_BYTES_MAX)?.unwrap_or_default();
        if pairs.len() == FIELDS_MAX {
            return Err(HeaderError::TooManyFields);
        }
        pairs.push((Cow::Borrowed(key), value));
    }
    Ok(Header {
        code,
        language,
        version,
        opaque,
        flag,
        remark,
        ext: pairs,
    })
}

fn take<'a>(
    input: &mut &'a [u8],
    size: usize,
    what: &'static str,
) -> Result<&'a [u8], HeaderError> {
    let (taken, rest) = input
        .split_at_checked(size)
        .ok_or(HeaderError::Truncated(what))?;
    *input = rest;
    Ok(taken)
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, HeaderError> {
    std::str::from_utf8(bytes).map_err(|_| HeaderError::BadUtf8(what))
}

/// An i32 length and so many bytes.
fn block<'a>(
    input: &mut &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<&'a [u8], HeaderError> {
    let size = input
        .try_get_i32()
        .map_err(|_| HeaderError::Truncated(what))?;
    let size = usize::try_from(size).map_err(|_| HeaderError::BadLength(what))?;
    if size > max {
        return Err(HeaderError::BadLength(what));
    }
    take(input, size, what)
}

/// Like [`block`], as text; length 0 means absent.
fn long_text<'a>(
    input: &mut &'a [u8],
    what: &'static str,
    max: usize,
) -> Result<Option<Cow<'a, str>>, HeaderError> {
    let bytes = block(input, what, max)?;
    if bytes.is_empty() {
        Ok(None)
    } else {
        Ok(Some(Cow::Borrowed(text(bytes, what)?)))
    }
}

pub(super) fn encode(
    envelope: &Envelope<'_>,
    out: &mut BytesMut,
    ext: impl FnOnce(&mut Entries<'_>),
) {
    // compat: RocketMQSerializable#rocketMQProtocolEncode keeps the low 16 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the format has 16 bits for both"
    )]
    {
        out.put_i16(envelope.code as i16);
        out.put_u8(envelope.language.0);
        out.put_i16(envelope.version as i16);
    }
    out.put_i32(envelope.opaque);
    out.put_i32(envelope.flag);
    put_long(out, envelope.remark.unwrap_or_default());
    let at = out.len();
    out.put_i32(0);
    ext(&mut Entries { out });
    let size = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(length) = out.get_mut(at..at + 4) {
        length.copy_from_slice(&size.to_be_bytes());
    }
}

fn put_long(out: &mut BytesMut, text: &str) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// The entries of the ext block while it is written.
pub(super) struct Entries<'a> {
    out: &'a mut BytesMut,
}

impl Sink for Entries<'_> {
    fn text(&mut self, name: &str, value: &str) {
        self.out
            .put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        self.out.extend_from_slice(name.as_bytes());
        put_long(self.out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BytesMut {
        let mut out = BytesMut::new();
        let envelope = Envelope::response(17, -9, Some("no such topic"));
        encode(&envelope, &mut out, |ext| {
            ext.text("topic", "t");
            ext.number("n", -12);
        });
        out
    }

    #[test]
    fn a_header_reads_back_as_written() {
        let bytes = sample();
        let header = decode(&bytes).unwrap();
        assert_eq!(
            (header.code, header.opaque, header.is_response()),
            (17, -9, true)
        );
        assert_eq!(header.remark.as_deref(), Some("no such topic"));
        let wanted = [("topic".into(), "t".into()), ("n".into(), "-12".into())];
        assert_eq!(header.ext, wanted);
    }

    #[test]
    fn every_cut_is_an_error() {
        let bytes = sample();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn lengths_beyond_the_header_are_refused() {
        let mut bytes = sample();
        bytes[13..17].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(decode(&bytes), Err(HeaderError::BadLength("remark")));
        bytes[13..17].copy_from_slice(&(-1_i32).to_be_bytes());
        assert_eq!(decode(&bytes), Err(HeaderError::BadLength("remark")));
    }

    #[test]
    fn pop_codes_come_back_from_their_16_bits() {
        assert_eq!(
            (widened(3442), widened(3448), widened(3543)),
            (200_050, 200_056, 200_151)
        );
        assert_eq!(widened(310), 310);
    }
}
