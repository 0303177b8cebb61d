//! Offsets of queues, and how far groups have consumed them.

use proto::message::QueueId;
use proto::remoting::pull::{
    OffsetIs, QueryConsumerOffset, QueueOf, SearchOffset, TimestampIs, UpdateConsumerOffset,
};
use proto::remoting::{Reply, ResponseCode};
use store::Boundary;
use tokio::task::block_in_place;

use crate::broker::{Bounds, Broker};
use crate::refusal::Refusal;

/// # Errors
/// A negative number is no queue.
pub(super) fn queue_id(wire: i32) -> Result<QueueId, Refusal> {
    let illegal = |_| {
        Refusal::new(
            ResponseCode::INVALID_PARAMETER,
            format!("queueId[{wire}] is illegal"),
        )
    };
    u32::try_from(wire).map(QueueId).map_err(illegal)
}

pub(super) fn query(broker: &Broker, query: &QueryConsumerOffset) -> Result<Reply, Refusal> {
    if let Some(offset) = broker
        .state
        .offsets
        .find(&query.group, &query.topic, query.queue_id)
    {
        return Ok(Reply::ok().with(OffsetIs { offset }));
    }
    let not_found = |text: &'static str| Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, text));
    if query.set_zero_if_not_found == Some(false) {
        return not_found("Not found, do not set to zero, maybe this group boot first");
    }
    // compat: ConsumerManageProcessor#queryConsumerOffset: a new group starts a queue at 0 when its
    // very first message is still there.
    // Apache also asks whether that message is still in memory; here every message is as near.
    let Bounds { min, max } = broker.bounds(&query.topic, queue_id(query.queue_id)?);
    if min == 0 && max > 0 {
        return Ok(Reply::ok().with(OffsetIs { offset: 0 }));
    }
    not_found("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
}

pub(super) fn update(broker: &Broker, update: &UpdateConsumerOffset) -> Result<Reply, Refusal> {
    let (group, topic) = (&update.group, &update.topic);
    let Some(offset) = update.commit_offset else {
        let text = format!("Offset is null, topic is {topic}");
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    };
    let queues = 0..super::topics::QUEUES_MAX;
    if !queues.contains(&update.queue_id) {
        let text = format!("queueId[{}] is illegal", update.queue_id);
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    if broker.state.groups.find(group).is_none() {
        let text = format!("Group {group} not exist!");
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            text,
        ));
    }
    if broker.state.topics.find(topic).is_none() {
        let text = format!("Topic {topic} not exist!");
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, text));
    }
    broker
        .state
        .offsets
        .commit(group, topic, update.queue_id, offset)?;
    Ok(Reply::ok())
}

pub(super) fn max(broker: &Broker, queue: &QueueOf) -> Result<Reply, Refusal> {
    let bounds = broker.bounds(&queue.topic, queue_id(queue.queue_id)?);
    Ok(Reply::ok().with(OffsetIs { offset: bounds.max }))
}

pub(super) fn min(broker: &Broker, queue: &QueueOf) -> Result<Reply, Refusal> {
    let bounds = broker.bounds(&queue.topic, queue_id(queue.queue_id)?);
    Ok(Reply::ok().with(OffsetIs { offset: bounds.min }))
}

pub(super) fn search(broker: &Broker, search: &SearchOffset) -> Result<Reply, Refusal> {
    let upper = search
        .boundary
        .as_deref()
        .is_some_and(|b| b.eq_ignore_ascii_case("UPPER"));
    let boundary = if upper {
        Boundary::Upper
    } else {
        Boundary::Lower
    };
    let queue = queue_id(search.queue_id)?;
    // It may have to mend what a disk has altered, for which much of the log is read.
    let offset = block_in_place(|| {
        let store = &broker.store;
        store.offset_by_time(&search.topic, queue, search.timestamp_ms, boundary)
    });
    let offset = offset
        .map_err(|error| unreadable(&error))?
        .map_or(0, |offset| offset.0.cast_signed());
    Ok(Reply::ok().with(OffsetIs { offset }))
}

pub(super) fn earliest_time(broker: &Broker, queue: &QueueOf) -> Result<Reply, Refusal> {
    let id = queue_id(queue.queue_id)?;
    let Bounds { min, max } = broker.bounds(&queue.topic, id);
    let timestamp_ms = if min < max {
        broker.store_time(&queue.topic, id, min)
    } else {
        -1
    };
    Ok(Reply::ok().with(TimestampIs { timestamp_ms }))
}

pub(super) fn unreadable(error: &store::ReadError) -> Refusal {
    tracing::error!(%error, "cannot read the store");
    Refusal::new(
        ResponseCode::SYSTEM_ERROR,
        format!("cannot read the store: {error}"),
    )
}
