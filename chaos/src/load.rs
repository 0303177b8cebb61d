//! Load on a house, with a log of what was acknowledged, and its check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Tasks;
use loadtest::command::{Ser, Shape, Target};
use loadtest::native::{self, Found, Tally};
use loadtest::verify::{self, Log, Verdict};
use proto::Text;

use crate::course::{Course, Stop};
use crate::house::House;

const QUEUES: u32 = 16;
/// A connection that breaks takes another number; there are not that many in one cycle.
const PRODUCERS_A_CYCLE: u32 = 100_000;

/// What is sent: from so many connections, each to all queues in turn.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) topic: Text,
    pub(crate) shape: Shape,
}

impl Load {
    /// 8 connections with 16 messages of 1 KiB in flight on each, for `secs`.
    pub(crate) fn new(secs: Duration) -> Self {
        Self {
            topic: Text::from_static("chaos"),
            shape: Shape {
                conns: 8,
                depth: 16,
                rate: None,
                size: 1024,
                secs,
                warm: Duration::ZERO,
                ser: Ser::Json,
            },
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
        let log = log_path(course, course.cycle);
        plan.log = Some(Arc::new(Log::create(&log, &found.run(course.seed).await?)?));
        Ok(Ready { plan, log })
    }
}

/// A load that has everything it needs.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) plan: native::Plan,
    pub(crate) log: PathBuf,
}

impl Ready {
    /// Until its time is over, whatever the server does.
    pub(crate) async fn put_on(&self) -> Result<Tally, Stop> {
        Ok(native::load(&self.plan, Instant::now()).await?)
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
    if verdict.duplicated > 0 || !verdict.holds() {
        let findings = verdict.findings.join("; ");
        return Err(Stop::Failed(format!("{}: {findings}", verdict.line())));
    }
    Ok(verdict)
}

/// [`check`] of one log, counted in the course.
pub(crate) async fn check_one(
    course: &mut Course,
    log: &Path,
    house: &House,
) -> Result<Verdict, Stop> {
    let verdict = verify::check(&[log.to_owned()], Some(house.namesrv()), true).await?;
    course.figures.add(&verdict);
    if verdict.duplicated > 0 || !verdict.holds() {
        let findings = verdict.findings.join("; ");
        return Err(Stop::Failed(format!("{}: {findings}", verdict.line())));
    }
    Ok(verdict)
}
