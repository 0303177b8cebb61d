//! The message as it lies on disk and in pull replies, and everything that is written inside it.
//!
//! Owns the record layout ([`StoredMessage`], [`Draft`]), the batch body, properties, message ids
//! and the tag hash. Leaves the log itself to the `store` crate and frames to `remoting`.

mod batch;
mod draft;
mod flags;
mod hash;
mod id;
mod properties;
mod stored;

use std::fmt;

pub use batch::{BatchError, BatchItem, BatchItems, encode_batch_item};
pub use draft::{Draft, DraftError, Placement, seal_crc};
pub use flags::{BodyCompression, SysFlag, TransactionState};
pub use hash::{extend_java_hash, java_string_hash, tags_code};
pub use id::{MessageIdError, OffsetMessageId, UniqueIds, month_start_ms, utc_digits};
pub use properties::{
    NAME_SEPARATOR, PROPERTY_SEPARATOR, Properties, property, push_property, split_keys,
};
pub use stored::{
    BLANK_BYTES, BLANK_MAGIC, CRC_PROPERTY_BYTES, RECORD_BYTES_MIN, RecordError, RecordPrefix,
    StoredMessage, blank_record, records, store_timestamp,
};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

number!(
    /// A byte position in a broker's commit log.
    LogOffset(u64)
);
number!(
    /// The index of a message within one queue of one topic.
    QueueOffset(u64)
);
number!(
    /// The number of a queue within its topic on one broker.
    QueueId(u32)
);
