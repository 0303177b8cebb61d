//! Reading and writing the JSON dialect of RocketMQ's Java side. It owns the two quirks that
//! standard JSON does not have: object keys that are bare numbers (`{0:"a"}`) and object keys that
//! are objects (`{{"topic":"t"}:1}`). Bodies are parsed by serde after [`standard`] has quoted such
//! keys; a key that was an object becomes a string holding that object's text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a JSON body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body is not the expected json: {0}")]
pub struct JsonError(String);

/// Reads a body, accepting bare and object keys.
///
/// # Errors
/// When the body is not JSON even so, or lacks what `T` needs.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    serde_json::from_slice(&standard(body)).map_err(|e| JsonError(e.to_string()))
}

/// Writes a body in standard JSON.
pub fn write<T: Serialize>(value: &T) -> bytes::Bytes {
    // Our own types have no fallible serializers and no non-string keys.
    serde_json::to_vec(value)
        .expect("our own types serialize")
        .into()
}

/// The same document with every key quoted. Borrowed when nothing had to change.
pub fn standard(text: &[u8]) -> Cow<'_, [u8]> {
    let mut scan = Scan {
        text,
        at: 0,
        out: Vec::new(),
        copied: 0,
    };
    scan.run();
    if scan.copied == 0 {
        return Cow::Borrowed(text);
    }
    scan.out
        .extend_from_slice(text.get(scan.copied..).unwrap_or_default());
    Cow::Owned(scan.out)
}

/// One pass over the text. `copied` is where `out` stands in `text`; 0 while nothing was changed.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    copied: usize,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut in_object = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => self.skip_string(),
                b'{' => {
                    in_object.push(true);
                    self.at += 1;
                    self.key();
                }
                b'[' => {
                    in_object.push(false);
                    self.at += 1;
                }
                b'}' | b']' => {
                    in_object.pop();
                    self.at += 1;
                }
                b',' => {
                    self.at += 1;
                    if in_object.last() == Some(&true) {
                        self.key();
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// At the start of a key: quotes it when it is a bare number or an object.
    fn key(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        let start = self.at;
        match self.text.get(start) {
            Some(b'-' | b'0'..=b'9') => {
                while self
                    .text
                    .get(self.at)
                    .is_some_and(|b| b"-0123456789".contains(b))
                {
                    self.at += 1;
                }
                let key = self.text.get(start..self.at).unwrap_or_default().to_vec();
                self.replace(start, &key);
            }
            Some(b'{') => {
                self.skip_object();
                let key = self.text.get(start..self.at).unwrap_or_default().to_vec();
                self.replace(start, &key);
            }
            _ => {}
        }
    }

    /// Writes `text[start..at]` as the JSON string `key`.
    fn replace(&mut self, start: usize, key: &[u8]) {
        self.out
            .extend_from_slice(self.text.get(self.copied..start).unwrap_or_default());
        self.out.push(b'"');
        for &byte in key {
            if byte == b'"' || byte == b'\\' {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
        self.copied = self.at;
    }

    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'"' => return,
                _ => {}
            }
        }
    }

    fn skip_object(&mut self) {
        let mut depth = 0_usize;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string();
                    continue;
                }
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }
}

/// A map whose keys are objects on the wire (`{{…}:{…}}`), as fastjson writes and reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKeyed<K, V>(pub Vec<(K, V)>);

impl<K, V> Default for ObjectKeyed<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Serialize, V: Serialize> ObjectKeyed<K, V> {
    /// The map's text with object keys, which no serde serializer can produce.
    pub fn to_text(&self) -> String {
        let entries: Vec<String> = self
            .0
            .iter()
            .map(|(k, v)| format!("{}:{}", text(k), text(v)))
            .collect();
        format!("{{{}}}", entries.join(","))
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types serialize")
}

/// Puts `members` (name, already encoded JSON value) together as one object.
pub fn object(members: &[(&str, String)]) -> bytes::Bytes {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(",")).into()
}

impl<'de, K: DeserializeOwned, V: Deserialize<'de>> Deserialize<'de> for ObjectKeyed<K, V> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let quoted = BTreeMap::<String, V>::deserialize(input)?;
        let entry = |(key, value): (String, V)| {
            read(key.as_bytes())
                .map(|key| (key, value))
                .map_err(serde::de::Error::custom)
        };
        quoted
            .into_iter()
            .map(entry)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Treats an explicit `null` like an absent member, as fastjson does.
///
/// # Errors
/// When the value is neither null nor a `T`.
pub fn null_as_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A JSON value that is not an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Plain {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
}

/// A type that fastjson reads from more than its own kind of value.
pub trait Lenient: Default {
    #[doc(hidden)]
    fn of(text: &str) -> Option<Self>;
}

macro_rules! lenient {
    ($($type:ty),*) => {$(
        impl Lenient for $type {
            fn of(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }
        }
    )*};
}
lenient!(i32, i64, bool);

impl Lenient for String {
    fn of(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

fn plain<T: Lenient>(value: &Plain) -> Option<T> {
    match value {
        Plain::Null => Some(T::default()),
        Plain::Bool(value) => T::of(&value.to_string()),
        Plain::Integer(value) => T::of(&value.to_string()),
        Plain::Float(value) => T::of(&value.to_string()),
        Plain::Text(text) => T::of(text),
        Plain::List(_) => None,
    }
}

/// Reads a number, switch or text from any of the three, and null as absent: the Go client sends
/// tag codes as texts, others numbers for texts.
///
/// # Errors
/// When the value means no `T`.
pub fn lenient<'de, D: Deserializer<'de>, T: Lenient>(input: D) -> Result<T, D::Error> {
    let value = Plain::deserialize(input)?;
    plain(&value).ok_or_else(|| serde::de::Error::custom("a value of the wrong kind"))
}

/// Like [`lenient()`], for a list of them.
///
/// # Errors
/// When it is no list, or has an element that means no `T`.
pub fn lenient_list<'de, D, T>(input: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Lenient,
{
    let read = match Plain::deserialize(input)? {
        Plain::Null => Some(Vec::new()),
        Plain::List(values) => values.iter().map(plain).collect(),
        Plain::Bool(_) | Plain::Integer(_) | Plain::Float(_) | Plain::Text(_) => None,
    };
    read.ok_or_else(|| serde::de::Error::custom("not a list of the right kind"))
}

/// Serializes any displayable map key as text, so that number keys come out quoted.
///
/// # Errors
/// Those of the serializer.
pub fn quoted_keys<S: Serializer, K: ToString, V: Serialize>(
    map: &BTreeMap<K, V>,
    output: S,
) -> Result<S::Ok, S::Error> {
    output.collect_map(map.iter().map(|(key, value)| (key.to_string(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_json_is_left_alone() {
        let text = br#"{"a":[1,2,{"b":"{0:1}"}],"c":{}}"#;
        assert!(matches!(standard(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn bare_number_keys_are_quoted() {
        assert_eq!(
            standard(br#"{"t":{0:123, 1 :456,-2:"x"},"l":[0,1]}"#).as_ref(),
            br#"{"t":{"0":123, "1" :456,"-2":"x"},"l":[0,1]}"#
        );
    }

    #[test]
    fn object_keys_become_strings_that_hold_the_object() {
        assert_eq!(
            standard(br#"{"o":{{"topic":"t}","q":0}:{"max":1},{"q":1}:2}}"#).as_ref(),
            br#"{"o":{"{\"topic\":\"t}\",\"q\":0}":{"max":1},"{\"q\":1}":2}}"#
        );
    }

    #[test]
    fn numbers_switches_and_texts_stand_for_each_other() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Sample {
            #[serde(deserialize_with = "lenient")]
            number: i64,
            #[serde(deserialize_with = "lenient")]
            text: String,
            #[serde(deserialize_with = "lenient")]
            switch: bool,
            #[serde(deserialize_with = "lenient_list")]
            codes: Vec<i32>,
        }
        let sample = |number, text: &str, switch, codes: &[i32]| Sample {
            number,
            text: text.into(),
            switch,
            codes: codes.to_vec(),
        };
        let read = |text: &str| read::<Sample>(text.as_bytes());
        assert_eq!(
            read(r#"{"number":"7","text":7,"switch":"true","codes":["65",66]}"#),
            Ok(sample(7, "7", true, &[65, 66]))
        );
        assert_eq!(
            read(r#"{"number":null,"text":null,"switch":null,"codes":null}"#),
            Ok(sample(0, "", false, &[]))
        );
        assert!(read(r#"{"number":{},"text":"","switch":true,"codes":[]}"#).is_err());
        assert!(read(r#"{"number":1,"text":"","switch":true,"codes":3}"#).is_err());
    }

    #[test]
    fn torn_text_never_panics() {
        let whole = br#"{"o":{{"topic":"t\"}","q":0}:{"max":1},3:2}}"#;
        for end in 0..whole.len() {
            let _ = standard(&whole[..end]);
        }
    }

    #[test]
    fn object_keyed_maps_read_what_they_write() {
        let map = ObjectKeyed(vec![(BTreeMap::from([("q".to_owned(), 0)]), 7)]);
        assert_eq!(map.to_text(), r#"{{"q":0}:7}"#);
        assert_eq!(
            read::<ObjectKeyed<BTreeMap<String, i32>, i32>>(map.to_text().as_bytes()),
            Ok(map)
        );
    }
}
