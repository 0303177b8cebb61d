//! What one careful user sees meanwhile: single sends, one after another, and reads of what is long
//! there.

use std::time::{Duration, Instant};

use client::{Client, Config, Message, Outcome, Pull, Tasks, TopicSpec};
use loadtest::report;
use proto::Text;
use proto::remoting::ResponseCode;

use crate::course::{Stop, must};
use crate::house::House;

const TOPIC: Text = Text::from_static("probe");
/// What there is to read.
const MESSAGES: u32 = 200;
const BODY: usize = 1024;

/// One send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) took: Duration,
    /// The code of the refusal; `None` when nobody answered.
    pub(crate) code: Option<ResponseCode>,
}

impl Sent {
    pub(crate) fn is_ok(&self) -> bool {
        self.code == Some(ResponseCode::SUCCESS)
    }
}

/// The user.
#[derive(Debug)]
pub(crate) struct Probe {
    client: Client,
}

impl Probe {
    /// Makes a topic with messages in it.
    pub(crate) async fn ready(house: &House) -> Result<Self, Stop> {
        let mut config = Config::new([house.namesrv()]);
        config.send_attempts = 1;
        config.send_timeout = Duration::from_secs(8);
        config.request_timeout = Duration::from_secs(8);
        let client = Client::connect(config, &Tasks::root());
        let spec = TopicSpec::new(TOPIC, 1);
        client.create_topic(&spec).await.map_err(Stop::failed)?;
        for _ in 0..MESSAGES {
            let message = Message::new(TOPIC, vec![b'p'; BODY]);
            client.send(message).await.map_err(Stop::failed)?;
        }
        Ok(Self { client })
    }

    /// Sends a message each `every`, or as soon as the last one is answered.
    pub(crate) async fn send_until(&self, until: Instant, every: Duration) -> Vec<Sent> {
        let mut all = Vec::new();
        while Instant::now() < until {
            let at = Instant::now();
            let sent = self
                .client
                .send(Message::new(TOPIC, vec![b'p'; BODY]))
                .await;
            let code = match sent {
                Ok(receipt) if receipt.stored == client::Stored::Confirmed => {
                    Some(ResponseCode::SUCCESS)
                }
                Ok(_) => Some(ResponseCode::FLUSH_DISK_TIMEOUT),
                Err(error) => match error.outcome() {
                    Outcome::Rejected(code) => Some(code),
                    Outcome::NotSent | Outcome::Unknown => None,
                },
            };
            let took = at.elapsed();
            all.push(Sent { at, took, code });
            tokio::time::sleep(every.saturating_sub(took)).await;
        }
        all
    }

    /// Reads what is long there, again and again; the 99th percentile in milliseconds.
    pub(crate) async fn read_until(&self, until: Instant) -> Result<f64, Stop> {
        let queues = self.client.queues(TOPIC).await.map_err(Stop::failed)?;
        let Some(queue) = queues.into_iter().next() else {
            return Err(Stop::failed("the topic has no queue"));
        };
        let mut latency = report::histogram();
        let mut pull = Pull::new("chaos", queue, 0);
        while Instant::now() < until {
            let begun = Instant::now();
            let pulled = self.client.pull(&pull).await.map_err(Stop::failed)?;
            report::record(&mut latency, begun.elapsed());
            must(!pulled.messages.is_empty(), || {
                "a read found nothing".into()
            })?;
            let right = |body: &[u8]| body.len() == BODY && body.iter().all(|byte| *byte == b'p');
            must(
                pulled.messages.iter().all(|message| right(&message.body)),
                || "a read found what nobody sent".into(),
            )?;
            pull.offset = (pull.offset + 32) % i64::from(MESSAGES - 32);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(report::per(latency.value_at_quantile(0.99) as f64, 1000))
    }
}
