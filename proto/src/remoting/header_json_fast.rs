//! The quick way through the JSON headers that RocketMQ's own clients write: compact, flat, every
//! parameter a string. One pass, no scratch memory, text borrowed where nothing is escaped.
//!
//! Invariant: what it reads is what [`super::header_json`] reads; anything it does not expect, right
//! or wrong, it leaves to that by answering `None`. A differential test holds the two together.

use std::borrow::Cow;

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

    /// How many bytes come before a quote, an escape, or what no string may hold.
    fn run(&self) -> Option<usize> {
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        self.bytes.get(self.at..)?.iter().position(ends)
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
                let digits = self.text.get(self.at..self.at + 4)?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                self.at += 4;
                // Surrogates come in pairs, which are left to the other way.
                char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
            }
            _ => return None,
        })
    }

    fn pairs(&mut self, pairs: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) -> Option<()> {
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
