//! What happens to the process and to its disk.

mod faults;
mod flush;
mod kill;
mod stop;

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
    Scenario {
        id: "S8-sync",
        says: "one flush of the log fails: nothing is acknowledged from then on, exit code 70",
        short: 20,
        long: 200,
        needs_root: false,
        run: |course| Box::pin(flush::run(course, "sync")),
    },
    Scenario {
        id: "S8-async",
        says: "the same with async flush, where the failing flush runs beside the load",
        short: 3,
        long: 20,
        needs_root: false,
        run: |course| Box::pin(flush::run(course, "async")),
    },
    Scenario {
        id: "S9",
        says: "one call goes wrong (write, short write, ENOSPC, open, rename ...) in any file: no panic, nothing lost",
        short: 40,
        long: 400,
        needs_root: false,
        run: |course| Box::pin(faults::run(course)),
    },
    Scenario {
        id: "N13",
        says: "SIGTERM under load, both flush modes: nothing lost, nothing to recover, within 10 s",
        short: 10,
        long: 50,
        needs_root: false,
        run: |course| Box::pin(stop::run(course)),
    },
];
