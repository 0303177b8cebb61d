//! N8: connections come by the thousand a second and go; idle ones by the thousand stay; and the
//! server runs out of files. Cycle 1 for seconds, cycle 2 with full counts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use client::Tasks;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::member::{Member, Wants};
use crate::course::{Course, STUCK, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check_one};

/// Connections a second, and how they come.
const FLOOD: u32 = 5_000;
const WAVE: Duration = Duration::from_millis(10);
const STAY: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_secs(1);
const BACK_WITHIN_BYTES: u64 = 16 << 20;
/// Of a p99; below it the machine's own noise is larger.
const NOISE: Duration = Duration::from_millis(10);
const TRIES: u32 = 3;
const LINES_MAX: usize = 20;
/// Files that a server may have when there are to be too few.
const FILES: u64 = 160;

/// Counts of a cycle.
struct Size {
    flood: Duration,
    idle: usize,
}

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    for cycle in course.numbers() {
        course.begin(cycle);
        let size = if cycle == 1 {
            Size {
                flood: Duration::from_secs(5),
                idle: 2_000,
            }
        } else {
            Size {
                flood: Duration::from_secs(30),
                idle: 20_000,
            }
        };
        let files = more_files(size.idle as u64 + 8_000)?;
        let data = course.path(format!("data-{cycle}"));
        // More than the limit of a listener, so that all may idle.
        let plan = Plan::new(course, "sync")
            .data(&data)
            .set("maxConnections=30000");
        let house = plan.start().await?;
        flood(course, &house, &size).await?;
        idle(course, &house, &size).await?;
        drop(house);
        setrlimit(Resource::Nofile, files).map_err(|why| Stop::io("files")(why.into()))?;
        no_files(course).await?;
    }
    Ok(())
}

/// Lets this process and those it starts have so many files; what it was before.
fn more_files(wanted: u64) -> Result<Rlimit, Stop> {
    let before = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: Some(wanted),
        maximum: before.maximum.map(|most| most.max(wanted)),
    };
    if before.current.is_some_and(|now| now < wanted) {
        setrlimit(Resource::Nofile, more)
            .map_err(|_| Stop::Skipped(format!("needs {wanted} open files")))?;
    }
    Ok(before)
}

async fn wants(house: &House) -> Result<Wants, Stop> {
    let config = client::Config::new([house.namesrv()]);
    let client = client::Client::connect(config, &Tasks::root());
    let queues = client.queues("chaos").await.map_err(Stop::failed)?;
    Ok(Wants {
        group: "flood".into(),
        topic: "chaos".into(),
        broker: queues
            .first()
            .map(|queue| queue.broker.clone())
            .unwrap_or_default(),
    })
}

/// The p99 of sends on connections that were there before.
async fn sends(course: &mut Course, house: &House, time: Duration) -> Result<Duration, Stop> {
    let mut load = Load::new(time);
    load.batchers = 0;
    load.shape.rate = Some(300.0);
    load.shape.warm = Duration::from_secs(1);
    let ready = load.ready(course, house).await?;
    let tally = ready.put_on().await?;
    check_one(course, &ready.log, house).await?;
    must(tally.refused + tally.unanswered == 0, || {
        format!(
            "{} sends were refused, {} not answered",
            tally.refused, tally.unanswered
        )
    })?;
    Ok(Duration::from_micros(tally.taken.value_at_quantile(0.99)))
}

async fn flood(course: &mut Course, house: &House, size: &Size) -> Result<(), Stop> {
    let mut ratios = Vec::new();
    for _ in 0..TRIES {
        let calm = sends(course, house, Duration::from_secs(3)).await?;
        let (sockets, memory) = (house.sockets(), house.anonymous_bytes());
        let addr = house.broker().parse().map_err(Stop::failed)?;
        let (flooded, busy) = tokio::join!(
            pour(addr, size.flood + Duration::from_secs(2)),
            sends(course, house, size.flood)
        );
        let busy = busy?;
        let begun = Instant::now();
        Member::join(
            &house.broker(),
            "after".to_owned(),
            &wants(house).await?,
            &Tasks::root(),
        )
        .await
        .map_err(|why| Stop::Failed(format!("nobody is let in after a flood: {why}")))?;
        let let_in = begun.elapsed();
        back(house, sockets + 1, memory).await?;
        let ratio = busy.as_secs_f64() / calm.max(NOISE).as_secs_f64();
        course.say(format!(
            "{flooded} connections came, p99 {calm:?} -> {busy:?}, the next was let in after {let_in:?}"
        ));
        course.figures.most("flood connections", f64::from(flooded));
        ratios.push(ratio);
        if ratio <= 2.0 {
            break;
        }
    }
    let best = ratios.iter().copied().fold(f64::MAX, f64::min);
    course.figures.most("p99 ratio in a flood", best);
    course.goal(best <= 2.0, || {
        format!("old connections were slowed down: {ratios:?}")
    })?;
    few_lines(house)
}

fn few_lines(house: &House) -> Result<(), Stop> {
    let lines = house.said().lines().count();
    must(lines <= LINES_MAX, || {
        format!("{lines} lines were logged: {}", house.said())
    })
}

/// Connects as often as it can up to [`FLOOD`]; how many were made.
async fn pour(addr: SocketAddr, time: Duration) -> u32 {
    let (begun, mut waves) = (Instant::now(), interval(WAVE));
    let (mut pouring, mut made, mut n) = (JoinSet::new(), 0, 0);
    let each = FLOOD / u32::try_from(1000 / WAVE.as_millis()).unwrap_or(1);
    while begun.elapsed() < time {
        waves.tick().await;
        for _ in 0..each {
            n += 1;
            pouring.spawn(async move {
                let stream = timeout(CONNECT, connect(addr, n)).await;
                if matches!(stream, Ok(Ok(_))) {
                    sleep(STAY).await;
                    1
                } else {
                    0
                }
            });
        }
        while let Some(poured) = pouring.try_join_next() {
            made += poured.unwrap_or(0);
        }
    }
    while let Some(poured) = pouring.join_next().await {
        made += poured.unwrap_or(0);
    }
    made
}

/// From one of many addresses of this machine.
async fn connect(addr: SocketAddr, n: u32) -> std::io::Result<TcpStream> {
    let host = 3 + u8::try_from(n % 200).unwrap_or(0);
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
    socket.connect(addr).await
}

async fn idle(course: &mut Course, house: &House, size: &Size) -> Result<(), Stop> {
    let calm = sends(course, house, Duration::from_secs(2)).await?;
    let (sockets, memory) = (house.sockets(), house.anonymous_bytes());
    let addr: SocketAddr = house.broker().parse().map_err(Stop::failed)?;
    let mut idle = Vec::new();
    for n in 0..u32::try_from(size.idle).unwrap_or(u32::MAX) {
        let stream = timeout(STUCK, connect(addr, n)).await;
        let stream = stream.map_err(|_| Stop::failed("a connection was not let in"))?;
        idle.push(stream.map_err(Stop::io("connect"))?);
    }
    until(STUCK, || house.sockets() > size.idle)
        .await
        .map_err(|()| Stop::Failed(format!("only {} are open", house.sockets())))?;
    let each = house.anonymous_bytes().saturating_sub(memory) / size.idle as u64;
    course.figures.most("bytes an idle connection", each as f64);
    // The disk may hesitate in any of these seconds.
    let (mut busy, allowed) = (Duration::MAX, 2 * calm.max(NOISE));
    for _ in 0..TRIES {
        busy = busy.min(sends(course, house, Duration::from_secs(2)).await?);
        if busy <= allowed {
            break;
        }
    }
    course.say(format!(
        "{} idle at {each} bytes each, p99 {calm:?} -> {busy:?}",
        idle.len()
    ));
    course.goal(busy <= allowed, || {
        format!("idle connections cost others: p99 {calm:?} -> {busy:?}")
    })?;
    drop(idle);
    back(house, sockets, memory).await
}

/// Waits until the server is as small as it was.
async fn back(house: &House, sockets: usize, memory: u64) -> Result<(), Stop> {
    let most = memory + BACK_WITHIN_BYTES;
    until(STUCK, || {
        house.sockets() <= sockets && house.anonymous_bytes() <= most
    })
    .await
    .map_err(|()| {
        Stop::Failed(format!(
            "{} connections (of {sockets}) and {} bytes (of {memory}) are left",
            house.sockets(),
            house.anonymous_bytes()
        ))
    })
}

async fn until(time: Duration, is_so: impl Fn() -> bool) -> Result<(), ()> {
    let end = Instant::now() + time;
    while !is_so() {
        if Instant::now() >= end {
            return Err(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A server with few files meets more connections than it can open: those that are there, and the
/// log, do not notice.
async fn no_files(course: &mut Course) -> Result<(), Stop> {
    let data = course.path(format!("few-files-{}", course.cycle));
    let house = Plan::new(course, "sync")
        .data(&data)
        .files(FILES)
        .start()
        .await?;
    let (addr, tasks) = (house.broker(), Tasks::root());
    sends(course, &house, Duration::from_secs(1)).await?;
    let wants = wants(&house).await?;
    let old = Member::join(&addr, "old".to_owned(), &wants, &tasks);
    let old = old.await.map_err(Stop::failed)?;
    let target: SocketAddr = addr.parse().map_err(Stop::failed)?;
    let mut crowd = Vec::new();
    for n in 0..2 * u32::try_from(FILES).unwrap_or(0) {
        if let Ok(Ok(stream)) = timeout(CONNECT, connect(target, n)).await {
            crowd.push(stream);
        }
    }
    let told = || house.said().contains("too many connections");
    let until_told = until(STUCK, told).await;
    until_told.map_err(|()| Stop::failed("more connections were let in than there are files"))?;
    for offset in 0..20 {
        let begun = Instant::now();
        let committed = old.commit(0, offset).await.map_err(Stop::failed)?;
        must(committed, || "a commit was refused in a crowd".into())?;
        let took = begun.elapsed();
        course.goal(took <= CONNECT, || {
            format!("in a crowd an answer took {took:?}")
        })?;
        sleep(STAY).await;
    }
    must(!house.said().contains("Too many open files"), || {
        format!("connections took the last files: {}", house.said())
    })?;
    drop(crowd);
    until(STUCK, || {
        house.sockets() < usize::try_from(FILES / 2).unwrap_or(0)
    })
    .await
    .map_err(|()| Stop::Failed(format!("{} connections are left", house.sockets())))?;
    sends(course, &house, Duration::from_secs(1)).await?;
    few_lines(&house)
}
