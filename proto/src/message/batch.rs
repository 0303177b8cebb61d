//! The body of a batch send: several messages of one topic and queue in one request.
//!
//! ```text
//! repeat { i32 size | i32 magic 0 | i32 crc 0 | i32 flag | i32 bodyLen | body | i16 propLen | properties }
//! ```
//!
//! `size` counts all bytes of its item. The inner lengths must add up to it exactly, and the items
//! to the body; anything else is refused before a byte of it is stored.

use super::Properties;

const FIXED_BYTES: usize = 4 + 4 + 4 + 4 + 4 + 2;

/// Why a batch body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("the batch ends inside an item")]
    Truncated,
    #[error("the lengths inside a batch item do not add up")]
    BadLength,
    #[error("the properties of a batch item are not UTF-8")]
    BadUtf8,
}

/// One message of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchItem<'a> {
    pub flag: i32,
    pub body: &'a [u8],
    pub properties: &'a str,
}

impl<'a> BatchItem<'a> {
    #[must_use]
    pub fn properties(&self) -> Properties<'a> {
        Properties::new(self.properties)
    }
}

/// Walks over a batch body; after an error it ends.
#[derive(Clone, Debug)]
pub struct BatchItems<'a> {
    rest: &'a [u8],
}

impl<'a> BatchItems<'a> {
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for BatchItems<'a> {
    type Item = Result<BatchItem<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = split_item(self.rest);
        self.rest = item.map_or(&[], |(_, rest)| rest);
        Some(item.map(|(item, _)| item))
    }
}

fn split_item(bytes: &[u8]) -> Result<(BatchItem<'_>, &[u8]), BatchError> {
    let (size, _) = length(bytes)?;
    if size < FIXED_BYTES {
        return Err(BatchError::BadLength);
    }
    let (item, rest) = bytes.split_at_checked(size).ok_or(BatchError::Truncated)?;
    let (flag, after_flag) = item
        .get(12..)
        .and_then(|bytes| bytes.split_first_chunk::<4>())
        .ok_or(BatchError::BadLength)?;
    let (body_bytes, after_length) = length(after_flag)?;
    let (body, after_body) = after_length
        .split_at_checked(body_bytes)
        .ok_or(BatchError::BadLength)?;
    let (property_bytes, properties) = after_body
        .split_first_chunk::<2>()
        .ok_or(BatchError::BadLength)?;
    if usize::try_from(i16::from_be_bytes(*property_bytes)) != Ok(properties.len()) {
        return Err(BatchError::BadLength);
    }
    let properties = str::from_utf8(properties).map_err(|_| BatchError::BadUtf8)?;
    Ok((
        BatchItem {
            flag: i32::from_be_bytes(*flag),
            body,
            properties,
        },
        rest,
    ))
}

/// A non-negative i32 length and what follows it.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), BatchError> {
    let (length, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(BatchError::Truncated)?;
    let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| BatchError::BadLength)?;
    Ok((length, rest))
}

/// Appends one message to a batch body.
///
/// # Errors
/// [`BatchError::BadLength`] when the properties are longer than 32,767 bytes or the item than 2 GiB.
pub fn encode_batch_item(to: &mut Vec<u8>, item: &BatchItem<'_>) -> Result<(), BatchError> {
    let size = FIXED_BYTES + item.body.len() + item.properties.len();
    let size = i32::try_from(size).map_err(|_| BatchError::BadLength)?;
    let body_bytes = i32::try_from(item.body.len()).map_err(|_| BatchError::BadLength)?;
    let property_bytes = i16::try_from(item.properties.len()).map_err(|_| BatchError::BadLength)?;
    to.extend_from_slice(&size.to_be_bytes());
    to.extend_from_slice(&[0; 8]);
    to.extend_from_slice(&item.flag.to_be_bytes());
    to.extend_from_slice(&body_bytes.to_be_bytes());
    to.extend_from_slice(item.body);
    to.extend_from_slice(&property_bytes.to_be_bytes());
    to.extend_from_slice(item.properties.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(items: &[BatchItem<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for item in items {
            encode_batch_item(&mut bytes, item).expect("fits");
        }
        bytes
    }

    const ITEMS: [BatchItem<'_>; 3] = [
        BatchItem {
            flag: 7,
            body: b"one",
            properties: "TAGS\u{1}a\u{2}",
        },
        BatchItem {
            flag: 0,
            body: b"",
            properties: "",
        },
        BatchItem {
            flag: -1,
            body: b"three",
            properties: "KEYS\u{1}k\u{2}",
        },
    ];

    #[test]
    fn encoded_items_are_read_back() {
        let bytes = encoded(&ITEMS);
        let read: Vec<_> = BatchItems::new(&bytes)
            .map(|item| item.expect("valid"))
            .collect();
        assert_eq!(read, ITEMS);
    }

    #[test]
    fn a_batch_cut_anywhere_between_items_is_refused() {
        let bytes = encoded(&ITEMS);
        let ends: Vec<usize> = (1..=3).map(|n| encoded(&ITEMS[..n]).len()).collect();
        for cut in (1..bytes.len()).filter(|cut| !ends.contains(cut)) {
            let last = BatchItems::new(&bytes[..cut]).last();
            assert_eq!(last, Some(Err(BatchError::Truncated)), "cut at {cut}");
        }
    }

    #[test]
    fn inner_lengths_that_do_not_add_up_are_refused() {
        let bytes = encoded(&ITEMS[..1]);
        for (at, name) in [(19, "body length"), (bytes.len() - 8, "property length")] {
            for delta in [1u8, 255] {
                let mut changed = bytes.clone();
                changed[at] = changed[at].wrapping_add(delta);
                assert_eq!(
                    BatchItems::new(&changed).next(),
                    Some(Err(BatchError::BadLength)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn properties_that_are_not_text_are_refused() {
        let mut bytes = encoded(&ITEMS[..1]);
        let last = bytes.len() - 1;
        bytes[last] = 0xFF;
        assert_eq!(
            BatchItems::new(&bytes).next(),
            Some(Err(BatchError::BadUtf8))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(BatchItems::new(&bytes).count() <= bytes.len() / FIXED_BYTES + 1);
        }
    }
}
