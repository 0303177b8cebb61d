//! A member of a consumer group, made of bare requests: it can be killed at any moment, and what it
//! was given and what it committed is known exactly.

use std::sync::Arc;
use std::time::Duration;

use client::Tasks;
use parking_lot::Mutex;
use proto::remoting::clients::{
    ConsumerData, ConsumerGroup, ConsumerIds, Heartbeat, Locked, MessageQueue, QueueLocks,
    Subscription,
};
use proto::remoting::pull::{
    OffsetIs, Pull, Pulled, QueryConsumerOffset, SUBSCRIPTION, SUSPEND, UpdateConsumerOffset,
};
use proto::remoting::{Reply, Request, ResponseCode};
use proto::{Text, json};
use remoting::{Answer, Call, CallError, Limits, Peer, Serve, dial};
use tokio::sync::Notify;

const WITHIN: Duration = Duration::from_secs(5);

/// Hears that others joined or left.
#[derive(Clone, Debug, Default)]
pub(super) struct Ears(Arc<Notify>);

impl Serve for Ears {
    fn answer(&self, call: Call) -> Answer {
        if matches!(call.request, Request::ConsumersChanged(_)) {
            self.0.notify_one();
        }
        Answer::Now(Reply::ok())
    }
}

/// One connection of one client of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) peer: Peer,
    pub(super) id: String,
    group: Text,
    topic: Text,
    broker: String,
    ears: Ears,
}

/// What a group consumes.
#[derive(Clone, Debug)]
pub(super) struct Wants {
    pub(super) group: Text,
    pub(super) topic: Text,
    /// The name of the broker.
    pub(super) broker: Text,
}

impl Member {
    /// Connects to `addr` and joins.
    pub(super) async fn join(
        addr: &str,
        id: String,
        wants: &Wants,
        tasks: &Tasks,
    ) -> Result<Self, String> {
        let ears = Ears::default();
        let addr = addr.parse().map_err(|_| format!("{addr} is no address"))?;
        let served = Arc::new(ears.clone());
        let peer = dial(addr, served, Limits::default(), tasks).await;
        let member = Self {
            peer: peer.map_err(|why| why.to_string())?,
            id,
            group: wants.group.clone(),
            topic: wants.topic.clone(),
            broker: wants.broker.to_string(),
            ears,
        };
        member.beat().await.map_err(|why| why.to_string())?;
        Ok(member)
    }

    /// Says that it is there.
    pub(super) async fn beat(&self) -> Result<(), CallError> {
        let subscription = Subscription {
            topic: self.topic.to_string(),
            sub_string: "*".to_owned(),
            expression_type: "TAG".to_owned(),
            ..Subscription::default()
        };
        let consumer = ConsumerData {
            group_name: self.group.to_string(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            message_model: "CLUSTERING".to_owned(),
            consume_from_where: "CONSUME_FROM_FIRST_OFFSET".to_owned(),
            subscription_data_set: vec![subscription],
            unit_mode: false,
        };
        let beat = Heartbeat {
            client_id: self.id.clone(),
            consumer_data_set: vec![consumer],
            ..Heartbeat::default()
        };
        self.ask(Request::Heartbeat(beat)).await.map(drop)
    }

    /// Waits until others joined or left, or for `at_most`; true if it was told.
    pub(super) async fn others_changed(&self, at_most: Duration) -> bool {
        tokio::time::timeout(at_most, self.ears.0.notified())
            .await
            .is_ok()
    }

    /// The members of its group.
    pub(super) async fn members(&self) -> Result<Vec<String>, CallError> {
        let group = self.group.clone();
        let reply = self
            .ask(Request::ConsumerIds(ConsumerGroup { group }))
            .await?;
        let ids: Option<ConsumerIds> = json::read(&reply.whole_body()).ok();
        let mut ids = ids.unwrap_or_default().consumer_id_list;
        ids.sort_unstable();
        Ok(ids)
    }

    /// Its part of `queues` queues: every so many-th, by its place among the members.
    pub(super) async fn part(&self, queues: i32) -> Result<Vec<i32>, CallError> {
        let members = self.members().await?;
        let place = members.iter().position(|id| *id == self.id);
        let part = place.map_or(0..0, |_| 0..queues);
        let mine = |queue: &i32| {
            let turn = usize::try_from(*queue).unwrap_or(0) % members.len().max(1);
            Some(turn) == place
        };
        Ok(part.filter(mine).collect())
    }

    fn locks(&self, queues: &[i32]) -> QueueLocks {
        let queue = |queue_id: &i32| MessageQueue {
            broker_name: self.broker.clone(),
            queue_id: *queue_id,
            topic: self.topic.to_string(),
        };
        QueueLocks {
            consumer_group: self.group.to_string(),
            client_id: self.id.clone(),
            only_this_broker: true,
            mq_set: queues.iter().map(queue).collect(),
        }
    }

    /// Which of these it may consume alone.
    pub(super) async fn lock(&self, queues: &[i32]) -> Result<Vec<i32>, CallError> {
        let request = Request::LockQueues(self.locks(queues));
        let reply = self.ask(request).await?;
        let locked: Option<Locked> = json::read(&reply.whole_body()).ok();
        let queues = locked.unwrap_or_default().queues;
        Ok(queues.iter().map(|queue| queue.queue_id).collect())
    }

    pub(super) async fn unlock(&self, queues: &[i32]) -> Result<(), CallError> {
        let request = Request::UnlockQueues(self.locks(queues));
        self.ask(request).await.map(drop)
    }

    /// Where its group goes on; the beginning if it never committed.
    pub(super) async fn committed(&self, queue_id: i32) -> Result<i64, CallError> {
        let request = Request::QueryConsumerOffset(QueryConsumerOffset {
            group: self.group.clone(),
            topic: self.topic.clone(),
            queue_id,
            set_zero_if_not_found: None,
        });
        let reply = self.ask(request).await?;
        let is = reply.read().unwrap_or(OffsetIs { offset: 0 });
        Ok(is.offset)
    }

    pub(super) async fn commit(&self, queue_id: i32, offset: i64) -> Result<bool, CallError> {
        let request = Request::UpdateConsumerOffset(UpdateConsumerOffset {
            group: self.group.clone(),
            topic: self.topic.clone(),
            queue_id,
            commit_offset: Some(offset),
        });
        Ok(self.ask(request).await?.is_ok())
    }

    pub(super) fn pull_request(&self, queue_id: i32, offset: i64, wait: Duration) -> Request {
        let suspend = if wait.is_zero() { 0 } else { SUSPEND };
        Request::Pull(Pull {
            group: self.group.clone(),
            topic: self.topic.clone(),
            queue_id,
            queue_offset: offset,
            messages_max: 32,
            sys_flag: SUBSCRIPTION | suspend,
            commit_offset: 0,
            suspend_timeout_ms: i64::try_from(wait.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(Text::from_static("*")),
            sub_version: 0,
            expression_type: Some(Text::from_static("TAG")),
            bytes_max: None,
        })
    }

    /// Messages from `offset` on: where they begin and end.
    pub(super) async fn pull(
        &self,
        queue_id: i32,
        offset: i64,
    ) -> Result<std::ops::Range<i64>, CallError> {
        let request = self.pull_request(queue_id, offset, Duration::ZERO);
        let reply = self.ask(request).await?;
        let next = reply.read().map_or(offset, |at: Pulled| at.next_offset);
        Ok(match reply.code {
            ResponseCode::SUCCESS => offset..next,
            _ => offset..offset,
        })
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Reply, CallError> {
        self.peer.call(request, WITHIN).await
    }
}

/// What happened to one queue of a group, in the order in which it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Consumed(i64),
    /// The server confirmed it.
    Committed(i64),
}

/// The queues of one group.
#[derive(Clone, Debug)]
pub(super) struct Diary(Arc<Mutex<Vec<Vec<Happened>>>>);

impl Diary {
    pub(super) fn new(queues: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![Vec::new(); queues])))
    }

    pub(super) fn note(&self, queue: i32, happened: Happened) {
        let at = usize::try_from(queue).unwrap_or(usize::MAX);
        if let Some(queue) = self.0.lock().get_mut(at) {
            queue.push(happened);
        }
    }

    pub(super) fn queues(&self) -> Vec<Vec<Happened>> {
        self.0.lock().clone()
    }
}
