//! What happens on the wire, and at its other end.

use crate::table::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[];
