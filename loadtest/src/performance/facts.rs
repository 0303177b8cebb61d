//! What is not a ratio to the ceiling: consumers, stalls, start times, memory.

use std::time::{Duration, Instant};

use client::Tasks;

use super::results::{Case, Fact, Goal, Results};
use super::server::Server;
use super::table::flush_word;
use super::{TOPIC, fresh_folder, shape_of};
use crate::command::{Flush, Report, Ser, Target};
use crate::failure::Failure;
use crate::native::{Found, Plan, load, load_and_receive};
use crate::report;

const QUEUES: u32 = 16;
/// How much log a start has to look at.
const LOG_BYTES: u64 = 2 << 30;
/// How long a server that has nothing to do is left alone before its memory is read.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

fn case(flush: Flush, depth: u32) -> Case {
    Case {
        flush,
        conns: 64,
        depth,
        size: 1024,
        ser: Ser::Json,
    }
}

pub(super) fn put(results: &mut Results, what: &str, value: f64, unit: &str, goal: Option<Goal>) {
    report::note(&format!("{what}: {value:.2} {unit}"));
    results.put_fact(Fact {
        what: what.into(),
        value,
        unit: unit.into(),
        goal,
    });
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn quantile_us(latency: &hdrhistogram::Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64
}

/// A topic of a server, found as its clients find it if it has a name server.
pub(super) async fn found(
    server: &Server,
    topic: &str,
    queues: u32,
    tasks: &Tasks,
) -> Result<Found, Failure> {
    let mut target = Target::broker(server.broker.clone(), topic.into());
    target.queues = queues;
    if let Some(namesrv) = &server.namesrv {
        target.broker = None;
        target.namesrv = namesrv.clone();
    }
    Found::find(&target, tasks).await
}

/// 64 x 1, sync flush, with somebody who long-polls all queues, and without.
pub(super) async fn consumer(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let folder = fresh_folder(args)?;
    let server = Server::gantry(binary, folder.path(), Flush::Sync)?;
    let tasks = Tasks::root();
    let found = found(&server, TOPIC, QUEUES, &tasks).await?;
    let plan = |depth| Plan::new(&found, &shape_of(args, &case(Flush::Sync, depth)));
    load(&plan(16), Instant::now()).await?;
    let (mut alone, mut together, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let plan = plan(1);
        alone.push(load(&plan, Instant::now()).await?.rate(&plan));
        let (tally, received) = load_and_receive(&found, plan.clone()).await?;
        together.push(tally.rate(&plan));
        times.push(quantile_us(&received, 0.99) / quantile_us(&tally.latency, 0.99));
    }
    tasks.cancel();
    let rate = report::median(together) / report::median(alone);
    let what = "Send rate with a consumer that keeps up, to the rate without, 64 x 1, sync";
    put(results, what, rate, "", Some(Goal::AtLeast(0.7)));
    let what = "From send to delivery, p99, to the send's own p99, in the same runs";
    put(
        results,
        what,
        report::median(times),
        "",
        Some(Goal::AtMost(2.0)),
    );
    server.stop()
}

/// The longest waits at half of the rate that 64 connections reach.
pub(super) async fn stalls(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    for flush in super::flushes(args) {
        let folder = fresh_folder(args)?;
        let server = Server::gantry(binary, folder.path(), flush)?;
        let tasks = Tasks::root();
        let found = found(&server, TOPIC, QUEUES, &tasks).await?;
        let mut plan = Plan::new(&found, &shape_of(args, &case(flush, 1)));
        load(&plan, Instant::now()).await?;
        let rate = load(&plan, Instant::now()).await?.rate(&plan);
        plan.shape.rate = Some(rate / 2.0);
        plan.shape.depth = 16;
        plan.shape.secs *= 4;
        let (mut slow, mut slowest) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            let tally = load(&plan, Instant::now()).await?;
            slow.push(quantile_us(&tally.latency, 0.999) / 1000.0);
            slowest.push(quantile_us(&tally.latency, 1.0) / 1000.0);
        }
        tasks.cancel();
        let word = flush_word(flush);
        let what = format!("p99.9 at half of the 64 x 1 rate, {word}");
        put(
            results,
            &what,
            report::median(slow),
            "ms",
            Some(Goal::AtMost(20.0)),
        );
        let what = format!("The longest wait of each such run, median, {word}");
        put(results, &what, report::median(slowest), "ms", None);
        server.stop()?;
    }
    Ok(())
}

/// Start times and memory, on an empty folder and with a log.
pub(super) async fn start(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let mut empty = Vec::new();
    for _ in 0..args.rounds {
        let folder = fresh_folder(args)?;
        let server = Server::gantry(binary, folder.path(), Flush::Sync)?;
        empty.extend(server.ready_ms);
        server.stop()?;
    }
    let goal = |most| Some(Goal::AtMost(most));
    let what = "Start to ready, empty folder";
    put(results, what, report::median(empty), "ms", goal(100.0));

    let folder = fresh_folder(args)?;
    let again = || Server::gantry(binary, folder.path(), Flush::Sync);
    memory(args, again()?, results).await?;
    let (mut clean, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        let server = again()?;
        clean.extend(server.ready_ms);
        let tasks = Tasks::root();
        send_1_kib(args, &found(&server, TOPIC, QUEUES, &tasks).await?, 0).await?;
        drop(server);
        tasks.cancel();
        let server = again()?;
        killed.extend(server.ready_ms);
        server.stop()?;
    }
    let what = "Start to ready after a clean stop, 2 GiB and more of log";
    put(results, what, report::median(clean), "ms", goal(200.0));
    let what = "Start to ready after `kill -9` right behind full load, 2 GiB and more of log";
    put(results, what, report::median(killed), "ms", goal(500.0));
    Ok(())
}

/// Sends `LOG_BYTES` and stops the server.
async fn memory(args: &Report, server: Server, results: &mut Results) -> Result<(), Failure> {
    tokio::time::sleep(SETTLE).await;
    let resident = server.memory_mb("VmRSS");
    let goal = Some(Goal::AtMost(25.0));
    put(results, "Resident when idle", resident, "MB", goal);
    let idle = server.memory_mb("RssAnon");
    let tasks = Tasks::root();
    let found = found(&server, TOPIC, QUEUES, &tasks).await?;
    send_1_kib(args, &found, LOG_BYTES).await?;
    tasks.cancel();
    tokio::time::sleep(SETTLE).await;
    let more = server.memory_mb("RssAnon") - idle;
    let what = "Memory of its own (not mapped files) after 2 GiB, beyond that when idle";
    put(results, what, more, "MB", None);
    server.stop()
}

/// Loads again and again until so many bytes are acknowledged, at least once.
pub(super) async fn send_1_kib(args: &Report, found: &Found, bytes: u64) -> Result<(), Failure> {
    let plan = Plan::new(found, &shape_of(args, &case(Flush::Sync, 16)));
    let mut sent = 0;
    loop {
        sent += load(&plan, Instant::now()).await?.ok * u64::from(plan.shape.size);
        if sent >= bytes {
            return Ok(());
        }
    }
}
