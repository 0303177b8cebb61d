//! S11: the disk gets slow. Answers come in time, memory stays, reads go on.

use std::process::Command;
use std::time::{Duration, Instant};

use proto::remoting::ResponseCode;

use super::image::Image;
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check_one};
use crate::probe::{Probe, Sent};
use crate::shim::Shim;

/// `syncFlushTimeout`, and a tenth.
const ANSWERS_WITHIN: Duration = Duration::from_millis(5500);
const AT_ONCE: Duration = Duration::from_millis(500);
const GROWTH_MAX: u64 = 64 << 20;
const READS_P99_MS: f64 = 50.0;
/// FLUSH_DISK_TIMEOUT and SYSTEM_BUSY: what a slow disk may be answered with.
const ALLOWED: [i64; 2] = [10, BUSY];
const BUSY: i64 = 2;
const LOAD: Duration = Duration::from_secs(12);

/// Each flush takes 200 ms longer, then 7 s.
pub(super) async fn flushes(course: &mut Course) -> Result<(), Stop> {
    let shim = Shim::compile(course)?;
    let plan = Plan::new(course, "sync");
    for cycle in course.numbers() {
        course.begin(cycle);
        let by = Duration::from_millis(if cycle % 2 == 1 { 200 } else { 7000 });
        shim.clear()?;
        let mut house = shim.within(plan.clone()).start().await?;
        let slow_down = || shim.slow_flush(by);
        let log = under_load(course, &mut house, slow_down, by).await?;
        shim.clear()?;
        house.kill()?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &log, &house).await?;
        course.say(format!(
            "flushes {} ms slower  {}",
            by.as_millis(),
            verdict.line()
        ));
        house.kill()?;
    }
    Ok(())
}

/// The disk takes 1 MiB/s.
pub(super) async fn bandwidth(course: &mut Course) -> Result<(), Stop> {
    let image = Image::make(course, 4096)?;
    let plan = Plan::new(course, "sync").data(&image.at.join("data"));
    for cycle in course.numbers() {
        course.begin(cycle);
        let mut house = plan.start().await?;
        let throttle = Throttle::of(course, &image, &house)?;
        let slow_down = || throttle.set(1 << 20);
        let log = under_load(course, &mut house, slow_down, Duration::from_secs(7)).await?;
        throttle.set(0)?;
        house.kill()?;
        house = plan.start().await?;
        course.figures.recovered(house.ready);
        let verdict = check_one(course, &log, &house).await?;
        course.say(format!("1 MiB/s  {}", verdict.line()));
        house.kill()?;
    }
    Ok(())
}

async fn under_load(
    course: &mut Course,
    house: &mut House,
    slow_down: impl Fn() -> Result<(), Stop>,
    by: Duration,
) -> Result<std::path::PathBuf, Stop> {
    let probe = Probe::ready(house).await?;
    let mut load = Load::new(LOAD);
    // More than a slow disk takes, sent whatever the answers do; never more in flight on a
    // connection than the broker takes from it.
    (load.shape.conns, load.shape.depth, load.shape.rate) = (64, 1000, Some(8000.0));
    let load = load.ready(course, house).await?;
    let until = Instant::now() + LOAD;
    let memory_before = house.anonymous_bytes();
    let watch = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        slow_down()?;
        let mut most = 0;
        while Instant::now() < until {
            most = most.max(house.anonymous_bytes());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, Stop>(most.saturating_sub(memory_before))
    };
    let (loaded, sent, read, grown) = tokio::join!(
        load.put_on(),
        probe.send_until(until, Duration::from_millis(50)),
        probe.read_until(until),
        watch
    );
    let (tally, p99, grown) = (loaded?, read?, grown?);
    course
        .figures
        .most("slowest_ms", tally.slowest.as_secs_f64() * 1000.0);
    course.figures.most("grown_mib", (grown >> 20) as f64);
    course.figures.most("reads_p99_ms", p99);
    must(house.is_running(), || house.said())?;
    let slowest = sent.iter().map(|sent| sent.took).max().unwrap_or_default();
    let slowest = tally.slowest.max(slowest);
    course.goal(slowest <= ANSWERS_WITHIN, || {
        format!("an answer took {slowest:?}")
    })?;
    must(
        tally.refusals.keys().all(|code| ALLOWED.contains(code)),
        || format!("{tally:?}"),
    )?;
    must(grown <= GROWTH_MAX, || {
        format!("memory grew by {} MiB", grown >> 20)
    })?;
    course.goal(p99 <= READS_P99_MS, || format!("p99 of reads {p99:.1} ms"))?;
    if by > Duration::from_secs(1) {
        // Who comes when the disk has been stuck for a while need not wait to hear it. A single
        // sender may always come when a flush has just ended, and not hear it.
        must(tally.refusals.contains_key(&BUSY), || {
            format!("nobody was refused: {tally:?}")
        })?;
        let busy = |sent: &&Sent| sent.code == Some(ResponseCode::SYSTEM_BUSY);
        let slowest = sent.iter().filter(busy).map(|sent| sent.took).max();
        course.goal(slowest.is_none_or(|took| took <= AT_ONCE), || {
            format!("nobody was refused at once: {slowest:?}")
        })?;
    }
    Ok(load.log)
}

/// A limit on what one process writes to one disk, by a control group.
struct Throttle {
    group: std::path::PathBuf,
    device: String,
}

impl Throttle {
    const GROUPS: &str = "/sys/fs/cgroup/blkio";

    fn of(course: &Course, image: &Image, house: &House) -> Result<Self, Stop> {
        let cannot = |why: String| Stop::Skipped(format!("no control group for disks: {why}"));
        let name = format!("chaos-{}-{}", std::process::id(), course.cycle);
        let group = std::path::Path::new(Self::GROUPS).join(name);
        std::fs::create_dir(&group).map_err(|why| cannot(why.to_string()))?;
        let output = Command::new("findmnt")
            .args(["-n", "-o", "MAJ:MIN"])
            .arg(&image.at)
            .output()
            .map_err(|why| cannot(why.to_string()))?;
        let device = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let throttle = Self { group, device };
        throttle
            .write("cgroup.procs", &house.pid().to_string())
            .and_then(|()| throttle.set(0))
            .map_err(|why| cannot(why.to_string()))?;
        Ok(throttle)
    }

    /// So many bytes a second; 0: any.
    fn set(&self, bytes: u64) -> Result<(), Stop> {
        let line = format!("{} {bytes}", self.device);
        self.write("blkio.throttle.write_bps_device", &line)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Stop> {
        let path = self.group.join(name);
        std::fs::write(&path, text).map_err(Stop::io(path.display().to_string()))
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // Empty when its process is gone.
        drop(std::fs::remove_dir(&self.group));
    }
}
