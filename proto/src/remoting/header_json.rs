//! The JSON form of a header. Read by serde straight into borrowed pairs (no map is built), written
//! member by member into the output. Values that are numbers or booleans are taken as their text.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::fields::{Pairs, Sink};
use super::header::{
    Envelope, FIELDS_MAX, Header, HeaderError, JSON_DEPTH_MAX, KEY_BYTES_MAX, Language,
    REMARK_BYTES_MAX, VALUE_BYTES_MAX, language_named,
};

pub(super) fn decode(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    super::header_json_fast::decode(bytes).map_or_else(|| decode_any(bytes), Ok)
}

/// Reads any JSON that means a header.
pub(super) fn decode_any(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let header = Top
        .deserialize(&mut input)
        .map_err(|e| HeaderError::Json(e.to_string()))?;
    input.end().map_err(|e| HeaderError::Json(e.to_string()))?;
    Ok(header)
}

/// Writes the members in the order in which Java does, `extFields` filled by `ext`.
pub(super) fn encode(
    envelope: &Envelope<'_>,
    out: &mut BytesMut,
    ext: impl FnOnce(&mut Object<'_>),
) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"code\":");
    out.extend_from_slice(digits.format(envelope.code).as_bytes());
    out.extend_from_slice(b",\"extFields\":{");
    ext(&mut Object { out, first: true });
    out.extend_from_slice(b"},\"flag\":");
    out.extend_from_slice(digits.format(envelope.flag).as_bytes());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(envelope.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    out.extend_from_slice(digits.format(envelope.opaque).as_bytes());
    if let Some(remark) = envelope.remark {
        out.extend_from_slice(b",\"remark\":");
        string(out, remark);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.extend_from_slice(digits.format(envelope.version).as_bytes());
    out.put_u8(b'}');
}

fn string(out: &mut BytesMut, text: &str) {
    // Nearly every text needs no escape, and then a copy is all there is to do.
    if super::header_json_fast::run(text.as_bytes()).is_none() {
        out.reserve(text.len() + 2);
        out.put_u8(b'"');
        out.extend_from_slice(text.as_bytes());
        out.put_u8(b'"');
        return;
    }
    // Writing to memory cannot fail, nor can text fail to serialize.
    serde_json::to_writer(out.writer(), text).expect("text serializes into memory");
}

/// The inside of a JSON object whose values are all strings.
pub(super) struct Object<'a> {
    out: &'a mut BytesMut,
    first: bool,
}

impl Object<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.put_u8(b',');
        }
        string(self.out, name);
        self.out.put_u8(b':');
    }
}

impl Sink for Object<'_> {
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        string(self.out, value);
    }

    fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        self.out.put_u8(b'"');
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.put_u8(b'"');
    }
}

/// The header object itself.
struct Top;

impl<'de> DeserializeSeed<'de> for Top {
    type Value = Header<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Header<'de>, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top {
    type Value = Header<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header<'de>, A::Error> {
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
        let mut once = |bit: u8| {
            let twice = seen & bit != 0;
            seen |= bit;
            if twice {
                Err(de::Error::custom("a member occurs twice"))
            } else {
                Ok(())
            }
        };
        while let Some(key) = map.next_key_seed(Scalar)? {
            match key.as_deref().unwrap_or_default() {
                "code" => once(1)
                    .and_then(|()| number(&mut map))
                    .map(|n| header.code = n)?,
                "version" => once(2)
                    .and_then(|()| number(&mut map))
                    .map(|n| header.version = n)?,
                "opaque" => once(4)
                    .and_then(|()| number(&mut map))
                    .map(|n| header.opaque = n)?,
                "flag" => once(8)
                    .and_then(|()| number(&mut map))
                    .map(|n| header.flag = n)?,
                "language" => {
                    once(16)?;
                    let name = map.next_value_seed(Scalar)?;
                    header.language = language_named(name.as_deref().unwrap_or_default());
                }
                "remark" => {
                    once(32)?;
                    header.remark = map.next_value_seed(Scalar)?;
                    if header
                        .remark
                        .as_ref()
                        .is_some_and(|r| r.len() > REMARK_BYTES_MAX)
                    {
                        return Err(de::Error::custom("remark too long"));
                    }
                }
                "extFields" => {
                    once(64)?;
                    header.ext = map.next_value_seed(ExtObject)?;
                }
                _ => map.next_value_seed(Ignored(JSON_DEPTH_MAX))?,
            }
        }
        if seen & 1 == 0 {
            return Err(de::Error::missing_field("code"));
        }
        Ok(header)
    }
}

fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<i32, A::Error> {
    let text = map.next_value_seed(Scalar)?;
    text.as_deref()
        .unwrap_or("0")
        .parse()
        .map_err(de::Error::custom)
}

/// `extFields`: an object of scalars, or null.
struct ExtObject;

impl<'de> DeserializeSeed<'de> for ExtObject {
    type Value = Pairs<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Pairs<'de>, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ExtObject {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E>(self) -> Result<Pairs<'de>, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        // Room for the widest everyday header, a send, without growing on the way.
        let mut pairs = Vec::with_capacity(16);
        while let Some(key) = map.next_key_seed(Scalar)? {
            let (key, value) = (key.unwrap_or_default(), map.next_value_seed(Scalar)?);
            let Some(value) = value else { continue };
            if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(de::Error::custom("a field is too long"));
            }
            if pairs.len() == FIELDS_MAX {
                return Err(de::Error::custom("too many fields"));
            }
            pairs.push((key, value));
        }
        Ok(pairs)
    }
}

/// A string, number, boolean or null, as text; borrowed unless it was escaped.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number, boolean or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Any value, passed over, nested at most so deep.
struct Ignored(usize);

impl Ignored {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        self.0
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Ignored {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ignored {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while list.next_element_seed(Self(depth))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        while map.next_key_seed(Scalar)?.is_some() {
            map.next_value_seed(Self(depth))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_booleans_in_ext_fields_are_text() {
        let text = br#"{"code":10,"opaque":-5,"flag":2,"language":"GO","version":317,
            "extFields":{"a":1,"b":true,"c":null,"d":"x\u0001y","e":9007199254740993},"more":[{}]}"#;
        let header = decode(text).unwrap();
        let pairs: Vec<_> = header
            .ext
            .iter()
            .map(|(k, v)| (k.as_ref(), v.as_ref()))
            .collect();
        let wanted = [
            ("a", "1"),
            ("b", "true"),
            ("d", "x\u{1}y"),
            ("e", "9007199254740993"),
        ];
        assert_eq!(pairs, wanted);
        assert_eq!(
            (header.code, header.opaque, header.is_oneway()),
            (10, -5, true)
        );
        assert_eq!(header.language.name(), "GO");
    }

    #[test]
    fn null_ext_fields_and_a_null_remark_are_absent_ones() {
        let header = decode(br#"{"code":0,"extFields":null,"remark":null,"flag":1}"#).unwrap();
        assert_eq!((header.ext.len(), header.remark), (0, None));
    }

    #[test]
    fn nesting_doubled_members_and_garbage_are_refused() {
        let deep = format!(r#"{{"code":1,"x":{}1{}}}"#, "[".repeat(9), "]".repeat(9));
        let refused = [
            r#"{"code":1,"code":2}"#,
            r#"{"code":1}x"#,
            r#"{"opaque":1}"#,
            r#"[1]"#,
            r#"{"code":1,"extFields":{"a":{}}}"#,
            r#"{"code":99999999999}"#,
            &deep,
        ];
        for text in refused {
            assert!(
                matches!(decode(text.as_bytes()), Err(HeaderError::Json(_))),
                "{text}"
            );
        }
    }
}
