//! Read-only memory over a log segment: the only `unsafe` code of the workspace; with it what
//! happens when a page of it cannot be read.
//!
//! What makes it sound: a segment is as long as the mapping from before it is mapped until it is
//! removed (the store never shortens one, and the lock file keeps other processes of ours out);
//! the mapping is never written through; readers only look at bytes that were written before the
//! store published them and that are never written again; and every slice keeps the mapping alive.
#![allow(
    unsafe_code,
    reason = "mapping a file cannot be done without; it is all in here"
)]

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Once};

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};
use rustix::fs::{Mode, OFlags};

use crate::files::Mapping;

/// A mapped file whose slices outlive its name.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Arc<Mmap>,
    bytes: Bytes,
}

/// Keeps the mapping alive for a slice.
struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl MappedFile {
    /// Maps the first `bytes` of a file.
    pub(crate) fn open(file: &File, bytes: u64) -> io::Result<Self> {
        if file.metadata()?.len() < bytes {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is too short",
            ));
        }
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // SAFETY: the file is at least `length` long (checked above) and, as the module header says,
        // is neither shortened nor changed in the published parts while the mapping lives.
        let map: Mmap = unsafe { MmapOptions::new().len(length).map(file)? };
        say_what_cannot_be_read();
        let map = Arc::new(map);
        let bytes = Bytes::from_owner(Owner(Arc::clone(&map)));
        Ok(Self { map, bytes })
    }
}

impl Mapping for MappedFile {
    fn slice(&self, from: u64, bytes: u32) -> Option<Bytes> {
        let from = usize::try_from(from).ok()?;
        let to = from.checked_add(usize::try_from(bytes).ok()?)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    fn forget(&self, part: Range<u64>) -> io::Result<()> {
        let (from, to) = (usize::try_from(part.start), usize::try_from(part.end));
        let (Ok(from), Ok(to)) = (from, to) else {
            return Ok(());
        };
        let to = to.min(self.map.len());
        if from >= to {
            return Ok(());
        }
        // SAFETY: the mapping is shared and of a file: a page that is let go of is taken from the
        // file again when it is next looked at, with the same bytes.
        unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, from, to - from)
        }
    }
}

/// What the process ends with: as after a failed write.
const FAILED: c_int = 70;
const MAPS_LINE_MAX: usize = 1024;

/// From now on a mapped page that cannot be read (its file was shortened by somebody else, or the
/// disk failed) ends the process with a sentence that names file and offset.
fn say_what_cannot_be_read() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: all fields of this C struct may be zero.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` is a valid struct, and its handler does only what handlers may do. It
        // fails for an unknown signal only, and then everything is as it was.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    });
}

/// No allocation, no lock, no way back.
extern "C" fn on_bus_error(_: c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid struct.
    let about = unsafe { &*about };
    // SAFETY: for SIGBUS it holds an address.
    let address = unsafe { about.si_addr() } as u64;
    tell_place(address);
    // SAFETY: ends the process at once; nothing of it runs on.
    unsafe { libc::_exit(FAILED) }
}

/// Finds the file that is mapped at an address in /proc/self/maps, line by line.
fn tell_place(address: u64) {
    let maps = rustix::fs::open(c"/proc/self/maps", OFlags::RDONLY, Mode::empty());
    let Ok(maps) = maps else { return };
    let (mut line, mut length) = ([0; MAPS_LINE_MAX], 0);
    let mut chunk = [0; MAPS_LINE_MAX];
    while let Ok(read @ 1..) = rustix::io::read(&maps, &mut chunk) {
        for &byte in chunk.get(..read).unwrap_or(&[]) {
            if byte != b'\n' {
                if let Some(place) = line.get_mut(length) {
                    *place = byte;
                    length += 1;
                }
                continue;
            }
            if let Some((path, offset)) = mapped_at(line.get(..length).unwrap_or(&[]), address) {
                let mut digits = [0; 20];
                let digits = decimal(offset, &mut digits);
                let parts: [&[u8]; 5] = [
                    b"gantry: ",
                    path,
                    b" cannot be read at byte ",
                    digits,
                    b": it was shortened, or the disk failed\n",
                ];
                // Nobody is left to hear that it cannot be said.
                let _said = parts
                    .into_iter()
                    .all(|part| rustix::io::write(rustix::stdio::stderr(), part).is_ok());
                return;
            }
            length = 0;
        }
    }
}

/// The path and the file offset of an address, if this line of /proc/self/maps is about it:
/// `from-to perms offset device inode   path`.
fn mapped_at(line: &[u8], address: u64) -> Option<(&[u8], u64)> {
    let mut words = line
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let mut bounds = words.next()?.split(|byte| *byte == b'-').map(hexadecimal);
    let (from, to) = (bounds.next()??, bounds.next()??);
    let offset = hexadecimal(words.nth(1)?)?;
    let path_at = line.iter().position(|byte| *byte == b'/')?;
    let offset = offset.checked_add(address.checked_sub(from)?)?;
    (address < to).then_some((line.get(path_at..)?, offset))
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number: u64, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit.into())
    })
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10).to_le_bytes()[0];
        first = at;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_line_of_the_maps_and_in_no_other() {
        let line = b"7f0000001000-7f0000003000 r--s 00002000 fe:00 77    /data/my log/0";
        assert_eq!(
            mapped_at(line, 0x7f00_0000_2005),
            Some((&b"/data/my log/0"[..], 0x3005))
        );
        assert_eq!(mapped_at(line, 0x7f00_0000_3000), None);
        assert_eq!(mapped_at(line, 0x7f00_0000_0fff), None);
        assert_eq!(
            mapped_at(b"7f0000001000-7f0000003000 rw-p 0 0 0", 0x7f00_0000_2005),
            None
        );
        assert_eq!(mapped_at(b"nonsense", 1), None);
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for number in [0, 7, 10, u64::MAX] {
            let mut digits = [0; 20];
            assert_eq!(decimal(number, &mut digits), number.to_string().as_bytes());
        }
    }
}
