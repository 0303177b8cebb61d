//! `loadtest report`: a broker against the ceiling (the least durable server that can be written,
//! see [`crate::sink`]) and against other brokers, in turn under the same load.
//!
//! Invariant: servers are measured in turn within each round, so that whatever else the machine does
//! meets all of them; only ratios of one run are shown.

mod facts;
mod http;
mod many;
mod plot;
mod reading;
mod results;
mod server;
mod table;

use std::time::{Duration, Instant};

use client::Tasks;
use tempfile::TempDir;

use crate::command::{Flush, Part, Report, Ser, Shape, Target};
use crate::failure::Failure;
use crate::native::{Found, Plan, Tally, load};
use crate::report;
use results::{Case, Results, Sends};
use server::Server;

const SHAPES: [(u32, u32); 4] = [(1, 1), (64, 1), (1, 64), (64, 16)];
const EVERY_DAY: [Part; 3] = [Part::Rates, Part::Sizes, Part::Headers];
const TOPIC: &str = "loadtest";

/// `loadtest report`
pub async fn run(args: &Report) -> Result<(), Failure> {
    let mut results = Results::read(&args.json)?;
    let parts = if args.parts.is_empty() {
        &EVERY_DAY[..]
    } else {
        &args.parts
    };
    for part in parts.iter().filter(|_| args.gantry.is_some()) {
        let done = match part {
            Part::Rates => sends(args, &[1024], Ser::Json, &mut results).await,
            Part::Sizes => sends(args, &[100, 64 << 10], Ser::Json, &mut results).await,
            Part::Headers => sends(args, &[1024], Ser::Binary, &mut results).await,
            Part::Consumer => facts::consumer(args, &mut results).await,
            Part::Stalls => facts::stalls(args, &mut results).await,
            Part::Http => http::publish(args, &mut results).await,
            Part::Start => facts::start(args, &mut results).await,
            Part::Pulls => reading::cached(args, &mut results).await,
            Part::Cold => reading::cold(args, &mut results).await,
            Part::Backlog => many::backlog(args, &mut results).await,
            Part::Topics => many::topics(args, &mut results).await,
        };
        // What was measured before it failed is kept.
        results.write(&args.json)?;
        done?;
    }
    report::out(&table::markdown(&results));
    if let Some(path) = &args.svg {
        let failed = Failure::io(format!("cannot write {}", path.display()));
        std::fs::write(path, plot::svg(&results)).map_err(failed)?;
    }
    Ok(())
}

fn flushes(args: &Report) -> Vec<Flush> {
    match args.flush.as_slice() {
        [] => vec![Flush::Sync, Flush::Async],
        named => named.to_vec(),
    }
}

fn fresh_folder(args: &Report) -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new()
        .prefix("report-")
        .tempdir_in(&args.dir);
    made.map_err(Failure::io(format!(
        "cannot make a folder in {}",
        args.dir.display()
    )))
}

fn shape_of(args: &Report, case: &Case) -> Shape {
    Shape {
        conns: case.conns,
        depth: case.depth,
        rate: None,
        size: case.size,
        secs: args.secs,
        warm: args.warm,
        ser: case.ser,
    }
}

async fn sends(
    args: &Report,
    sizes: &[u32],
    ser: Ser,
    results: &mut Results,
) -> Result<(), Failure> {
    for flush in flushes(args) {
        // The ceiling's file is made once for both modes.
        let folder = fresh_folder(args)?;
        let mut servers = vec![Server::ceiling(&args.dir, flush)?];
        if let Some(binary) = &args.gantry {
            servers.push(Server::gantry(binary, folder.path(), flush)?);
        }
        servers.extend(args.other.iter().map(Server::running));
        for server in &servers {
            // Whoever begins slowly is given the time.
            let size = sizes.first().copied().unwrap_or(1024);
            let case = Case {
                flush,
                conns: 16,
                depth: 16,
                size,
                ser,
            };
            sample(args, server, &case).await?;
        }
        for &size in sizes {
            for (conns, depth) in SHAPES {
                let case = Case {
                    flush,
                    conns,
                    depth,
                    size,
                    ser,
                };
                for sends in rounds(args, &servers, &case).await? {
                    results.put_sends(sends);
                }
            }
        }
        for server in servers {
            server.stop()?;
        }
    }
    Ok(())
}

async fn rounds(args: &Report, servers: &[Server], case: &Case) -> Result<Vec<Sends>, Failure> {
    let mut samples: Vec<Vec<Sends>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            samples.push(sample(args, server, case).await?);
        }
    }
    let medians = samples.into_iter().zip(servers).map(|(samples, server)| {
        let median = |of: fn(&Sends) -> f64| report::median(samples.iter().map(of).collect());
        Sends {
            case: *case,
            who: server.name.clone(),
            rate: median(|sends| sends.rate),
            p99_us: median(|sends| sends.p99_us),
            cpu_us: median(|sends| sends.cpu_us),
            refused: samples.iter().map(|sends| sends.refused).sum(),
        }
    });
    Ok(medians.collect())
}

async fn sample(args: &Report, server: &Server, case: &Case) -> Result<Sends, Failure> {
    let tasks = Tasks::root();
    let target = Target::broker(server.broker.clone(), TOPIC.into());
    let found = Found::find(&target, &tasks).await?;
    let plan = Plan::new(&found, &shape_of(args, case));
    let (tally, cpu_us) = measured(server, &plan).await?;
    tasks.cancel();
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    Ok(Sends {
        case: *case,
        who: server.name.clone(),
        rate: tally.rate(&plan),
        p99_us: tally.latency.value_at_quantile(0.99) as f64,
        cpu_us,
        refused: tally.refused,
    })
}

/// Puts a load on; says also the server's processor time for each message, in microseconds.
async fn measured(server: &Server, plan: &Plan) -> Result<(Tally, f64), Failure> {
    let begin = Instant::now();
    let from = begin + plan.shape.warm;
    let cpu = cpu_between(server, from, from + plan.shape.secs);
    let (tally, cpu) = tokio::join!(load(plan, begin), cpu);
    let tally = tally?;
    report::note(&format!("{}  {}", server.name, tally.line(plan)));
    if tally.ok == 0 {
        let why = format!("{} acknowledged nothing", server.name);
        return Err(Failure::Impossible(why));
    }
    let cpu_us = report::per(cpu.as_secs_f64() * 1e6, tally.ok);
    Ok((tally, cpu_us))
}

async fn cpu_between(server: &Server, from: Instant, until: Instant) -> Duration {
    tokio::time::sleep_until(from.into()).await;
    let before = server.cpu_time();
    tokio::time::sleep_until(until.into()).await;
    server.cpu_time().saturating_sub(before)
}
