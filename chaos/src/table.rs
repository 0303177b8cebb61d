//! All scenarios, one row each.

use std::pin::Pin;

use crate::course::{Course, Stop};
use crate::{hostile, network, storage};

/// What a scenario comes to; figures are in the course.
pub(crate) type Ran<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + 'a>>;

/// Something that can happen to a broker, and how it is tried.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// As the reliability matrix calls it.
    pub(crate) id: &'static str,
    /// What happens and what must hold.
    pub(crate) says: &'static str,
    /// How often `chaos ci` does it.
    pub(crate) short: u32,
    /// How often `chaos long` does it.
    pub(crate) long: u32,
    pub(crate) needs_root: bool,
    pub(crate) run: for<'a> fn(&'a mut Course) -> Ran<'a>,
}

impl Scenario {
    pub(crate) fn line(&self) -> String {
        let root = if self.needs_root { "  (root)" } else { "" };
        format!(
            "{:<12} {:>5} {:>6}  {}{root}",
            self.id, self.short, self.long, self.says
        )
    }
}

pub(crate) fn all() -> Vec<Scenario> {
    [storage::SCENARIOS, network::SCENARIOS, hostile::SCENARIOS].concat()
}

/// Those of these names.
pub(crate) fn find(names: &[String]) -> Result<Vec<Scenario>, String> {
    let find = |name: &String| {
        let found = all()
            .into_iter()
            .find(|row| row.id.eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("there is no scenario {name}; see `chaos list`"))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_is_done_at_least_once() {
        let mut names: Vec<_> = all().iter().map(|row| row.id).collect();
        assert!(
            all()
                .iter()
                .all(|row| row.short >= 1 && row.long >= row.short)
        );
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn scenarios_are_found_in_either_case_and_others_are_not() {
        let found = find(&["s1-sync".into()]).unwrap();
        assert_eq!(found[0].id, "S1-sync");
        assert!(find(&["nothing".into()]).is_err());
    }
}
