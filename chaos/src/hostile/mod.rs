//! Bytes and words that are meant to do harm, sent to every port of a server.

mod announce;
mod bombs;
mod flood;
mod frames;
mod names;
mod wire;
mod words;

use crate::table::Scenario;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        id: "H1",
        says: "1,000 connections announce huge frames and send a byte a second: little memory, closed",
        short: 1,
        long: 5,
        needs_root: false,
        run: |course| Box::pin(announce::run(course)),
    },
    Scenario {
        id: "H2",
        says: "frames with one wrong byte between right ones: that connection suffers, no other does",
        short: 300,
        long: 10_000,
        needs_root: false,
        run: |course| Box::pin(frames::run(course)),
    },
    Scenario {
        id: "H3",
        says: "bodies that unpack to gigabytes: refused or stored unopened, no memory, no time",
        short: 1,
        long: 20,
        needs_root: false,
        run: |course| Box::pin(bombs::packed(course)),
    },
    Scenario {
        id: "H4",
        says: "JSON that is deep, wide, doubled or broken: refused in milliseconds",
        short: 1,
        long: 50,
        needs_root: false,
        run: |course| Box::pin(bombs::json(course)),
    },
    Scenario {
        id: "H10",
        says: "200 names that are paths at every entry point: no file outside of the store",
        short: 1,
        long: 3,
        needs_root: false,
        run: |course| Box::pin(names::run(course)),
    },
    Scenario {
        id: "H11",
        says: "separators, line breaks and escapes in properties and names: no new property, no new line",
        short: 1,
        long: 5,
        needs_root: false,
        run: |course| Box::pin(words::separators(course)),
    },
    Scenario {
        id: "H12",
        says: "properties and flags that only brokers may set are not stored",
        short: 1,
        long: 5,
        needs_root: false,
        run: |course| Box::pin(words::system(course)),
    },
    Scenario {
        id: "H16",
        says: "bad requests without end (a thousand a cycle): the log grows by a MiB a minute at most",
        short: 20,
        long: 1000,
        needs_root: false,
        run: |course| Box::pin(flood::run(course)),
    },
];
