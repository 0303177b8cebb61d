//! N11: three times as many sends as the server can take, whether it answers or not. Small messages
//! are more than its processors can do: then it reads no faster than it works, and senders feel it in
//! their windows. Large ones are more than its disk can do: then it refuses.

use std::time::Duration;

use loadtest::native::Tally;

use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check_one};

const CONNECTIONS: u32 = 64;
const DEPTH: u32 = 16;
/// Messages of so many bytes, of which so many are in flight on each connection at most; must some
/// be refused?
const SHAPES: [(u32, u32, bool); 2] = [(1024, 512, false), (64 << 10, 24, true)];
const TOO_MUCH: f64 = 3.0;
const GOODPUT_MIN: f64 = 0.8;
const P99_MAX: Duration = Duration::from_secs(1);
const SECS: Duration = Duration::from_secs(6);
/// Before the overload, and once more after it.
const PEAK_SECS: Duration = Duration::from_secs(3);
const MEMORY_MAX: u64 = 512 << 20;
/// Between the largest of the first half and of the second.
const GROWTH_MAX: u64 = 64 << 20;
const SAMPLE: Duration = Duration::from_millis(200);

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync");
    for cycle in course.numbers() {
        for shape in SHAPES {
            course.begin(cycle);
            let mut house = plan.start().await?;
            overload(course, &house, shape).await?;
            house.kill()?;
            // Gigabytes.
            plan.forget_store()?;
        }
    }
    Ok(())
}

async fn overload(
    course: &mut Course,
    house: &House,
    (size, depth, refuses): (u32, u32, bool),
) -> Result<(), Stop> {
    let before = peak(course, house, size).await?;
    let mut load = Load::new(SECS);
    load.batchers = 0;
    load.shape.conns = CONNECTIONS;
    load.shape.depth = depth;
    load.shape.size = size;
    load.shape.rate = Some(before * TOO_MUCH);
    load.shape.warm = Duration::from_secs(2);
    let ready = load.ready(course, house).await?;
    let (tally, memory) = tokio::join!(ready.put_on(), memory(house));
    let tally = tally?;
    // A disk that is shared is not as fast each second as before.
    let peak = before.midpoint(peak(course, house, size).await?);
    let good = tally.ok as f64 / SECS.as_secs_f64() / peak;
    let p99 = Duration::from_micros(tally.taken.value_at_quantile(0.99));
    course.say(format!(
        "{size} B: peak {peak:.0}/s, overloaded {good:.2} of it, {} refused, p99 {p99:?}, memory \
         {memory:?}",
        tally.refused
    ));
    course.figures.most("1/goodput", 1.0 / good);
    course.figures.most("p99 ms", p99.as_secs_f64() * 1000.0);
    course
        .figures
        .most("memory MiB", (memory.0.max(memory.1) >> 20) as f64);
    course.figures.most("refused", tally.refused as f64);
    judge(course, &tally, (good, p99), memory)?;
    let busy = tally.first_failure.as_deref();
    must(
        busy.map_or(!refuses, |busy| busy.starts_with("code 2:")),
        || format!("{} were refused, the first with {busy:?}", tally.refused),
    )?;
    check_one(course, &ready.log, house).await.map(drop)
}

fn judge(
    course: &mut Course,
    tally: &Tally,
    (good, p99): (f64, Duration),
    memory: (u64, u64),
) -> Result<(), Stop> {
    course.goal(good >= GOODPUT_MIN, || {
        format!("goodput is {good:.2} of the peak")
    })?;
    course.goal(p99 <= P99_MAX, || {
        format!("p99 of what was taken is {p99:?}")
    })?;
    must(tally.unanswered == 0, || {
        format!("{} sends had no answer", tally.unanswered)
    })?;
    let (first, second) = memory;
    must(second <= MEMORY_MAX && second <= first + GROWTH_MAX, || {
        format!("memory grew from {first} to {second} bytes")
    })
}

/// What it takes in a closed loop, with the same bookkeeping.
async fn peak(course: &Course, house: &House, size: u32) -> Result<f64, Stop> {
    let mut load = Load::new(PEAK_SECS);
    load.batchers = 0;
    load.shape.conns = CONNECTIONS;
    load.shape.depth = DEPTH;
    load.shape.size = size;
    load.shape.warm = Duration::from_secs(1);
    let ready = load.ready(course, house).await?;
    let tally = ready.put_on().await?;
    must(tally.ok > 0, || "nothing was acknowledged".into())?;
    Ok(tally.ok as f64 / PEAK_SECS.as_secs_f64())
}

/// The largest in the first half of the load, and in the second.
async fn memory(house: &House) -> (u64, u64) {
    let half = |house| async move {
        let mut most = 0;
        for _ in 0..(SECS.as_millis() / 2 / SAMPLE.as_millis()) {
            most = House::anonymous_bytes(house).max(most);
            tokio::time::sleep(SAMPLE).await;
        }
        most
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    (half(house).await, half(house).await)
}
