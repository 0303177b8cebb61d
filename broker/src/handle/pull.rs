//! Pulling messages. What is found leaves as slices of the log; what finds nothing may wait.
//!
//! A waiting pull is answered again, by the same code, when a message arrives or its time is up.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proto::message::QueueOffset;
use proto::remoting::pull::{COMMIT_OFFSET, Pull, Pulled, SUBSCRIPTION, SUSPEND};
use proto::remoting::{Reply, Request, ResponseCode};
use remoting::{Answer, Call};
use store::{ReadLimits, ReadStatus};
use tokio::time::Instant;

use crate::broker::Broker;
use crate::clients::{Filter, Found};
use crate::long_poll::ParkedPull;
use crate::refusal::{FAQ, Refusal};

/// An answer, and whether waiting may make it better.
struct First {
    reply: Reply,
    may_wait: bool,
}

pub(super) fn pull(broker: &Arc<Broker>, mut call: Call) -> Answer {
    let Request::Pull(pull) = std::mem::replace(&mut call.request, Request::BrokerRuntime) else {
        return remoting::unsupported(&call.request).into();
    };
    let filter = match check(broker, &pull, &call) {
        Ok(filter) => filter,
        Err(refusal) => return refusal.into(),
    };
    if pull.sys_flag & COMMIT_OFFSET != 0 && pull.commit_offset >= 0 {
        // Only now: a pull that waited may carry an offset older than the one stored since.
        broker
            .state
            .offsets
            .note(&pull.group, &pull.topic, pull.queue_id, pull.commit_offset);
    }
    let first = match read(broker, &pull, &filter) {
        Ok(first) => first,
        Err(refusal) => return refusal.into(),
    };
    if !first.may_wait || pull.sys_flag & SUSPEND == 0 || call.oneway {
        return first.reply.into();
    }
    let parked = ParkedPull {
        until: wait_until(broker, &pull),
        filter,
        replier: call.hold(),
        pull,
    };
    broker.park(parked, first.reply);
    Answer::Held
}

fn wait_until(broker: &Broker, pull: &Pull) -> Instant {
    let pulls = &broker.config().pulls;
    let asked = Duration::from_millis(pull.suspend_timeout_ms.max(0).cast_unsigned());
    Instant::now()
        + if pulls.long_poll {
            asked.min(pulls.suspend_max)
        } else {
            pulls.short_poll
        }
}

/// Answers a pull that waited. Without `last`, one that finds nothing again goes on waiting.
pub(crate) fn answer_again(broker: &Broker, parked: ParkedPull, last: bool) {
    if !parked.replier.peer().is_open() {
        return;
    }
    match read(broker, &parked.pull, &parked.filter) {
        Ok(first) if first.may_wait && !last => broker.park(parked, first.reply),
        Ok(first) => parked.replier.send(first.reply),
        Err(refusal) => parked.replier.send(refusal),
    }
}

fn check(broker: &Broker, pull: &Pull, call: &Call) -> Result<Arc<Filter>, Refusal> {
    let forbidden = |text: String| Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    let group_name = pull.group.as_ref();
    if broker.config().topics.permission & 4 == 0 {
        return forbidden(format!(
            "the broker[{}] pulling message is forbidden",
            broker.config().listen.ip1
        ));
    }
    // compat: SubscriptionGroupManager#findSubscriptionGroupConfig makes no group of an illegal name.
    let Some(group) = broker.group(group_name).unwrap_or(None) else {
        let text = format!("subscription group [{group_name}] does not exist, {FAQ}");
        return Err(Refusal::new(
            ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
            text,
        ));
    };
    if !group.consume_enable {
        return forbidden(format!("subscription group no permission, {group_name}"));
    }
    let Some(topic) = broker.state.topics.find(&pull.topic) else {
        let text = format!("topic[{}] not exist, apply first please! {FAQ}", pull.topic);
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, text));
    };
    if !topic.is_readable() {
        return forbidden(format!(
            "the topic[{}] pulling message is forbidden",
            pull.topic
        ));
    }
    if pull.queue_id < 0 || pull.queue_id >= topic.read_queue_nums {
        let text = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[/{}]",
            pull.queue_id,
            pull.topic,
            topic.read_queue_nums,
            call.peer.addr()
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    subscription(broker, pull, group.consume_broadcast_enable)
}

fn subscription(
    broker: &Broker,
    pull: &Pull,
    broadcast_allowed: bool,
) -> Result<Arc<Filter>, Refusal> {
    let filter = if pull.sys_flag & SUBSCRIPTION != 0 {
        let kind = pull.expression_type.as_deref().unwrap_or_default();
        let is_tags = matches!(kind, "" | "TAG");
        let expression = pull.subscription.as_deref().unwrap_or_default();
        let most = broker.config().pulls.expression_bytes_max;
        if expression.len() > most {
            let text =
                format!("parse the consumer's subscription failed: it has more than {most} bytes");
            return Err(Refusal::new(ResponseCode::SUBSCRIPTION_PARSE_FAILED, text));
        }
        Arc::new(Filter::parse(expression, is_tags))
    } else {
        let (group, topic) = (&pull.group, &pull.topic);
        match broker.clients.find(group, topic) {
            Found::NoGroup => {
                let text = format!("the consumer's group info not exist{FAQ}");
                return Err(Refusal::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, text));
            }
            Found::NoSubscription => {
                let text = format!("the consumer's subscription not exist{FAQ}");
                return Err(Refusal::new(ResponseCode::SUBSCRIPTION_NOT_EXIST, text));
            }
            Found::Subscribed {
                broadcast: true, ..
            } if !broadcast_allowed => {
                let text = format!("the consumer group[{group}] can not consume by broadcast way");
                return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
            }
            Found::Subscribed { filter, .. } if filter.version < pull.sub_version => {
                let text = "the consumer's subscription not latest";
                return Err(Refusal::new(ResponseCode::SUBSCRIPTION_NOT_LATEST, text));
            }
            Found::Subscribed { filter, .. } => filter,
        }
    };
    if !filter.is_tags {
        let kind = pull.expression_type.as_deref().unwrap_or("SQL92");
        let text = format!("The broker does not support consumer to filter message by {kind}");
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, text));
    }
    Ok(filter)
}

fn limits(broker: &Broker, pull: &Pull) -> ReadLimits {
    let pulls = &broker.config().pulls;
    let wanted = u32::try_from(pull.messages_max).unwrap_or(0).max(1);
    let wanted_bytes = pull.bytes_max.and_then(|bytes| u32::try_from(bytes).ok());
    let bytes = wanted_bytes.filter(|bytes| *bytes > 0).unwrap_or(u32::MAX);
    ReadLimits {
        max_messages: wanted.min(pulls.memory_count),
        max_bytes: bytes.min(pulls.memory_bytes),
    }
}

fn read(broker: &Broker, pull: &Pull, filter: &Filter) -> Result<First, Refusal> {
    let queue_id = super::offsets::queue_id(pull.queue_id)?;
    let limits = limits(broker, pull);
    let wants = |tags_code: i64| filter.wants(tags_code);
    // A negative offset is below every minimum: answered as such, never as an error.
    let from = u64::try_from(pull.queue_offset);
    let found = broker.store.read(
        &pull.topic,
        queue_id,
        QueueOffset(from.unwrap_or(0)),
        &limits,
        &wants,
    );
    let found = found.map_err(|error| {
        tracing::error!(topic = %pull.topic, queue = pull.queue_id, %error, "cannot read");
        Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            format!("cannot read the message: {error}"),
        )
    })?;
    let status = match found.status {
        _ if from.is_err() => ReadStatus::OffsetTooSmall,
        // The topic has such a queue (checked before), so it is one without a message yet.
        ReadStatus::NoMatchedLogicQueue => ReadStatus::NoMessageInQueue,
        status => status,
    };
    let (code, name) = code_of(status, pull.queue_offset);
    let figures = &broker.figures;
    if code == ResponseCode::SUCCESS {
        figures.pulls_found.fetch_add(1, Relaxed);
        figures.sent_messages.fetch_add(found.count.into(), Relaxed);
    } else {
        figures.pulls_missed.fetch_add(1, Relaxed);
    }
    let pulled = Pulled {
        suggested_broker: 0,
        next_offset: if from.is_err() {
            found.min.0
        } else {
            found.next.0
        }
        .cast_signed(),
        min_offset: found.min.0.cast_signed(),
        max_offset: found.max.0.cast_signed(),
        topic_sys_flag: Some(0),
        group_sys_flag: Some(0),
    };
    let mut reply = Reply::new(code).with(pulled);
    reply.remark = Some(name.into());
    if code == ResponseCode::SUCCESS {
        reply.body = found.records;
    }
    Ok(First {
        reply,
        may_wait: code == ResponseCode::PULL_NOT_FOUND,
    })
}

/// compat: PullMessageProcessor#composeResponseHeader; the remark is the status's name.
fn code_of(status: ReadStatus, asked: i64) -> (ResponseCode, &'static str) {
    let moved_unless_zero = if asked == 0 {
        ResponseCode::PULL_NOT_FOUND
    } else {
        ResponseCode::PULL_OFFSET_MOVED
    };
    match status {
        ReadStatus::Found => (ResponseCode::SUCCESS, "FOUND"),
        ReadStatus::NoMatchedMessage => {
            (ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE")
        }
        ReadStatus::MessageWasRemoving => {
            (ResponseCode::PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING")
        }
        ReadStatus::NoMatchedLogicQueue => (moved_unless_zero, "NO_MATCHED_LOGIC_QUEUE"),
        ReadStatus::NoMessageInQueue => (moved_unless_zero, "NO_MESSAGE_IN_QUEUE"),
        ReadStatus::OffsetTooSmall => (ResponseCode::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL"),
        ReadStatus::OffsetOverflowOne => (ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE"),
        ReadStatus::OffsetOverflowBadly => {
            (ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY")
        }
    }
}
