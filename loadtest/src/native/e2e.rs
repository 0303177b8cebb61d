//! From the moment a message was due to the moment a long poll brought it back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Pull as Ask, Queue, Tasks};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::load::{Plan, Tally, load};
use super::payload::{PAYLOAD_BYTES, Payload};
use super::target::Found;
use crate::command::Send;
use crate::failure::Failure;
use crate::report;

/// How long one poll waits, and how long the last messages are waited for.
const WAIT: Duration = Duration::from_secs(2);

/// What the readers have in common.
#[derive(Debug)]
struct Received {
    run: u64,
    begin: Instant,
    from: Instant,
    until: Instant,
    latency: Mutex<Histogram<u64>>,
}

pub(super) async fn run(args: &Send) -> Result<(), Failure> {
    if args.verify || args.log.is_some() {
        let why = "--verify and --log go with `native send`";
        return Err(Failure::Impossible(why.into()));
    }
    let tasks = Tasks::root();
    let found = Found::find(&args.target, &tasks).await?;
    let plan = Plan::new(&found, &args.shape);
    let (tally, latency) = load_and_receive(&found, plan.clone()).await?;
    report::out(&format!("sent      {}", tally.line(&plan)));
    report::out(&format!(
        "received  {} {}",
        latency.len(),
        report::latency_line(&latency)
    ));
    let mut result = tally.to_json(&plan);
    result["received"] = latency.len().into();
    result["end_to_end_us"] = report::latency_json(&latency);
    report::write_json(args.json.as_deref(), &result)?;
    if latency.is_empty() {
        return Err(Failure::Impossible("nothing was received".into()));
    }
    Ok(())
}

/// Puts the load on while long polls on all queues bring it back; gives the times that took.
pub async fn load_and_receive(
    found: &Found,
    mut plan: Plan,
) -> Result<(Tally, Histogram<u64>), Failure> {
    plan.stamped = true;
    plan.shape.size = plan.shape.size.max(PAYLOAD_BYTES as u32);
    let starts = found.run(plan.run).await?.starts;
    let begin = Instant::now();
    let from = begin + plan.shape.warm;
    let received = Arc::new(Received {
        run: plan.run,
        begin,
        from,
        until: from + plan.shape.secs,
        latency: Mutex::new(report::histogram()),
    });
    let mut readers = JoinSet::new();
    for ((_, queue), start) in found.all_queues().into_iter().zip(starts) {
        let (client, received) = (found.client.clone(), Arc::clone(&received));
        readers.spawn(async move { read(&client, queue, start.offset, &received).await });
    }
    let tally = load(&plan, begin).await?;
    while let Some(reader) = readers.join_next().await {
        reader.map_err(|why| Failure::Impossible(why.to_string()))??;
    }
    let latency = received.latency.lock().clone();
    Ok((tally, latency))
}

async fn read(
    client: &Client,
    queue: Queue,
    start: u64,
    received: &Received,
) -> Result<(), Failure> {
    let mut ask = Ask::new("loadtest", queue, start.cast_signed());
    ask.wait = WAIT;
    loop {
        let pulled = client.pull(&ask).await?;
        let now = Instant::now();
        let mut latency = received.latency.lock();
        for message in &pulled.messages {
            let payload = Payload::read(&message.body);
            let Some(payload) = payload.filter(|payload| payload.run == received.run) else {
                continue;
            };
            let due = received.begin + Duration::from_nanos(payload.due_ns);
            if due >= received.from && due < received.until {
                report::record(&mut latency, now.saturating_duration_since(due));
            }
        }
        drop(latency);
        let at_end = pulled.messages.is_empty() && pulled.next_offset <= ask.offset;
        if now >= received.until && at_end {
            return Ok(());
        }
        ask.offset = pulled.next_offset;
    }
}
