//! The property string of a message: `name 0x01 value 0x02`, repeated.
//!
//! ```text
//! TAGS 01 TagA 02 KEYS 01 k1 k2 02        (a last 0x02 may be missing)
//! ```
//!
//! Reading is tolerant, as Java's is: segments that are no pair are skipped, of two equal names the
//! last one counts. Nothing here allocates but [`push_property`] into the caller's string.

/// Ends a name.
pub const NAME_SEPARATOR: char = '\u{1}';
/// Ends a pair.
pub const PROPERTY_SEPARATOR: char = '\u{2}';

/// Names that RocketMQ reserves.
pub mod property {
    pub const KEYS: &str = "KEYS";
    pub const TAGS: &str = "TAGS";
    pub const WAIT: &str = "WAIT";
    pub const DELAY: &str = "DELAY";
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    pub const REAL_QUEUE_ID: &str = "REAL_QID";
    pub const TRANSACTION_PREPARED: &str = "TRAN_MSG";
    pub const PRODUCER_GROUP: &str = "PGROUP";
    pub const MIN_OFFSET: &str = "MIN_OFFSET";
    pub const MAX_OFFSET: &str = "MAX_OFFSET";
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    pub const MSG_REGION: &str = "MSG_REGION";
    pub const TRACE_ON: &str = "TRACE_ON";
    pub const UNIQUE_KEY: &str = "UNIQ_KEY";
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    pub const INNER_NUM: &str = "INNER_NUM";
    pub const INNER_BASE: &str = "INNER_BASE";
    pub const TRANSACTION_ID: &str = "__transactionId__";
    pub const CLUSTER: &str = "CLUSTER";
    pub const POP_CK: &str = "POP_CK";
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    pub const INNER_MULTI_DISPATCH: &str = "INNER_MULTI_DISPATCH";
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    /// CRC of the whole record, the last property of a record that has it.
    pub const CRC32: &str = "__CRC32#";
}

/// A property string, borrowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    /// Properties as they lie in a record; a pair that is not UTF-8 is skipped.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The value of a property.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'a str> {
        // From the end, because the last of two equal names counts.
        self.0
            .rsplit(|&byte| byte == 2)
            .filter_map(pair)
            .find(|(key, _)| *key == name.as_bytes())
            .and_then(|(_, value)| str::from_utf8(value).ok())
    }

    /// All pairs in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0
            .split(|&byte| byte == 2)
            .filter_map(pair)
            .filter_map(|(name, value)| {
                Some((str::from_utf8(name).ok()?, str::from_utf8(value).ok()?))
            })
    }
}

/// One segment as a pair; `None` where Java would skip it too.
fn pair(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let middle = segment.iter().position(|&byte| byte == 1)?;
    let (name, rest) = segment.split_at_checked(middle)?;
    let value = rest.get(1..)?;
    (!name.is_empty() && !value.is_empty()).then_some((name, value))
}

/// Appends one pair to a property string.
pub fn push_property(to: &mut String, name: &str, value: &str) {
    to.push_str(name);
    to.push(NAME_SEPARATOR);
    to.push_str(value);
    to.push(PROPERTY_SEPARATOR);
}

/// The single keys of a `KEYS` value.
pub fn split_keys(keys: &str) -> impl Iterator<Item = &str> {
    keys.split(' ').filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_found_with_and_without_a_last_separator() {
        for text in [
            "TAGS\u{1}A\u{2}KEYS\u{1}k1 k2\u{2}",
            "TAGS\u{1}A\u{2}KEYS\u{1}k1 k2",
        ] {
            let properties = Properties::new(text);
            assert_eq!(properties.find("TAGS"), Some("A"));
            assert_eq!(properties.find("KEYS"), Some("k1 k2"));
            assert_eq!(properties.find("KEY"), None);
        }
    }

    #[test]
    fn segments_that_are_no_pair_are_skipped() {
        let properties = Properties::new("\u{2}ab\u{2}\u{1}b\u{2}a\u{1}\u{2}x\u{1}y\u{1}z\u{2}q");
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("x", "y\u{1}z")]);
    }

    #[test]
    fn the_last_of_two_equal_names_counts() {
        assert_eq!(
            Properties::new("a\u{1}1\u{2}a\u{1}2\u{2}").find("a"),
            Some("2")
        );
    }

    #[test]
    fn a_pair_that_is_not_text_does_not_hide_the_others() {
        let properties = Properties::from_bytes(b"a\x01\xff\x02b\x01ok\x02");
        assert_eq!(properties.find("a"), None);
        assert_eq!(properties.iter().collect::<Vec<_>>(), [("b", "ok")]);
    }

    #[test]
    fn pushed_pairs_are_read_back() {
        let mut text = String::new();
        push_property(&mut text, property::TAGS, "T");
        push_property(&mut text, property::KEYS, "a  b");
        assert_eq!(
            Properties::new(&text).iter().collect::<Vec<_>>(),
            [("TAGS", "T"), ("KEYS", "a  b")]
        );
        assert_eq!(split_keys("a  b ").collect::<Vec<_>>(), ["a", "b"]);
    }
}
