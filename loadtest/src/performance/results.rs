//! What was measured, kept as JSON. Invariant: of each thing only the newest measurement is kept.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::command::{Flush, Ser};
use crate::failure::Failure;
use crate::report;

/// The name of the server that everything is divided by.
pub(super) const CEILING: &str = "ceiling";
/// And of ours.
pub(super) const GANTRY: &str = "gantry";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) sends: Vec<Sends>,
    pub(super) facts: Vec<Fact>,
}

/// One way to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) flush: Flush,
    pub(super) conns: u32,
    pub(super) depth: u32,
    pub(super) size: u32,
    pub(super) ser: Ser,
}

/// Medians of one server in one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sends {
    pub(super) case: Case,
    pub(super) who: String,
    pub(super) rate: f64,
    pub(super) p99_us: f64,
    /// The server's, for each message.
    pub(super) cpu_us: f64,
    pub(super) refused: u64,
}

/// Anything else that is one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fact {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) unit: String,
    pub(super) goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(super) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl Case {
    /// What part of the ceiling's rate is wanted.
    pub(super) fn rate_goal(&self) -> Option<Goal> {
        let least = match (self.size, self.ser, self.conns, self.depth) {
            (1024, Ser::Json, 1, 1) => 0.70,
            (1024, Ser::Json, 64, 1) => 0.75,
            (1024, Ser::Json, 1, 64) => 0.60,
            (1024, Ser::Json, 64, 16) => 0.50,
            _ => return None,
        };
        Some(Goal::AtLeast(least))
    }

    /// How much of the ceiling's CPU for a message is allowed.
    pub(super) fn cpu_goal(&self) -> Option<Goal> {
        match (self.size, self.ser, self.conns, self.depth) {
            (1024, Ser::Json, 64, 1) => Some(Goal::AtMost(1.5)),
            (1024, Ser::Json, 64, 16) => Some(Goal::AtMost(2.5)),
            _ => None,
        }
    }

    /// How much of the ceiling's p99 is allowed.
    pub(super) fn p99_goal(&self) -> Option<Goal> {
        let asked = (self.size, self.ser, self.flush, self.conns, self.depth);
        (asked == (1024, Ser::Json, Flush::Sync, 64, 1)).then_some(Goal::AtMost(2.0))
    }
}

impl Results {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|why| Failure::bad_file(path, why)),
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io(path.display().to_string())(error)),
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let all = serde_json::to_value(self).map_err(|why| Failure::bad_file(path, why))?;
        report::write_json(Some(path), &all)
    }

    pub(super) fn put_sends(&mut self, new: Sends) {
        match self
            .sends
            .iter_mut()
            .find(|old| old.case == new.case && old.who == new.who)
        {
            Some(old) => *old = new,
            None => self.sends.push(new),
        }
    }

    pub(super) fn put_fact(&mut self, new: Fact) {
        match self.facts.iter_mut().find(|old| old.what == new.what) {
            Some(old) => *old = new,
            None => self.facts.push(new),
        }
    }

    /// Every case once, in the order in which they were first measured.
    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        for sends in &self.sends {
            if !cases.contains(&sends.case) {
                cases.push(sends.case);
            }
        }
        cases
    }

    pub(super) fn of(&self, case: &Case, who: &str) -> Option<&Sends> {
        self.sends
            .iter()
            .find(|sends| sends.case == *case && sends.who == who)
    }

    /// Everybody but the ceiling, ours first.
    pub(super) fn subjects(&self) -> Vec<&str> {
        let mut names = vec![GANTRY];
        for sends in &self.sends {
            if sends.who != CEILING && !names.contains(&sends.who.as_str()) {
                names.push(&sends.who);
            }
        }
        names
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::performance) fn sends(case: Case, who: &str, rate: f64) -> Sends {
        Sends {
            case,
            who: who.into(),
            rate,
            p99_us: 1000.0 / rate,
            cpu_us: 10.0 / rate,
            refused: 0,
        }
    }

    pub(in crate::performance) const CASE: Case = Case {
        flush: Flush::Sync,
        conns: 64,
        depth: 1,
        size: 1024,
        ser: Ser::Json,
    };

    #[test]
    fn what_is_measured_again_replaces_what_was_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let mut results = Results::read(&path).unwrap();
        assert_eq!(results, Results::default());
        let other = Case { depth: 16, ..CASE };
        for (case, who, rate) in [
            (CASE, CEILING, 100.0),
            (CASE, GANTRY, 50.0),
            (other, GANTRY, 60.0),
            (CASE, GANTRY, 80.0),
        ] {
            results.put_sends(sends(case, who, rate));
        }
        results.write(&path).unwrap();
        let read = Results::read(&path).unwrap();
        assert_eq!(read, results);
        assert_eq!(read.cases(), [CASE, other]);
        assert_eq!(read.subjects(), [GANTRY]);
        assert_eq!(read.of(&CASE, GANTRY).map(|sends| sends.rate), Some(80.0));
        assert_eq!(read.sends.len(), 3);
    }
}
