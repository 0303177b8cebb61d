//! Much of something: a queue that nobody reads, and topics.

use std::time::{Duration, Instant};

use client::Tasks;

use super::facts::{SETTLE, found, put};
use super::reading::{log_files, pull, read_through};
use super::results::{Goal, Results};
use super::server::Server;
use super::{TOPIC, fresh_folder, measured};
use crate::command::{Flush, Report, Ser, Shape};
use crate::failure::Failure;
use crate::native::{Choice, Found, Plan, SLOTS, Walk, load};
use crate::report;

/// The first of many topics, which are numbered by the end of their name.
const FIRST: &str = "many-00000";
const QUEUES: u32 = 4;
/// Or creating them would take minutes.
const CREATIONS: &str = "maxAdminRequestsPerSecond=1000000";
const AS_FAST: Option<Goal> = Some(Goal::AtLeast(0.95));
/// The newest messages, and as many of the oldest.
const NEAR: u64 = 10_000;
/// Longer than the first message of each queue takes.
const FIRST_MAX: Duration = Duration::from_secs(3600);
/// Topics created between two lines of progress.
const PROGRESS: u32 = 5_000;

fn shape(args: &Report, (conns, depth): (u32, u32), size: u32) -> Shape {
    Shape {
        conns,
        depth,
        rate: None,
        size,
        secs: args.secs,
        warm: args.warm,
        ser: Ser::Json,
    }
}

/// One queue of 100-byte messages that nobody reads: sending behind them, and reading them.
pub(super) async fn backlog(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let (full_folder, empty_folder) = (fresh_folder(args)?, fresh_folder(args)?);
    let full = Server::gantry(binary, full_folder.path(), Flush::Async)?;
    let empty = Server::gantry(binary, empty_folder.path(), Flush::Async)?;
    let tasks = Tasks::root();
    let of_full = found(&full, TOPIC, 1, &tasks).await?;
    let of_empty = found(&empty, TOPIC, 1, &tasks).await?;
    let count = args.backlog;
    let mut stored = 0;
    while stored < count {
        let mut plan = Plan::new(&of_full, &shape(args, (8, 64), 100));
        plan.shape.warm = Duration::ZERO;
        load(&plan, Instant::now()).await?;
        stored = end_of(&of_full).await?;
        report::note(&format!("{stored} of {count} messages are in the queue"));
    }
    for (conns, depth) in [(64, 1), (8, 64)] {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..args.rounds {
            let servers = [(&full, &of_full), (&empty, &of_empty)];
            for ((server, found), rates) in servers.into_iter().zip(&mut rates) {
                let plan = Plan::new(found, &shape(args, (conns, depth), 100));
                rates.push(measured(server, &plan).await?.0.rate(&plan));
            }
        }
        let [full, empty] = rates.map(report::median);
        let what = format!("Send rate with {count} messages in the queue and nobody reading");
        let what = format!("{what}, to an empty store's, {conns} x {depth}");
        put(results, &what, full / empty, "", AS_FAST);
    }
    empty.stop()?;
    // All in memory, so that only the place differs.
    read_through(&log_files(full_folder.path())?)?;
    read_anywhere(args, &full, &of_full, results).await?;
    tasks.cancel();
    full.stop()
}

async fn end_of(found: &Found) -> Result<u64, Failure> {
    let queues = found.all_queues();
    let Some((_, queue)) = queues.first() else {
        return Ok(0);
    };
    Ok(found.client.max_offset(queue).await?.cast_unsigned())
}

/// Pulls of 8 connections at offsets by chance: among the newest, among the oldest, and anywhere.
async fn read_anywhere(
    args: &Report,
    server: &Server,
    found: &Found,
    results: &mut Results,
) -> Result<(), Failure> {
    let end = end_of(found).await?;
    let near = NEAR.min(end / 10);
    let places = [end - near..end, 0..near, 0..end];
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (place, rates) in places.iter().zip(&mut rates) {
            let walk = Walk::Within(place.clone());
            rates.push(pull(args, server, found, SLOTS, walk).await?.rate);
        }
    }
    let [newest, oldest, anywhere] = rates.map(report::median);
    let what = format!("Pulls at offsets among the oldest {near}, to the newest {near}, in memory");
    put(results, &what, oldest / newest, "", AS_FAST);
    let what = format!("Pulls at offsets anywhere, to the newest {near}, in memory");
    put(results, &what, anywhere / newest, "", AS_FAST);
    Ok(())
}

/// Sends to all queues of many topics, chosen by chance, to sends to those of one.
pub(super) async fn topics(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let folder = fresh_folder(args)?;
    let again = || Server::gantry_with(&[CREATIONS], binary, folder.path(), Flush::Async);
    let server = again()?;
    let tasks = Tasks::root();
    let found = found(&server, FIRST, QUEUES, &tasks).await?;
    let plan = |choice| {
        let mut plan = Plan::new(&found, &shape(args, (8, 16), 1024));
        plan.choice = choice;
        plan
    };
    let topics = args.topics;
    measured(&server, &plan(Choice::AnyOf { topics: 1 })).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.memory_mb("RssAnon");
    let names = (1..topics).map(|number| {
        if number % PROGRESS == 0 {
            report::note(&format!("{number} of {topics} topics are created"));
        }
        format!("{}{number:05}", FIRST.trim_end_matches('0')).into()
    });
    found.create_all(&server.broker, names, &tasks).await?;
    let mut first = plan(Choice::EachOf { topics });
    (first.shape.warm, first.shape.secs) = (Duration::ZERO, FIRST_MAX);
    load(&first, Instant::now()).await?;
    tokio::time::sleep(SETTLE).await;
    let more_kb = (server.memory_mb("RssAnon") - before) * 1024.0;
    let queues = topics * QUEUES;
    let mut rates = [Vec::new(), Vec::new()];
    let mut cpu = [Vec::new(), Vec::new()];
    for _ in 0..args.rounds {
        for (at, topics) in [topics, 1].into_iter().enumerate() {
            let plan = plan(Choice::AnyOf { topics });
            let (tally, cpu_us) = measured(&server, &plan).await?;
            rates[at].push(tally.rate(&plan));
            cpu[at].push(cpu_us);
        }
    }
    tasks.cancel();
    let [many, one] = rates.map(report::median);
    let what = format!("Send rate to {topics} topics x {QUEUES} queues, to one topic's");
    put(results, &what, many / one, "", Some(Goal::AtLeast(0.8)));
    let [many, one] = cpu.map(report::median);
    let what = format!("CPU of the server for each message to {topics} topics, to that with one");
    put(results, &what, many / one, "", None);
    let what = format!("Memory of its own for each of these {queues} queues");
    put(results, &what, more_kb / f64::from(queues), "KB", None);
    server.stop()?;
    let server = again()?;
    let what = format!("Start to ready after a clean stop, {queues} queues");
    put(
        results,
        &what,
        server.ready_ms.unwrap_or(f64::NAN),
        "ms",
        None,
    );
    server.stop()
}
