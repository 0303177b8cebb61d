//! What happens to the process and to its disk.

mod kill;

use crate::table::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "S1-sync",
        says: "kill -9 under load with sync flush: nothing acknowledged is lost",
        short: 20,
        long: 200,
        needs_root: false,
        run: |course| Box::pin(kill::run(course, "sync")),
    },
    Scenario {
        id: "S2-async",
        says: "kill -9 under load with async flush: nothing acknowledged is lost",
        short: 20,
        long: 200,
        needs_root: false,
        run: |course| Box::pin(kill::run(course, "async")),
    },
];
