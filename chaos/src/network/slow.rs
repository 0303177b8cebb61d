//! N7: a hundred consumers read as fast as they can, one of them takes 1 KiB a second of all that it
//! asked for. A cycle is a comparison, without the slow one and with it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use client::Tasks;
use loadtest::report;
use proto::remoting::frame::encode_head;
use proto::remoting::header::{Envelope, Serialization};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

use super::member::{Member, Wants};
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::Load;

const READERS: usize = 99;
const QUEUES: i32 = 16;
const READ: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
/// The machine is shared: an unlucky comparison is made again.
const TRIES: u32 = 3;
const RATIO_MIN: f64 = 0.9;
/// What is kept for a slow peer, and what else may change meanwhile.
const KEPT_MAX: u64 = (4 << 20) + (4 << 20);
/// Pulls that the slow one asks for at once.
const ASKED: i32 = 2000;
const SIPS: Duration = Duration::from_millis(250);
const SIP_BYTES: usize = 256;

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let house = Plan::new(course, "async").start().await?;
    course.begin(1);
    let ready = Load::new(Duration::from_secs(3))
        .ready(course, &house)
        .await?;
    course.figures.acked += ready.put_on().await?.ok;
    let broker = ready.plan.brokers.first().map(|broker| broker.name.clone());
    let wants = Wants {
        group: "slow".into(),
        topic: ready.plan.topic.clone(),
        broker: broker.unwrap_or_default(),
    };
    for cycle in course.numbers() {
        course.begin(cycle);
        let mut tries = Vec::new();
        for _ in 0..TRIES {
            let (ratio, kept) = compare(&house, &wants).await?;
            course.say(format!(
                "the others read {ratio:.2} as fast, {kept} bytes more are held"
            ));
            course.figures.most("bytes held", kept as f64);
            must(kept <= KEPT_MAX, || {
                format!("{kept} bytes were kept for one slow peer")
            })?;
            tries.push(ratio);
            if ratio >= RATIO_MIN {
                break;
            }
        }
        let best = tries.iter().copied().fold(0.0, f64::max);
        course.goal(best >= RATIO_MIN, || {
            format!("the others were slowed down: {tries:?}")
        })?;
        course.figures.most("1/ratio of the others", 1.0 / best);
    }
    Ok(())
}

/// How much slower the others are, and how many bytes more the server holds, with a slow reader.
async fn compare(house: &House, wants: &Wants) -> Result<(f64, u64), Stop> {
    let (mut without, mut with, mut kept) = (Vec::new(), Vec::new(), 0);
    read(house, wants).await?;
    for _ in 0..ROUNDS {
        without.push(read(house, wants).await?);
        let before = house.anonymous_bytes();
        let tasks = Tasks::root();
        let slow = sip(house, wants, &tasks);
        with.push(tokio::select! {
            rate = read(house, wants) => rate?,
            broke = slow => return Err(broke),
        });
        kept = house.anonymous_bytes().saturating_sub(before).max(kept);
        tasks.cancel();
    }
    Ok((report::median(with) / report::median(without), kept))
}

/// Messages a second that all readers get together.
async fn read(house: &House, wants: &Wants) -> Result<f64, Stop> {
    let tasks = Tasks::root();
    let mut readers = JoinSet::new();
    let begun = Instant::now();
    for n in 0..READERS {
        let (addr, wants, tasks) = (house.broker().to_string(), wants.clone(), tasks.clone());
        readers.spawn(async move {
            let member = Member::join(&addr, format!("r-{n:03}"), &wants, &tasks).await?;
            let queue = i32::try_from(n).unwrap_or(0) % QUEUES;
            let (mut offset, mut count) = (0, 0);
            while begun.elapsed() < READ {
                let got = member.pull(queue, offset).await;
                let got = got.map_err(|why| why.to_string())?;
                count += got.end - got.start;
                offset = if got.is_empty() { 0 } else { got.end };
            }
            Ok::<_, String>(count)
        });
    }
    let mut all = 0;
    while let Some(read) = readers.join_next().await {
        all += read.map_err(Stop::failed)?.map_err(Stop::failed)?;
    }
    tasks.cancel();
    Ok(all as f64 / begun.elapsed().as_secs_f64())
}

/// Asks for a lot and reads it slowly; ends only when it breaks.
async fn sip(house: &House, wants: &Wants, tasks: &Tasks) -> Stop {
    let sipping = async {
        let member = Member::join(&house.broker(), "slow".to_owned(), wants, tasks).await;
        let member = member.map_err(std::io::Error::other)?;
        let mut asked = BytesMut::new();
        for opaque in 0..ASKED {
            let pull = member.pull_request(opaque % QUEUES, 0, Duration::ZERO);
            let envelope = Envelope::request(pull.code(), opaque, false);
            encode_head(&envelope, Serialization::Json, &pull, 0, &mut asked);
        }
        let addr: SocketAddr = house.broker().parse().map_err(std::io::Error::other)?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        let mut stream = socket.connect(addr).await?;
        let (mut input, mut output) = stream.split();
        let sips = async {
            while input.read_exact(&mut [0; SIP_BYTES]).await? > 0 {
                tokio::time::sleep(SIPS).await;
            }
            Ok(())
        };
        tokio::try_join!(sips, output.write_all(&asked)).map(drop)
    };
    let broke: Result<(), std::io::Error> = sipping.await;
    Stop::Failed(format!("the slow reader was cut off: {broke:?}"))
}
