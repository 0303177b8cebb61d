//! Percent-encoding, decoded exactly once.

use std::borrow::Cow;

/// The text behind the escapes; `None` for a broken escape, for what is not UTF-8, and for NUL.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return (!text.contains('\0')).then_some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            other => other,
        });
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.contains('\0')).then_some(Cow::Owned(decoded))
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// A topic as one path segment: of its legal characters only these two need escapes.
pub(super) fn encode_topic(topic: &str, to: &mut String) {
    for letter in topic.chars() {
        match letter {
            '%' => to.push_str("%25"),
            '|' => to.push_str("%7C"),
            other => to.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_once() {
        for (text, decoded) in [
            ("orders:paid", Some("orders:paid")),
            ("orders:paid%2Feu", Some("orders:paid/eu")),
            ("%25RETRY%25billing", Some("%RETRY%billing")),
            ("%2525", Some("%25")),
            ("%E6%97%A5", Some("日")),
            ("a+b", Some("a+b")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("%ff", None),
            ("a%00", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn an_encoded_topic_is_decoded_to_itself() {
        let mut path = String::new();
        encode_topic("ns1%or|ders", &mut path);
        assert_eq!(
            (&*path, decode(&path).as_deref()),
            ("ns1%25or%7Cders", Some("ns1%or|ders"))
        );
    }
}
