//! S8: one flush of the log fails. Nothing may be acknowledged from then on: the pages are gone
//! although a second flush would succeed.

use std::time::Duration;

use crate::course::{Course, STUCK, Stop, must};
use crate::house::Plan;
use crate::load::{Load, check, check_one};
use crate::shim::{Call, EIO, Fault, Shim};

const FAILED: i32 = 70;
/// The flush that fails takes so long. An acknowledgement that was due before is here by then.
const HOLD: Duration = Duration::from_secs(1);
/// The first file of the log. The flush of one that is being made may fail: it is made again.
const LOG: &str = "commitlog/00000000000000000000";
/// One of so many fails; the load is long enough for them on a slow disk.
const FLUSHES: u64 = 200;
const LOAD: Duration = Duration::from_millis(1500);

pub(super) async fn run(course: &mut Course, flush: &str) -> Result<(), Stop> {
    let shim = Shim::compile(course)?;
    let plan = Plan::new(course, flush);
    let broken = shim.within(plan.clone());
    // Async acknowledgements do not wait for a flush: some are under way when one fails. The load
    // goes on for longer than this.
    let grace = Duration::from_secs(if flush == "sync" { 0 } else { 1 });
    let mut logs = Vec::new();
    for cycle in course.numbers() {
        course.begin(cycle);
        shim.clear()?;
        let mut house = broken.start().await?;
        let mut load = Load::new(LOAD);
        if flush == "async" {
            // Long enough for some flushes, and so few that all cycles fill less than one file.
            load.shape.secs = 3 * LOAD;
            (load.batchers, load.shape.rate) = (0, Some(5000.0));
        }
        let load = load.ready(course, &house).await?;
        // With async flush there is one each 500 ms.
        let among = if flush == "sync" { FLUSHES } else { 3 };
        let at = 1 + u64::from(cycle - 1) % among;
        shim.set(&Fault {
            hold: HOLD,
            ..Fault::new(Call::Sync, at, EIO, LOG)
        })?;
        let (loaded, ended) = tokio::join!(load.put_on(), house.ends(STUCK));
        let (tally, saw) = (loaded?, shim.saw()?);
        if saw.hits == 0 && ended.is_err() {
            return Err(Stop::failed("the flush that was to fail never came"));
        }
        let code = ended?;
        must(code == Some(FAILED), || {
            format!("exit code {code:?}: {}", house.said())
        })?;
        let late = tally.last_ack.zip(saw.hit_at);
        let late = late.map(|(ack, hit)| ack.saturating_duration_since(hit + grace));
        must(late.is_none_or(|late| late.is_zero()), || {
            format!(
                "acknowledged after the flush that failed: {late:?}, {}",
                house.said()
            )
        })?;
        must(!house.said().contains("panicked"), || house.said())?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &load.log, &house).await?;
        plan.audit()?;
        course.say(format!(
            "flush {at} of {} failed  {}",
            saw.calls,
            verdict.line()
        ));
        logs.push(load.log);
        if cycle == course.cycles {
            check(&logs, &house).await?;
        }
    }
    Ok(())
}
