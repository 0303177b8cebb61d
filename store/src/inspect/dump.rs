//! Messages of a queue, for people to read.

use std::fmt;
use std::io;
use std::path::Path;

use bytes::Bytes;
use proto::message::{LogOffset, QueueId, QueueOffset, RecordError, StoredMessage, utc_digits};

use super::QueueFilesSeen;
use crate::files::{Access, Disk, File};
use crate::segment::{file_name, parse_file_name};
use crate::store::Paths;

/// Bodies are shown up to here.
const BODY_BYTES_SHOWN: usize = 256;

/// One message of a queue, or why it cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumped {
    pub queue_offset: QueueOffset,
    pub log_offset: LogOffset,
    pub record: Result<Bytes, RecordError>,
}

/// The messages of a queue from an offset on.
///
/// # Errors
/// What the disk says; [`io::ErrorKind::NotFound`] when there is no such queue.
pub fn dump(
    disk: &dyn Disk,
    root: &Path,
    queue: (&str, QueueId),
    from: QueueOffset,
    count: u64,
) -> io::Result<Vec<Dumped>> {
    proto::names::check_topic(queue.0)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let folder = Paths::of(root)
        .queues
        .join(queue.0)
        .join(queue.1.to_string());
    let mut files = QueueFilesSeen::load(disk, folder)?.ok_or(io::ErrorKind::NotFound)?;
    let log = root.join("commitlog");
    let names = disk.list(&log)?;
    let bases: Vec<u64> = names
        .iter()
        .filter_map(|entry| parse_file_name(&entry.name))
        .collect();
    let mut dumped = Vec::new();
    let begin = from.0.max(files.min);
    for offset in begin..files.max.min(begin.saturating_add(count)) {
        let Some(unit) = files.unit(disk, offset)? else {
            break;
        };
        let base = bases.iter().rev().find(|&&base| base <= unit.log_offset);
        let record = match base {
            Some(&base) => {
                let file = disk.open(&log.join(file_name(base)), Access::Read)?;
                read_record(&*file, base, unit.log_offset, unit.size)?
            }
            None => Err(RecordError::Truncated),
        };
        let log_offset = LogOffset(unit.log_offset);
        dumped.push(Dumped {
            queue_offset: QueueOffset(offset),
            log_offset,
            record,
        });
    }
    Ok(dumped)
}

fn read_record(
    file: &dyn File,
    base: u64,
    offset: u64,
    size: u32,
) -> io::Result<Result<Bytes, RecordError>> {
    let room = file.size_bytes()?.saturating_sub(offset - base);
    let Ok(size) = usize::try_from(room.min(size.into())) else {
        return Ok(Err(RecordError::BadLength));
    };
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, offset - base)?;
    bytes.truncate(read);
    let checked = StoredMessage::verify(&bytes, LogOffset(offset)).map(|_| ());
    Ok(checked.map(|()| bytes.into()))
}

impl fmt::Display for Dumped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: ", self.queue_offset, self.log_offset)?;
        let record = match &self.record {
            Ok(record) => record,
            Err(error) => return write!(f, "{error}"),
        };
        let message = match StoredMessage::parse(record) {
            Ok(message) => message,
            Err(error) => return write!(f, "{error}"),
        };
        let (stored, born) = (utc_digits(message.store_timestamp), message.born_host);
        writeln!(
            f,
            "stored {stored} UTC, born at {born}, id {}",
            message.offset_id()
        )?;
        for (name, value) in message.properties.iter() {
            writeln!(f, "    {}: {}", name.escape_debug(), value.escape_debug())?;
        }
        let shown = message.body.get(..BODY_BYTES_SHOWN).unwrap_or(message.body);
        write!(
            f,
            "    {} bytes: {}",
            message.body.len(),
            shown.escape_ascii()
        )
    }
}
