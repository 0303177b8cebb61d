//! N12: members of two groups are killed before they commit, and others come, again and again. One
//! group consumes queues in order under locks, the other as it comes. A cycle is a kill.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use client::Tasks;
use loadtest::verify::{Entry, read_log};
use tokio::task::JoinHandle;

use super::member::{Diary, Happened, Member, Wants};
use crate::course::{Course, Stop, must};
use crate::house::{House, Plan};
use crate::load::{Load, check_one};

const MEMBERS: u64 = 4;
const KILL_EVERY: Duration = Duration::from_secs(2);
const QUEUES: i32 = 16;
/// A dead member's lock holds a queue for a minute.
const DRAIN: Duration = Duration::from_secs(75);
const BATCH_TAKES: Duration = Duration::from_millis(20);

/// How a group consumes.
#[derive(Clone, Debug)]
struct Group {
    wants: Wants,
    addr: String,
    in_order: bool,
    diary: Diary,
    tasks: Tasks,
}

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let house = Plan::new(course, "sync").start().await?;
    let kills = course.cycles;
    course.begin(1);
    let mut load = Load::new(KILL_EVERY * kills);
    load.batchers = 0;
    load.shape.rate = Some(400.0);
    load.shape.size = 200;
    let ready = load.ready(course, &house).await?;
    let broker = ready.plan.brokers.first().map(|broker| broker.name.clone());
    let group = |name: &'static str, in_order| Group {
        wants: Wants {
            group: name.into(),
            topic: ready.plan.topic.clone(),
            broker: broker.clone().unwrap_or_default(),
        },
        addr: house.broker().to_string(),
        in_order,
        diary: Diary::new(QUEUES.unsigned_abs() as usize),
        tasks: Tasks::root(),
    };
    let groups = [group("in-order", true), group("as-it-comes", false)];
    let (loaded, stormed) = tokio::join!(ready.put_on(), storm(course, &groups));
    loaded?;
    let _alive = stormed?;
    check_one(course, &ready.log, &house).await?;
    let (_, entries) = read_log(&ready.log)?;
    for group in &groups {
        consumed_all(group, &entries).await?;
        let again = judge(group, &entries)?;
        course.say(format!("{}: {again} consumed again", group.wants.group));
        course.figures.most("consumed again", f64::from(again));
    }
    must(still_serves(&house).await, || "it serves nobody".into())
}

async fn still_serves(house: &House) -> bool {
    let config = client::Config::new([house.namesrv()]);
    let client = client::Client::connect(config, &Tasks::root());
    client.queues("chaos").await.is_ok()
}

/// Kills a member of each group every two seconds, and lets another come.
async fn storm(course: &mut Course, groups: &[Group; 2]) -> Result<Vec<Vec<Life>>, Stop> {
    let mut next = 0;
    let mut running: Vec<Vec<Life>> = Vec::new();
    let mut come = |group: &Group| {
        next += 1;
        let id = format!("member-{next:04}");
        group.start(id)
    };
    for group in groups {
        running.push((0..MEMBERS).map(|_| come(group)).collect());
    }
    for kill in 1..=course.cycles {
        tokio::time::sleep(KILL_EVERY).await;
        let mut dice = course.begin(kill);
        for (group, members) in groups.iter().zip(&mut running) {
            let victim = usize::try_from(dice.within(0..MEMBERS)).unwrap_or(0);
            drop(members.swap_remove(victim));
            members.push(come(group));
        }
    }
    Ok(running)
}

/// A member that runs; dropping this kills it in the middle of whatever it does.
struct Life(JoinHandle<()>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Group {
    #[expect(
        clippy::disallowed_methods,
        reason = "a member is killed by aborting its own task, which a tree of tasks does not offer"
    )]
    fn start(&self, id: String) -> Life {
        let group = self.clone();
        Life(tokio::spawn(async move {
            // Its connection ends with it.
            let tasks = group.tasks.child();
            let _ends = tasks.token().drop_guard();
            while let Err(why) = group.consume(&id, &tasks).await {
                loadtest::report::note(&format!("{id} begins anew: {why}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }))
    }

    async fn consume(&self, id: &str, tasks: &Tasks) -> Result<(), String> {
        let text = |why: remoting::CallError| why.to_string();
        let member = Member::join(&self.addr, id.to_owned(), &self.wants, tasks).await?;
        let mut mine: HashMap<i32, i64> = HashMap::new();
        loop {
            member.beat().await.map_err(text)?;
            let mut part = member.part(QUEUES).await.map_err(text)?;
            let lost: Vec<_> = mine.keys().copied().filter(|q| !part.contains(q)).collect();
            mine.retain(|queue, _| part.contains(queue));
            if self.in_order {
                member.unlock(&lost).await.map_err(text)?;
                part = member.lock(&part).await.map_err(text)?;
                mine.retain(|queue, _| part.contains(queue));
            }
            for queue in part {
                if let std::collections::hash_map::Entry::Vacant(new) = mine.entry(queue) {
                    new.insert(member.committed(queue).await.map_err(text)?);
                }
            }
            let until = Instant::now() + Duration::from_millis(500);
            while Instant::now() < until && !member.others_changed(BATCH_TAKES).await {
                for (queue, next) in &mut mine {
                    self.batch(&member, *queue, next).await.map_err(text)?;
                }
            }
        }
    }

    async fn batch(
        &self,
        member: &Member,
        queue: i32,
        next: &mut i64,
    ) -> Result<(), remoting::CallError> {
        let messages = member.pull(queue, *next).await?;
        if messages.is_empty() {
            return Ok(());
        }
        for offset in messages.clone() {
            self.diary.note(queue, Happened::Consumed(offset));
        }
        *next = messages.end;
        // Here most are killed.
        tokio::time::sleep(BATCH_TAKES).await;
        if member.commit(queue, *next).await? {
            self.diary.note(queue, Happened::Committed(*next));
        }
        Ok(())
    }
}

/// Offset behind the last acknowledged message of each queue.
fn ends(entries: &[Entry]) -> HashMap<i32, i64> {
    let mut ends = HashMap::new();
    for entry in entries {
        if let Entry::Acked { place, .. } = entry {
            let end = ends.entry(place.queue.cast_signed()).or_insert(0);
            *end = (place.offset.cast_signed() + 1).max(*end);
        }
    }
    ends
}

async fn consumed_all(group: &Group, entries: &[Entry]) -> Result<(), Stop> {
    let ends = ends(entries);
    let until = Instant::now() + DRAIN;
    loop {
        let queues = group.diary.queues();
        let behind = (0..).zip(&queues).find(|(queue, happened)| {
            let end = ends.get(queue).copied().unwrap_or(0);
            end > 0 && !happened.contains(&Happened::Consumed(end - 1))
        });
        let Some((queue, _)) = behind else {
            return Ok(());
        };
        must(Instant::now() < until, || {
            format!(
                "group {} never consumed queue {queue} to its end",
                group.wants.group
            )
        })?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Nothing left out, nothing again that was committed, and under locks nothing out of order; how
/// much was consumed again.
fn judge(group: &Group, entries: &[Entry]) -> Result<u32, Stop> {
    let ends = ends(entries);
    let mut again = 0;
    for (queue, happened) in (0..).zip(group.diary.queues()) {
        let (mut high, mut last, mut committed) = (0, -1, 0);
        for event in happened {
            let broken = |what: &str| {
                Stop::Failed(format!(
                    "group {} queue {queue}: {what}: {event:?} after {last}, committed {committed}, \
                     consumed {high}",
                    group.wants.group
                ))
            };
            match event {
                Happened::Committed(to) => committed = committed.max(to),
                Happened::Consumed(offset) => {
                    if offset > high {
                        return Err(broken("left out"));
                    }
                    if group.in_order && offset != last + 1 && offset != committed {
                        return Err(broken("out of order"));
                    }
                    if group.in_order && offset < committed {
                        return Err(broken("again although committed"));
                    }
                    again += u32::from(offset < high);
                    high = high.max(offset + 1);
                    last = offset;
                }
            }
        }
        let end = ends.get(&queue).copied().unwrap_or(0);
        must(high >= end, || format!("queue {queue} lost {high}..{end}"))?;
    }
    Ok(again)
}
