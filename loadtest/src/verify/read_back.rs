//! Reading every queue of a run, from where it began to where it ends now.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Config, Pull, PullStatus, Queue, Tasks};
use parking_lot::Mutex;
use proto::Text;
use tokio::task::JoinSet;

use super::check::{Checker, Verdict};
use super::log::{Place, Run, Start};
use crate::failure::Failure;

const BATCH: i32 = 256;
/// A broker that has just started may not have registered yet.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn all(
    run: &Run,
    namesrv: Option<Text>,
    checker: Checker,
) -> Result<Verdict, Failure> {
    let tasks = Tasks::root();
    let namesrv = namesrv.unwrap_or_else(|| run.namesrv.as_str().into());
    let client = Client::connect(Config::new([namesrv]), &tasks);
    let checker = Arc::new(Mutex::new(checker));
    let mut readers = JoinSet::new();
    for start in &run.starts {
        let broker = usize::try_from(start.broker)
            .ok()
            .and_then(|at| run.brokers.get(at));
        let Some(broker) = broker else {
            return Err(Failure::Impossible(
                "the log names a broker that it does not have".into(),
            ));
        };
        let queue = Queue {
            topic: run.topic.as_str().into(),
            broker: broker.as_str().into(),
            id: start.queue.cast_signed(),
        };
        let (client, checker, start) = (client.clone(), Arc::clone(&checker), start.clone());
        readers.spawn(async move { read(&client, queue, &start, &checker).await });
    }
    while let Some(reader) = readers.join_next().await {
        reader.map_err(|why| Failure::Impossible(why.to_string()))??;
    }
    let checker = Arc::into_inner(checker).expect("all readers are gone");
    Ok(checker.into_inner().finish())
}

async fn read(
    client: &Client,
    queue: Queue,
    start: &Start,
    checker: &Mutex<Checker>,
) -> Result<(), Failure> {
    let end = end(client, &queue).await?;
    let mut pull = Pull::new("loadtest", queue, start.offset.cast_signed());
    pull.messages_max = BATCH;
    while pull.offset < end {
        let pulled = client.pull(&pull).await?;
        let mut checker = checker.lock();
        for message in &pulled.messages {
            let place = Place {
                broker: start.broker,
                queue: start.queue,
                offset: message.offset.cast_unsigned(),
            };
            checker.read(place, &message.body);
        }
        drop(checker);
        // A broker that says "go on elsewhere" without a message has lost what was there.
        if pulled.next_offset <= pull.offset && pulled.status != PullStatus::Found {
            return Ok(());
        }
        pull.offset = pulled.next_offset;
    }
    Ok(())
}

async fn end(client: &Client, queue: &Queue) -> Result<i64, Failure> {
    let asked = async {
        loop {
            match client.max_offset(queue).await {
                Ok(end) => return end,
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(end) => Ok(end),
        Err(_) => Ok(client.max_offset(queue).await?),
    }
}
