//! N6: members of a group vanish without a word: their connections stay open and nothing comes on
//! them. Cycle 1 with a short `maxIdleMillis`, cycle 2 with the default of two minutes.

use std::time::{Duration, Instant};

use client::{Client, Config, Tasks, TopicSpec};
use proto::Text;

use super::member::{Member, Wants};
use super::proxy::{Fate, Proxy};
use crate::course::{Course, STUCK, Stop, must};
use crate::house::House;

const VANISH: usize = 50;
const IDLE_SHORT: Duration = Duration::from_secs(3);
const IDLE_DEFAULT: Duration = Duration::from_secs(120);
/// Connections are looked at once a second, and the machine may be busy.
const SLACK: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(100);
/// Longer than anything here takes.
const PARKED: Duration = Duration::from_secs(300);

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    for cycle in course.numbers() {
        course.begin(cycle);
        let idle = if cycle == 1 { IDLE_SHORT } else { IDLE_DEFAULT };
        let tasks = Tasks::root();
        let limit = format!("maxIdleMillis={}", idle.as_millis());
        let parked = format!("maxParkedPullsPerQueue={VANISH}");
        let settings = [limit.as_str(), parked.as_str()];
        let (house, proxy) = super::behind_proxy(course, &settings, Fate::default, &tasks).await?;
        let outcome = vanish(course, &house, &proxy, idle).await;
        tasks.cancel();
        outcome?;
    }
    Ok(())
}

async fn vanish(
    course: &mut Course,
    house: &House,
    proxy: &Proxy,
    idle: Duration,
) -> Result<(), Stop> {
    let wants = topic(house).await?;
    let sockets = settled(house).await;
    let tasks = Tasks::root();
    let join = |addr: String, id: String| {
        let (wants, tasks) = (wants.clone(), tasks.clone());
        async move { Member::join(&addr, id, &wants, &tasks).await }
    };
    let watcher = join(house.broker().to_string(), "watcher".into());
    let watcher = watcher.await.map_err(Stop::failed)?;
    let (mut members, addr) = (Vec::new(), proxy.addr.to_string());
    for n in 0..VANISH {
        let member = join(addr.clone(), format!("m-{n:03}")).await;
        let member = member.map_err(Stop::failed)?;
        let pull = member.pull_request(0, 0, PARKED);
        let waiting = member.peer.clone();
        // Nobody will answer it, except while one more asks in its place.
        tasks.spawn("waits", async move {
            while waiting.call(pull.clone(), PARKED).await.is_ok() {
                tokio::time::sleep(AGAIN).await;
            }
        });
        members.push(member);
    }
    let full = within(STUCK, async || Ok(!waits(&watcher).await?)).await?;
    must(full, || "one more pull was let in than may wait".into())?;
    while watcher.others_changed(Duration::ZERO).await {}
    proxy.freeze();
    let begun = Instant::now();
    let gone = within(idle + STUCK, async || {
        Ok(watcher.members().await?.len() == 1)
    })
    .await?;
    must(gone, || {
        format!(
            "vanished members are still there after {:?}",
            begun.elapsed()
        )
    })?;
    let took = begun.elapsed();
    course.figures.most("gone after s", took.as_secs_f64());
    course.goal(took <= idle + SLACK, || {
        format!("vanished members were given up after {took:?}")
    })?;
    must(took >= idle.saturating_sub(SLACK), || {
        format!("connections were closed after {took:?} already")
    })?;
    must(watcher.others_changed(STUCK).await, || {
        "the one that is left was not told".into()
    })?;
    let left = house.sockets();
    must(left <= sockets + 1, || {
        format!("{left} connections are left, there were {sockets}")
    })?;
    let free = waits(&watcher).await.map_err(Stop::failed)?;
    must(free, || "pulls of those that are gone still wait".into())?;
    drop(members);
    tasks.cancel();
    Ok(())
}

/// Does a pull wait? It is answered at once when too many do already.
async fn waits(member: &Member) -> Result<bool, remoting::CallError> {
    let begun = Instant::now();
    let wait = Duration::from_millis(500);
    member.ask(member.pull_request(0, 0, wait)).await?;
    Ok(begun.elapsed() >= wait / 2)
}

/// Asks again and again until it is so; false when the time is over.
async fn within(
    time: Duration,
    is_so: impl AsyncFn() -> Result<bool, remoting::CallError>,
) -> Result<bool, Stop> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if is_so().await.map_err(Stop::failed)? {
            return Ok(true);
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(false)
}

async fn topic(house: &House) -> Result<Wants, Stop> {
    let client = Client::connect(Config::new([house.namesrv()]), &Tasks::root());
    let topic = Text::from_static("half-open");
    let spec = TopicSpec::new(topic.clone(), 1);
    client.create_topic(&spec).await.map_err(Stop::failed)?;
    let queues = client.queues(topic.clone()).await.map_err(Stop::failed)?;
    let broker = queues.first().map(|queue| queue.broker.clone());
    Ok(Wants {
        group: Text::from_static("half-open-group"),
        topic,
        broker: broker.unwrap_or_default(),
    })
}

/// Its connections once nobody is on their way out any more.
async fn settled(house: &House) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = house.sockets();
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
