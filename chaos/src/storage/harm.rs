//! S13: somebody else takes files of a running broker away, or they cannot be read any more. It ends
//! with a sentence that names file and offset; nobody gets bytes that nobody sent.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::{Client, Config, Pull, Tasks};

use crate::course::{Course, STUCK, Stop, must};
use crate::house::{House, Plan};
use crate::load::Load;
use crate::shim::{Call, EIO, Fault, Shim};

const FAILED: i32 = 70;
/// Queues are written each second: then they are read from their files.
const SETTLES: Duration = Duration::from_millis(2500);

#[derive(Clone, Copy, Debug)]
enum Harm {
    ShortenActive,
    ShortenOld,
    RemoveActive,
    RemoveOld,
    UnreadableQueue,
}

const HARMS: [Harm; 5] = [
    Harm::ShortenActive,
    Harm::ShortenOld,
    Harm::RemoveActive,
    Harm::RemoveOld,
    Harm::UnreadableQueue,
];

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let shim = Shim::compile(course)?;
    for (cycle, harm) in course.numbers().zip(HARMS.into_iter().cycle()) {
        course.begin(cycle);
        let data = course.path(format!("data-{cycle}"));
        let plan = Plan::new(course, "sync")
            .data(&data)
            .set("mappedFileSizeCommitLog=4194304");
        shim.clear()?;
        let plan = shim.within(plan);
        let mut house = plan.start().await?;
        let mut load = Load::new(Duration::from_secs(2));
        load.shape.rate = Some(6000.0);
        load.ready(course, &house).await?.put_on().await?;
        let log = data.join("store/commitlog");
        let mut segments: Vec<PathBuf> = std::fs::read_dir(&log)
            .and_then(|names| names.map(|name| Ok(name?.path())).collect())
            .map_err(Stop::io("commitlog"))?;
        segments.sort();
        if let Harm::ShortenOld = harm {
            // What this life did not write is looked at before it leaves, by whoever reads first.
            house.kill()?;
            house = plan.start().await?;
        }
        if let Harm::UnreadableQueue = harm {
            unreadable(&shim, &house).await?;
            must(house.is_running(), || house.said())?;
        } else {
            ends(course, harm, &segments, &mut house).await?;
        }
        course.say(format!("{harm:?}: {}", last_line(&house.said())));
        house.kill()?;
    }
    Ok(())
}

async fn ends(
    course: &mut Course,
    harm: Harm,
    segments: &[PathBuf],
    house: &mut House,
) -> Result<(), Stop> {
    let (Some(first), Some(active)) = (
        segments.first(),
        segments.iter().rev().find(|segment| is_begun(segment)),
    ) else {
        return Err(Stop::failed("there are not enough segments"));
    };
    let victim = match harm {
        Harm::ShortenOld | Harm::RemoveOld => first,
        _ => active,
    };
    match harm {
        Harm::ShortenActive | Harm::ShortenOld => {
            let file = File::options().write(true).open(victim);
            file.and_then(|file| file.set_len(4096))
                .map_err(Stop::io("the segment"))?;
        }
        _ => std::fs::remove_file(victim).map_err(Stop::io("the segment"))?,
    }
    let harmed = Instant::now();
    // Whoever reads now finds out, if the broker did not before.
    let reader = async {
        let client = Client::connect(Config::new([house.namesrv()]), &Tasks::root());
        for queue in client.queues("chaos").await.unwrap_or_default() {
            drop(client.pull(&Pull::new("chaos", queue, 0)).await);
        }
    };
    reader.await;
    let code = house.ends(STUCK).await?;
    let said = house.said();
    course
        .figures
        .most("ends_ms", harmed.elapsed().as_secs_f64() * 1000.0);
    must(code == Some(FAILED), || {
        format!("exit code {code:?}: {said}")
    })?;
    let name = victim.display().to_string();
    must(said.contains(&name) && said.contains(" byte "), || {
        format!("file and offset are not named: {said}")
    })?;
    must(!said.contains("panicked"), || said.clone())
}

/// Is there a record in it? One that is made ahead has zeros only.
fn is_begun(segment: &Path) -> bool {
    let mut length = [0; 4];
    let read = File::open(segment).and_then(|mut file| file.read_exact(&mut length));
    read.is_ok() && length != [0; 4]
}

/// A queue that cannot be read is an answer, and another one can be.
async fn unreadable(shim: &Shim, house: &House) -> Result<(), Stop> {
    tokio::time::sleep(SETTLES).await;
    shim.set(&Fault {
        times: 1_000_000,
        ..Fault::new(Call::Read, 1, EIO, "consumequeue/")
    })?;
    let client = Client::connect(Config::new([house.namesrv()]), &Tasks::root());
    let queues = client.queues("chaos").await.map_err(Stop::failed)?;
    for queue in queues {
        let pulled = client.pull(&Pull::new("chaos", queue, 0)).await;
        must(pulled.is_err(), || "read what cannot be read".into())?;
    }
    must(shim.saw()?.hits > 0, || {
        "nothing was read from a file".into()
    })?;
    let said = house.said();
    must(
        said.contains("consumequeue/") && said.contains(" byte "),
        || format!("file and offset are not named: {said}"),
    )?;
    shim.clear()?;
    let queues = client.queues("chaos").await.map_err(Stop::failed)?;
    for queue in queues {
        let pulled = client
            .pull(&Pull::new("chaos", queue, 0))
            .await
            .map_err(Stop::failed)?;
        must(!pulled.messages.is_empty(), || {
            "nothing was read afterwards".into()
        })?;
    }
    Ok(())
}

fn last_line(said: &str) -> &str {
    said.lines().next_back().unwrap_or("")
}
