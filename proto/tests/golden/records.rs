//! Records and batches as Java encodes them.

use proto::message::{
    BatchItem, BatchItems, Draft, LogOffset, Placement, QueueId, QueueOffset, StoredMessage,
    encode_batch_item, records,
};

use crate::fixture;

const TEXT: &str = "grüße 世界 🚀";

fn captured(name: &str) -> Vec<u8> {
    let files = fixture::records();
    let (_, bytes) = files.into_iter().find(|(file, _)| file == name).unwrap();
    bytes
}

#[test]
fn every_record_is_written_again_to_the_byte() {
    let mut count = 0;
    for (name, bytes) in fixture::records() {
        if name == "batch-body" {
            continue;
        }
        let mut written = Vec::new();
        for message in records(&bytes) {
            encode(&message.unwrap(), &mut written);
            count += 1;
        }
        assert_eq!(written, bytes, "{name}");
    }
    assert!(count > 10, "{count} records");
}

fn encode(message: &StoredMessage<'_>, to: &mut Vec<u8>) {
    let properties = str::from_utf8(message.properties.as_bytes()).unwrap();
    let draft = Draft {
        topic: message.topic,
        queue_id: message.queue_id,
        flag: message.flag,
        sys_flag: message.sys_flag,
        born_timestamp: message.born_timestamp,
        born_host: message.born_host,
        store_host: message.store_host,
        reconsume_times: message.reconsume_times,
        prepared_transaction_offset: message.prepared_transaction_offset,
        body: message.body,
        properties: &[properties],
        tags_code: 0,
        unique_key: None,
        keys: None,
    };
    let place = Placement {
        log_offset: message.log_offset,
        queue_offset: message.queue_offset,
        store_timestamp: message.store_timestamp,
        body_crc: crc32fast::hash(message.body),
        record_crc: false,
    };
    draft.encode(&place, to);
}

#[test]
fn records_say_what_java_put_into_them() {
    let hosts = [
        ("record-v4-hosts", "10.1.2.9:51234", "10.1.2.3:10911", 0),
        (
            "record-v6-hosts",
            "[2001:db8::9]:51234",
            "[2001:db8::1]:10911",
            0x30,
        ),
        (
            "record-v6-born-host",
            "[2001:db8::9]:51234",
            "10.1.2.3:10911",
            0x10,
        ),
    ];
    for (name, born, store, sys_flag) in hosts {
        let bytes = captured(name);
        let message = StoredMessage::verify(&bytes, LogOffset(1024)).unwrap();
        assert_eq!(message.born_host, born.parse().unwrap(), "{name}");
        assert_eq!(message.store_host, store.parse().unwrap(), "{name}");
        assert_eq!(message.sys_flag.0, sys_flag, "{name}");
        assert_eq!(
            (message.topic, message.queue_id, message.queue_offset),
            ("orders", QueueId(3), QueueOffset(41))
        );
        assert_eq!(
            (
                message.born_timestamp,
                message.store_timestamp,
                message.flag
            ),
            (1_700_000_000_000, 1_700_000_000_123, 7)
        );
        assert_eq!(message.body, format!("{TEXT} 0").as_bytes());
        let properties = message.properties;
        assert_eq!(properties.find("TAGS"), Some("created"));
        assert_eq!(properties.find("KEYS"), Some("k1 schlüssel"));
        assert_eq!(properties.find("größe"), Some(TEXT));
    }
    let bytes = captured("record-broker-encoder-v2-magic");
    let message = StoredMessage::parse(&bytes).unwrap();
    assert_eq!(message.topic, format!("%RETRY%{}", "g".repeat(140)));
}

#[test]
fn a_batch_is_written_again_to_the_byte() {
    let bytes = captured("batch-body");
    let items: Vec<_> = BatchItems::new(&bytes).map(Result::unwrap).collect();
    let (tags, flags): (Vec<_>, Vec<_>) = items
        .iter()
        .map(|item| (item.properties().find("TAGS"), item.flag))
        .unzip();
    assert_eq!(tags, [None, Some("tag1"), Some("tag2"), None]);
    assert_eq!(flags[..3], [0, 1, 2]);
    let last = BatchItem {
        flag: 0,
        body: &[1],
        properties: "WAIT\u{1}true\u{2}",
    };
    assert_eq!(items.last(), Some(&last));
    let mut written = Vec::new();
    for item in &items {
        encode_batch_item(&mut written, item).unwrap();
    }
    assert_eq!(written, bytes);
}
