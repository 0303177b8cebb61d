//! S10: the disk is really full, to the last byte, and later it is not.

use std::time::{Duration, Instant};

use proto::remoting::ResponseCode;

use super::image::Image;
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check_one};
use crate::probe::{Probe, Sent};

const MIB: u64 = 256;
const FULL_FOR: Duration = Duration::from_secs(4);
const REFUSES_WITHIN: Duration = Duration::from_secs(1);
const BACK_WITHIN: Duration = Duration::from_secs(10);
const READS_P99_MS: f64 = 50.0;
/// What it may say when it is started on a full disk.
const DISK_FULL: i32 = 75;

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    for cycle in course.numbers() {
        course.begin(cycle);
        let image = Image::make(course, MIB)?;
        let flush = if cycle % 2 == 1 { "sync" } else { "async" };
        let plan = Plan::new(course, flush)
            .data(&image.at.join("data"))
            // A single one: a full disk takes the oldest away, with messages that we ask for later.
            .set("mappedFileSizeCommitLog=268435456");
        let mut house = plan.start().await?;
        let probe = Probe::ready(&house).await?;
        let mut load = Load::new(Duration::from_secs(16));
        load.shape.rate = Some(1000.0);
        let load = load.ready(course, &house).await?;
        let until = Instant::now() + load.plan.shape.secs;
        let fill = fill_and_free(&image);
        let (loaded, sent, read, filled) = tokio::join!(
            load.put_on(),
            probe.send_until(until, Duration::from_millis(20)),
            probe.read_until(until),
            fill
        );
        let (tally, (full_at, free_at), p99) = (loaded?, filled?, read?);
        must(house.is_running(), || house.said())?;
        judge_sends(course, &sent, full_at, free_at)?;
        course.figures.most("reads_p99_ms", p99);
        course.goal(p99 <= READS_P99_MS, || format!("p99 of reads {p99:.1} ms"))?;
        let refusals = tally.refusals.keys().all(|code| *code == 14);
        must(refusals && tally.unanswered == 0, || format!("{tally:?}"))?;
        // Killed while it is full, it must come back: at once, or when there is room.
        image.fill()?;
        house.kill()?;
        house = start_again(&plan, &image).await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &load.log, &house).await?;
        plan.audit()?;
        course.say(format!("reads p99 {p99:.1} ms  {}", verdict.line()));
        house.kill()?;
    }
    Ok(())
}

/// Full after a second, for a while; when it was, and when it was no longer.
async fn fill_and_free(image: &Image) -> Result<(Instant, Instant), Stop> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::block_in_place(|| image.fill())?;
    let full_at = Instant::now();
    tokio::time::sleep(FULL_FOR).await;
    let free_at = Instant::now();
    image.free()?;
    Ok((full_at, free_at))
}

fn judge_sends(
    course: &mut Course,
    sent: &[Sent],
    full_at: Instant,
    free_at: Instant,
) -> Result<(), Stop> {
    let refused = |sent: &&Sent| sent.code == Some(ResponseCode::SERVICE_NOT_AVAILABLE);
    let first = sent
        .iter()
        .filter(|sent| sent.at >= full_at - REFUSES_WITHIN);
    let first = first.filter(refused).map(|sent| sent.at + sent.took).next();
    let after = first.map(|at| at.saturating_duration_since(full_at));
    must(after.is_some(), || {
        "nothing was refused although the disk was full".into()
    })?;
    let after = after.unwrap_or_default();
    course.goal(after <= REFUSES_WITHIN, || {
        format!("refused {after:?} after the disk was full")
    })?;
    let from = full_at + after.max(REFUSES_WITHIN);
    let mut meanwhile = sent
        .iter()
        .filter(|sent| sent.at >= from && sent.at + sent.took < free_at);
    if let Some(wrong) = meanwhile.find(|sent| !refused(sent)) {
        return Err(Stop::Failed(format!(
            "answered {wrong:?} although the disk was full"
        )));
    }
    let back = sent.iter().find(|sent| sent.at >= free_at && sent.is_ok());
    let back = back.map(|sent| (sent.at + sent.took) - free_at);
    must(back.is_some(), || {
        "sends never worked again although there was room".into()
    })?;
    let back = back.unwrap_or_default();
    course.goal(back <= BACK_WITHIN, || {
        format!("sends worked again {back:?} after there was room")
    })?;
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    course.figures.most("refuses_ms", ms(after));
    course.figures.most("back_ms", ms(back));
    Ok(())
}

async fn start_again(plan: &Plan, image: &Image) -> Result<House, Stop> {
    plan.forget_ports();
    let mut house = plan.spawn()?;
    if let Err(status) = house.ready().await? {
        must(status.code() == Some(DISK_FULL), || {
            format!("{status}: {}", house.said())
        })?;
        image.free()?;
        return plan.start().await;
    }
    image.free()?;
    Ok(house)
}
