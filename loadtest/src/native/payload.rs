//! What is in the body of a message that will be checked, big-endian:
//! ```text
//!  0  4  "GLT1"
//!  4  u32 CRC of all that follows
//!  8  u64 run | 16 u32 producer | 20 u64 sequence | 28 u64 due, ns since the run began
//! 36  anything, the same for all messages of a run
//! ```
//! A producer is one connection, from its beginning to its end; its sequence counts from 0.

use bytes::{Buf, BufMut};

pub const PAYLOAD_BYTES: usize = 36;
const MAGIC: &[u8; 4] = b"GLT1";
const CRC_END: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub run: u64,
    pub producer: u32,
    pub sequence: u64,
    pub due_ns: u64,
}

impl Payload {
    /// Writes itself over the start of `body`, which has at least [`PAYLOAD_BYTES`].
    pub fn write(&self, body: &mut [u8]) {
        let Some(mut fields) = body.get_mut(CRC_END..PAYLOAD_BYTES) else {
            return;
        };
        fields.put_u64(self.run);
        fields.put_u32(self.producer);
        fields.put_u64(self.sequence);
        fields.put_u64(self.due_ns);
        let crc = crc32fast::hash(body.get(CRC_END..).unwrap_or_default());
        if let Some(mut head) = body.get_mut(..CRC_END) {
            head.put_slice(MAGIC);
            head.put_u32(crc);
        }
    }

    /// `None` unless every byte is as it was written.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (mut head, covered) = body.split_at_checked(CRC_END)?;
        if !head.starts_with(MAGIC) || covered.len() < PAYLOAD_BYTES - CRC_END {
            return None;
        }
        head.advance(MAGIC.len());
        if head.get_u32() != crc32fast::hash(covered) {
            return None;
        }
        let mut fields = covered;
        Some(Self {
            run: fields.get_u64(),
            producer: fields.get_u32(),
            sequence: fields.get_u64(),
            due_ns: fields.get_u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_read_back_and_any_changed_byte_is_noticed() {
        let payload = Payload {
            run: 1,
            producer: 2,
            sequence: 3,
            due_ns: 4,
        };
        let mut body = vec![7; 50];
        payload.write(&mut body);
        assert_eq!(Payload::read(&body), Some(payload));
        for at in 0..body.len() {
            body[at] ^= 1;
            assert_eq!(Payload::read(&body), None, "byte {at}");
            body[at] ^= 1;
        }
        assert_eq!(Payload::read(&body[..20]), None);
    }
}
