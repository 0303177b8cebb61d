//! Bytes to types and back: remoting frames and bodies, the stored message. Owns every layout that
//! leaves the process; does no IO, reads no clock, spawns nothing.
#![forbid(unsafe_code)]

pub mod json;
pub mod message;
pub mod names;
pub mod remoting;

/// Cheaply clonable text: a slice of the frame it arrived in, or a string of its own.
pub type Text = bytestring::ByteString;
