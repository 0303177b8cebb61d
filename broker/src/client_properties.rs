//! The properties of a message as its sender wrote them: what is stored, what only tells the broker
//! something, and what a client may not set.
//!
//! Invariant: what is kept is stored byte for byte, in pieces of the sender's own text.

use proto::message::property;

/// Read in one pass over the text.
#[derive(Debug, Default)]
pub(crate) struct ClientProperties<'a> {
    /// Pieces of the text to store one behind the other; each ends with the separator.
    pub(crate) kept: Vec<&'a str>,
    pub(crate) tags: Option<&'a str>,
    pub(crate) keys: Option<&'a str>,
    pub(crate) unique_key: Option<&'a str>,
    /// The sender waits for the flush.
    pub(crate) waits: bool,
    /// Why the message is not taken: there is too much, or something this broker does not do.
    pub(crate) refused: Option<&'static str>,
}

/// Set by brokers only; a client's is dropped.
pub(crate) const OURS: [&str; 22] = [
    property::REAL_TOPIC,
    property::REAL_QUEUE_ID,
    property::POP_CK,
    property::INNER_MULTI_DISPATCH,
    "INNER_MULTI_QUEUE_OFFSET",
    property::INNER_NUM,
    property::INNER_BASE,
    property::CLUSTER,
    property::MSG_REGION,
    property::TRACE_ON,
    property::CRC32,
    "TRAN_PREPARED_QUEUE_OFFSET",
    "TRANSACTION_CHECK_TIMES",
    "1ST_POP_TIME",
    "POP_CK_OFFSET",
    "TIMER_ENQUEUE_MS",
    "TIMER_DEQUEUE_MS",
    "TIMER_OUT_MS",
    "TIMER_ROLL_TIMES",
    "DLQ_ORIGIN_TOPIC",
    "DLQ_ORIGIN_MESSAGE_ID",
    "__BORNHOST",
];

impl<'a> ClientProperties<'a> {
    /// Reads the properties of one message, of which it may have `most`.
    pub(crate) fn read(text: &'a str, most: usize) -> Self {
        let mut found = Self {
            waits: true,
            kept: Vec::with_capacity(4),
            ..Self::default()
        };
        // `run` is where the piece begins that is being kept.
        let (mut run, mut at, mut count) = (0, 0, 0);
        for segment in text.split_inclusive('\u{2}') {
            let end = at + segment.len();
            let pair = segment
                .strip_suffix('\u{2}')
                .unwrap_or(segment)
                .split_once('\u{1}');
            count += 1;
            if !found.keeps(pair) {
                found.keep(text.get(run..at));
                run = end;
            }
            at = end;
        }
        found.keep(text.get(run..));
        if count > most {
            found.refused = Some("the message has too many properties");
        } else if text.contains('\0') {
            found.refused = Some("a property of the message has the character U+0000");
        }
        if run < text.len() && !text.ends_with('\u{2}') {
            found.kept.push("\u{2}");
        }
        found
    }

    /// Adds a unique key as the property that it is stored as; nothing when `made` is empty.
    pub(crate) fn add_key(&mut self, made: &'a str) {
        if let Some((_, id)) = made.split_once('\u{1}') {
            self.unique_key = Some(id.trim_end_matches('\u{2}'));
            self.kept.push(made);
        }
    }

    fn keep(&mut self, piece: Option<&'a str>) {
        self.kept.extend(piece.filter(|piece| !piece.is_empty()));
    }

    /// Notes what a pair says; false when it is not stored.
    fn keeps(&mut self, pair: Option<(&'a str, &'a str)>) -> bool {
        let Some((name, value)) = pair else {
            return false;
        };
        match name {
            property::TAGS => self.tags = Some(value),
            property::KEYS => self.keys = Some(value),
            property::UNIQUE_KEY => self.unique_key = Some(value),
            property::WAIT => self.waits = !value.eq_ignore_ascii_case("false"),
            property::DELAY if value != "0" => {
                self.refused = Some("delay levels are not supported by this broker");
            }
            property::TIMER_DELAY_SEC | property::TIMER_DELAY_MS | property::TIMER_DELIVER_MS => {
                self.refused = Some("delivery times are not supported by this broker");
            }
            property::TRANSACTION_PREPARED if value.eq_ignore_ascii_case("true") => {
                self.refused = Some("transactions are not supported by this broker");
            }
            _ => return !OURS.contains(&name) && !name.starts_with("__RMQ.TRANSIENT."),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        ClientProperties::read(text, 160).kept.concat()
    }

    #[test]
    fn wait_is_heeded_and_stored_as_apache_does() {
        let read = ClientProperties::read("UNIQ_KEY\u{1}u\u{2}WAIT\u{1}false\u{2}TAGS\u{1}A", 160);
        let whole = "UNIQ_KEY\u{1}u\u{2}WAIT\u{1}false\u{2}TAGS\u{1}A";
        assert_eq!(read.kept, [whole, "\u{2}"]);
        assert_eq!(
            (read.tags, read.unique_key, read.waits),
            (Some("A"), Some("u"), false)
        );
    }

    #[test]
    fn properties_of_the_broker_are_dropped_and_others_kept_byte_for_byte() {
        assert_eq!(
            kept("REAL_TOPIC\u{1}x\u{2}a\u{1}b\u{1}c\u{2}POP_CK\u{1}1\u{2}"),
            "a\u{1}b\u{1}c\u{2}"
        );
        assert_eq!(kept("junk\u{2}CLUSTER\u{1}evil"), "");
        assert_eq!(kept(""), "");
    }

    #[test]
    fn what_is_not_there_yet_is_noticed() {
        for (text, feature) in [
            ("DELAY\u{1}3\u{2}", Some("delay levels")),
            ("DELAY\u{1}0\u{2}", None),
            ("TIMER_DELIVER_MS\u{1}9\u{2}", Some("delivery times")),
            ("TRAN_MSG\u{1}true\u{2}", Some("transactions")),
        ] {
            let told = feature.map(|name| format!("{name} are not supported by this broker"));
            assert_eq!(
                ClientProperties::read(text, 160).refused,
                told.as_deref(),
                "{text}"
            );
        }
    }

    #[test]
    fn properties_are_as_many_as_allowed_and_without_nul() {
        let refused = |text: &str| ClientProperties::read(text, 160).refused;
        assert_eq!(refused(&"a\u{1}b\u{2}".repeat(160)), None);
        let many = Some("the message has too many properties");
        assert_eq!(refused(&"a\u{1}b\u{2}".repeat(161)), many);
        let nul = Some("a property of the message has the character U+0000");
        assert_eq!(refused("a\u{1}b\0\u{2}"), nul);
    }
}
