//! H1: lengths that are announced, and bytes that hardly come.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::wire::{Wire, is_well, native};
use crate::course::{Course, STUCK, Stop, must};
use crate::house::Plan;

const CONNECTIONS: usize = 1000;
const MEMORY_MAX: u64 = 64 << 20;
/// The limit of a first frame, and the time in which it is noticed, on a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(12);
/// 2 GiB - 1, negative, 16 MiB: beyond the limit of a first frame. 5 MiB - 4: just within it.
const LENGTHS: [u32; 4] = [0x7fff_ffff, 0x8000_0000, 16 << 20, (5 << 20) - 4];

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let plan = Plan::new(course, "sync");
    let mut house = plan.start().await?;
    let ports = native(&house);
    for cycle in course.numbers() {
        course.begin(cycle);
        let (before, files) = (house.anonymous_bytes(), house.sockets());
        let mut slow = JoinSet::new();
        for number in 0..CONNECTIONS {
            let (addr, length) = (ports[number % 3].clone(), LENGTHS[number / 3 % 4]);
            slow.spawn(async move { trickle(&addr, length).await });
        }
        for number in 0..CONNECTIONS / 10 {
            let (addr, length) = (house.http().to_string(), [-1, 1 << 31, 4 << 20][number % 3]);
            slow.spawn(async move { post(&addr, length).await });
        }
        let mut most = 0;
        while let Some(ended) = slow.join_next().await {
            let took = ended.map_err(Stop::failed)??;
            course
                .figures
                .most("closed_ms", took.as_secs_f64() * 1000.0);
            must(took < STUCK, || "it was never closed".into())?;
            course.goal(took <= CLOSED_WITHIN, || {
                format!("open for {} ms", took.as_millis())
            })?;
            most = most.max(house.anonymous_bytes());
        }
        let grown = most.saturating_sub(before);
        course.figures.most("grown_kib", (grown >> 10) as f64);
        must(grown <= MEMORY_MAX, || format!("it grew by {grown} bytes"))?;
        is_well(&mut house).await?;
        let left = house.sockets().saturating_sub(files);
        must(left <= 8, || format!("{left} descriptors are left"))?;
        course.say(format!(
            "{CONNECTIONS} connections, grown by {} KiB",
            grown >> 10
        ));
    }
    Ok(())
}

/// Announces a frame and sends its bytes one a second; how long it takes to be closed.
async fn trickle(addr: &str, length: u32) -> Result<Duration, Stop> {
    let mut wire = Wire::to(addr).await?;
    let begun = Instant::now();
    drip(&mut wire, &length.to_be_bytes()).await;
    Ok(begun.elapsed())
}

async fn post(addr: &str, length: i64) -> Result<Duration, Stop> {
    let mut wire = Wire::to(addr).await?;
    let begun = Instant::now();
    let head = format!("POST /t/slow HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
    drip(&mut wire, head.as_bytes()).await;
    Ok(begun.elapsed())
}

async fn drip(wire: &mut Wire, start: &[u8]) {
    let (begun, mut open) = (Instant::now(), wire.send(start).await);
    while begun.elapsed() < STUCK {
        if !open || wire.closes(Duration::from_secs(1)).await {
            return;
        }
        open = wire.send(b"\0").await;
    }
}
