//! Captured bytes, cut at every length and damaged at every byte: each reading ends in an error or
//! in something that is written and read again as the same. And arbitrary headers, which the reader
//! without a tree must take for what a generic JSON reader takes them for.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../golden/fixture.rs"]
mod fixture;
mod generic;
mod headers;
#[path = "../../../fuzz/replay.rs"]
mod replay;
mod targets;

use proto::message::{BatchItems, StoredMessage, records, store_timestamp};
use proto::remoting::header::{Header, Serialization};

use targets::{split, use_frame};

/// One bit, the sign, all.
const DAMAGES: [u8; 3] = [0x01, 0x80, 0xff];

/// Every copy of `bytes` with one damaged byte.
fn damaged(bytes: &[u8], mut each: impl FnMut(usize, &[u8])) {
    let mut copy = bytes.to_vec();
    for at in 0..bytes.len() {
        for damage in DAMAGES {
            copy[at] ^= damage;
            each(at, &copy);
            copy[at] ^= damage;
        }
    }
}

#[test]
fn a_frame_that_is_cut_is_no_frame_and_its_parts_are_no_trouble() {
    for (name, bytes) in fixture::frames() {
        for end in 0..bytes.len() {
            assert!(split(&bytes[..end]).is_none(), "{name} cut at {end}");
        }
        let frame = fixture::frame(&bytes);
        let (header, how) = (frame.header_bytes(), frame.serialization());
        for end in 0..header.len() {
            let cut = Header::decode(&header[..end], how);
            assert!(cut.is_err(), "{name}: header cut at {end}");
        }
        for end in 0..frame.body.len() {
            let mut cut = frame.clone();
            cut.body = frame.body.slice(..end);
            use_frame(&cut);
        }
    }
}

#[test]
fn a_damaged_frame_is_refused_or_means_something() {
    for (_, bytes) in fixture::frames() {
        damaged(&bytes, |_, bytes| {
            if let Some(frame) = split(bytes) {
                use_frame(&frame);
            }
        });
    }
}

#[test]
fn damaged_json_headers_mean_what_a_generic_reader_makes_of_them() {
    for (name, bytes) in fixture::frames() {
        let frame = fixture::frame(&bytes);
        if frame.serialization() == Serialization::Json {
            damaged(frame.header_bytes(), |at, header| {
                let ours = Header::decode(header, Serialization::Json).ok();
                assert_eq!(ours, generic::header(header), "{name} damaged at {at}");
            });
        }
    }
}

#[test]
fn a_record_that_is_cut_or_damaged_is_refused() {
    for (name, bytes) in fixture::records() {
        if name == "batch-body" {
            continue;
        }
        let first = StoredMessage::parse(&bytes).unwrap();
        let (size, place) = (first.size as usize, first.log_offset);
        let record = &bytes[..size];
        for end in 0..size {
            assert!(
                StoredMessage::parse(&record[..end]).is_err(),
                "{name} at {end}"
            );
            let _ = store_timestamp(&record[..end]);
        }
        damaged(record, |_, record| {
            let _ = records(record).count();
            let _ = StoredMessage::verify(record, place);
            let _ = store_timestamp(record);
        });
        let mut copy = record.to_vec();
        copy[first.body.as_ptr() as usize - bytes.as_ptr() as usize] ^= 1;
        let told = StoredMessage::verify(&copy, place);
        assert!(told.is_err(), "{name}: a damaged body is noticed");
    }
}

#[test]
fn a_batch_that_is_cut_or_damaged_ends_there() {
    let files = fixture::records();
    let (_, bytes) = files.iter().find(|(name, _)| name == "batch-body").unwrap();
    let ends: Vec<_> = [0].into_iter().chain(item_ends(bytes)).collect();
    for end in 0..bytes.len() {
        let is_whole = BatchItems::new(&bytes[..end]).all(|item| item.is_ok());
        assert_eq!(is_whole, ends.contains(&end), "cut at {end}");
    }
    damaged(bytes, |_, bytes| {
        let _ = BatchItems::new(bytes).count();
    });
}

fn item_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(size) = bytes[at..].first_chunk::<4>() {
        at += usize::try_from(u32::from_be_bytes(*size)).unwrap();
        ends.push(at);
    }
    ends
}

#[test]
fn seeds_of_the_fuzz_targets_find_nothing() {
    replay::every_seed("frame_json", targets::frame_json);
    replay::every_seed("frame_binary", targets::frame_binary);
    replay::every_seed("frame_stream", targets::frame_stream);
    replay::every_seed("json_body", targets::json_body);
    replay::every_seed("texts", targets::texts);
    replay::every_seed("batch_body", targets::batch_body);
    replay::every_seed("stored_record", targets::stored_record);
}
