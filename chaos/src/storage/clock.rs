//! S12: the wall clock jumps under load, between lives, and while retention looks.

use std::time::{Duration, Instant};

use crate::course::{Course, Stop, must};
use crate::house::Plan;
use crate::load::{Load, check, check_one};
use crate::shim::Shim;

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;
/// Ahead, back behind the start, over 2038, far back, right again.
const JUMPS: [i64; 6] = [HOUR, -HOUR, 12 * YEAR, -10 * YEAR, 1, 0];
const JUMP_EVERY: Duration = Duration::from_millis(500);
/// Expired segments are looked for each ten seconds, and go after the third look.
const LOOKED_ONCE: Duration = Duration::from_secs(12);
const RATE: f64 = 3000.0;

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let shim = Shim::compile(course)?;
    let plan = Plan::new(course, "sync")
        .set("mappedFileSizeCommitLog=4194304")
        .set("fileReservedTime=1")
        .set("deleteWhen=00;01;02;03;04;05;06;07;08;09;10;11;12;13;14;15;16;17;18;19;20;21;22;23");
    let moved = shim.within(plan.clone());
    let mut logs = Vec::new();
    for cycle in course.numbers() {
        let mut dice = course.begin(cycle);
        shim.clear()?;
        // It starts in another time than it was killed in.
        let jump = |nth: u64| JUMPS.get(usize::try_from(nth).unwrap_or(0)).copied();
        shim.clock_off(jump(dice.within(0..6)).unwrap_or(0))?;
        let mut house = moved.start().await?;
        let mut load = Load::new(JUMP_EVERY * 7);
        load.shape.rate = Some(RATE);
        let load = load.ready(course, &house).await?;
        let jumps = async {
            for off in JUMPS {
                tokio::time::sleep(JUMP_EVERY).await;
                shim.clock_off(off)?;
            }
            Ok::<_, Stop>(())
        };
        let (loaded, jumped) = tokio::join!(load.put_on(), jumps);
        let (tally, ()) = (loaded?, jumped?);
        must(tally.refused == 0 && tally.unanswered == 0, || {
            format!("{tally:?}")
        })?;
        shim.clock_off(jump(dice.within(0..6)).unwrap_or(0))?;
        let before = segments(&plan)?;
        if cycle == course.first {
            // Everything is too old now, for one look.
            shim.clock_off(12 * YEAR)?;
            tokio::time::sleep(LOOKED_ONCE).await;
            // One more may have been made ahead.
            must(segments(&plan)? >= before, || {
                "a jump of the clock removed segments".into()
            })?;
            shim.clock_off(0)?;
        }
        house.kill()?;
        shim.clock_off(jump(dice.within(0..6)).unwrap_or(0))?;
        house = moved.start().await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &load.log, &house).await?;
        plan.audit()?;
        course.say(verdict.line());
        logs.push(load.log);
        if cycle == course.cycles {
            check(&logs, &house).await?;
            stays_wrong(course, &shim, &plan).await?;
        }
        house.kill()?;
    }
    Ok(())
}

/// A clock that stays wrong takes a fifth of the store in the first minute, and no more.
async fn stays_wrong(course: &mut Course, shim: &Shim, plan: &Plan) -> Result<(), Stop> {
    if course.cycles < LONG {
        return Ok(());
    }
    let before = segments(plan)?;
    let begun = Instant::now();
    shim.clock_off(12 * YEAR)?;
    while begun.elapsed() < Duration::from_secs(55) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let left = segments(plan)?;
        must(before - left <= before.div_ceil(5), || {
            format!(
                "{} of {before} segments were removed within a minute",
                before - left
            )
        })?;
    }
    shim.clock_off(0)
}

/// From so many cycles on there is time for a minute of waiting.
const LONG: u32 = 10;

fn segments(plan: &Plan) -> Result<usize, Stop> {
    let folder = plan.data.join("store/commitlog");
    let names = std::fs::read_dir(folder).map_err(Stop::io("commitlog"))?;
    Ok(names.count())
}
