//! S1, S2: `kill -9` under load at moments that the seed decides.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use super::STORE_LIVES;
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check, check_one};
use crate::promised::Promised;

/// After it is ready, it lives for so many milliseconds under load.
const LIVES_MS: Range<u64> = 50..2000;
/// So much longer than the process the load goes on.
const OUTLIVES: Duration = Duration::from_millis(100);
const START_MAX: Duration = Duration::from_secs(2);

pub(super) async fn run(course: &mut Course, flush: &str) -> Result<(), Stop> {
    let plan = Plan::new(course, flush);
    let mut house = plan.start().await?;
    let (mut logs, mut promised) = (Vec::new(), Promised::default());
    for cycle in course.numbers() {
        let life = course.begin(cycle).millis(LIVES_MS);
        let log = load_and_kill(course, &mut house, life, &mut promised).await?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        course.goal(house.ready <= START_MAX, || {
            format!("started in {} ms", house.ready.as_millis())
        })?;
        let verdict = check_one(course, &log, &house).await?;
        promised.check(&house).await?;
        plan.audit()?;
        course.say(format!(
            "killed after {:>4} ms  back in {:>4} ms  {}",
            life.as_millis(),
            house.ready.as_millis(),
            verdict.line()
        ));
        logs.push(log);
        if cycle % STORE_LIVES == 0 || cycle == course.cycles {
            check(&logs, &house).await?;
            house.kill()?;
            plan.forget_store()?;
            (logs, promised) = (Vec::new(), Promised::default());
            house = plan.start().await?;
        }
    }
    must(course.figures.acked > 0, || {
        "nothing was acknowledged".into()
    })
}

async fn load_and_kill(
    course: &Course,
    house: &mut House,
    life: Duration,
    promised: &mut Promised,
) -> Result<PathBuf, Stop> {
    // The load is still on when the process dies.
    let load = Load::new(life + OUTLIVES).ready(course, house).await?;
    let kill = async {
        tokio::time::sleep(life).await;
        house.kill()
    };
    let (loaded, killed, ()) = tokio::join!(
        load.put_on(),
        kill,
        promised.ask_for_more(&load.client, life + OUTLIVES)
    );
    killed?;
    loaded?;
    Ok(load.log)
}
