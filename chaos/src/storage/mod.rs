//! What happens to the process and to its disk.

mod clock;
mod faults;
mod flush;
mod full;
mod harm;
mod held;
mod image;
mod kill;
mod power;
mod slow;
mod stop;

use crate::table::Scenario;

/// A store is removed after so many cycles of one scenario, so that none reads for long.
const STORE_LIVES: u32 = 10;

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
        id: "S3-sync",
        says: "the power fails under load with sync flush: nothing acknowledged is lost",
        short: 5,
        long: 100,
        needs_root: true,
        run: |course| Box::pin(power::run(course, "sync")),
    },
    Scenario {
        id: "S3-async",
        says: "the same with async flush: only the newest second, and no holes",
        short: 5,
        long: 100,
        needs_root: true,
        run: |course| Box::pin(power::run(course, "async")),
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
        id: "S10",
        says: "the disk is full: sends are refused within 1 s, reads go on, sends work again in 10 s",
        short: 1,
        long: 10,
        needs_root: true,
        run: |course| Box::pin(full::run(course)),
    },
    Scenario {
        id: "S11-flush",
        says: "flushes get slow: an answer within 5.5 s, memory stays, reads go on",
        short: 2,
        long: 10,
        needs_root: false,
        run: |course| Box::pin(slow::flushes(course)),
    },
    Scenario {
        id: "S11-disk",
        says: "the disk takes 1 MiB/s: the same",
        short: 1,
        long: 5,
        needs_root: true,
        run: |course| Box::pin(slow::bandwidth(course)),
    },
    Scenario {
        id: "S12",
        says: "the wall clock jumps (1 h, 2038, back): nothing lost, order kept, retention waits",
        short: 2,
        long: 20,
        needs_root: false,
        run: |course| Box::pin(clock::run(course)),
    },
    Scenario {
        id: "S13",
        says: "a file is shortened, removed or unreadable under the broker: exit code 70, file and offset",
        short: 5,
        long: 25,
        needs_root: false,
        run: |course| Box::pin(harm::run(course)),
    },
    Scenario {
        id: "S14-twice",
        says: "a second broker on the same store is refused; the first one does not notice",
        short: 1,
        long: 10,
        needs_root: false,
        run: |course| Box::pin(held::twice(course)),
    },
    Scenario {
        id: "S14-access",
        says: "a read-only disk and a folder of somebody else are refused with a sentence",
        short: 1,
        long: 5,
        needs_root: true,
        run: |course| Box::pin(held::forbidden(course)),
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
