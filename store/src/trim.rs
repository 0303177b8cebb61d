//! Where queues begin after old segments went.
//!
//! The border between units whose records are gone and the others is found by bisection. A unit may be
//! wrong, and a start that is too high would lead consumers past messages: so what the units around
//! the border say must agree, else the log itself is asked.

use crate::Store;
use crate::mend::is_in;
use crate::queue::{Queue, Unit};
use crate::read::{ReadError, wrong_unit};

/// How much of the log is read for one damaged queue. The caretaker has other work, and of a start
/// that is too low the first reader who comes there finds out.
const SCAN_BYTES_MAX: u64 = 256 << 20;

impl Store {
    /// Moves the start of all queues behind what is gone and removes files that hold nothing more.
    /// A queue that cannot be asked keeps what it has, and all are to be trimmed again; after the last
    /// try its first reader finds out, or a start after a crash. `false` when it is to be done again.
    pub(crate) fn trim_queues(&self, log_start: u64, is_last_try: bool) -> bool {
        let mut were_read = true;
        for queue in self.queues.all() {
            if self.is_halted() {
                return false;
            }
            if let Err(error) = self.trim_queue(&queue, log_start) {
                tracing::warn!(%error, "a queue keeps its start for now");
                were_read &= !matches!(error, ReadError::Io(_));
            }
        }
        let is_done = (were_read || is_last_try) && !self.is_halted();
        if is_done {
            self.expiry.starts.lock().log_start = log_start;
        }
        is_done
    }

    /// Has a queue begin at `first` if it began below; how far it is in its files, or `None` when its
    /// topic was deleted.
    pub(crate) fn raise_start(&self, queue: &Queue, first: u64) -> Option<u64> {
        let mut starts = self.expiry.starts.lock();
        let mut state = queue.state.lock();
        if state.deleted {
            return None;
        }
        let raised = first.saturating_sub(state.min);
        state.min += raised;
        starts.sum = starts.sum.wrapping_add(raised);
        Some(state.persisted)
    }

    fn trim_queue(&self, queue: &Queue, log_start: u64) -> Result<(), ReadError> {
        let (min, end) = {
            let state = queue.state.lock();
            if state.deleted {
                return Ok(());
            }
            (state.min, state.end())
        };
        let first = self.first_in_log(queue, min..end, log_start)?;
        if first == min {
            return Ok(());
        }
        // Files of a topic come and go under this lock only: one that was deleted meanwhile may come
        // again, with files of the same names.
        let _no_files = self.steps.persisting.lock();
        if self.is_halted() {
            // What a closed store says of its queues stays so.
            return Ok(());
        }
        let Some(persisted) = self.raise_start(queue, first) else {
            return Ok(());
        };
        // The last file that there is tells where the queue ends.
        let first = first.min(persisted);
        let (topic, id) = (&queue.topic, queue.id);
        if let Err(error) = self.queue_files.remove_below(topic, id, min, first) {
            tracing::warn!(%error, "files of a queue stay");
        }
        Ok(())
    }

    /// The first of some units whose record is still in the log.
    fn first_in_log(
        &self,
        queue: &Queue,
        units: std::ops::Range<u64>,
        log_start: u64,
    ) -> Result<u64, ReadError> {
        let trimmed_to = self.expiry.starts.lock().log_start;
        let is_there = |unit: Option<Unit>| unit.is_some_and(|unit| unit.log_offset >= log_start);
        if units.is_empty() || is_there(self.unit(queue, units.start)?) {
            return Ok(units.start);
        }
        let (mut low, mut high) = (units.start, units.end);
        while low < high {
            let middle = low + (high - low) / 2;
            // For units that say nothing the next one that does speaks as well.
            let mut at = middle;
            let is_gone = loop {
                match self.unit(queue, at)? {
                    Some(unit) => break unit.log_offset < log_start,
                    None if at + 1 < high => at += 1,
                    None => break false,
                }
            };
            if is_gone {
                low = at + 1;
            } else {
                high = middle;
            }
        }
        let first = self.unit(queue, low)?;
        let is_right =
            low == units.end || first.is_some_and(|unit| self.is_right(queue, low, unit));
        // No unit from the queue's start on was gone when the log began there.
        let was_there = |unit: Unit| !unit.is_filler() && unit.log_offset >= trimmed_to;
        let went_now = low == units.start || self.unit(queue, low - 1)?.is_some_and(was_there);
        if is_right && went_now && are_in_order(units.start..low, |at| self.unit(queue, at))? {
            return Ok(low);
        }
        self.first_by_log(queue, low..units.end, log_start)
    }

    /// The same, asked from the log up to the first unit that is right.
    fn first_by_log(
        &self,
        queue: &Queue,
        units: std::ops::Range<u64>,
        log_start: u64,
    ) -> Result<u64, ReadError> {
        let (mut known, mut limit) = (units.start, self.dispatched_to().0);
        while known < units.end {
            if let Some(unit) = self.unit(queue, known)?
                && self.is_right(queue, known, unit)
            {
                limit = unit.log_offset;
                break;
            }
            known += 1;
        }
        if queue.state.lock().deleted || limit.saturating_sub(log_start) > SCAN_BYTES_MAX {
            return Err(wrong_unit(queue, known));
        }
        // A topic that was deleted and made again has older records with the same offsets.
        let (mut first, mut next) = (known, known);
        self.find_record(log_start, limit, |message| {
            let offset = message.queue_offset.0;
            if is_in(message, queue) && offset < known {
                first = if offset == next { first } else { offset };
                next = offset + 1;
            }
            None::<()>
        })?;
        Ok(if next == known { first } else { known })
    }
}

/// Whether the records of units lie one behind the other, as far as a few looks tell: closely at the
/// end, further and further apart before. Fillers come first.
pub(crate) fn are_in_order<E>(
    units: std::ops::Range<u64>,
    mut unit: impl FnMut(u64) -> Result<Option<Unit>, E>,
) -> Result<bool, E> {
    let (mut at, mut step, mut behind) = (units.end, 1, u64::MAX);
    while at > units.start {
        at = at.saturating_sub(step).max(units.start);
        step *= 2;
        if let Some(unit) = unit(at)? {
            if unit.log_offset >= behind && !(unit.is_filler() && behind == 0) {
                return Ok(false);
            }
            behind = unit.log_offset;
        }
    }
    Ok(true)
}
