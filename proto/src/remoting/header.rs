//! The header of a frame in its two serializations, and the flags and languages in it. Parameters
//! stay untyped pairs here; [`super::request`] and [`super::reply`] give them meaning.
//!
//! JSON (type 0): an object, members in any order, unknown ones ignored.
//!
//! ROCKETMQ binary (type 1), big-endian:
//! ```text
//! i16 code | u8 language | i16 version | i32 opaque | i32 flag | i32 remarkLen | remark
//! | i32 extLen | repeat { i16 keyLen | key | i32 valueLen | value }
//! ```
//! Invariant: nothing here allocates by an announced length, and no input panics.

use std::borrow::Cow;

use super::fields::Pairs;

/// Parameters a header may carry.
pub const FIELDS_MAX: usize = 256;
/// Bytes of a parameter's name.
pub const KEY_BYTES_MAX: usize = 255;
/// Bytes of a parameter's value. The properties of a message are the largest; the broker refuses those
/// beyond 32,767 bytes with an answer, so they must get this far.
pub const VALUE_BYTES_MAX: usize = 65_535;
/// Bytes of a remark.
pub const REMARK_BYTES_MAX: usize = 4096;
/// Nesting of members that are ignored.
pub const JSON_DEPTH_MAX: usize = 8;

const RESPONSE: i32 = 1;
const ONEWAY: i32 = 2;

/// How a header is serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serialization {
    Json,
    Binary,
}

/// Who speaks: the peer's implementation language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language(pub u8);

const LANGUAGES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP",
    "OMS", "RUST", "NODE_JS",
];

impl Language {
    pub const JAVA: Self = Self(0);
    pub const OTHER: Self = Self(7);
    pub const RUST: Self = Self(12);

    pub fn name(self) -> &'static str {
        LANGUAGES
            .get(usize::from(self.0))
            .copied()
            .unwrap_or("OTHER")
    }

    fn named(name: &str) -> Self {
        let at = LANGUAGES.iter().position(|known| *known == name);
        at.and_then(|at| u8::try_from(at).ok())
            .map_or(Self::OTHER, Self)
    }
}

/// Why a header could not be read: the connection it came on cannot be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("header is not a json object of the expected members: {0}")]
    Json(String),
    #[error("header ends inside {0}")]
    Truncated(&'static str),
    #[error("header has an illegal length of {0}")]
    BadLength(&'static str),
    #[error("header has illegal utf-8 in {0}")]
    BadUtf8(&'static str),
    #[error("header has more than {FIELDS_MAX} fields")]
    TooManyFields,
}

/// A header as it was read; text is borrowed from the frame where it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub code: i32,
    pub language: Language,
    pub version: i32,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<Cow<'a, str>>,
    pub ext: Pairs<'a>,
}

impl<'a> Header<'a> {
    /// # Errors
    /// When the bytes are not a header of that serialization, or exceed a limit of this file.
    pub fn decode(bytes: &'a [u8], how: Serialization) -> Result<Self, HeaderError> {
        match how {
            Serialization::Json => super::header_json::decode(bytes),
            Serialization::Binary => super::header_binary::decode(bytes),
        }
    }

    pub fn is_response(&self) -> bool {
        self.flag & RESPONSE != 0
    }

    pub fn is_oneway(&self) -> bool {
        self.flag & ONEWAY != 0
    }
}

/// What stands in a header besides its parameters, when one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub code: i32,
    pub opaque: i32,
    pub version: i32,
    pub language: Language,
    pub flag: i32,
    pub remark: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    pub fn request(code: i32, opaque: i32, oneway: bool) -> Self {
        let flag = if oneway { ONEWAY } else { 0 };
        Self {
            code,
            opaque,
            version: super::VERSION,
            language: Language::RUST,
            flag,
            remark: None,
        }
    }

    /// compat: RemotingCommand: a broker answers as JAVA; older peers do not know every language.
    pub fn response(code: i32, opaque: i32, remark: Option<&'a str>) -> Self {
        let (version, language) = (super::VERSION, Language::JAVA);
        Self {
            code,
            opaque,
            version,
            language,
            flag: RESPONSE,
            remark,
        }
    }
}

pub(super) fn language_named(name: &str) -> Language {
    Language::named(name)
}
