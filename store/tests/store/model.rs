//! Random histories against a plain model: whatever happens, the store agrees with a `Vec`.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proto::message::{Draft, LogOffset, QueueId, QueueOffset, StoredMessage, records};
use store::files::MemoryDisk;
use store::{Appended, ExpireTime, KeyQuery, Opened, ReadStatus, Store};

use crate::support::*;

const TOPICS: [&str; 3] = ["alpha", "beta", "%RETRY%group"];

#[derive(Clone, Debug)]
enum Step {
    Append {
        topic: usize,
        queue: u32,
        bytes: usize,
    },
    Batch {
        topic: usize,
        queue: u32,
        count: usize,
    },
    Settle,
    WriteOnly,
    Persist,
    Prepare,
    Expire,
    Close,
    Kill,
    PowerLoss(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let place = (0..TOPICS.len(), 0..2u32);
    prop_oneof![
        12 => (place.clone(), 0..900usize)
            .prop_map(|((topic, queue), bytes)| Step::Append { topic, queue, bytes }),
        3 => (place, 1..8usize)
            .prop_map(|((topic, queue), count)| Step::Batch { topic, queue, count }),
        6 => Just(Step::Settle),
        2 => Just(Step::WriteOnly),
        3 => Just(Step::Persist),
        2 => Just(Step::Prepare),
        1 => Just(Step::Expire),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ]
}

/// What the store must hold: one entry for each message, in log order.
#[derive(Clone, Debug)]
struct Sent {
    topic: usize,
    queue: u32,
    body: String,
    key: String,
    place: Appended,
}

#[derive(Default)]
struct Model {
    sent: Vec<Sent>,
    /// How many of them are durable, written, readable.
    durable: usize,
    written: usize,
    readable: usize,
    count: usize,
}

impl Model {
    /// After a reopen the store holds a prefix of what was sent: at least the first `least`.
    fn keep_prefix(&mut self, end: LogOffset, least: usize) {
        let kept = self
            .sent
            .iter()
            .take_while(|sent| sent.place.end <= end)
            .count();
        assert!(
            kept >= least,
            "{kept} of {least} messages that must be there"
        );
        self.sent.truncate(kept);
        (self.durable, self.written, self.readable) = (kept, kept, kept);
    }

    fn queues(&self) -> BTreeMap<(usize, u32), Vec<&Sent>> {
        let mut queues: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for sent in &self.sent[..self.readable] {
            queues
                .entry((sent.topic, sent.queue))
                .or_default()
                .push(sent);
        }
        queues
    }

    fn check(&self, store: &Store) {
        for ((topic, queue), sent) in self.queues() {
            let bounds = store
                .queue_bounds(TOPICS[topic], QueueId(queue))
                .expect("a queue");
            assert_eq!(
                bounds.max,
                QueueOffset(sent.len() as u64),
                "end of {topic}/{queue}"
            );
            let start = store.log_start();
            let gone = sent
                .iter()
                .take_while(|sent| sent.place.log_offset < start)
                .count();
            assert_eq!(
                bounds.min,
                QueueOffset(gone as u64),
                "start of {topic}/{queue}"
            );
            let expected: Vec<_> = sent[gone..].iter().map(|sent| sent.body.clone()).collect();
            assert_eq!(bodies(store, TOPICS[topic], queue, gone as u64), expected);
            if gone > 0 {
                let read = read(store, TOPICS[topic], queue, 0);
                assert_eq!(
                    (read.status, read.next),
                    (ReadStatus::OffsetTooSmall, bounds.min)
                );
            }
        }
        for sent in &self.sent[..self.readable] {
            let found = store.record_at(sent.place.log_offset);
            assert_eq!(found.is_some(), sent.place.log_offset >= store.log_start());
            let query = KeyQuery {
                topic: TOPICS[sent.topic],
                key: &sent.key,
                max: 10,
                begin_ms: 0,
                end_ms: i64::MAX,
            };
            let by_key = store.query_by_key(&query).expect("reads the index");
            assert_eq!(
                by_key,
                found.into_iter().collect::<Vec<_>>(),
                "by key {}",
                sent.key
            );
        }
    }
}

fn append(model: &mut Model, store: &Store, topic: usize, queue: u32, sizes: &[usize]) {
    let texts: Vec<_> = sizes
        .iter()
        .zip(model.count..)
        .map(|(bytes, n)| (format!("{n}:{}", "x".repeat(*bytes)), format!("key{n}")))
        .collect();
    model.count += sizes.len();
    let properties: Vec<_> = texts
        .iter()
        .map(|(_, k)| format!("KEYS\u{1}{k}\u{2}"))
        .collect();
    let parts: Vec<_> = properties.iter().map(|text| [text.as_str()]).collect();
    let drafts: Vec<_> = texts
        .iter()
        .zip(&parts)
        .map(|((body, key), parts)| Draft {
            properties: parts,
            keys: Some(key),
            ..draft(TOPICS[topic], queue, body.as_bytes())
        })
        .collect();
    let places = if let [one] = drafts.as_slice() {
        vec![store.append(one, NOW).expect("appends")]
    } else {
        store.append_batch(&drafts, NOW).expect("appends")
    };
    for ((body, key), place) in texts.into_iter().zip(places) {
        model.sent.push(Sent {
            topic,
            queue,
            body,
            key,
            place,
        });
    }
}

/// The store beside the model. The store is there but for the moment of a reopen.
struct World {
    disk: MemoryDisk,
    store: Option<Store>,
    model: Model,
    monotonic_ms: u64,
}

impl World {
    fn new() -> Self {
        let disk = disk();
        let store = Some(open(&disk).0);
        Self {
            disk,
            store,
            model: Model::default(),
            monotonic_ms: 0,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append {
                topic,
                queue,
                bytes,
            } => self.append(*topic, *queue, &[*bytes]),
            Step::Batch {
                topic,
                queue,
                count,
            } => self.append(*topic, *queue, &vec![30; *count]),
            Step::Settle => {
                settle(self.store());
                let all = self.model.sent.len();
                (self.model.readable, self.model.written, self.model.durable) = (all, all, all);
            }
            Step::WriteOnly => {
                if let Some(batch) = self.store().write_staged(Duration::ZERO).expect("writes") {
                    self.store().dispatch(batch, &mut |_| {});
                }
                self.model.readable = self.model.sent.len();
                self.model.written = self.model.readable;
            }
            Step::Persist => {
                self.store().persist_once().expect("persists");
                self.model.durable = self.model.written;
            }
            Step::Prepare => while self.store().prepare_once().expect("prepares") {},
            Step::Expire => {
                self.monotonic_ms += 61_000;
                let now_ms = NOW + 1000 * 3_600_000;
                let time = ExpireTime {
                    now_ms,
                    monotonic_ms: self.monotonic_ms,
                };
                self.store().expire_once(time).expect("expires");
            }
            Step::Close => {
                self.store().close().expect("closes");
                let opened = self.reopen(MemoryDisk::kill, self.model.sent.len());
                assert_eq!((opened.was_clean, opened.records_read), (true, 0));
            }
            Step::Kill => {
                let opened = self.reopen(MemoryDisk::kill, self.model.written);
                assert!(!opened.queues_rebuilt, "the files are as they were written");
            }
            Step::PowerLoss(seed) => {
                self.reopen(|disk| disk.crash(&mut dice(*seed)), self.model.durable);
            }
        }
    }

    /// Ends the process in some way and opens again; the first `least` messages must be there.
    fn reopen(&mut self, end: impl FnOnce(&MemoryDisk), least: usize) -> Opened {
        self.store = None;
        end(&self.disk);
        let (store, opened) = open(&self.disk);
        self.store = Some(store);
        self.model.keep_prefix(opened.log_end, least);
        opened
    }

    fn append(&mut self, topic: usize, queue: u32, sizes: &[usize]) {
        let store = self.store.as_ref().expect("open");
        append(&mut self.model, store, topic, queue, sizes);
    }
}

fn run(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        world.run(step);
        if matches!(
            step,
            Step::Close | Step::Kill | Step::PowerLoss(_) | Step::Expire
        ) {
            world.model.check(world.store());
        }
    }
    // Opening once more changes nothing.
    world.run(&Step::Kill);
    world.model.check(world.store());
}

/// Answers that depend on the seed alone.
fn dice(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed | 1;
    let bias = seed % 4;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % 4 >= bias
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("STORE_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
    ))]

    #[test]
    fn the_store_agrees_with_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        run(&steps);
    }
}

#[test]
fn a_recovered_log_holds_only_what_was_sent() {
    let disk = disk();
    let (store, _) = open(&disk);
    for n in 0..30 {
        send(&store, "alpha", 0, &n.to_string());
    }
    for seed in 0..50 {
        let disk = disk.fork();
        let (store, _) = {
            disk.kill();
            open(&disk)
        };
        for n in 30..60 {
            store
                .append(&draft("alpha", 0, n.to_string().as_bytes()), NOW)
                .expect("appends");
        }
        let batch = store
            .write_staged(Duration::ZERO)
            .expect("writes")
            .expect("a batch");
        drop((batch, store));
        disk.crash(&mut dice(seed));
        let (store, _) = open(&disk);
        let read = read(&store, "alpha", 0, 0);
        let found: Vec<_> = read
            .records
            .iter()
            .flat_map(|piece| records(piece))
            .map(|record: Result<StoredMessage<'_>, _>| text(&record.expect("valid")))
            .collect();
        let sent: Vec<_> = (0..found.len()).map(|n| n.to_string()).collect();
        assert!(found.len() >= 30, "seed {seed}");
        assert_eq!(found, sent, "seed {seed}");
    }
}
