//! S3: the power fails under load. With sync flush nothing acknowledged is lost; with async flush
//! at most the newest of each queue, not older than a second.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use client::{Client, Config, Queue, Tasks};
use loadtest::verify::{self, Entry, Missing};

use super::STORE_LIVES;
use super::image::Image;
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::Load;

const MIB: u64 = 3072;
const OUTLIVES: Duration = Duration::from_millis(100);
/// A flush each 500 ms, and one flush.
const LOST_AGE_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(course: &mut Course, flush: &str) -> Result<(), Stop> {
    let image = Image::make(course, MIB)?;
    image.ready_to_cut(course)?;
    let data = image.at.join("data");
    // Small segments, so that cuts hit the making of new ones.
    let plan = Plan::new(course, flush)
        .data(&data)
        .set("mappedFileSizeCommitLog=4194304");
    for cycle in course.numbers() {
        let life = course.begin(cycle).millis(50..2000);
        if cycle % STORE_LIVES == 0 {
            plan.forget_store()?;
        }
        let mut house = plan.start().await?;
        let cut = load_and_cut(course, &mut house, &image, life).await?;
        image.unmount()?;
        image.mount()?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        let mut verdict =
            verify::check(std::slice::from_ref(&cut.log), Some(house.namesrv()), true).await?;
        let mut lost = std::mem::take(&mut verdict.missing);
        if flush == "sync" {
            let meanwhile = lost.len();
            lost = cut.promised(lost)?;
            let meanwhile = meanwhile - lost.len();
            course.figures.most("lost_meanwhile", meanwhile as f64);
            verdict.lost = lost.len() as u64;
        }
        if flush == "async" {
            let age = cut.age_of(&lost)?;
            course
                .figures
                .most("lost_age_ms", age.as_secs_f64() * 1000.0);
            course.figures.most("lost_newest", lost.len() as f64);
            course.goal(age <= LOST_AGE_MAX, || format!("lost what was {age:?} old"))?;
            are_behind_the_end(&lost, &house).await?;
            verdict.lost = 0;
        }
        course.figures.add(&verdict);
        must(verdict.holds() && verdict.duplicated == 0, || {
            format!("{}: {}", verdict.line(), verdict.findings.join("; "))
        })?;
        plan.audit()?;
        course.say(format!(
            "cut after {:>4} ms  back in {:>4} ms  newest lost {}  {}",
            life.as_millis(),
            house.ready.as_millis(),
            lost.len(),
            verdict.line()
        ));
        house.kill()?;
    }
    must(course.figures.acked > 0, || {
        "nothing was acknowledged".into()
    })
}

/// What is known about a cut.
struct Cut {
    log: PathBuf,
    at: Instant,
    /// How long the log was right before.
    length: u64,
    /// How long the log was when.
    grew: Vec<(Instant, u64)>,
}

async fn load_and_cut(
    course: &Course,
    house: &mut House,
    image: &Image,
    life: Duration,
) -> Result<Cut, Stop> {
    let mut load = Load::new(life + OUTLIVES);
    load.shape.rate = Some(6000.0);
    let load = load.ready(course, house).await?;
    let cut = async {
        let until = Instant::now() + life;
        let mut grew = Vec::new();
        while Instant::now() < until {
            grew.push((Instant::now(), length(&load.log)?));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let length = image.cut_power(&load.log)?;
        let at = Instant::now();
        house.kill()?;
        Ok::<_, Stop>((at, length, grew))
    };
    let (loaded, cut) = tokio::join!(load.put_on(), cut);
    loaded?;
    let (at, length, grew) = cut?;
    Ok(Cut {
        log: load.log,
        at,
        length,
        grew,
    })
}

fn length(path: &Path) -> Result<u64, Stop> {
    let metadata = std::fs::metadata(path).map_err(Stop::io("the log"))?;
    Ok(metadata.len())
}

impl Cut {
    /// What was acknowledged: where it stands in the log, and what.
    fn acknowledged(&self) -> Result<impl Iterator<Item = (u64, Missing)>, Stop> {
        const RECORD_BYTES: u64 = 32;
        let (_, entries) = verify::read_log(&self.log)?;
        let first = length(&self.log)? - entries.len() as u64 * RECORD_BYTES;
        let acknowledged = (0..)
            .zip(entries)
            .filter_map(move |(nth, entry)| match entry {
                Entry::Acked {
                    producer,
                    sequence,
                    place,
                } => Some((
                    first + nth * RECORD_BYTES,
                    Missing {
                        producer,
                        sequence,
                        place,
                    },
                )),
                Entry::MaySend { .. } => None,
            });
        Ok(acknowledged)
    }

    /// Those of `lost` that were acknowledged before the plug was pulled. A flush that is under way
    /// at that moment may succeed although nothing was written: a machine without power would not
    /// have lived to say so.
    fn promised(&self, lost: Vec<Missing>) -> Result<Vec<Missing>, Stop> {
        let before = self.acknowledged()?;
        let before: HashSet<_> = before
            .take_while(|(stood_at, _)| *stood_at < self.length)
            .map(|(_, what)| what)
            .collect();
        Ok(lost
            .into_iter()
            .filter(|what| before.contains(what))
            .collect())
    }

    /// How long before the cut the oldest of these was acknowledged, at most.
    fn age_of(&self, lost: &[Missing]) -> Result<Duration, Stop> {
        let lost: HashSet<_> = lost.iter().collect();
        let first = self.acknowledged()?.find(|(_, what)| lost.contains(what));
        let Some((stood_at, _)) = first else {
            return Ok(Duration::ZERO);
        };
        // It was not there yet when the log was not longer than this.
        let before = self
            .grew
            .iter()
            .rev()
            .find(|(_, length)| *length <= stood_at);
        Ok(before.map_or(Duration::MAX, |(at, _)| self.at - *at))
    }
}

/// Nothing that was lost has something behind it that was not.
async fn are_behind_the_end(lost: &[Missing], house: &House) -> Result<(), Stop> {
    let client = Client::connect(Config::new([house.namesrv()]), &Tasks::root());
    let mut queues: Vec<Queue> = client.queues("chaos").await.map_err(Stop::failed)?;
    queues.sort_by_key(|queue| queue.id);
    for queue in queues {
        let end = client.max_offset(&queue).await.map_err(Stop::failed)?;
        let id = queue.id.cast_unsigned();
        let hole = lost
            .iter()
            .find(|lost| lost.place.queue == id && lost.place.offset < end.cast_unsigned());
        must(hole.is_none(), || {
            format!("{hole:?} is lost and lies below {end}")
        })?;
    }
    Ok(())
}
