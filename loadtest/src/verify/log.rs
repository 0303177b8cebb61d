//! The log of a run: what may have been sent, and what was acknowledged, written before it counts.
//!
//! ```text
//! one line of JSON: the [`Run`]
//! repeat 32 bytes, big-endian: u32 kind | u32 producer | u32 broker | u32 queue | u64 sequence | u64 offset
//!   kind 1: this producer may use sequences below `sequence` from now on
//!   kind 2: the broker acknowledged `sequence` at (broker, queue, offset)
//! ```
//! A last record that is cut off is ignored: it did not count yet.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use bytes::{Buf, BufMut};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

const RECORD_BYTES: usize = 32;
const MAY_SEND: u32 = 1;
const ACKED: u32 = 2;

/// What all records of a log have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: u64,
    pub namesrv: String,
    pub topic: String,
    /// Broker names; records have their index.
    pub brokers: Vec<String>,
    /// Where each queue ended before the run began.
    pub starts: Vec<Start>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub broker: u32,
    pub queue: u32,
    pub offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    MaySend {
        producer: u32,
        below: u64,
    },
    Acked {
        producer: u32,
        sequence: u64,
        place: Place,
    },
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub broker: u32,
    pub queue: u32,
    pub offset: u64,
}

/// A log that is being written, by several connections at once.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    pub fn create(path: &Path, run: &Run) -> Result<Self, Failure> {
        let failed = || Failure::io(format!("cannot write {}", path.display()));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed())?;
        file.set_len(0).map_err(failed())?;
        let mut line = serde_json::to_vec(run).map_err(|why| Failure::bad_file(path, why))?;
        line.push(b'\n');
        file.write_all(&line).map_err(failed())?;
        Ok(Self(file))
    }

    /// Writes whole records in one go.
    pub fn append(&self, records: &[u8]) -> Result<(), Failure> {
        (&self.0)
            .write_all(records)
            .map_err(Failure::io("cannot write the log"))
    }
}

impl Entry {
    pub fn put(&self, out: &mut Vec<u8>) {
        let (kind, producer, place, sequence) = match *self {
            Self::MaySend { producer, below } => {
                let nowhere = Place {
                    broker: 0,
                    queue: 0,
                    offset: 0,
                };
                (MAY_SEND, producer, nowhere, below)
            }
            Self::Acked {
                producer,
                sequence,
                place,
            } => (ACKED, producer, place, sequence),
        };
        out.put_u32(kind);
        out.put_u32(producer);
        out.put_u32(place.broker);
        out.put_u32(place.queue);
        out.put_u64(sequence);
        out.put_u64(place.offset);
    }

    fn read(mut record: &[u8]) -> Option<Self> {
        let (kind, producer) = (record.get_u32(), record.get_u32());
        let (broker, queue) = (record.get_u32(), record.get_u32());
        let (sequence, offset) = (record.get_u64(), record.get_u64());
        match kind {
            MAY_SEND => Some(Self::MaySend {
                producer,
                below: sequence,
            }),
            ACKED => Some(Self::Acked {
                producer,
                sequence,
                place: Place {
                    broker,
                    queue,
                    offset,
                },
            }),
            _ => None,
        }
    }
}

/// Reads a log.
pub fn read(path: &Path) -> Result<(Run, Vec<Entry>), Failure> {
    let bytes =
        std::fs::read(path).map_err(Failure::io(format!("cannot read {}", path.display())))?;
    let bad = |why: &str| Failure::bad_file(path, why);
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, records) = end
        .and_then(|end| bytes.split_at_checked(end + 1))
        .ok_or_else(|| bad("not a log of loadtest"))?;
    let run = serde_json::from_slice(line).map_err(|_| bad("not a log of loadtest"))?;
    let entries = records.chunks_exact(RECORD_BYTES).map(Entry::read);
    let entries: Option<Vec<_>> = entries.collect();
    Ok((
        run,
        entries.ok_or_else(|| bad("has a record of no known kind"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_back_up_to_its_last_whole_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let run = Run {
            id: 1,
            namesrv: "n:1".into(),
            topic: "t".into(),
            brokers: vec!["b".into()],
            starts: vec![Start {
                broker: 0,
                queue: 1,
                offset: 2,
            }],
        };
        let entries = [
            Entry::MaySend {
                producer: 3,
                below: 4,
            },
            Entry::Acked {
                producer: 3,
                sequence: 2,
                place: Place {
                    broker: 0,
                    queue: 1,
                    offset: 9,
                },
            },
        ];
        let log = Log::create(&path, &run).unwrap();
        let mut records = Vec::new();
        entries.iter().for_each(|entry| entry.put(&mut records));
        log.append(&records).unwrap();
        log.append(&records[..31]).unwrap();
        assert_eq!(read(&path).unwrap(), (run, entries.to_vec()));
    }

    #[test]
    fn other_files_are_told_from_logs() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b""[..], b"no", b"{}\n"] {
            let path = folder.path().join("log");
            std::fs::write(&path, bytes).unwrap();
            assert!(
                read(&path)
                    .unwrap_err()
                    .to_string()
                    .ends_with("not a log of loadtest")
            );
        }
    }
}
