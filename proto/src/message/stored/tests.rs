//! The record layout against itself: every draft comes back, every damaged byte is noticed.

use proptest::prelude::*;

use super::*;
use crate::message::{Draft, DraftError, Placement, seal_crc};

const PLACE: Placement = Placement {
    log_offset: LogOffset(7_000),
    queue_offset: QueueOffset(42),
    store_timestamp: 1_763_652_000_123,
    body_crc: 0,
    record_crc: true,
};

fn host(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn draft<'a>(topic: &'a str, body: &'a [u8], properties: &'a [&'a str]) -> Draft<'a> {
    Draft {
        topic,
        queue_id: QueueId(3),
        flag: 9,
        sys_flag: SysFlag(1),
        born_timestamp: 1_763_652_000_000,
        born_host: host("10.1.2.3:4567"),
        store_host: host("127.0.0.1:10911"),
        reconsume_times: 2,
        prepared_transaction_offset: 0,
        body,
        properties,
        tags_code: 0,
        unique_key: None,
        keys: None,
    }
}

fn record(draft: &Draft<'_>, record_crc: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let body_crc = crc32fast::hash(draft.body);
    draft.encode(
        &Placement {
            body_crc,
            record_crc,
            ..PLACE
        },
        &mut bytes,
    );
    if record_crc {
        seal_crc(&mut bytes);
    }
    bytes
}

#[test]
fn a_record_without_crc_has_the_documented_bytes() {
    let bytes = record(&draft("T", b"hi", &["TAGS\u{1}a\u{2}"]), false);
    let mut expected = Vec::new();
    expected.extend_from_slice(&[0, 0, 0, 101, 0xDA, 0xA3, 0x20, 0xA7]);
    expected.extend_from_slice(&(crc32fast::hash(b"hi") & 0x7FFF_FFFF).to_be_bytes());
    expected.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 9]);
    expected.extend_from_slice(&42u64.to_be_bytes());
    expected.extend_from_slice(&7_000u64.to_be_bytes());
    expected.extend_from_slice(&[0, 0, 0, 1]);
    expected.extend_from_slice(&1_763_652_000_000i64.to_be_bytes());
    expected.extend_from_slice(&[10, 1, 2, 3, 0, 0, 0x11, 0xD7]);
    expected.extend_from_slice(&1_763_652_000_123i64.to_be_bytes());
    expected.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0x2A, 0x9F, 0, 0, 0, 2]);
    expected.extend_from_slice(&[0; 8]);
    expected.extend_from_slice(b"\0\0\0\x02hi\x01T\0\x07TAGS\x01a\x02");
    assert_eq!(bytes, expected);
}

#[test]
fn topics_over_127_bytes_get_the_second_magic() {
    for (length, magic) in [(127, MAGIC_V1), (128, MAGIC_V2), (255, MAGIC_V2)] {
        let topic = "t".repeat(length);
        let draft = draft(&topic, b"x", &[]);
        let bytes = record(&draft, true);
        assert_eq!(bytes[4..8], magic.to_be_bytes());
        assert_eq!(
            StoredMessage::verify(&bytes, PLACE.log_offset).map(|m| m.topic),
            Ok(&*topic)
        );
        assert_eq!(
            draft.record_bytes(true).map(|size| size as usize),
            Ok(bytes.len())
        );
    }
}

#[test]
fn drafts_that_no_record_can_hold_are_refused() {
    let long = "p".repeat(32_768);
    let topic = "t".repeat(256);
    assert_eq!(
        draft("", b"", &[]).record_bytes(false),
        Err(DraftError::TopicLength)
    );
    assert_eq!(
        draft(&topic, b"", &[]).record_bytes(false),
        Err(DraftError::TopicLength)
    );
    let limit = &long[..32_767];
    assert_eq!(
        draft("t", b"", &[limit]).record_bytes(false),
        Ok(91 + 1 + 32_767)
    );
    for (properties, crc) in [(&[&*long], false), (&[limit], true)] {
        let refused = draft("t", b"", properties).record_bytes(crc);
        assert_eq!(refused, Err(DraftError::PropertiesTooLong));
    }
}

#[test]
fn the_crc_property_follows_a_separator_that_is_added_when_missing() {
    for (given, stored) in [
        (&["a\u{1}b"][..], "a\u{1}b\u{2}"),
        (&["a\u{1}b\u{2}"], "a\u{1}b\u{2}"),
        (&["a\u{1}b\u{2}", "c\u{1}d", ""], "a\u{1}b\u{2}c\u{1}d\u{2}"),
        (&[], ""),
    ] {
        let bytes = record(&draft("T", b"x", given), true);
        let message = StoredMessage::verify(&bytes, PLACE.log_offset).expect("valid");
        let properties = message.properties.as_bytes();
        assert_eq!(
            &properties[..properties.len() - CRC_PROPERTY_BYTES],
            stored.as_bytes()
        );
    }
}

#[test]
fn a_record_at_another_place_is_refused() {
    let bytes = record(&draft("T", b"x", &[]), true);
    let found = StoredMessage::verify(&bytes, LogOffset(7_001));
    assert_eq!(found, Err(RecordError::WrongOffset(7_000)));
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let bytes = record(&draft("T", b"body", &["a\u{1}b\u{2}"]), true);
    for cut in 0..bytes.len() {
        let found = StoredMessage::verify(&bytes[..cut], PLACE.log_offset);
        assert_eq!(found, Err(RecordError::Truncated), "cut at {cut}");
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_record_is_noticed() {
    let bytes = record(&draft("Topic", b"some body", &["a\u{1}b\u{2}"]), true);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let found = StoredMessage::verify(&changed, PLACE.log_offset);
        assert!(found.is_err(), "bit {bit}: {found:?}");
    }
}

#[test]
fn prefixes_tell_messages_blanks_and_nothing_apart() {
    assert_eq!(RecordPrefix::read(&blank_record(8)), RecordPrefix::Blank(8));
    assert_eq!(RecordPrefix::read(&blank_record(7)), RecordPrefix::None);
    assert_eq!(RecordPrefix::read(&[0; 64]), RecordPrefix::None);
    assert_eq!(
        RecordPrefix::read(&[0, 0, 0, 91, 0xDA, 0xA3, 0x20]),
        RecordPrefix::None
    );
    let bytes = record(&draft("T", b"x", &[]), false);
    assert_eq!(RecordPrefix::read(&bytes), RecordPrefix::Message(93));
}

#[test]
fn records_of_a_reply_are_read_one_after_the_other_until_the_first_error() {
    let mut bytes = record(&draft("T", b"one", &[]), true);
    bytes.extend(record(&draft("U", b"two", &[]), false));
    bytes.extend([0; 5]);
    let topics: Vec<_> = records(&bytes)
        .map(|found| found.map(|message| message.topic))
        .collect();
    assert_eq!(topics, [Ok("T"), Ok("U"), Err(RecordError::Truncated)]);
}

proptest! {
    #[test]
    fn every_draft_comes_back(
        topic in "[a-z]{1,200}",
        body in proptest::collection::vec(any::<u8>(), 0..300),
        value in "[^\u{1}\u{2}]{1,20}",
        v6 in any::<(bool, bool)>(),
        crc in any::<bool>(),
    ) {
        let property = format!("name\u{1}{value}\u{2}");
        let parts = [property.as_str()];
        let v4 = host("1.2.3.4:5");
        let v6_host = host("[2001:db8::1]:6");
        let draft = Draft {
            born_host: if v6.0 { v6_host } else { v4 },
            store_host: if v6.1 { v6_host } else { v4 },
            ..draft(&topic, &body, &parts)
        };
        let bytes = record(&draft, crc);
        prop_assert_eq!(draft.record_bytes(crc), Ok(bytes.len() as u32));
        let message = StoredMessage::verify(&bytes, PLACE.log_offset).expect("valid");
        prop_assert_eq!(message.topic, &*topic);
        prop_assert_eq!(message.body, &*body);
        prop_assert_eq!(message.properties.find("name"), Some(&*value));
        prop_assert_eq!((message.born_host, message.store_host), (draft.born_host, draft.store_host));
        prop_assert_eq!(message.queue_offset, PLACE.queue_offset);
        prop_assert_eq!(message.store_timestamp, PLACE.store_timestamp);
        prop_assert_eq!(store_timestamp(&bytes), Some(PLACE.store_timestamp));
        prop_assert_eq!(message.reconsume_times, 2);
    }

    #[test]
    fn arbitrary_bytes_behind_a_magic_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 8..400)) {
        let size = u32::try_from(bytes.len()).expect("short");
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        bytes[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
        let _ = StoredMessage::verify(&bytes, LogOffset(0));
    }
}
