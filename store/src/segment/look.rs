//! Looking into a segment without knowing what is there: data behind holes, records behind damage.

use std::io;

use proto::message::{LogOffset, RecordPrefix, StoredMessage};

use super::Segment;

/// A segment is looked at in such pieces.
const CHUNK_BYTES: u64 = 1 << 20;
/// Pieces overlap by as much as has to be seen together.
const OVERLAP_BYTES: u64 = 8;

impl Segment {
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

    /// The first position at or behind `from` at which a valid record lies.
    pub(crate) fn valid_record_from(&self, from: u64) -> io::Result<Option<u64>> {
        // The magic is behind the size, and both V1 and V2 begin with the same three bytes.
        const MAGIC: [u8; 3] = [0xDA, 0xA3, 0x20];
        self.each_data_chunk(from, |offset, bytes| {
            bytes
                .windows(MAGIC.len())
                .enumerate()
                .filter(|(_, window)| *window == MAGIC)
                .filter_map(|(at, _)| (offset + at as u64).checked_sub(4))
                .filter(|&candidate| candidate >= from)
                .find(|&candidate| self.has_valid_record(candidate))
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

    fn has_valid_record(&self, position: u64) -> bool {
        let prefix = self.slice(position, 8).unwrap_or_default();
        let RecordPrefix::Message(size) = RecordPrefix::read(&prefix) else {
            return false;
        };
        let record = self.slice(position, size);
        record.is_some_and(|record| StoredMessage::verify(&record, LogOffset(position)).is_ok())
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
                let bytes = CHUNK_BYTES.min(self.bytes - start);
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
