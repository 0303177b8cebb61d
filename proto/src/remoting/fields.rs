//! Command parameters: how a typed header becomes the name/value pairs of a frame ("ext fields" in
//! RocketMQ's words) and back. [`wire_fields!`](crate::wire_fields) declares a header once and
//! derives both directions, so the two cannot drift. Values are text on the wire, whatever they are.
//!
//! Invariant: decoding refuses a name that occurs twice and never keeps more than it was given.

use std::borrow::Cow;

use bytes::Bytes;

use crate::Text;

/// The pairs of one frame as they were read, borrowed from it where nothing was escaped.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Why the parameters of a known command could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// compat: RemotingCommand#decodeCommandCustomHeader words it so, and users search for it.
    #[error("the custom field <{0}> is null")]
    Missing(&'static str),
    #[error("the custom field <{0}> occurs twice")]
    Twice(&'static str),
    #[error("the custom field <{name}> has the illegal value <{value}>")]
    Illegal { name: &'static str, value: String },
}

/// Takes the pairs of a header while it is being written.
pub trait Sink {
    fn text(&mut self, name: &str, value: &str);

    fn number(&mut self, name: &str, value: i64) {
        self.text(name, itoa::Buffer::new().format(value));
    }
}

/// A set of pairs kept as such: unknown commands, and replies before their kind is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ext(pub Vec<(Text, Text)>);

impl Ext {
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    /// Keeps every pair of a frame.
    pub fn keep(pairs: Pairs<'_>, frame: &Bytes) -> Self {
        let keep = |text| Text::take(text, frame);
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| (keep(key), keep(value)))
                .collect(),
        )
    }

    /// The pairs as borrowed ones, to read a typed header from.
    pub fn read<T: Fields>(&self) -> Result<T, FieldError> {
        let pairs = self
            .0
            .iter()
            .map(|(key, value)| (Cow::Borrowed(&**key), Cow::Borrowed(&**value)))
            .collect();
        T::read(pairs, &Bytes::new())
    }

    pub fn write<S: Sink>(&self, sink: &mut S) {
        for (key, value) in &self.0 {
            sink.text(key, value);
        }
    }
}

impl Sink for Ext {
    fn text(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }
}

/// A typed header.
pub trait Fields: Sized {
    /// # Errors
    /// When a mandatory parameter is missing, occurs twice, or is not of its type.
    fn read(pairs: Pairs<'_>, frame: &Bytes) -> Result<Self, FieldError>;
    fn write<S: Sink>(&self, sink: &mut S);
}

/// One parameter's type.
pub trait Value: Sized {
    /// Takes `text` away only when it succeeds.
    fn parse(text: &mut Cow<'_, str>, frame: &Bytes) -> Option<Self>;
    fn put<S: Sink>(&self, name: &str, sink: &mut S);
    /// What an absent parameter means; `None` makes the parameter mandatory.
    fn absent() -> Option<Self> {
        None
    }
}

/// Turning text into [`Text`] without a copy where it is owned, or lies in the frame.
trait Take {
    fn take(text: Cow<'_, str>, frame: &Bytes) -> Text;
}

impl Take for Text {
    fn take(text: Cow<'_, str>, frame: &Bytes) -> Text {
        let text = match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => return Self::from(text),
        };
        let (start, have) = (frame.as_ptr() as usize, frame.len());
        let at = (text.as_ptr() as usize).wrapping_sub(start);
        if !text.is_empty() && at < have && have - at >= text.len() {
            // Checked again as UTF-8: a few nanoseconds, and no unsafe code here.
            if let Ok(slice) = Self::try_from(frame.slice(at..at + text.len())) {
                return slice;
            }
        }
        Self::from(text.to_owned())
    }
}

impl Value for Text {
    fn parse(text: &mut Cow<'_, str>, frame: &Bytes) -> Option<Self> {
        Some(Self::take(std::mem::take(text), frame))
    }

    fn put<S: Sink>(&self, name: &str, sink: &mut S) {
        sink.text(name, self);
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &mut Cow<'_, str>, _: &Bytes) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn put<S: Sink>(&self, name: &str, sink: &mut S) {
                sink.number(name, i64::from(*self));
            }
        }
    )*};
}
number!(i32, i64, u32);

impl Value for bool {
    fn parse(text: &mut Cow<'_, str>, _: &Bytes) -> Option<Self> {
        // compat: RemotingCommand#decodeCommandCustomHeader uses Boolean.parseBoolean: never fails.
        Some(text.eq_ignore_ascii_case("true"))
    }

    fn put<S: Sink>(&self, name: &str, sink: &mut S) {
        sink.text(name, if *self { "true" } else { "false" });
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &mut Cow<'_, str>, frame: &Bytes) -> Option<Self> {
        // An optional number that was sent empty counts as absent.
        match T::parse(text, frame) {
            None if text.trim().is_empty() => Some(None),
            other => other.map(Some),
        }
    }

    fn put<S: Sink>(&self, name: &str, sink: &mut S) {
        if let Some(value) = self {
            value.put(name, sink);
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Declares a header: Rust field, type, wire name, and further wire names that are read as well.
/// A field of type `Option` may be absent; a default after `else` makes a plain one so.
#[macro_export]
macro_rules! wire_fields {
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty = $wire:literal $(| $also:literal)* $(else $default:expr)? ,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $crate::remoting::fields::Fields for $name {
            #[allow(unused_variables, unused_mut, reason = "a header may have no fields")]
            fn read(
                pairs: $crate::remoting::fields::Pairs<'_>,
                frame: &bytes::Bytes,
            ) -> Result<Self, $crate::remoting::fields::FieldError> {
                use $crate::remoting::fields::{FieldError, Value};
                $( let mut $field: Option<$type> = None; )*
                for (key, mut value) in pairs {
                    match key.as_ref() {
                        $( $wire $(| $also)* => {
                            let parsed = <$type as Value>::parse(&mut value, frame).ok_or_else(|| {
                                FieldError::Illegal { name: $wire, value: value.chars().take(64).collect() }
                            })?;
                            if $field.replace(parsed).is_some() {
                                return Err(FieldError::Twice($wire));
                            }
                        } )*
                        _ => {}
                    }
                }
                Ok(Self { $(
                    $field: match $field.or_else(|| {
                        $( if true { return Some($default); } )?
                        <$type as Value>::absent()
                    }) {
                        Some(value) => value,
                        None => return Err(FieldError::Missing($wire)),
                    },
                )* })
            }

            #[allow(unused_variables, reason = "a header may have no fields")]
            fn write<S: $crate::remoting::fields::Sink>(&self, sink: &mut S) {
                $( $crate::remoting::fields::Value::put(&self.$field, $wire, sink); )*
            }
        }
    )*};
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro declares public headers")]
mod tests {
    use super::*;

    wire_fields! {
        pub struct Sample {
            topic: Text = "topic" | "b",
            queue: i32 = "q",
            note: Option<i64> = "note",
            level: i32 = "level" else 3,
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Sample, FieldError> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| (Cow::from(*k), Cow::from(*v)))
            .collect();
        Sample::read(pairs, &Bytes::new())
    }

    #[test]
    fn absent_optional_fields_take_their_default() {
        let sample = Sample {
            topic: "t".into(),
            queue: -1,
            note: None,
            level: 3,
        };
        assert_eq!(
            read(&[("b", "t"), ("q", "-1"), ("unknown", "x")]),
            Ok(sample.clone())
        );
        assert_eq!(read(&[("b", "t"), ("q", "-1"), ("note", " ")]), Ok(sample));
    }

    #[test]
    fn a_missing_double_or_illegal_field_is_named() {
        assert_eq!(read(&[("q", "1")]), Err(FieldError::Missing("topic")));
        assert_eq!(
            read(&[("topic", "t"), ("b", "t")]),
            Err(FieldError::Twice("topic"))
        );
        let illegal = FieldError::Illegal {
            name: "q",
            value: "x".into(),
        };
        assert_eq!(read(&[("topic", "t"), ("q", "x")]), Err(illegal));
    }

    #[test]
    fn text_inside_the_frame_is_not_copied() {
        let frame = Bytes::from_static(b"..orders..");
        let inside = std::str::from_utf8(&frame[2..8]).unwrap();
        let taken = Text::take(inside.into(), &frame);
        assert_eq!(
            (&*taken, taken.as_bytes().as_ptr()),
            ("orders", frame[2..].as_ptr())
        );
    }
}
