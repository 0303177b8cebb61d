//! One history of a store: steps that its broker takes, faults of its disk, ends and restarts.
//!
//! What is acknowledged when is written down with the number of the last change of the disk, so that
//! a picture of the disk from the middle of anything says what must be in it.

use std::time::Duration;

use proptest::prelude::*;
use proto::message::LogOffset;
use store::files::{Fault, MemoryDisk, Operation};
use store::{AppendError, ExpireTime, OpenError, Opened, PersistError, Store, WriteError};

use super::crash::{self, Must};
use super::dice;
use super::expected::{Expected, TOPICS};
use crate::support::*;

const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Append((usize, u32), usize),
    Batch((usize, u32), usize),
    /// Write, flush, dispatch, acknowledge: sync flush.
    Settle,
    /// Write, dispatch, acknowledge: async flush.
    WriteOnly,
    Flush,
    Persist,
    Prepare,
    Expire,
    /// The n-th operation of a kind from now on fails.
    Fail(Operation, u64, Fault),
    Close,
    Kill,
    PowerLoss(u64),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let place = || (0..TOPICS.len(), 0..2u32);
    prop_oneof![
        12 => (place(), 0..900usize).prop_map(|(place, bytes)| Step::Append(place, bytes)),
        3 => (place(), 2..8usize).prop_map(|(place, count)| Step::Batch(place, count)),
        6 => Just(Step::Settle),
        3 => Just(Step::WriteOnly),
        2 => Just(Step::Flush),
        4 => Just(Step::Persist),
        4 => Just(Step::Prepare),
        1 => Just(Step::Expire),
        4 => fault(),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

fn fault() -> impl Strategy<Value = Step> {
    use std::io::ErrorKind::{Other, StorageFull};
    let operation = prop_oneof![
        Just(Operation::Open),
        Just(Operation::Write),
        Just(Operation::SetSize),
        Just(Operation::Sync),
        Just(Operation::Sync),
        Just(Operation::Rename),
        Just(Operation::Remove),
        Just(Operation::SyncFolder),
    ];
    let fault = prop_oneof![
        Just(Fault::Error(Other)),
        Just(Fault::Error(StorageFull)),
        Just(Fault::Short(Other)),
    ];
    (operation, 1..5u64, fault)
        .prop_map(|(operation, nth, fault)| Step::Fail(operation, nth, fault))
}

/// A history and where to look into the middle of it.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) steps: Vec<Step>,
    /// A picture is taken before this change of the disk, and then before each `every`-th.
    pub(super) first: u64,
    pub(super) every: u64,
    pub(super) seed: u64,
}

pub(super) fn history() -> impl Strategy<Value = History> {
    let steps = proptest::collection::vec(step(), 1..60);
    (steps, 1..40u64, 5..40u64, any::<u64>()).prop_map(|(steps, first, every, seed)| History {
        steps,
        first,
        every,
        seed,
    })
}

/// The store beside what is expected of it. The store is there but for the moment of a reopen.
struct World {
    disk: MemoryDisk,
    store: Option<Store>,
    expected: Expected,
    must: Must,
    monotonic_ms: u64,
    seed: u64,
    /// How many crash states were looked at.
    states: u64,
}

/// Runs a history to its end and beyond; how many crash states were looked at.
pub(super) fn run(history: &History) -> u64 {
    let disk = disk();
    disk.take_pictures(history.first, history.every);
    let mut world = World {
        store: Some(open(&disk).0),
        disk,
        expected: Expected::default(),
        must: Must::default(),
        monotonic_ms: 0,
        seed: history.seed,
        states: 0,
    };
    for step in &history.steps {
        world.run(step);
        world.look_at_pictures();
        if matches!(
            step,
            Step::Close | Step::Kill | Step::PowerLoss(_) | Step::Expire
        ) {
            world.disk.fail_no_more();
            world.expected.check(world.store());
        }
    }
    world.run(&Step::Kill);
    world.expected.check(world.store());
    world.states
}

impl World {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(place, bytes) => self.append(*place, &[*bytes]),
            Step::Batch(place, count) => self.append(*place, &vec![30; *count]),
            Step::Settle => self.write(true),
            Step::WriteOnly => self.write(false),
            Step::Flush => {
                let flushed = self.store().flush_once();
                self.flushed(flushed);
            }
            Step::Persist => {
                let persisted = self.store().persist_once();
                self.persisted(persisted);
            }
            Step::Prepare => while self.store().prepare_once().unwrap_or(false) {},
            Step::Expire => self.expire(),
            Step::Fail(operation, nth, fault) => {
                // One at a time: a failed flush whose note fails as well is out of reach.
                self.disk.fail_no_more();
                self.disk.fail(*operation, *nth, *fault);
            }
            Step::Close => {
                let closed = self.store().close();
                let is_closed = closed.is_ok();
                self.disk.fail_no_more();
                self.persisted(closed);
                let least = self.expected.written;
                let opened = self.reopen(MemoryDisk::kill, least);
                if is_closed {
                    assert_eq!((opened.was_clean, opened.records_read), (true, 0));
                }
            }
            Step::Kill => {
                self.reopen(MemoryDisk::kill, self.expected.written);
            }
            Step::PowerLoss(seed) => {
                let least = self.expected.durable;
                self.reopen(|disk| disk.crash(&mut dice(*seed)), least);
            }
        }
    }

    fn append(&mut self, place: (usize, u32), sizes: &[usize]) {
        let store = self.store.as_ref().expect("open");
        match self.expected.append(store, place, sizes) {
            Ok(()) | Err(AppendError::Io(_) | AppendError::DiskFull | AppendError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What a broker's writer does, once.
    fn write(&mut self, with_flush: bool) {
        match self.store().write_staged(Duration::ZERO) {
            Ok(None) => {}
            Ok(Some(batch)) => {
                self.expected.written = self.expected.up_to(batch.end());
                self.must.written_at(&self.disk, self.expected.written);
                if with_flush {
                    let flushed = self.store().flush_once();
                    if !self.flushed(flushed) {
                        return;
                    }
                    assert!(self.expected.durable >= self.expected.up_to(batch.end()));
                }
                self.expected.readable = self.expected.up_to(batch.end());
                self.store().dispatch(batch, &mut |_| {});
            }
            Err(WriteError::Write(_) | WriteError::Stopped) => self.restart(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes the answer of a flush at its word; `false` when the store had to stop.
    fn flushed(&mut self, flushed: Result<LogOffset, WriteError>) -> bool {
        match flushed {
            Ok(end) => {
                self.expected.durable = self.expected.up_to(end);
                self.must.durable_at(&self.disk, self.expected.durable);
                true
            }
            Err(_) => {
                self.restart();
                false
            }
        }
    }

    fn persisted(&mut self, persisted: Result<(), PersistError>) {
        // What the store says of itself counts, however far it got.
        let (written, durable) = (self.store().appended_to(), self.store().durable_to());
        self.expected.written = self.expected.up_to(written);
        self.expected.durable = self.expected.up_to(durable);
        self.must.written_at(&self.disk, self.expected.written);
        self.must.durable_at(&self.disk, self.expected.durable);
        match persisted {
            Ok(()) | Err(PersistError::Io(_)) => {}
            Err(PersistError::Log(_)) => self.restart(),
        }
    }

    fn expire(&mut self) {
        self.monotonic_ms += 61_000;
        let time = ExpireTime {
            // In the hour in which old files go.
            now_ms: NOW / DAY_MS * DAY_MS + 1000 * DAY_MS + 4 * 3_600_000,
            monotonic_ms: self.monotonic_ms,
        };
        let began = self.disk.changes();
        let _may_fail = self.store().expire_once(time);
        self.must.start_since(began, self.store().log_start());
    }

    /// A store that stopped ends its broker, and somebody starts it again.
    fn restart(&mut self) {
        self.reopen(MemoryDisk::kill, self.expected.written);
    }

    /// Ends the process in some way and opens again; the first `least` messages must be there.
    fn reopen(&mut self, end: impl FnOnce(&MemoryDisk), least: usize) -> Opened {
        self.store = None;
        self.look_at_pictures();
        end(&self.disk);
        let durable = self.expected.durable.min(least);
        self.must.only(&self.disk, durable, least);
        let (store, opened) = match try_open(&self.disk) {
            Err(OpenError::Io { .. }) => {
                // A fault that was planned; whoever starts it once more is lucky.
                self.disk.fail_no_more();
                self.disk.kill();
                open(&self.disk)
            }
            opened => opened.expect("opens"),
        };
        // Those of the recovery itself.
        self.look_at_pictures();
        self.store = Some(store);
        self.expected.keep_prefix(opened.log_end, least);
        let all = self.expected.sent.len();
        self.must.only(&self.disk, all, all);
        opened
    }

    fn look_at_pictures(&mut self) {
        for picture in self.disk.pictures() {
            self.seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ picture.change;
            crash::look(&picture, &self.expected, &self.must, self.seed);
            self.states += 1;
        }
    }
}
