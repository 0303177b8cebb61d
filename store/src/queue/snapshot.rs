//! The ends of all queues, written at a clean close so that the next start opens no queue file.
//!
//! ```text
//! queues.snapshot:  "gantry q" | u64 log end | u32 number of queues, then for each
//!                       u8 length, topic | u32 queue id | u64 first offset | u64 end
//!                   u32 CRC of everything before
//! ```
//!
//! Only a hint: it counts when the log ends where it says and the checkpoint's sum of all ends
//! agrees; else the queue files are asked.

use std::io;
use std::path::Path;

use proto::message::QueueId;

use super::{OFFSET_MAX, QueueState, Queues};
use crate::files::{Access, Disk};

const MAGIC: &[u8; 8] = b"gantry q";

/// Writes the snapshot.
pub(crate) fn write(disk: &dyn Disk, path: &Path, queues: &Queues, log_end: u64) -> io::Result<()> {
    let all = queues.all();
    let mut bytes = Vec::with_capacity(32 + all.len() * 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&log_end.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(all.len()).unwrap_or(u32::MAX).to_be_bytes());
    for queue in all {
        let state = queue.state.lock();
        // Topics have at most 255 bytes: the table has checked it.
        bytes.push(u8::try_from(queue.topic.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(queue.topic.as_bytes());
        bytes.extend_from_slice(&queue.id.0.to_be_bytes());
        bytes.extend_from_slice(&state.min.to_be_bytes());
        bytes.extend_from_slice(&state.end().to_be_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    // It has its name only when it is whole: half of one would look like damage.
    let temporary = path.with_extension("snapshot.tmp");
    let file = disk.open(&temporary, Access::Create)?;
    file.set_size(bytes.len() as u64)?;
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, path)?;
    disk.sync_folder(path.parent().unwrap_or(path))
}

/// The queues of a snapshot whose log ended at `log_end`; `None` when there is none to trust.
pub(crate) fn read(disk: &dyn Disk, path: &Path, log_end: u64) -> io::Result<Option<Queues>> {
    let bytes = read_all(disk, path)?;
    Ok(bytes.and_then(|bytes| parse(&bytes, log_end)))
}

/// The size of a snapshot that is damaged.
pub(crate) fn damaged(disk: &dyn Disk, path: &Path) -> io::Result<Option<u64>> {
    let bytes = read_all(disk, path)?;
    let damaged = bytes.filter(|bytes| covered(bytes).is_none());
    Ok(damaged.map(|bytes| bytes.len() as u64))
}

fn read_all(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let size = usize::try_from(file.size_bytes()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// What stands before the CRC, if that is right.
fn covered(bytes: &[u8]) -> Option<&[u8]> {
    let (covered, crc) = bytes.split_last_chunk::<4>()?;
    (crc32fast::hash(covered) == u32::from_be_bytes(*crc)).then_some(covered)
}

fn parse(bytes: &[u8], log_end: u64) -> Option<Queues> {
    let mut rest = covered(bytes)?.strip_prefix(MAGIC)?;
    if u64::from_be_bytes(take(&mut rest)?) != log_end {
        return None;
    }
    let count = u32::from_be_bytes(take(&mut rest)?);
    let queues = Queues::default();
    for _ in 0..count {
        let [length] = take::<1>(&mut rest)?;
        let (topic, behind) = rest.split_at_checked(length.into())?;
        rest = behind;
        let id = QueueId(u32::from_be_bytes(take(&mut rest)?));
        let min = u64::from_be_bytes(take(&mut rest)?);
        let end = u64::from_be_bytes(take(&mut rest)?);
        if min > end || end > OFFSET_MAX.0 + 1 {
            return None;
        }
        let state = QueueState {
            min,
            persisted: end,
            loaded_to: end,
            ..QueueState::default()
        };
        queues.make(str::from_utf8(topic).ok()?, id, state).ok()?;
    }
    Some(queues)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}
