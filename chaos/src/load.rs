//! Load on a house, with a log of what was acknowledged, and its check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Config, Message, Receipt, SendOptions, Stored, Tasks};
use loadtest::command::{Ser, Shape, Target};
use loadtest::native::{self, Found, Payload, Tally};
use loadtest::verify::{self, Entry, Log, Place, Verdict};
use proto::Text;
use tokio::task::JoinSet;

use crate::course::{Course, Stop, must};
use crate::house::House;

const QUEUES: u32 = 16;
/// A connection that breaks takes another number; there are not that many in one cycle.
const PRODUCERS_A_CYCLE: u32 = 100_000;

/// Messages of one batch.
const BATCH: u64 = 8;
/// How long a client that sends batches waits for an answer.
const BATCH_TIMEOUT: Duration = Duration::from_millis(500);

/// What is sent: from so many connections, each to all queues in turn.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) topic: Text,
    pub(crate) shape: Shape,
    /// So many clients more send batches, one after another.
    pub(crate) batchers: u32,
}

impl Load {
    /// 6 connections with 16 messages of 1 KiB in flight on each, and 2 that send batches, for
    /// `secs`.
    pub(crate) fn new(secs: Duration) -> Self {
        Self {
            topic: Text::from_static("chaos"),
            shape: Shape {
                conns: 6,
                depth: 16,
                rate: None,
                size: 1024,
                secs,
                warm: Duration::ZERO,
                ser: Ser::Json,
            },
            batchers: 2,
        }
    }

    /// Finds the broker, makes the topic, opens the log `cycle-N.log` of the course.
    pub(crate) async fn ready(&self, course: &Course, house: &House) -> Result<Ready, Stop> {
        let target = Target {
            namesrv: house.namesrv(),
            broker: None,
            topic: self.topic.clone(),
            queues: QUEUES,
        };
        let found = Found::find(&target, &Tasks::root()).await?;
        let mut plan = native::Plan::new(&found, &self.shape);
        plan.run = course.seed;
        plan.first_producer = course.cycle * PRODUCERS_A_CYCLE;
        let path = log_path(course, course.cycle);
        let log = Arc::new(Log::create(&path, &found.run(course.seed).await?)?);
        plan.log = Some(Arc::clone(&log));
        let last = plan.first_producer + PRODUCERS_A_CYCLE;
        let batchers = (1..=self.batchers).map(|nth| Batcher {
            producer: last - nth,
            run: plan.run,
            topic: self.topic.clone(),
            size: self.shape.size as usize,
            log: Arc::clone(&log),
            namesrv: house.namesrv(),
        });
        Ok(Ready {
            batchers: batchers.collect(),
            plan,
            log: path,
            client: found.client,
        })
    }
}

/// A load that has everything it needs.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) plan: native::Plan,
    pub(crate) log: PathBuf,
    /// Of the server as it was then.
    pub(crate) client: Client,
    batchers: Vec<Batcher>,
}

impl Ready {
    /// Until its time is over, whatever the server does. What comes of batches is in the log only.
    pub(crate) async fn put_on(&self) -> Result<Tally, Stop> {
        let begun = Instant::now();
        let until = begun + self.plan.shape.warm + self.plan.shape.secs;
        let mut batches = JoinSet::new();
        for batcher in self.batchers.clone() {
            batches.spawn(async move { batcher.send_until(until).await });
        }
        let tally = native::load(&self.plan, begun).await?;
        while let Some(ended) = batches.join_next().await {
            ended.map_err(Stop::failed)??;
        }
        Ok(tally)
    }
}

/// A client that sends batches. It is one producer: it waits for each answer.
#[derive(Clone, Debug)]
struct Batcher {
    producer: u32,
    run: u64,
    topic: Text,
    size: usize,
    log: Arc<Log>,
    namesrv: Text,
}

impl Batcher {
    async fn send_until(&self, until: Instant) -> Result<(), Stop> {
        let tasks = Tasks::root();
        let mut config = Config::new([self.namesrv.clone()]);
        config.send_timeout = BATCH_TIMEOUT;
        let client = Client::connect(config, &tasks);
        let mut next = 0;
        while Instant::now() < until {
            let mut records = Vec::new();
            let (producer, below) = (self.producer, next + BATCH);
            Entry::MaySend { producer, below }.put(&mut records);
            self.log.append(&records)?;
            let messages = (next..below).map(|sequence| self.message(sequence));
            let options = SendOptions::default();
            match client.send_batch(messages.collect(), &options).await {
                Ok(receipts) => self.log_acked(next, &receipts)?,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            next = below;
        }
        Ok(())
    }

    fn message(&self, sequence: u64) -> Message {
        let mut body = vec![b'b'; self.size];
        let payload = Payload {
            run: self.run,
            producer: self.producer,
            sequence,
            due_ns: 0,
        };
        payload.write(&mut body);
        Message::new(self.topic.clone(), body)
    }

    fn log_acked(&self, first: u64, receipts: &[Receipt]) -> Result<(), Stop> {
        let mut records = Vec::new();
        let confirmed = |receipt: &&Receipt| receipt.stored == Stored::Confirmed;
        for (sequence, receipt) in (first..).zip(receipts.iter().filter(confirmed)) {
            let place = Place {
                broker: 0,
                queue: receipt.queue.cast_unsigned(),
                offset: receipt.offset.cast_unsigned(),
            };
            let producer = self.producer;
            Entry::Acked {
                producer,
                sequence,
                place,
            }
            .put(&mut records);
        }
        Ok(self.log.append(&records)?)
    }
}

/// Where a cycle's acknowledgements are logged.
pub(crate) fn log_path(course: &Course, cycle: u32) -> PathBuf {
    course.path(format!("cycle-{cycle:04}.log"))
}

/// Reads everything back that `logs` say was acknowledged; an error unless all promises hold.
/// Nothing is ever sent twice, so here a duplicate is a fault as well.
pub(crate) async fn check(logs: &[PathBuf], house: &House) -> Result<Verdict, Stop> {
    let verdict = verify::check(logs, Some(house.namesrv()), true).await?;
    judge(&verdict).map(|()| verdict)
}

/// [`check`] of one log, counted in the course.
pub(crate) async fn check_one(
    course: &mut Course,
    log: &Path,
    house: &House,
) -> Result<Verdict, Stop> {
    let verdict = verify::check(&[log.to_owned()], Some(house.namesrv()), true).await?;
    course.figures.add(&verdict);
    judge(&verdict).map(|()| verdict)
}

fn judge(verdict: &Verdict) -> Result<(), Stop> {
    must(verdict.duplicated == 0 && verdict.holds(), || {
        format!("{}: {}", verdict.line(), verdict.findings.join("; "))
    })
}
