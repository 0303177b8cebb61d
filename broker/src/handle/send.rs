//! Storing what a producer sends. The checks in Apache's order, then one append; the answer leaves
//! when the log is as far as the sender waits for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use proto::Text;
use proto::message::{
    Draft, OffsetMessageId, QueueId, SysFlag, property, push_property, tags_code,
};
use proto::names;
use proto::remoting::config::TopicConfig;
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, ResponseCode};
use remoting::{Answer, Gated, Peer};
use runtime::clock;
use store::{AppendError, Appended};

use crate::broker::Broker;
use crate::client_properties::ClientProperties;
use crate::config::Config;
use crate::refusal::Refusal;

/// What a client may say in its flags: how the body is compressed, and that tags are many.
const CLIENT_FLAGS: i32 = 0x1 | 0x2 | 0x700;

pub(super) fn send(broker: &Arc<Broker>, send: &Send, peer: &Peer) -> Result<Answer, Refusal> {
    let topic = match broker.state.topics.find(&send.fields.topic) {
        Some(topic) => topic,
        None => create_topic(broker, send)?,
    };
    let config = broker.config();
    let queue_id = check(broker, &config, send, &topic, peer)?;
    refuse_under_pressure(broker, config.flush.wait_max)?;
    let place = (queue_id, peer.addr());
    let outcome = if send.is_batch() {
        super::send_batch::append(broker, &config, send, place)
    } else {
        append_one(broker, &config, send, place)
    };
    if outcome.is_err() {
        broker.figures.put_failed.fetch_add(1, Relaxed);
    }
    outcome
}

/// Everything about a send that can be wrong without looking at the message itself.
fn check(
    broker: &Broker,
    config: &Config,
    send: &Send,
    topic: &TopicConfig,
    peer: &Peer,
) -> Result<QueueId, Refusal> {
    let fields = &send.fields;
    refuse_closed(&fields.topic)?;
    if topic.order && config.topics.permission & 2 == 0 {
        let text = format!(
            "the broker[{}] sending message is forbidden",
            config.listen.ip1
        );
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    }
    let queues = topic.read_queue_nums.max(topic.write_queue_nums);
    if fields.queue_id >= queues {
        let text = format!(
            "request queueId[{}] is illegal, {} Producer: {}",
            fields.queue_id,
            topic.describe(),
            peer.addr()
        );
        return Err(Refusal::new(ResponseCode::INVALID_PARAMETER, text));
    }
    if send.body.is_empty() || send.body.len() > config.topics.message_bytes_max as usize {
        return Err(illegal_message(broker));
    }
    let chosen = if fields.queue_id < 0 {
        broker.any_queue(topic.write_queue_nums)
    } else {
        fields.queue_id
    };
    u32::try_from(chosen)
        .map(QueueId)
        .map_err(|_| illegal_message(broker))
}

fn refuse_closed(topic: &str) -> Result<(), Refusal> {
    if names::is_closed_to_clients(topic) {
        let text = format!("Sending message to topic[{topic}] is forbidden.");
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    }
    Ok(())
}

/// compat: BrokerFastFailure#cleanExpiredRequestInQueue words it so, but looks at a queue in front
/// of the log, where we have none.
fn refuse_under_pressure(broker: &Broker, allowed: Duration) -> Result<(), Refusal> {
    let reached = broker.gates.acknowledged.reached();
    let pressure = &broker.gates.pressure;
    let Some(waited) = pressure.too_high(reached, allowed, Instant::now) else {
        return Ok(());
    };
    let text = format!(
        "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {}ms",
        waited.as_millis()
    );
    Err(Refusal::new(ResponseCode::SYSTEM_BUSY, text))
}

pub(super) fn illegal_message(broker: &Broker) -> Refusal {
    let text = format!(
        "the message is illegal, maybe msg body or properties length not matched. msg body length \
         limit {}B, msg properties length limit 32KB.",
        broker.config().topics.message_bytes_max
    );
    Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text)
}

/// The first message to a topic makes it, if its template allows that.
fn create_topic(broker: &Arc<Broker>, send: &Send) -> Result<Arc<TopicConfig>, Refusal> {
    let fields = &send.fields;
    names::check_topic(&fields.topic)?;
    refuse_closed(&fields.topic)?;
    let topics = &broker.state.topics;
    let no_topic = || Refusal::no_topic(&fields.topic);
    let new = if names::is_retry_topic(&fields.topic) {
        TopicConfig::new(&fields.topic, 1, 6)
    } else {
        let (template, queues) = (&fields.default_topic, fields.default_topic_queues);
        crate::topics::from_template(topics, &fields.topic, template, queues)
            .ok_or_else(no_topic)?
    };
    broker.add_topics(vec![new])?;
    topics.find(&fields.topic).ok_or_else(no_topic)
}

fn append_one(
    broker: &Broker,
    config: &Config,
    send: &Send,
    place: (QueueId, SocketAddr),
) -> Result<Answer, Refusal> {
    let mut properties = ClientProperties::read(send.properties(), config.topics.properties_max);
    refuse_unsupported(&properties)?;
    let made = made_key(broker, &properties);
    properties.add_key(&made);
    properties.kept.push(&broker.signature.properties);
    let message = (&*send.body, send.fields.flag);
    let draft = draft(broker, send, message, &properties, place);
    let appended = broker.store.append(&draft, clock::now_ms());
    let appended = appended.map_err(|error| refusal(broker, &error))?;
    broker.figures.put(1, u64::from(appended.size));
    let sent = Sent {
        message_id: message_id(broker, &appended).into(),
        queue_id: place.0.0.cast_signed(),
        queue_offset: appended.queue_offset.0.cast_signed(),
        transaction_id: properties
            .unique_key
            .map(|key| slice_of(send.fields.properties.as_ref(), key)),
        region: Some(broker.signature.region.clone()),
        trace_on: Some(Text::from_static("true")),
    };
    let within = config.flush.timeout;
    Ok(gated(broker, sent, &appended, properties.waits, within))
}

/// What a message's properties say is too much, or would be lost if it were stored as a plain one.
pub(super) fn refuse_unsupported(properties: &ClientProperties<'_>) -> Result<(), Refusal> {
    match properties.refused {
        None => Ok(()),
        Some(text) => Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text)),
    }
}

/// The property that a message gets whose client gave it no unique key; else nothing.
fn made_key(broker: &Broker, properties: &ClientProperties<'_>) -> String {
    let mut made = String::new();
    if properties.unique_key.is_none() {
        let id = broker.signature.unique_ids.next(clock::now_ms());
        push_property(&mut made, property::UNIQUE_KEY, &id);
    }
    made
}

pub(super) fn draft<'a>(
    broker: &Broker,
    send: &'a Send,
    (body, flag): (&'a [u8], i32),
    properties: &'a ClientProperties<'_>,
    (queue_id, from): (QueueId, SocketAddr),
) -> Draft<'a> {
    let fields = &send.fields;
    Draft {
        topic: &fields.topic,
        queue_id,
        flag,
        sys_flag: SysFlag(fields.sys_flag & CLIENT_FLAGS),
        born_timestamp: fields.born_timestamp,
        born_host: from,
        store_host: broker.signature.store_host,
        reconsume_times: fields.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body,
        properties: &properties.kept,
        tags_code: tags_code(properties.tags),
        unique_key: properties.unique_key,
        keys: properties.keys,
    }
}

pub(super) fn message_id(broker: &Broker, appended: &Appended) -> String {
    OffsetMessageId {
        host: broker.signature.store_host,
        offset: appended.log_offset,
    }
    .to_text()
}

/// `part` as a slice of the text it was found in, if it was.
fn slice_of(text: Option<&Text>, part: &str) -> Text {
    let inside = |text: &&Text| text.as_bytes().as_ptr_range().contains(&part.as_ptr());
    text.filter(inside)
        .map_or_else(|| Text::from(part.to_owned()), |text| text.slice_ref(part))
}

pub(super) fn gated(
    broker: &Broker,
    sent: Sent,
    last: &Appended,
    waits: bool,
    within: Duration,
) -> Answer {
    let gates = &broker.gates;
    gates
        .pressure
        .took(last.end.0, gates.acknowledged.reached(), Instant::now);
    let gate = if waits {
        &gates.acknowledged
    } else {
        &gates.written
    };
    Answer::Gated(Gated {
        gate: gate.clone(),
        at: last.end.0,
        reply: Reply::ok().with(sent),
        within,
    })
}

pub(super) fn refusal(broker: &Broker, error: &AppendError) -> Refusal {
    match error {
        AppendError::DiskFull => {
            let used = broker.store.check_disk();
            let (log, queues) = used.map_or((1.0, 1.0), |used| (used.log, used.queues));
            let text = format!(
                "service not available now. It may be caused by one of the following reasons: the \
                 broker's disk is full [CL: {log:5.2} CQ: {queues:5.2} INDEX: {queues:5.2}], \
                 messages are put to the slave, message store has been shut down, etc."
            );
            Refusal::new(ResponseCode::SERVICE_NOT_AVAILABLE, text)
        }
        AppendError::StagingFull => Refusal::new(
            ResponseCode::SYSTEM_BUSY,
            "[PC_SYNCHRONIZED]broker busy, start flow control for a while",
        ),
        AppendError::Stopped => Refusal::new(
            ResponseCode::SYSTEM_ERROR,
            "the store has stopped accepting messages",
        ),
        AppendError::TooLarge { .. } | AppendError::Draft(_) => illegal_message(broker),
        AppendError::Queue(error) => Refusal::new(ResponseCode::MESSAGE_ILLEGAL, error.to_string()),
        AppendError::Io(error) => {
            tracing::error!(%error, "no new log segment");
            let text = "create mapped file failed, server is busy or broken.";
            Refusal::new(ResponseCode::SYSTEM_ERROR, text)
        }
    }
}
