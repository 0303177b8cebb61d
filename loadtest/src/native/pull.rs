//! Reading a topic as fast as it comes: every connection takes its queues in turn, from the first
//! message to the last and over again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use client::{Client, Config, Pull as Ask, Queue, Tasks};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;

use crate::command::Pull;
use crate::failure::Failure;
use crate::report;

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
}

pub(super) async fn run(args: &Pull) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let config = match &args.target.broker {
        None => Config::new([args.target.namesrv.clone()]),
        Some(_) => {
            let why = "pulling finds the queues through --namesrv";
            return Err(Failure::Impossible(why.into()));
        }
    };
    let first = Client::connect(config.clone(), &tasks);
    let queues = first.queues(args.target.topic.clone()).await?;
    let counts = Arc::new(Counts::default());
    let until = Instant::now() + args.secs;
    let mut readers = JoinSet::new();
    for at in 0..args.conns as usize {
        let of_this = queues.iter().skip(at).step_by(args.conns as usize).cloned();
        let queues: Vec<_> = of_this.collect();
        let client = Client::connect(config.clone(), &tasks);
        let (counts, batch) = (Arc::clone(&counts), args.batch);
        readers.spawn(async move { read(&client, &queues, batch, &counts, until).await });
    }
    let mut latency = report::histogram();
    while let Some(reader) = readers.join_next().await {
        let reader = reader.map_err(|why| Failure::Impossible(why.to_string()))??;
        latency.add(&reader).expect("the same bounds");
    }
    let messages = counts.messages.load(Ordering::Relaxed);
    let secs = args.secs.as_secs_f64();
    let rate = report::ratio(messages, secs);
    let mb_per_s = report::ratio(counts.bytes.load(Ordering::Relaxed), secs * 1e6);
    report::out(&format!(
        "pull {} x {}: {rate:.0} messages/s  {mb_per_s:.1} MB/s  each pull {}",
        args.conns,
        args.batch,
        report::latency_line(&latency),
    ));
    let result = json!({
        "conns": args.conns,
        "batch": args.batch,
        "rate": rate,
        "mb_per_s": mb_per_s,
        "messages": messages,
        "pull_latency_us": report::latency_json(&latency),
    });
    report::write_json(args.json.as_deref(), &result)?;
    if messages == 0 {
        return Err(Failure::Impossible("the topic has no messages".into()));
    }
    Ok(())
}

async fn read(
    client: &Client,
    queues: &[Queue],
    batch: i32,
    counts: &Counts,
    until: Instant,
) -> Result<Histogram<u64>, Failure> {
    let mut latency = report::histogram();
    let mut empty_rounds = 0;
    while empty_rounds < 2 && !queues.is_empty() {
        empty_rounds += 1;
        for queue in queues {
            let mut ask = Ask::new("loadtest", queue.clone(), client.min_offset(queue).await?);
            ask.messages_max = batch;
            loop {
                let asked = Instant::now();
                if asked >= until {
                    return Ok(latency);
                }
                let pulled = client.pull(&ask).await?;
                report::record(&mut latency, asked.elapsed());
                let bytes: usize = pulled
                    .messages
                    .iter()
                    .map(|message| message.body.len())
                    .sum();
                counts
                    .messages
                    .fetch_add(pulled.messages.len() as u64, Ordering::Relaxed);
                counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                if !pulled.messages.is_empty() {
                    empty_rounds = 0;
                }
                if pulled.next_offset <= ask.offset || pulled.next_offset >= pulled.max_offset {
                    break;
                }
                ask.offset = pulled.next_offset;
            }
        }
    }
    Ok(latency)
}
