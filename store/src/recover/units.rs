//! Reading the units of one queue from its files, and finding the borders among them.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::files::{Access, Disk, File};
use crate::queue::{UNIT_BYTES, Unit};
use crate::segment::file_name;
use crate::trim::are_in_order;

/// The units of one queue, in files without gaps.
pub(super) struct Units<'d> {
    disk: &'d dyn Disk,
    folder: PathBuf,
    file_bytes: u64,
    open: Option<(u64, Arc<dyn File>)>,
}

impl<'d> Units<'d> {
    pub(super) fn new(disk: &'d dyn Disk, folder: PathBuf, file_bytes: u64) -> Self {
        Self {
            disk,
            folder,
            file_bytes,
            open: None,
        }
    }

    pub(super) fn open(&mut self, base: u64) -> io::Result<Arc<dyn File>> {
        match &self.open {
            Some((open, file)) if *open == base => Ok(Arc::clone(file)),
            _ => {
                let file = self
                    .disk
                    .open(&self.folder.join(file_name(base)), Access::Write)?;
                self.open = Some((base, Arc::clone(&file)));
                Ok(file)
            }
        }
    }

    pub(super) fn at(&mut self, number: u64) -> io::Result<Option<Unit>> {
        let unit = UNIT_BYTES as u64;
        let base = number * unit / self.file_bytes * self.file_bytes;
        let file = self.open(base)?;
        read_unit(&*file, number - base / unit)
    }

    /// The first of some units whose record is still in the log; `None` when units or files that
    /// should be there are not. The files of a queue begin with number 0, or with a unit whose record
    /// is gone, or with a filler; behind a gap only with what is gone.
    pub(super) fn first_in_log(
        &mut self,
        units: Range<u64>,
        log_start: u64,
        has_gap: bool,
    ) -> io::Result<Option<u64>> {
        let is_gone = |unit: Unit| unit.is_filler() || unit.log_offset < log_start;
        if units.is_empty() {
            return Ok((!has_gap).then_some(units.start));
        }
        let Some(first) = self.at(units.start)? else {
            return Ok(None);
        };
        if !is_gone(first) {
            return Ok((units.start == 0 && !has_gap).then_some(0));
        }
        if has_gap && first.is_filler() {
            return Ok(None);
        }
        let mut has_holes = false;
        let min = bisect(units.start, units.end, |at| {
            let unit = self.at(at)?;
            has_holes |= unit.is_none();
            Ok(unit.is_some_and(is_gone))
        })?;
        let is_sure = !has_holes && are_in_order(units.start..min, |at| self.at(at))?;
        Ok(is_sure.then_some(min))
    }
}

/// The first number from `low` to `high` for which `is_before` no longer holds.
pub(super) fn bisect(
    mut low: u64,
    mut high: u64,
    mut is_before: impl FnMut(u64) -> io::Result<bool>,
) -> io::Result<u64> {
    // Most queues are short, so the steps grow from the start before they halve.
    let mut step = 16;
    while low + step < high && is_before(low + step)? {
        low += step + 1;
        step *= 4;
    }
    high = high.min(low + step);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// A unit of a file; what a file lacks are zeros.
pub(super) fn read_unit(file: &dyn File, number: u64) -> io::Result<Option<Unit>> {
    let mut bytes = [0; UNIT_BYTES];
    file.read_at(&mut bytes, number * UNIT_BYTES as u64)?;
    Ok(Unit::from_bytes(&bytes))
}

/// The last unit behind some good ones that points into a part of the log.
pub(super) fn last_unit_behind(
    file: &dyn File,
    good: u64,
    log: Range<u64>,
) -> io::Result<Option<u64>> {
    const CHUNK_UNITS: usize = 200;
    if log.is_empty() {
        return Ok(None);
    }
    let unit = UNIT_BYTES as u64;
    let (mut from, mut last) = (good * unit, None);
    while let Some(data) = file.data_after(from)? {
        let mut number = data.start.max(from) / unit;
        while number * unit < data.end {
            let mut bytes = [[0; UNIT_BYTES]; CHUNK_UNITS];
            let read = file.read_at(bytes.as_flattened_mut(), number * unit)? / UNIT_BYTES;
            if read == 0 {
                break;
            }
            for (at, bytes) in (number..).zip(bytes.iter().take(read)) {
                if Unit::from_bytes(bytes).is_some_and(|unit| log.contains(&unit.log_offset)) {
                    last = Some(at);
                }
            }
            number += read as u64;
        }
        from = data.end;
    }
    Ok(last)
}

/// Makes everything behind the good units zero, so that it is never taken for more of them.
pub(super) fn zero_units_behind(file: &dyn File, good: u64) -> io::Result<()> {
    const CHUNK_BYTES: usize = 4096;
    let mut from = good * UNIT_BYTES as u64;
    let mut changed = false;
    while let Some(data) = file.data_after(from)? {
        let mut at = data.start.max(from);
        while at < data.end {
            let mut bytes = [0; CHUNK_BYTES];
            let wanted = usize::try_from(data.end - at)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            let read = file.read_at(&mut bytes[..wanted], at)?;
            if bytes.iter().any(|&byte| byte != 0) {
                file.write_all_at(&vec![0; read], at)?;
                changed = true;
            }
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        from = data.end;
    }
    if changed { file.sync_data() } else { Ok(()) }
}
