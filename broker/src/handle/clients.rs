//! Clients that come, stay and leave, the locks they take, and requests passed on to one of them.

use std::sync::Arc;
use std::time::Duration;

use proto::names::{self, NameError};
use proto::remoting::clients::{
    ConsumerData, ConsumerGroup, ConsumerIds, Heartbeat, HeartbeatTaken, Locked, ProducerGroup,
    QueueLocks, UnregisterClient,
};
use proto::remoting::config::TopicConfig;
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Answer, Call, CallError, Peer, unsupported};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::clients::{Filter, GROUPS_MAX, Sender};
use crate::refusal::Refusal;

/// How long a client may take for what is passed on to it.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn heartbeat(
    broker: &Arc<Broker>,
    sender: &Sender,
    mut beat: Heartbeat,
) -> Result<Reply, Refusal> {
    names::check_id("clientID", &beat.client_id)?;
    let groups = beat.producer_data_set.len() + beat.consumer_data_set.len();
    if groups > GROUPS_MAX {
        let text = format!("the heartbeat names {groups} groups, at most {GROUPS_MAX} may be");
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    // A group that may not exist is left out; the rest of the heartbeat counts.
    let producers = &mut beat.producer_data_set;
    producers.retain(|producer| names::check_group(&producer.group_name).is_ok());
    let (mut retry_topics, mut left_out) = (Vec::new(), Vec::new());
    for data in std::mem::take(&mut beat.consumer_data_set) {
        match missing_retry_topic(broker, &data, retry_topics.len()) {
            Ok(topic) => {
                retry_topics.extend(topic);
                beat.consumer_data_set.push(data);
            }
            Err(why) => left_out.push((data.group_name, why)),
        }
    }
    if let Some((group, why)) = left_out.first() {
        let count = left_out.len();
        tracing::warn!(group, ?why, count, "groups are left out of a heartbeat");
    }
    broker.add_topics(retry_topics)?;
    let changed = broker.clients.heartbeat(sender, beat, Instant::now());
    broker.tell_consumers(&changed);
    Ok(Reply::ok().with(HeartbeatTaken {
        v2_supported: true,
        subscription_changed: true,
    }))
}

/// The retry topic that a group of a heartbeat lacks, when `new` others are about to be made; or why
/// the group is left out.
fn missing_retry_topic(
    broker: &Broker,
    data: &ConsumerData,
    new: usize,
) -> Result<Option<TopicConfig>, Refusal> {
    let illegal = |text| Refusal::new(ResponseCode::INVALID_PARAMETER, text);
    let most = broker.config().pulls.expression_bytes_max;
    let mut wanted = data.subscription_data_set.iter();
    if !wanted.all(|subscription| Filter::may_be(subscription, most)) {
        return Err(illegal("a subscription that cannot be"));
    }
    let group = broker.group(&data.group_name)?;
    let group = group.ok_or_else(|| illegal("no such group"))?;
    let topics = &broker.state.topics;
    let topic = names::retry_topic(&data.group_name);
    if group.retry_queue_nums <= 0 || topics.find(&topic).is_some() {
        return Ok(None);
    }
    topics.check_room(new + 1)?;
    Ok(Some(TopicConfig::new(&topic, group.retry_queue_nums, 6)))
}

pub(super) fn unregister(broker: &Broker, peer: &Peer, leaving: &UnregisterClient) -> Reply {
    if let Some(group) = &leaving.producer_group {
        broker.clients.leave_producers(peer, group);
    }
    if let Some(group) = &leaving.consumer_group
        && broker.clients.leave_consumers(peer, group)
    {
        broker.tell_consumers(&[group.to_string()]);
    }
    Reply::ok()
}

pub(super) fn consumer_ids(broker: &Broker, group: &ConsumerGroup) -> Result<Reply, Refusal> {
    let ids = broker.clients.ids_of(&group.group);
    if ids.is_empty() {
        let text = format!("no consumer for this group, {}", group.group);
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, text));
    }
    Ok(Reply::ok().body(proto::json::write(&ConsumerIds {
        consumer_id_list: ids,
    })))
}

pub(super) fn lock(broker: &Broker, wanted: QueueLocks) -> Result<Reply, Refusal> {
    check_names(&wanted)?;
    let queues = broker.locks.lock().lock(wanted, Instant::now());
    Ok(Reply::ok().body(proto::json::write(&Locked { queues })))
}

pub(super) fn unlock(broker: &Broker, given_up: QueueLocks) -> Result<Reply, Refusal> {
    check_names(&given_up)?;
    broker.locks.lock().unlock(given_up);
    Ok(Reply::ok())
}

/// All of it is kept with a lock.
fn check_names(asked: &QueueLocks) -> Result<(), NameError> {
    names::check_group(&asked.consumer_group)?;
    names::check_id("clientId", &asked.client_id)?;
    asked.mq_set.iter().try_for_each(|queue| {
        names::check_topic(&queue.topic)?;
        names::check_id("brokerName", &queue.broker_name)
    })
}

pub(super) fn consumers(broker: &Broker, group: &ConsumerGroup) -> Result<Reply, Refusal> {
    match broker.clients.consumer_connections(&group.group) {
        Some(connections) => Ok(Reply::ok().body(proto::json::write(&connections))),
        None => {
            let text = format!("the consumer group[{}] not online", group.group);
            Err(Refusal::new(ResponseCode::CONSUMER_NOT_ONLINE, text))
        }
    }
}

pub(super) fn producers(broker: &Broker, group: &ProducerGroup) -> Result<Reply, Refusal> {
    match broker.clients.producer_connections(&group.group) {
        Some(connections) => Ok(Reply::ok().body(proto::json::write(&connections))),
        None => {
            let text = format!("the producer group[{}] not exist", group.group);
            Err(Refusal::new(ResponseCode::SYSTEM_ERROR, text))
        }
    }
}

/// Passes a request on to the client it names.
pub(super) fn forward(broker: &Arc<Broker>, mut call: Call) -> Answer {
    let Request::RunningState(asked) = &call.request else {
        return unsupported(&call.request).into();
    };
    let (group, client) = (asked.group.clone(), asked.client_id.clone());
    let Some(peer) = broker.clients.peer_of(&group, &client) else {
        let text = format!("The Consumer <{group}> <{client}> not online");
        return Refusal::new(ResponseCode::SYSTEM_ERROR, text).into();
    };
    let replier = call.hold();
    let request = std::mem::replace(&mut call.request, Request::BrokerRuntime);
    broker.tasks.spawn("forward", async move {
        match peer.call(request, FORWARD_TIMEOUT).await {
            Ok(reply) => replier.send(reply),
            Err(error @ (CallError::NotSent(_) | CallError::Closed | CallError::TimedOut)) => {
                let text = format!("consumer <{group}> <{client}> Timeout: {error}");
                replier.send(Refusal::new(ResponseCode::CONSUME_MSG_TIMEOUT, text));
            }
        }
    });
    Answer::Held
}
