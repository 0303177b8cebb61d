//! N10: the name server is gone for a while and comes back knowing nothing. For seconds in cycle 1,
//! for ten minutes in cycle 2.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Client, Config, Message, Pull, Tasks, TopicSpec};
use proto::Text;

use crate::course::{Course, STUCK, Stop, must};
use crate::house::Plan;

const GONE_SHORT: Duration = Duration::from_secs(5);
const GONE_LONG: Duration = Duration::from_secs(600);
const SEND_EVERY: Duration = Duration::from_millis(50);
const BACK_MAX: Duration = Duration::from_secs(30);
const TOPIC: &str = "names";

pub(super) async fn run(course: &mut Course) -> Result<(), Stop> {
    let addr = free_addr()?;
    let mut names = Names::start(course, &addr).await?;
    let also = format!("namesrvAddr={addr}");
    let house = Plan::new(course, "sync").set(&also).start().await?;
    let client = Client::connect(Config::new([addr.clone()]), &Tasks::root());
    knows(&client).await?;
    let spec = TopicSpec::new(TOPIC, 4);
    client.create_topic(&spec).await.map_err(Stop::failed)?;
    send(course, &client).await?;
    for cycle in course.numbers() {
        course.begin(cycle);
        names.stop();
        let gone = if cycle == 1 { GONE_SHORT } else { GONE_LONG };
        let until = Instant::now() + gone;
        while Instant::now() < until {
            send(course, &client).await?;
            tokio::time::sleep(SEND_EVERY).await;
        }
        read_all(course, &client).await?;
        names = Names::start(course, &addr).await?;
        let begun = Instant::now();
        let stranger = Client::connect(Config::new([addr.clone()]), &Tasks::root());
        knows(&stranger).await?;
        let took = begun.elapsed();
        course.figures.recovered(took);
        course.goal(took <= BACK_MAX, || {
            format!("the broker was registered again after {took:?}")
        })?;
        send(course, &client).await?;
        read_all(course, &stranger).await?;
        course.say(format!("gone for {gone:?}, back after {took:?}"));
    }
    drop(house);
    Ok(())
}

async fn send(course: &mut Course, client: &Client) -> Result<(), Stop> {
    let number = course.figures.acked.to_string();
    let sent = client.send(Message::new(TOPIC, number)).await;
    sent.map_err(|why| Stop::Failed(format!("a send failed without a name server: {why}")))?;
    course.figures.acked += 1;
    Ok(())
}

/// Reads every queue and counts.
async fn read_all(course: &Course, client: &Client) -> Result<(), Stop> {
    let mut read = 0;
    for queue in client.queues(TOPIC).await.map_err(Stop::failed)? {
        let end = client.max_offset(&queue).await.map_err(Stop::failed)?;
        let mut pull = Pull::new("names-readers", queue, 0);
        while pull.offset < end {
            let pulled = client.pull(&pull).await.map_err(Stop::failed)?;
            read += pulled.messages.len() as u64;
            pull.offset = pulled.next_offset;
        }
    }
    let acked = course.figures.acked;
    must(read == acked, || format!("{read} of {acked} were read"))
}

/// Waits until the name server knows the broker.
async fn knows(client: &Client) -> Result<(), Stop> {
    let until = Instant::now() + BACK_MAX + STUCK;
    loop {
        let cluster = client.cluster().await;
        if cluster.is_ok_and(|cluster| !cluster.broker_addr_table.is_empty()) {
            return Ok(());
        }
        must(Instant::now() < until, || {
            "the broker was not registered again".into()
        })?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn free_addr() -> Result<Text, Stop> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
    Ok(listener.map_err(Stop::io("no port"))?.to_string().into())
}

/// A name server of its own process; it dies with its handle.
struct Names(Child);

impl Names {
    async fn start(course: &Course, addr: &str) -> Result<Self, Stop> {
        let conf = course.path("namesrv.conf");
        let port = addr.rsplit(':').next().unwrap_or_default();
        let kv = course.path("kv.json");
        let text = format!("listenPort={port}\nkvConfigPath={}\n", kv.display());
        std::fs::write(&conf, text).map_err(Stop::io("namesrv.conf"))?;
        let process = Command::new(&course.gantry)
            .args(["namesrv", "-c"])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Stop::io("cannot run gantry namesrv"))?;
        let names = Self(process);
        let until = Instant::now() + STUCK;
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            must(Instant::now() < until, || {
                "the name server does not start".into()
            })?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(names)
    }

    fn stop(&mut self) {
        // Stopped before, or at its end.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop();
    }
}
