//! The quick way through the JSON headers that RocketMQ's own clients write: compact, flat, every
//! parameter a string. One pass, no scratch memory, text borrowed where nothing is escaped.
//!
//! Invariant: what it reads is what [`super::header_json`] reads; anything it does not expect, right
//! or wrong, it leaves to that by answering `None`. A differential test holds the two together.

use std::borrow::Cow;

use super::fields::Pairs;
use super::header::{
    FIELDS_MAX, Header, KEY_BYTES_MAX, Language, REMARK_BYTES_MAX, VALUE_BYTES_MAX, language_named,
};

pub(super) fn decode(bytes: &[u8]) -> Option<Header<'_>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scan = Scan { text, bytes, at: 0 };
    let mut header = Header {
        code: 0,
        language: Language::OTHER,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        ext: Vec::new(),
    };
    let mut seen = 0_u8;
    scan.take(b'{')?;
    loop {
        let name = scan.plain()?;
        scan.take(b':')?;
        let bit = match name {
            "code" => {
                header.code = scan.number()?;
                1
            }
            "version" => {
                header.version = scan.number()?;
                2
            }
            "opaque" => {
                header.opaque = scan.number()?;
                4
            }
            "flag" => {
                header.flag = scan.number()?;
                8
            }
            "language" => {
                header.language = language_named(scan.plain()?);
                16
            }
            "remark" => {
                header.remark = Some(scan.string()?);
                32
            }
            "extFields" => {
                scan.pairs(&mut header.ext)?;
                64
            }
            "serializeTypeCurrentRPC" => {
                scan.plain()?;
                0
            }
            _ => return None,
        };
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        match scan.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    let remark_fits = header
        .remark
        .as_ref()
        .is_none_or(|remark| remark.len() <= REMARK_BYTES_MAX);
    (scan.at == bytes.len() && seen & 1 != 0 && remark_fits).then_some(header)
}

/// How many bytes come before a quote, an escape, or what no string may hold; `None` when all do.
pub(super) fn run(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // The high bit of each byte below `limit`. What is found wrongly is above what is found rightly,
    // and only the lowest counts.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends = below(word, 0x20) | is(word, b'"') | is(word, b'\\');
        if ends != 0 {
            return Some(at * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    Some(words.len() * 8 + rest.iter().position(ends)?)
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn number(&mut self) -> Option<i32> {
        let rest = self.bytes.get(self.at..)?;
        let size = rest
            .iter()
            .position(|b| !b.is_ascii_digit() && *b != b'-')?;
        let digits = self.text.get(self.at..self.at + size)?;
        // JSON has no leading zeros, and what has them is not for this way.
        if digits.len() > 1 && (digits.starts_with('0') || digits.starts_with("-0")) {
            return None;
        }
        self.at += size;
        digits.parse().ok()
    }

    /// A string without escapes.
    fn plain(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let size = self.run()?;
        let text = self.text.get(self.at..self.at + size)?;
        self.at += size;
        self.take(b'"')?;
        Some(text)
    }

    fn run(&self) -> Option<usize> {
        run(self.bytes.get(self.at..)?)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let size = self.run()?;
        let head = self.text.get(self.at..self.at + size)?;
        self.at += size;
        match self.next()? {
            b'"' => Some(Cow::Borrowed(head)),
            b'\\' => self.escaped(head).map(Cow::Owned),
            _ => None,
        }
    }

    /// The rest of a string behind its first backslash.
    fn escaped(&mut self, head: &str) -> Option<String> {
        // Room for the properties of an everyday message without growing on the way.
        let mut whole = String::with_capacity((head.len() + 64).next_power_of_two());
        whole.push_str(head);
        loop {
            whole.push(self.escape()?);
            let size = self.run()?;
            whole.push_str(self.text.get(self.at..self.at + size)?);
            self.at += size;
            match self.next()? {
                b'"' => return Some(whole),
                b'\\' => {}
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let mut code = 0;
                for _ in 0..4 {
                    code = code * 16 + char::from(self.next()?).to_digit(16)?;
                }
                // Surrogates come in pairs, which are left to the other way.
                char::from_u32(code)?
            }
            _ => return None,
        })
    }

    fn pairs(&mut self, pairs: &mut Pairs<'a>) -> Option<()> {
        self.take(b'{')?;
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Some(());
        }
        // Room for the widest everyday header, a send.
        pairs.reserve(16);
        loop {
            let key = self.plain()?;
            self.take(b':')?;
            let value = self.string()?;
            if key.len() > KEY_BYTES_MAX
                || value.len() > VALUE_BYTES_MAX
                || pairs.len() == FIELDS_MAX
            {
                return None;
            }
            pairs.push((Cow::Borrowed(key), value));
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_of_the_java_client_goes_this_way_and_reads_the_same() {
        let text = br#"{"code":310,"extFields":{"a":"pg","e":"-1","i":"K\u0001v\u0002\"\\\u00e9x"},"flag":0,"language":"JAVA","opaque":-7,"serializeTypeCurrentRPC":"JSON","version":475}"#;
        let header = decode(text).unwrap();
        assert_eq!(Ok(header), super::super::header_json::decode_any(text));
    }

    #[test]
    fn a_run_ends_at_the_first_byte_that_is_special_wherever_that_lies() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                // Neighbours that differ from a special one by a bit or a carry.
                for other in [b'!', b'#', b'[', b']', b' ', 0x7f, 0x80, 0xa2, 0xff] {
                    let mut bytes = [other; 20];
                    bytes[at] = byte;
                    let slow = bytes.iter().position(|b| *b < 0x20 || b"\"\\".contains(b));
                    assert_eq!(run(&bytes), slow, "{byte} at {at} among {other}");
                    bytes[19] = b'"';
                    assert_eq!(
                        run(&bytes),
                        slow.or(Some(19)),
                        "{byte} at {at} among {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_it_does_not_expect_is_left_to_the_other_way() {
        for text in [
            r#"{"code": 1}"#,
            r#"{"code":01}"#,
            r#"{"code":1,"code":1}"#,
            r#"{"code":1,"x":1}"#,
            r#"{"code":1,"extFields":{"a":1}}"#,
            r#"{"code":1,"extFields":null}"#,
            r#"{"code":1,"remark":"\ud83d\ude00"}"#,
            r#"{"code":1} "#,
            r#"{"flag":1}"#,
            "{\"code\":1,\"remark\":\"\u{1}\"}",
            r#"{"code":1"#,
            "",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }
}
