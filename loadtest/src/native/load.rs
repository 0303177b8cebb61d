//! A load: its plan, its lanes side by side, and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::Tasks;
use hdrhistogram::Histogram;
use proto::Text;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::frame::To;
use super::lane;
use super::pace::Schedule;
use super::scattered;
use super::target::{Broker, Found};
use crate::command::Shape;
use crate::failure::Failure;
use crate::report;
use crate::verify::Log;

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Plan {
    pub run: u64,
    pub brokers: Vec<Broker>,
    pub topic: Text,
    pub queues: u32,
    pub shape: Shape,
    /// The first producer's number; every connection takes one.
    pub first_producer: u32,
    pub log: Option<Arc<Log>>,
    /// Bodies say when they were due.
    pub stamped: bool,
    pub choice: Choice,
}

/// Where the next message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To the topic's queues in turn.
    InTurn,
    /// To any queue of so many topics, by chance. Their names end in five digits, from 00000 on.
    AnyOf { topics: u32 },
    /// To each queue of so many topics once; then the load is over.
    EachOf { topics: u32 },
}

impl Plan {
    pub fn new(found: &Found, shape: &Shape) -> Self {
        Self {
            run: runtime::clock::now_ms().cast_unsigned() << 16
                | u64::from(std::process::id() & 0xffff),
            brokers: found.brokers.clone(),
            topic: found.topic.clone(),
            queues: found.queues,
            shape: shape.clone(),
            first_producer: 0,
            log: None,
            stamped: false,
            choice: Choice::InTurn,
        }
    }

    /// Where the send `sequence` of a producer goes; `index` is its connection's. `None` when there
    /// is nothing left to send.
    pub(super) fn to(&self, index: u64, producer: u32, sequence: u64) -> Option<To> {
        let small = |number: u64| u32::try_from(number).unwrap_or(0);
        let queues = u64::from(self.queues);
        let all = |topics| u64::from(topics) * queues;
        let nth = match self.choice {
            Choice::InTurn => {
                let queue = small((sequence + index) % queues);
                return Some(To { topic: None, queue });
            }
            Choice::AnyOf { topics } => {
                let draw = u64::from(producer) << 40 ^ sequence ^ scattered(self.run);
                scattered(draw) % all(topics)
            }
            Choice::EachOf { topics } => {
                let nth = sequence * u64::from(self.shape.conns) + index;
                (nth < all(topics)).then_some(nth)?
            }
        };
        let topic = Some(small(nth / queues));
        let queue = small(nth % queues);
        Some(To { topic, queue })
    }
}

/// Counts that grow while a load runs.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Acknowledged, since the beginning.
    pub(super) acked: AtomicU64,
    /// Acknowledged, while it counts.
    pub(super) ok: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) next_producer: AtomicU64,
}

/// What all lanes of a load share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) plan: Plan,
    pub(super) counts: Counts,
    pub(super) schedule: Option<Arc<Schedule>>,
    /// What moments in payloads are counted from.
    pub(super) begin: Instant,
    /// From here on it counts.
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// What came of a load.
#[derive(Debug)]
pub struct Tally {
    /// Acknowledged within the time that counts.
    pub ok: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub first_failure: Option<String>,
    pub last_ack: Option<Instant>,
    /// The longest from sending to any answer, also a refusal.
    pub slowest: Duration,
    /// How often each code came that is not 0.
    pub refusals: BTreeMap<i64, u64>,
    /// Of acknowledgements, in microseconds, from when a message was due.
    pub latency: Histogram<u64>,
    /// Of those acknowledged, from when it was really sent.
    pub taken: Histogram<u64>,
    /// Of this process, for each message.
    pub cpu_us: f64,
}

/// Puts the load on from `begin`; ends when its time is over and all is answered, or will not be.
pub async fn load(plan: &Plan, begin: Instant) -> Result<Tally, Failure> {
    let tasks = Tasks::root();
    let from = begin + plan.shape.warm;
    let until = from + plan.shape.secs;
    let conns = plan.shape.conns;
    let schedule = plan
        .shape
        .rate
        .map(|rate| Schedule::new(begin, rate, conns));
    let shared = Arc::new(Shared {
        plan: plan.clone(),
        begin,
        counts: Counts::default(),
        schedule: schedule.clone(),
        from,
        until,
    });
    let first = u64::from(plan.first_producer);
    shared.counts.next_producer.store(first, Ordering::Relaxed);
    let cpu_before = report::cpu_time();
    let mut lanes = JoinSet::new();
    for index in 0..conns {
        lanes.spawn(lane::run(Arc::clone(&shared), index as usize));
    }
    if let Some(schedule) = &schedule {
        schedule.announce(until, &tasks)?;
    }
    let (progress, over) = (progress(Arc::clone(&shared)), tasks.token());
    tasks.spawn("progress", async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = progress => {}
        }
    });
    let mut tally = Tally {
        ok: 0,
        refused: 0,
        unanswered: 0,
        first_failure: None,
        last_ack: None,
        slowest: Duration::ZERO,
        refusals: BTreeMap::new(),
        latency: report::histogram(),
        taken: report::histogram(),
        cpu_us: 0.0,
    };
    while let Some(lane) = lanes.join_next().await {
        let lane = lane.map_err(|why| Failure::Impossible(why.to_string()))??;
        tally.latency.add(&lane.latency).expect("the same bounds");
        tally.taken.add(&lane.taken).expect("the same bounds");
        tally.first_failure = tally.first_failure.or(lane.first_failure);
        tally.last_ack = tally.last_ack.max(lane.last_ack);
        tally.slowest = tally.slowest.max(lane.slowest);
        for (code, count) in lane.refusals {
            *tally.refusals.entry(code).or_default() += count;
        }
    }
    if let Some(schedule) = schedule {
        schedule.end();
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let counts = &shared.counts;
    (tally.ok, tally.refused) = (count(&counts.ok), count(&counts.refused));
    tally.unanswered = count(&counts.unanswered);
    let cpu = report::cpu_time().saturating_sub(cpu_before);
    tally.cpu_us = report::per(cpu.as_secs_f64() * 1e6, count(&counts.acked));
    // Only the pace and the progress are left in it, and both end soon.
    tasks.cancel();
    Ok(tally)
}

/// A line each second on stderr.
async fn progress(shared: Arc<Shared>) {
    let begin = shared.begin;
    let mut before = 0;
    for second in 1.. {
        let next = begin + Duration::from_secs(second);
        tokio::time::sleep_until(next.into()).await;
        if next > shared.until {
            return;
        }
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let counts = &shared.counts;
        let acked = count(&counts.acked);
        let warm = if next <= shared.from {
            " (warm-up)"
        } else {
            ""
        };
        report::note(&format!(
            "{second:>4} s  {:>9}/s  acknowledged {acked}  refused {}  unanswered {}{warm}",
            acked - before,
            count(&counts.refused),
            count(&counts.unanswered),
        ));
        before = acked;
    }
}

impl Tally {
    pub fn rate(&self, plan: &Plan) -> f64 {
        report::ratio(self.ok, plan.shape.secs.as_secs_f64())
    }

    pub fn line(&self, plan: &Plan) -> String {
        let shape = &plan.shape;
        let mut line = format!(
            "{} x {} x {} B: {:.0}/s  ok {} refused {} unanswered {}  {}  generator {:.1} us CPU each",
            shape.conns,
            shape.depth,
            shape.size,
            self.rate(plan),
            self.ok,
            self.refused,
            self.unanswered,
            report::latency_line(&self.latency),
            self.cpu_us,
        );
        if let Some(failure) = &self.first_failure {
            line.push_str("\nfirst failure: ");
            line.push_str(failure);
        }
        line
    }

    pub fn to_json(&self, plan: &Plan) -> Value {
        let shape = &plan.shape;
        let rate = self.rate(plan);
        json!({
            "loop": if shape.rate.is_some() { "open" } else { "closed" },
            "conns": shape.conns,
            "depth": shape.depth,
            "rate_wanted": shape.rate,
            "size_bytes": shape.size,
            "secs": shape.secs.as_secs_f64(),
            "rate": rate,
            "mb_per_s": rate * f64::from(shape.size) / 1e6,
            "ok": self.ok,
            "refused": self.refused,
            "unanswered": self.unanswered,
            "first_failure": self.first_failure,
            "refusals": self.refusals,
            "latency_us": report::latency_json(&self.latency),
            "generator_cpu_us": self.cpu_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ser;
    use crate::sink;
    use tokio::net::TcpListener;

    fn plan(addr: &str, rate: Option<f64>) -> Plan {
        Plan {
            run: 1,
            brokers: vec![Broker {
                name: "b".into(),
                addr: addr.into(),
            }],
            topic: "t".into(),
            queues: 4,
            shape: Shape {
                conns: 2,
                depth: 8,
                rate,
                size: 100,
                secs: Duration::from_millis(200),
                warm: Duration::ZERO,
                ser: Ser::Binary,
            },
            first_producer: 0,
            log: None,
            stamped: true,
            choice: Choice::InTurn,
        }
    }

    #[test]
    fn each_queue_of_many_topics_is_sent_to_once_by_all_connections_together() {
        let mut plan = plan("", None);
        plan.choice = Choice::EachOf { topics: 3 };
        let of = |index: u64| {
            (0..).map_while({
                let plan = &plan;
                move |n| plan.to(index, 0, n)
            })
        };
        let mut all: Vec<_> = of(0).chain(of(1)).map(|to| (to.topic, to.queue)).collect();
        all.sort_unstable();
        let expected = (0..3).flat_map(|topic| (0..4).map(move |queue| (Some(topic), queue)));
        assert_eq!(all, expected.collect::<Vec<_>>());
    }

    #[test]
    fn by_chance_all_queues_of_all_topics_are_sent_to() {
        let mut plan = plan("", None);
        plan.choice = Choice::AnyOf { topics: 3 };
        let all: BTreeMap<_, _> = (0..1000)
            .filter_map(|n| plan.to(0, 0, n))
            .map(|to| ((to.topic, to.queue), ()))
            .collect();
        assert_eq!(all.len(), 12);
    }

    #[tokio::test]
    async fn a_closed_loop_counts_every_answer() {
        let tasks = Tasks::root();
        let addr = sink::start("127.0.0.1:0", &tasks).await.unwrap();
        let tally = load(&plan(&addr.to_string(), None), Instant::now())
            .await
            .unwrap();
        assert!(tally.ok > 0 && tally.latency.len() >= tally.ok, "{tally:?}");
        assert_eq!(
            (tally.refused, tally.unanswered, tally.first_failure),
            (0, 0, None)
        );
    }

    #[tokio::test]
    async fn an_open_loop_sends_what_is_due_and_nothing_else() {
        let tasks = Tasks::root();
        let addr = sink::start("127.0.0.1:0", &tasks).await.unwrap();
        let plan = plan(&addr.to_string(), Some(500.0));
        let tally = load(&plan, Instant::now()).await.unwrap();
        assert!((1..=100).contains(&tally.latency.len()), "{tally:?}");
        assert_eq!((tally.refused, tally.unanswered), (0, 0));
    }

    #[tokio::test]
    async fn what_a_broken_connection_leaves_open_is_unanswered_and_not_refused() {
        let tasks = Tasks::root();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tasks.spawn("hangs up", async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.readable().await.unwrap();
            }
        });
        let tally = load(&plan(&addr, None), Instant::now()).await.unwrap();
        assert_eq!((tally.ok, tally.refused), (0, 0));
        assert!(tally.unanswered >= 8, "{tally:?}");
        assert!(tally.first_failure.unwrap().starts_with("connection: "));
    }
}
