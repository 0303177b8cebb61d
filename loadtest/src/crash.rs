//! `gantry standalone` under load, killed at moments that a seed decides, started again and asked
//! for everything it acknowledged. One line of a failure is enough to repeat it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Tasks;
use proto::Text;
use serde::Deserialize;

use crate::command::{Crash, Ser, Shape, Target};
use crate::failure::Failure;
use crate::native::{Found, Plan, load};
use crate::report;
use crate::verify::{self, Log, Verdict};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// After it is ready, it lives for so many milliseconds under load.
const LIVES_MS: std::ops::Range<u64> = 50..2000;
/// So much longer than the process the load goes on.
const OUTLIVES: Duration = Duration::from_millis(100);
const QUEUES: u32 = 16;

/// `loadtest crash`
pub(crate) async fn run(args: &Crash) -> Result<(), Failure> {
    let seed = args
        .seed
        .unwrap_or_else(|| runtime::clock::now_ms().cast_unsigned());
    let done = cycles(args, seed).await;
    if done.is_err() {
        report::note(&format!(
            "to repeat: loadtest crash --gantry {} --dir NEW --cycles {} --seed {seed} --flush {} \
             --conns {} --depth {} --size {} (what is left is in {})",
            args.gantry.display(),
            args.cycles,
            args.flush,
            args.conns,
            args.depth,
            args.size,
            args.dir.display(),
        ));
    }
    done
}

async fn cycles(args: &Crash, seed: u64) -> Result<(), Failure> {
    let is_empty = std::fs::create_dir_all(&args.dir)
        .and_then(|()| std::fs::read_dir(&args.dir))
        .map_err(Failure::io(format!("cannot use {}", args.dir.display())))?
        .next()
        .is_none();
    if !is_empty {
        return Err(Failure::bad_file(&args.dir, "is not empty"));
    }
    let mut moments = Moments(seed);
    let (mut logs, mut starts_ms) = (Vec::new(), Vec::new());
    let mut acknowledged = 0;
    let mut house = House::start(args).await?;
    for cycle in 1..=args.cycles {
        let life = Duration::from_millis(moments.next(LIVES_MS));
        let log = args.dir.join(format!("cycle-{cycle:04}.log"));
        let round = Round {
            seed,
            cycle,
            life,
            log: &log,
        };
        load_and_kill(args, &mut house, &round).await?;
        house = House::start(args).await?;
        starts_ms.push(house.ready_ms);
        let verdict = verify::check(
            std::slice::from_ref(&log),
            Some(house.namesrv.clone()),
            true,
        )
        .await?;
        report::note(&format!(
            "cycle {cycle:>3}  killed after {:>4} ms  back in {:>4.0} ms  {}",
            life.as_millis(),
            house.ready_ms,
            verdict.line()
        ));
        judge(&verdict)?;
        acknowledged += verdict.acknowledged;
        logs.push(log);
    }
    let verdict = verify::check(&logs, Some(house.namesrv.clone()), true).await?;
    judge(&verdict)?;
    report::out(&format!(
        "{} kills, seed {seed}: {}  start p50 {:.0} ms max {:.0} ms",
        args.cycles,
        verdict.line(),
        report::median(starts_ms.clone()),
        starts_ms.iter().fold(0.0_f64, |max, ms| max.max(*ms)),
    ));
    drop(house);
    if acknowledged == 0 {
        return Err(Failure::Impossible(
            "nothing was acknowledged in any cycle".into(),
        ));
    }
    std::fs::remove_dir_all(&args.dir).map_err(Failure::io("cannot remove the folder"))
}

/// Nothing is ever sent twice, so here a duplicate is a fault as well.
fn judge(verdict: &Verdict) -> Result<(), Failure> {
    if verdict.duplicated > 0 {
        return Err(Failure::CheckFailed(verdict.findings.join("; ")));
    }
    verify::judge(verdict)
}

/// One life of the process.
struct Round<'a> {
    seed: u64,
    cycle: u32,
    life: Duration,
    log: &'a Path,
}

async fn load_and_kill(args: &Crash, house: &mut House, round: &Round<'_>) -> Result<(), Failure> {
    let tasks = Tasks::root();
    let target = Target {
        namesrv: house.namesrv.clone(),
        broker: None,
        topic: Text::from_static("crash"),
        queues: QUEUES,
    };
    let shape = Shape {
        conns: args.conns,
        depth: args.depth,
        rate: None,
        size: args.size,
        // The load is still on when the process dies.
        secs: round.life + OUTLIVES,
        warm: Duration::ZERO,
        ser: Ser::Json,
    };
    let found = Found::find(&target, &tasks).await?;
    let mut plan = Plan::new(&found, &shape);
    plan.run = round.seed;
    // A connection that breaks takes another number; there are not that many in one cycle.
    plan.first_producer = round.cycle * 100_000;
    plan.log = Some(Arc::new(Log::create(
        round.log,
        &found.run(round.seed).await?,
    )?));
    let kill = async {
        tokio::time::sleep(round.life).await;
        house.kill()
    };
    let (loaded, killed) = tokio::join!(load(&plan, Instant::now()), kill);
    loaded?;
    killed
}

/// A `gantry standalone` that runs; it dies with its handle.
struct House {
    process: Child,
    namesrv: Text,
    ready_ms: f64,
}

/// Of `ports.json`.
#[derive(Deserialize)]
struct Ports {
    listen: String,
    namesrv: u16,
}

impl House {
    async fn start(args: &Crash) -> Result<Self, Failure> {
        let data: PathBuf = args.dir.join("data");
        let ports = data.join("ports.json");
        // Left behind by the process that was killed.
        drop(std::fs::remove_file(&ports));
        let output = File::options()
            .create(true)
            .append(true)
            .open(args.dir.join("gantry.log"))
            .map_err(Failure::io("cannot write gantry.log"))?;
        let errors = output.try_clone().map_err(Failure::io("gantry.log"))?;
        let begun = Instant::now();
        let process = Command::new(&args.gantry)
            .arg("standalone")
            .arg("--data-dir")
            .arg(&data)
            .args(["--namesrv-port", "0", "--broker-port", "0"])
            .args([
                "--http-port",
                "0",
                "--admin-port",
                "0",
                "--flush",
                &args.flush,
            ])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Failure::io(format!("cannot run {}", args.gantry.display())))?;
        let mut house = Self {
            process,
            namesrv: Text::new(),
            ready_ms: 0.0,
        };
        while begun.elapsed() < START_TIMEOUT {
            if let Ok(text) = std::fs::read(&ports) {
                let read: Ports =
                    serde_json::from_slice(&text).map_err(|why| Failure::bad_file(&ports, why))?;
                house.namesrv = format!("{}:{}", read.listen, read.namesrv).into();
                house.ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
                return Ok(house);
            }
            if let Ok(Some(status)) = house.process.try_wait() {
                let why = format!("gantry ended by itself: {status}; see gantry.log");
                return Err(Failure::CheckFailed(why));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Failure::CheckFailed("gantry was not ready in time".into()))
    }

    fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(drop).map_err(Failure::io("cannot kill gantry"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Killed before, or at its end; either way nobody waits for more.
        drop(self.kill());
    }
}

/// Numbers that a seed decides (splitmix64).
struct Moments(u64);

impl Moments {
    fn next(&mut self, within: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        within.start + mixed % (within.end - within.start).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_moments_and_they_stay_within_bounds() {
        let moments = |seed| -> Vec<_> {
            let mut moments = Moments(seed);
            (0..100).map(|_| moments.next(LIVES_MS)).collect()
        };
        assert_eq!(moments(1), moments(1));
        assert_ne!(moments(1), moments(2));
        assert!(moments(3).iter().all(|ms| LIVES_MS.contains(ms)));
    }
}
