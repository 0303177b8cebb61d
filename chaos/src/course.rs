//! One scenario on its way: where it works, which cycle it is in, what it has counted, how it may
//! end before its time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loadtest::verify::Verdict;
use loadtest::{Failure, report};
use serde::Serialize;

use crate::dice::Dice;

/// Longer than a machine shared with others stands still, and far shorter than never: whoever is not
/// there by then is stuck. What should be there sooner is a [`Course::goal`].
pub(crate) const STUCK: Duration = Duration::from_secs(60);

/// Why a scenario ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// It cannot be tried on this machine.
    #[error("skipped: {0}")]
    Skipped(String),
    /// A promise was broken, or the scenario itself.
    #[error("{0}")]
    Failed(String),
}

impl Stop {
    pub(crate) fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }

    /// For `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Failed(format!("{what}: {cause}"))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::failed(failure)
    }
}

/// A promise: broken unless `holds`.
pub(crate) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        Err(Stop::Failed(otherwise()))
    }
}

/// What a scenario counted over all its cycles.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) acked: u64,
    pub(crate) lost: u64,
    pub(crate) dup: u64,
    pub(crate) reordered: u64,
    pub(crate) altered: u64,
    pub(crate) phantom: u64,
    #[serde(skip)]
    pub(crate) recovery_ms: Vec<f64>,
    /// The largest of each of these.
    #[serde(flatten)]
    pub(crate) most: BTreeMap<&'static str, f64>,
    /// Goals of speed that were missed where that is no failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missed: Vec<String>,
}

impl Figures {
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        self.acked += verdict.acknowledged;
        self.lost += verdict.lost;
        self.dup += verdict.duplicated;
        self.reordered += verdict.reordered;
        self.altered += verdict.altered;
        self.phantom += verdict.phantom;
    }

    pub(crate) fn recovered(&mut self, took: Duration) {
        self.recovery_ms.push(took.as_secs_f64() * 1000.0);
    }

    /// Remembers the largest of several measurements.
    pub(crate) fn most(&mut self, what: &'static str, value: f64) {
        let most = self.most.entry(what).or_insert(value);
        *most = most.max(value);
    }
}

/// A scenario on its way.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) id: &'static str,
    pub(crate) gantry: PathBuf,
    /// Its own, empty when it begins; removed after success.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    /// Whether a missed goal of speed is a failure. Not where machines are shared with others.
    pub(crate) judges_speed: bool,
    pub(crate) first: u32,
    pub(crate) cycles: u32,
    /// The one that it is in.
    pub(crate) cycle: u32,
    pub(crate) figures: Figures,
}

impl Course {
    /// The numbers of all its cycles.
    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<u32> {
        self.first..=self.cycles
    }

    /// Begins a cycle.
    pub(crate) fn begin(&mut self, cycle: u32) -> Dice {
        self.cycle = cycle;
        Dice::of(self.seed, cycle)
    }

    /// A promise about speed: missing it is told, and a failure where speed is judged.
    pub(crate) fn goal(
        &mut self,
        holds: bool,
        otherwise: impl FnOnce() -> String,
    ) -> Result<(), Stop> {
        if holds {
            return Ok(());
        }
        let missed = otherwise();
        if self.judges_speed {
            return Err(Stop::Failed(missed));
        }
        self.say(format!("goal missed: {missed}"));
        self.figures.missed.push(missed);
        Ok(())
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// A line of progress.
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        report::note(&format!("{} cycle {:>3}  {line}", self.id, self.cycle));
    }
}
