//! N4: connections are delayed, throttled, stalled and cut behind any byte, while bare frames and
//! our client send and read through them. A cycle is a connection that was cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Config, Message, Outcome, Pull, PullStatus, Queue, SendOptions, Tasks};
use loadtest::native::{self, Payload};
use loadtest::verify::{Entry, Place, read_log};
use proto::Text;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::proxy::{End, Fate, Proxy, Way};
use crate::course::{Course, STUCK, Stop, must};
use crate::dice::Dice;
use crate::house::House;
use crate::load::{Load, Ready, check_one};

const ROUND: Duration = Duration::from_secs(5);
/// Bare connections; each comes again a moment after it was cut.
const CONNECTIONS: u32 = 24;
/// Clients of ours that send, and as many that read.
const CLIENTS: u32 = 4;
/// Numbers of producers that are clients of ours begin so far behind those of bare connections.
const NUMBERS_AFTER: u32 = 50_000;
const STALL: Duration = Duration::from_secs(4);
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
const PULL_WAIT: Duration = Duration::from_secs(1);
/// What the client adds to the wait of a pull.
const PULL_GRACE: Duration = Duration::from_secs(10);

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let tasks = Tasks::root();
    let mut dice = course.begin(course.first);
    let decide = move || fate(&mut dice);
    let (house, proxy) = super::behind_proxy(course, &[], decide, &tasks).await?;
    proxy.calm(true);
    let sockets = house.sockets();
    loop {
        round(course, &house, &proxy).await?;
        let cut = u32::try_from(proxy.ended()).unwrap_or(u32::MAX);
        course.cycle = course.first.saturating_add(cut);
        course.say(format!("cuts, {:?}", course.figures));
        if course.cycle >= course.cycles {
            break;
        }
    }
    nothing_is_left(&house, &proxy, sockets).await?;
    tasks.cancel();
    must(course.figures.acked > 0, || {
        "nothing was acknowledged".into()
    })
}

/// Most are cut, early ones more often than late ones, so that heads are hit as well as bodies.
pub(super) fn fate(dice: &mut Dice) -> Fate {
    let mut fate = Fate::default();
    match dice.within(0..20) {
        0 => fate.delay = dice.millis(1..20),
        1 => fate.throttle = dice.within(20_000..2_000_000),
        _ => {}
    }
    let way = if dice.within(0..2) == 0 {
        Way::ToServer
    } else {
        Way::ToClient
    };
    let bits = dice.within(1..18);
    let after = dice.within(0..1 << bits);
    let end = match dice.within(0..40) {
        0 => End::Stall(STALL),
        1..8 => End::HalfClose,
        8..20 => End::Close,
        _ => End::Reset,
    };
    fate.end = Some((way, after, end));
    fate
}

async fn round(course: &mut Course, house: &House, proxy: &Proxy) -> Result<(), Stop> {
    let mut load = Load::new(ROUND);
    load.shape.conns = CONNECTIONS;
    load.shape.size = 400;
    let ready = Arc::new(load.ready(course, house).await?);
    let starts = read_log(&ready.log)?.0.starts;
    let until = Instant::now() + ROUND;
    let tasks = Tasks::root();
    proxy.calm(false);
    let (mut senders, mut readers) = (JoinSet::new(), JoinSet::new());
    for index in 0..CLIENTS {
        let (sender, namesrv) = (Arc::clone(&ready), house.namesrv());
        senders.spawn(async move { send(&sender, namesrv, index, until).await });
        let start = starts.iter().find(|start| start.queue == index);
        let from = start.map_or(0, |start| start.offset);
        let (reader, namesrv) = (Arc::clone(&ready), house.namesrv());
        let sent = tasks.token();
        readers.spawn(async move { read(&reader, namesrv, (index, from), sent).await });
    }
    let tally = ready.put_on().await?;
    let mut unknown = tally.unanswered;
    while let Some(sent) = senders.join_next().await {
        unknown += sent.map_err(Stop::failed)??;
    }
    proxy.calm(true);
    course
        .figures
        .most("unknown outcomes a round", unknown as f64);
    tasks.cancel();
    check_one(course, &ready.log, house).await?;
    let (_, entries) = read_log(&ready.log)?;
    while let Some(seen) = readers.join_next().await {
        seen.map_err(Stop::failed)??.compare(&entries)?;
    }
    Ok(())
}

fn client(namesrv: Text) -> Client {
    let mut config = Config::new([namesrv]);
    config.send_timeout = SEND_TIMEOUT;
    Client::connect(config, &Tasks::root())
}

fn queue(plan: &native::Plan, index: u32) -> Queue {
    let broker = plan.brokers.first();
    Queue {
        topic: plan.topic.clone(),
        broker: broker.map_or_else(Text::new, |broker| broker.name.clone()),
        id: index.cast_signed(),
    }
}

/// Sends one after another to one queue, as another producer after each failure; how many sends had
/// no answer.
async fn send(ready: &Ready, namesrv: Text, index: u32, until: Instant) -> Result<u64, Stop> {
    let (plan, client) = (&ready.plan, client(namesrv));
    let options = SendOptions {
        queue: Some(queue(plan, index)),
        ..SendOptions::default()
    };
    let mut body = vec![7; 200];
    let mut producer = plan.first_producer + NUMBERS_AFTER + index;
    let (mut sequence, mut unknown) = (0, 0);
    while Instant::now() < until {
        if sequence == 0 {
            log(
                plan,
                &Entry::MaySend {
                    producer,
                    below: u64::from(u32::MAX),
                },
            )?;
        }
        Payload {
            run: plan.run,
            producer,
            sequence,
            due_ns: 0,
        }
        .write(&mut body);
        let begun = Instant::now();
        let message = Message::new(plan.topic.clone(), body.clone());
        let sent = client.send_with(message, &options).await;
        must(begun.elapsed() <= SEND_TIMEOUT + STUCK, || {
            format!("a send took {:?}", begun.elapsed())
        })?;
        match sent {
            Ok(receipt) => {
                let place = Place {
                    broker: 0,
                    queue: receipt.queue.cast_unsigned(),
                    offset: receipt.offset.cast_unsigned(),
                };
                log(
                    plan,
                    &Entry::Acked {
                        producer,
                        sequence,
                        place,
                    },
                )?;
                sequence += 1;
            }
            Err(error) => {
                unknown += u64::from(error.outcome() == Outcome::Unknown);
                (producer, sequence) = (producer + CLIENTS, 0);
            }
        }
    }
    Ok(unknown)
}

fn log(plan: &native::Plan, entry: &Entry) -> Result<(), Stop> {
    let mut record = Vec::new();
    entry.put(&mut record);
    if let Some(log) = &plan.log {
        log.append(&record)?;
    }
    Ok(())
}

/// What a reader saw of one queue.
struct Seen {
    queue: u32,
    from: u64,
    /// Producers and sequences in the order of offsets.
    messages: Vec<(u32, u64)>,
}

/// Reads one queue, waiting for what comes; once all is `sent`, what is there.
async fn read(
    ready: &Ready,
    namesrv: Text,
    (index, from): (u32, u64),
    sent: CancellationToken,
) -> Result<Seen, Stop> {
    let client = client(namesrv);
    let mut pull = Pull::new(
        "chaos-readers",
        queue(&ready.plan, index),
        from.cast_signed(),
    );
    pull.wait = PULL_WAIT;
    let mut messages = Vec::new();
    loop {
        let (begun, last) = (Instant::now(), sent.is_cancelled());
        let pulled = client.pull(&pull).await;
        must(begun.elapsed() <= PULL_WAIT + PULL_GRACE + STUCK, || {
            format!("a pull took {:?}", begun.elapsed())
        })?;
        // The route, the way, or the answer may have been cut.
        let Ok(pulled) = pulled else { continue };
        for message in &pulled.messages {
            let next = from + messages.len() as u64;
            must(message.offset.cast_unsigned() == next, || {
                format!("queue {index} gave {} instead of {next}", message.offset)
            })?;
            let payload = Payload::read(&message.body).filter(|read| read.run == ready.plan.run);
            let payload = payload
                .ok_or_else(|| Stop::Failed(format!("queue {index} offset {next} was altered")))?;
            messages.push((payload.producer, payload.sequence));
        }
        pull.offset = pulled.next_offset;
        if pulled.status == PullStatus::NothingNew && last {
            return Ok(Seen {
                queue: index,
                from,
                messages,
            });
        }
    }
}

impl Seen {
    /// Was everything of this queue that was acknowledged seen where it was said to be?
    fn compare(&self, entries: &[Entry]) -> Result<(), Stop> {
        for entry in entries {
            let Entry::Acked {
                producer,
                sequence,
                place,
            } = *entry
            else {
                continue;
            };
            let at = place.offset.checked_sub(self.from);
            let at = at.and_then(|at| usize::try_from(at).ok());
            let seen = at.and_then(|at| self.messages.get(at));
            must(
                place.queue != self.queue || seen == Some(&(producer, sequence)),
                || format!("{entry:?} was acknowledged, and a reader saw {seen:?} there"),
            )?;
        }
        Ok(())
    }
}

/// When everybody is gone, the server knows nobody any more.
async fn nothing_is_left(house: &House, proxy: &Proxy, sockets: usize) -> Result<(), Stop> {
    let until = Instant::now() + STALL + STUCK;
    while proxy.open() > 0 || house.sockets() > sockets {
        must(Instant::now() < until, || {
            format!(
                "{} connections are left in the proxy, {} in the server that had {sockets}",
                proxy.open(),
                house.sockets()
            )
        })?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
