//! Looking into a segment without knowing what is there: data behind holes, records behind damage.

use std::io;

use proto::message::{RecordError, RecordPrefix, StoredMessage};

use super::Segment;
use crate::log::verify;

/// A segment is looked at in such pieces.
const CHUNK_BYTES: u64 = 1 << 20;
/// Pieces overlap by as much as has to be seen together.
const OVERLAP_BYTES: u64 = 8;

/// What is at a position.
pub(crate) enum Place<'b> {
    Record(StoredMessage<'b>),
    /// The rest of the segment is unused.
    Blank,
}

impl Segment {
    /// Calls `look` with what is at a position. From `sealed_from` on records carry a CRC of their own.
    pub(crate) fn with_place<T>(
        &self,
        position: u64,
        sealed_from: u64,
        look: impl FnOnce(Place<'_>) -> T,
    ) -> Result<T, RecordError> {
        let prefix = self.slice(position, 8).ok_or(RecordError::Truncated)?;
        let size = match RecordPrefix::read(&prefix) {
            RecordPrefix::Message(size) => size,
            RecordPrefix::Blank(_) => return Ok(look(Place::Blank)),
            RecordPrefix::None => return Err(RecordError::BadMagic),
        };
        let record = self.slice(position, size).ok_or(RecordError::BadLength)?;
        Ok(look(Place::Record(verify(&record, position, sealed_from)?)))
    }

    /// From `from` to the last byte that is not zero. Looks no further than `zeros_max` zeros.
    pub(crate) fn bytes_behind(&self, from: u64, zeros_max: u64) -> io::Result<u64> {
        let mut end = from;
        self.each_data_chunk(from, |offset, bytes| {
            if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
                end = end.max(offset + last as u64 + 1);
            }
            (offset + bytes.len() as u64 > end.saturating_add(zeros_max)).then_some(())
        })?;
        Ok(end - from)
    }

    /// The first position behind the bad record at `from` where a valid one lies.
    ///
    /// If the size of the bad record is right, that is where it ends: what looks like a record inside
    /// of it is part of its body.
    pub(crate) fn valid_record_behind(
        &self,
        from: u64,
        sealed_from: u64,
    ) -> io::Result<Option<u64>> {
        // The magic is behind the size, and both V1 and V2 begin with the same three bytes.
        const MAGIC: [u8; 3] = [0xDA, 0xA3, 0x20];
        let is_valid = |position| self.is_valid(position, sealed_from);
        let prefix = self.slice(from, 8).unwrap_or_default();
        if let RecordPrefix::Message(size) = RecordPrefix::read(&prefix)
            && is_valid(from + u64::from(size))
        {
            return Ok(Some(from + u64::from(size)));
        }
        self.each_data_chunk(from, |offset, bytes| {
            bytes
                .windows(MAGIC.len())
                .enumerate()
                .filter(|(_, window)| *window == MAGIC)
                .filter_map(|(at, _)| (offset + at as u64).checked_sub(4))
                .find(|&candidate| candidate > from && is_valid(candidate))
        })
    }

    /// Writes the bytes between two offsets once more, as they are.
    pub(crate) fn rewrite(&self, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let bytes = u32::try_from(CHUNK_BYTES.min(to - at)).unwrap_or(u32::MAX);
            let chunk = self.slice(at, bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
            self.file.write_all_at(&chunk, at - self.base)?;
            at += u64::from(bytes);
        }
        Ok(())
    }

    pub(crate) fn is_valid(&self, position: u64, sealed_from: u64) -> bool {
        self.with_place(position, sealed_from, |_| ()).is_ok()
    }

    /// Calls `look` with the parts from `from` on that hold data until it finds something.
    pub(crate) fn each_data_chunk<T>(
        &self,
        from: u64,
        mut look: impl FnMut(u64, &[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut next = from - self.base;
        while let Some(data) = self.file.data_after(next)? {
            let mut start = data.start.max(next);
            let end = data.end.min(self.bytes);
            while start < end {
                // Not a byte of the hole behind: reading it through the mapping takes room of a tmpfs.
                let bytes = CHUNK_BYTES.min(end - start);
                let length = u32::try_from(bytes).unwrap_or(u32::MAX);
                let Some(chunk) = self.slice(self.base + start, length) else {
                    break;
                };
                if let Some(found) = look(self.base + start, &chunk) {
                    return Ok(Some(found));
                }
                start += bytes
                    .saturating_sub(OVERLAP_BYTES)
                    .max(OVERLAP_BYTES.min(bytes));
            }
            next = data.end.max(next + 1);
        }
        Ok(None)
    }
}
