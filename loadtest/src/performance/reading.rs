//! Reading: pulls from the page cache to another broker's, and from the disk to plain reading of the
//! log's files.
//!
//! Invariant: a file is flushed before it is dropped from the page cache, for only then it leaves.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::Tasks;
use rustix::fs::Advice;

use super::facts::{found, put, send_1_kib};
use super::results::{Goal, Results};
use super::server::Server;
use super::{cpu_between, fresh_folder};
use crate::command::{Flush, Report};
use crate::failure::Failure;
use crate::native::{Found, Pulled, Pulls, SLOTS, Walk};
use crate::report;

/// What is read again and again.
const CACHED_BYTES: u64 = 256 << 20;
/// More than two files of the log.
const COLD_BYTES: u64 = 2 << 30;
/// Longer than all of it takes to read.
const READ_MAX: Duration = Duration::from_secs(600);

/// What pulls are like in the seconds that count.
pub(super) struct Rate {
    /// Messages a second.
    pub(super) rate: f64,
    /// Of the server, for each message.
    cpu_us: f64,
}

/// Pulls with `conns` connections; says what came of it.
pub(super) async fn pull(
    args: &Report,
    server: &Server,
    found: &Found,
    conns: u32,
    walk: Walk,
) -> Result<Rate, Failure> {
    let from = Instant::now() + args.warm;
    let until = from + args.secs;
    let pulls = pulls(server, found, conns, walk, from..until);
    let own_cpu_before = report::cpu_time();
    let cpu = cpu_between(server, from, until);
    let (pulled, cpu) = tokio::join!(pulls.run(), cpu);
    let pulled: Pulled = pulled?;
    let own_cpu = report::cpu_time()
        .saturating_sub(own_cpu_before)
        .as_secs_f64();
    let rate = Rate {
        rate: report::ratio(pulled.messages, args.secs.as_secs_f64()),
        cpu_us: report::per(cpu.as_secs_f64() * 1e6, pulled.messages),
    };
    report::note(&format!(
        "{}  pulls on {conns} connections: {:.0} messages/s  {:.2} us CPU each  generator {own_cpu:.1} s CPU in all",
        server.name, rate.rate, rate.cpu_us
    ));
    Ok(rate)
}

fn pulls(
    server: &Server,
    found: &Found,
    conns: u32,
    walk: Walk,
    counted: std::ops::Range<Instant>,
) -> Pulls {
    Pulls {
        addr: server.broker.clone(),
        topic: found.topic.clone(),
        queues: found.queues,
        conns,
        walk,
        from: counted.start,
        until: counted.end,
    }
}

/// From the page cache, to each other broker.
pub(super) async fn cached(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let folder = fresh_folder(args)?;
    let mut servers = vec![Server::gantry(binary, folder.path(), Flush::Async)?];
    servers.extend(args.other.iter().map(Server::running));
    // Another broker may have been measured before.
    let topic = format!("pulls-{}", std::process::id());
    let mut subjects = Vec::new();
    for server in &servers {
        let tasks = Tasks::root();
        let found = found(server, &topic, SLOTS, &tasks).await?;
        send_1_kib(args, &found, CACHED_BYTES).await?;
        tasks.cancel();
        // Whoever begins slowly is given the time.
        for conns in [8, 2, 1] {
            pull(args, server, &found, conns, Walk::Around).await?;
        }
        subjects.push((server, found));
    }
    for conns in [1, 2, 8] {
        let mut samples: Vec<Vec<Rate>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..args.rounds {
            for ((server, found), samples) in subjects.iter().zip(&mut samples) {
                samples.push(pull(args, server, found, conns, Walk::Around).await?);
            }
        }
        let median = |samples: &[Rate], of: fn(&Rate) -> f64| {
            report::median(samples.iter().map(of).collect())
        };
        let Some((ours, others)) = samples.split_first() else {
            continue;
        };
        for (theirs, other) in others.iter().zip(&args.other) {
            let [rate, cpu] = [|rate: &Rate| rate.rate, |rate: &Rate| rate.cpu_us]
                .map(|of: fn(&Rate) -> f64| median(ours, of) / median(theirs, of));
            let which = format!(
                "from the page cache, connections: {conns}, to {}",
                other.name
            );
            let what = format!("Pulls of 32 {which}");
            put(results, &what, rate, "", Some(Goal::AtLeast(2.0)));
            let what = format!("CPU of the server for each message pulled {which}");
            put(results, &what, cpu, "", None);
        }
    }
    if args.other.is_empty() {
        report::note("pulls from the page cache are compared only with an --other");
    }
    servers.into_iter().try_for_each(Server::stop)
}

/// From the disk, each round by a server that has just been started, to reading the log's files.
pub(super) async fn cold(args: &Report, results: &mut Results) -> Result<(), Failure> {
    let Some(binary) = &args.gantry else {
        return Ok(());
    };
    let folder = fresh_folder(args)?;
    let again = || Server::gantry(binary, folder.path(), Flush::Async);
    let server = again()?;
    let tasks = Tasks::root();
    let found = found(&server, super::TOPIC, SLOTS, &tasks).await?;
    send_1_kib(args, &found, COLD_BYTES).await?;
    tasks.cancel();
    server.stop()?;
    let files = log_files(folder.path())?;
    // The last one is not full: what is not written is not read from the disk.
    let full = files.split_last().map_or(&[][..], |(_, full)| full);
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        let server = again()?;
        drop_from_page_cache(&files)?;
        let begin = Instant::now();
        let counted = begin..begin + READ_MAX;
        let pulled = pulls(&server, &found, SLOTS, Walk::Once, counted)
            .run()
            .await?;
        let pulls = report::ratio(pulled.bytes, begin.elapsed().as_secs_f64());
        server.stop()?;
        drop_from_page_cache(&files)?;
        let begin = Instant::now();
        let plain = report::ratio(read_through(full)?, begin.elapsed().as_secs_f64());
        report::note(&format!(
            "round {round}  cold pulls {:.0} MB/s  plain reading {:.0} MB/s",
            pulls / 1e6,
            plain / 1e6
        ));
        ratios.push(pulls / plain);
    }
    let what = "Cold pulls, 8 queues, to reading the files of the log in pieces of 1 MiB";
    let goal = Some(Goal::AtLeast(0.8));
    put(results, what, report::median(ratios), "", goal);
    Ok(())
}

/// The oldest first.
pub(super) fn log_files(store: &Path) -> Result<Vec<PathBuf>, Failure> {
    let folder = store.join("store/commitlog");
    let failed = || Failure::io(format!("cannot list {}", folder.display()));
    let entries = std::fs::read_dir(&folder).map_err(failed())?;
    let files: Result<Vec<_>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut files = files.map_err(failed())?;
    files.retain(|path| path.is_file());
    files.sort_unstable();
    Ok(files)
}

fn drop_from_page_cache(files: &[PathBuf]) -> Result<(), Failure> {
    files.iter().try_for_each(|path| {
        let failed = || Failure::io(format!("cannot drop {}", path.display()));
        let file = File::open(path).map_err(failed())?;
        file.sync_all().map_err(failed())?;
        let dropped = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        dropped.map_err(|error| failed()(error.into()))
    })
}

/// Reads all of them as `dd bs=1M` does; says how many bytes that were.
pub(super) fn read_through(files: &[PathBuf]) -> Result<u64, Failure> {
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    for path in files {
        let failed = || Failure::io(format!("cannot read {}", path.display()));
        let mut file = File::open(path).map_err(failed())?;
        loop {
            match file.read(&mut piece).map_err(failed())? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_log_are_read_from_the_oldest_on_also_when_they_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("store/commitlog");
        std::fs::create_dir_all(log.join("not-a-file")).unwrap();
        for (name, bytes) in [
            ("00000000001073741824", 5),
            ("00000000000000000000", 3 << 20),
        ] {
            std::fs::write(log.join(name), vec![7; bytes]).unwrap();
        }
        let files = log_files(folder.path()).unwrap();
        assert_eq!(
            files,
            ["00000000000000000000", "00000000001073741824"].map(|name| log.join(name))
        );
        drop_from_page_cache(&files).unwrap();
        assert_eq!(read_through(&files).unwrap(), 5 + (3 << 20));
    }
}
