//! Sending: answered or one-way, to a queue in turn or by sharding key.
//!
//! The retry rule: an attempt that was surely not stored ([`Outcome::NotSent`], or a refusal that
//! says "not here, not now") is repeated on another broker, or after a pause on the same one. An
//! attempt without an answer is never repeated, unless [`SendOptions::duplicates`] allows it.

use std::time::Duration;

use bytes::Bytes;
use proto::Text;
use proto::remoting::send::{Send, SendFields, Sent};
use proto::remoting::{Reply, Request, ResponseCode};
use tokio::time::{Instant, sleep};

use crate::message::Message;
use crate::routes::{NEW_TOPIC_QUEUES, Route, RouteBroker, RouteQueue, TEMPLATE_TOPIC};
use crate::send_error::{Outcome, Remedy, SendError};
use crate::{Client, Inner, Queue, choose, links};

/// Before the first repetition on the same broker; longer each time.
const PAUSE: Duration = Duration::from_millis(20);

/// How one send differs from the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Instead of [`Config::send_timeout`](crate::Config::send_timeout).
    pub timeout: Option<Duration>,
    /// To this queue and no other.
    pub queue: Option<Queue>,
    /// Repeat also what may have been stored: better twice than not at all.
    pub duplicates: bool,
}

/// How safe a message is that the broker has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// As its topic and broker are configured to promise.
    Confirmed,
    /// Written, but not flushed in time.
    FlushDiskTimeout,
    /// Written, but no replica confirmed in time.
    FlushSlaveTimeout,
    /// Written, but there is no replica to confirm it.
    SlaveNotAvailable,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id that it carries (`UNIQ_KEY`).
    pub id: Text,
    pub broker: Text,
    pub queue: i32,
    pub offset: i64,
    /// Address and log offset of the stored message, as the broker writes it.
    pub offset_id: Text,
    pub stored: Stored,
}

/// What goes out, whichever way.
pub(crate) struct Load {
    pub(crate) topic: Text,
    pub(crate) sharding_key: Option<Text>,
    pub(crate) properties: Text,
    pub(crate) body: Bytes,
    pub(crate) batch: bool,
}

/// One way out: the queue, and the broker that has it.
pub(crate) struct Way {
    pub(crate) broker: Text,
    addr: Text,
    queue: i32,
}

impl Client {
    /// Sends a message and waits until the broker has taken it.
    ///
    /// # Errors
    /// [`SendError::outcome`] tells whether the message may be stored nevertheless.
    pub async fn send(&self, message: Message) -> Result<Receipt, SendError> {
        self.send_with(message, &SendOptions::default()).await
    }

    /// Like [`send`](Self::send), with options.
    ///
    /// # Errors
    /// As for `send`.
    pub async fn send_with(
        &self,
        message: Message,
        options: &SendOptions,
    ) -> Result<Receipt, SendError> {
        let (id, load) = self.0.load(message)?;
        let (way, sent, stored) = self.0.deliver(&load, options).await?;
        Ok(Receipt {
            id,
            broker: way.broker,
            queue: sent.queue_id,
            offset: sent.queue_offset,
            offset_id: sent.message_id,
            stored,
        })
    }

    /// Sends a message without waiting for anything; it may get lost unnoticed. Returns its id.
    ///
    /// # Errors
    /// When it surely was not sent.
    pub async fn send_oneway(
        &self,
        message: Message,
        options: &SendOptions,
    ) -> Result<Text, SendError> {
        let inner = &self.0;
        let (id, load) = inner.load(message)?;
        let way = match &options.queue {
            Some(queue) => inner.way_to(queue).await?,
            None => inner.pick(&load, &*inner.route(&load.topic).await?, &[])?,
        };
        let peer = inner.links.peer(&way.addr).await?;
        peer.notify(inner.request(&load, way.queue))
            .map_err(|cause| SendError::Call {
                addr: way.addr,
                cause,
            })?;
        Ok(id)
    }
}

impl Inner {
    fn load(&self, message: Message) -> Result<(Text, Load), SendError> {
        if let Some(fault) = message.fault() {
            return Err(SendError::Illegal(fault));
        }
        let id = Text::from(self.ids.next(runtime::clock::now_ms()));
        let load = Load {
            properties: message.encode_properties(&id).into(),
            topic: message.topic,
            sharding_key: message.sharding_key,
            body: message.body,
            batch: false,
        };
        Ok((id, load))
    }

    /// Attempts until the broker took it, nothing is left to try, or the time is over.
    pub(crate) async fn deliver(
        &self,
        load: &Load,
        options: &SendOptions,
    ) -> Result<(Way, Sent, Stored), SendError> {
        let until = Instant::now() + options.timeout.unwrap_or(self.config.send_timeout);
        let mut failed_at = Vec::new();
        let mut may_be_stored = false;
        for attempt in 1.. {
            let left = self.config.send_attempts.saturating_sub(attempt);
            let tried = Attempt {
                avoid: &failed_at,
                until: if options.duplicates {
                    share(until, left)
                } else {
                    until
                },
            };
            let error = match self.attempt(load, options, tried).await {
                Ok(taken) => return Ok(taken),
                Err(Failed { error, broker }) => {
                    failed_at.extend(broker);
                    error
                }
            };
            let unknown = error.outcome() == Outcome::Unknown;
            may_be_stored |= unknown;
            let remedy = if unknown && options.duplicates {
                Remedy::Anywhere
            } else {
                error.remedy()
            };
            if remedy != Remedy::None {
                self.routes.doubt(&load.topic);
            }
            let elsewhere = options.queue.is_none() && self.has_other_broker(load, &failed_at);
            let pause = match remedy {
                Remedy::OtherBroker | Remedy::Anywhere if elsewhere => Some(Duration::ZERO),
                Remedy::Anywhere => Some(PAUSE.saturating_mul(attempt)),
                Remedy::None | Remedy::OtherBroker => None,
            };
            match pause.filter(|pause| left > 0 && Instant::now() + *pause < until) {
                Some(pause) => sleep(pause).await,
                None if may_be_stored && !unknown => {
                    return Err(SendError::AfterUnknown(Box::new(error)));
                }
                None => return Err(error),
            }
        }
        Err(SendError::TooLate)
    }

    async fn attempt(
        &self,
        load: &Load,
        options: &SendOptions,
        Attempt { avoid, until }: Attempt<'_>,
    ) -> Result<(Way, Sent, Stored), Failed> {
        let found = async {
            let way = match &options.queue {
                Some(queue) => self.way_to(queue).await?,
                None => self.pick(load, &*self.route(&load.topic).await?, avoid)?,
            };
            let peer = self.links.peer(&way.addr).await;
            Ok((way, peer))
        };
        let found: Result<_, SendError> = tokio::time::timeout_at(until, found)
            .await
            .unwrap_or(Err(SendError::TooLate));
        let (way, peer) = found?;
        let answered = match peer {
            Ok(peer) => {
                let left = until.saturating_duration_since(Instant::now());
                links::call(&peer, self.request(load, way.queue), left)
                    .await
                    .map_err(|cause| {
                        let addr = way.addr.clone();
                        SendError::Call { addr, cause }
                    })
                    .and_then(|reply| taken(&way.addr, reply))
            }
            Err(error) => Err(error.into()),
        };
        match answered {
            Ok((sent, stored)) => Ok((way, sent, stored)),
            Err(error) => Err(Failed {
                error,
                broker: Some(way.broker),
            }),
        }
    }

    /// A queue in turn, past the brokers in `avoid` and those that cannot be reached; or by key.
    fn pick(&self, load: &Load, route: &Route, avoid: &[Text]) -> Result<Way, SendError> {
        let avoided = |broker: &RouteBroker| {
            let rests = broker
                .master
                .as_ref()
                .is_some_and(|addr| self.links.rests(addr));
            rests || avoid.contains(&broker.name)
        };
        let queue = match &load.sharding_key {
            Some(key) => choose::by_key(route, key),
            None => choose::in_turn(route, avoided),
        };
        let queue = queue.ok_or_else(|| SendError::NoQueue(load.topic.clone()))?;
        way(route, queue)
    }

    async fn way_to(&self, queue: &Queue) -> Result<Way, SendError> {
        let route = self.route(&queue.topic).await?;
        let master = route
            .broker_named(&queue.broker)
            .and_then(|broker| broker.master.clone());
        Ok(Way {
            broker: queue.broker.clone(),
            addr: master.ok_or_else(|| SendError::NoMaster(queue.broker.clone()))?,
            queue: queue.id,
        })
    }

    fn has_other_broker(&self, load: &Load, failed_at: &[Text]) -> bool {
        let route = self.routes.kept(&load.topic);
        load.sharding_key.is_none()
            && route.is_some_and(|route| {
                let mut brokers = route
                    .writable
                    .iter()
                    .filter_map(|queue| route.broker(*queue));
                brokers.any(|broker| !failed_at.contains(&broker.name))
            })
    }

    fn request(&self, load: &Load, queue: i32) -> Request {
        Request::Send(Send {
            fields: SendFields {
                producer_group: Some(self.config.producer_group.clone()),
                topic: load.topic.clone(),
                default_topic: Text::from_static(TEMPLATE_TOPIC),
                default_topic_queues: NEW_TOPIC_QUEUES,
                queue_id: queue,
                sys_flag: 0,
                born_timestamp: runtime::clock::now_ms(),
                flag: 0,
                properties: Some(load.properties.clone()),
                reconsume_times: Some(0),
                unit_mode: Some(false),
                max_reconsume_times: None,
                batch: Some(load.batch),
            },
            body: load.body.clone(),
        })
    }
}

/// How one attempt differs from the others of its send.
struct Attempt<'a> {
    avoid: &'a [Text],
    until: Instant,
}

/// A failed attempt, and the broker that it failed at.
struct Failed {
    error: SendError,
    broker: Option<Text>,
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self {
            error,
            broker: None,
        }
    }
}

/// This attempt's part of the time, when `more` attempts may follow it.
fn share(until: Instant, more: u32) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / (more + 1)
}

fn way(route: &Route, queue: RouteQueue) -> Result<Way, SendError> {
    let broker = route.broker(queue);
    let broker = broker.ok_or_else(|| SendError::NoMaster(Text::new()))?;
    let away = || SendError::NoMaster(broker.name.clone());
    Ok(Way {
        broker: broker.name.clone(),
        addr: broker.master.clone().ok_or_else(away)?,
        queue: queue.id,
    })
}

fn taken(addr: &Text, reply: Reply) -> Result<(Sent, Stored), SendError> {
    let stored = match reply.code {
        ResponseCode::SUCCESS => Stored::Confirmed,
        ResponseCode::FLUSH_DISK_TIMEOUT => Stored::FlushDiskTimeout,
        ResponseCode::FLUSH_SLAVE_TIMEOUT => Stored::FlushSlaveTimeout,
        ResponseCode::SLAVE_NOT_AVAILABLE => Stored::SlaveNotAvailable,
        code => {
            return Err(SendError::Refused {
                addr: addr.clone(),
                code,
                remark: reply.remark.unwrap_or_default(),
            });
        }
    };
    let sent = reply.read().map_err(|why| SendError::Unreadable {
        addr: addr.clone(),
        why: why.to_string(),
    })?;
    Ok((sent, stored))
}
