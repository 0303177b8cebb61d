//! What a check found, and how it is told.

use std::fmt;
use std::path::PathBuf;

use proto::message::{LogOffset, QueueId, utc_digits};

use crate::recover::Damage;

/// What is in a store folder, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub root: PathBuf,
    /// No mark of a running or killed broker was found.
    pub was_closed: bool,
    /// Up to where our checkpoint vouches; missing in a store of RocketMQ.
    pub good_to: Option<LogOffset>,
    pub log: LogReport,
    /// Parts of the log that cannot be read though something behind them can.
    pub damage: Vec<Damage>,
    /// Damage in queues, index, checkpoint or snapshot, which can all be made again from the log; and
    /// in tables, if whoever prints this looked at them.
    pub other_damage: Vec<Damage>,
    pub salvaged: SalvageReport,
    pub queues: Vec<QueueReport>,
    pub units: UnitsReport,
    pub index: Vec<IndexReport>,
}

/// The commit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    pub start: LogOffset,
    pub end: LogOffset,
    pub records: u64,
    pub segments: Vec<SegmentReport>,
    /// What follows the last whole record; the next start cuts it off.
    pub torn_bytes: u64,
}

/// What salvages left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Places of lost messages.
    pub lost: u64,
    /// Copies of damaged bytes.
    pub copies: Vec<PathBuf>,
}

/// How the records stand in the queue files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnitsReport {
    pub right: u64,
    /// Not in a queue file (yet); the next start puts them there.
    pub missing: u64,
    pub wrong: u64,
}

/// One file of the commit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentReport {
    pub file: PathBuf,
    pub bytes: u64,
    pub records: u64,
}

/// One consume queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueReport {
    pub topic: String,
    pub queue_id: QueueId,
    pub min: u64,
    pub max: u64,
    pub wrong_units: u64,
}

/// One file of the key index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexReport {
    pub file: PathBuf,
    pub entries: u32,
    pub begin_ms: i64,
    pub end_ms: i64,
}

impl Report {
    /// Whether nothing is damaged. A torn end or missing units are not damage.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.other_damage.is_empty()
    }

    fn fmt_damage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SalvageReport { lost, copies } = &self.salvaged;
        if !copies.is_empty() {
            let count = copies.len();
            writeln!(
                f,
                "salvaged: {lost} messages are lost, {count} copies of damaged bytes"
            )?;
            let mut copies = copies.iter();
            copies.try_for_each(|copy| writeln!(f, "  {}", copy.display()))?;
        }
        let mut damage = self.damage.iter().chain(&self.other_damage);
        damage.try_for_each(|damage| writeln!(f, "DAMAGED: {damage}"))?;
        if self.damage.is_empty() && !self.other_damage.is_empty() {
            writeln!(
                f,
                "the log is whole; without `consumequeue`, `index`, `checkpoint` and \
                 `queues.snapshot` the next start makes them again, and tables have a .bak"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.root.display())?;
        let state = if self.was_closed {
            "closed cleanly"
        } else {
            "in use, or was killed"
        };
        writeln!(f, "state: {state}")?;
        match self.good_to {
            Some(good_to) => writeln!(f, "checkpoint: good up to log offset {good_to}")?,
            None => writeln!(f, "checkpoint: none of ours")?,
        }
        let (start, end, files) = (self.log.start, self.log.end, self.log.segments.len());
        writeln!(
            f,
            "log: {start} to {end}, {} records in {files} files",
            self.log.records
        )?;
        self.log
            .segments
            .iter()
            .try_for_each(|segment| writeln!(f, "  {segment}"))?;
        let messages: u64 = self.queues.iter().map(|queue| queue.max - queue.min).sum();
        writeln!(f, "queues: {}, {messages} units", self.queues.len())?;
        self.queues
            .iter()
            .try_for_each(|queue| writeln!(f, "  {queue}"))?;
        writeln!(f, "index: {} files", self.index.len())?;
        self.index
            .iter()
            .try_for_each(|index| writeln!(f, "  {index}"))?;
        if self.units.missing > 0 {
            let count = self.units.missing;
            writeln!(
                f,
                "{count} records are not in a queue file; the next start puts them there"
            )?;
        }
        if self.log.torn_bytes > 0 {
            let torn = self.log.torn_bytes;
            writeln!(
                f,
                "{torn} bytes behind the last record; the next start cuts them off"
            )?;
        }
        self.fmt_damage(f)?;
        write!(
            f,
            "{}",
            if self.is_sound() {
                "sound"
            } else {
                "NOT SOUND"
            }
        )
    }
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} bytes, {} records",
            self.file.display(),
            self.bytes,
            self.records
        )
    }
}

impl fmt::Display for QueueReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}: {} to {}",
            self.topic, self.queue_id, self.min, self.max
        )?;
        if self.wrong_units > 0 {
            write!(f, ", {} WRONG", self.wrong_units)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for IndexReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (begin, end) = (utc_digits(self.begin_ms), utc_digits(self.end_ms));
        let (file, entries) = (self.file.display(), self.entries);
        write!(f, "{file}: {entries} entries, {begin} to {end} UTC")
    }
}
