//! Storing what a producer sends. The checks in Apache's order, then one append; the answer leaves
//! when the log is as far as the sender waits for.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::Text;
use proto::message::{
    BatchError, BatchItem, BatchItems, Draft, OffsetMessageId, QueueId, SysFlag, property,
    push_property, tags_code,
};
use proto::names;
use proto::remoting::config::TopicConfig;
use proto::remoting::send::{Send, Sent};
use proto::remoting::{Reply, ResponseCode};
use remoting::{Answer, Gated, Peer};
use store::{AppendError, Appended};

use crate::broker::Broker;
use crate::client_properties::ClientProperties;
use crate::refusal::Refusal;

/// Messages of one batch.
const BATCH_MESSAGES_MAX: usize = 1024;
/// compat: SendMessageProcessor#sendBatchMessage refuses longer topics.
const TOPIC_BYTES_MAX: usize = 127;
/// What a client may say in its flags: how the body is compressed, and that tags are many.
const CLIENT_FLAGS: i32 = 0x1 | 0x2 | 0x700;

pub(super) fn send(broker: &Arc<Broker>, send: &Send, peer: &Peer) -> Result<Answer, Refusal> {
    let found = broker.state.topics.find(&send.fields.topic);
    let topic = match found {
        Some(topic) => topic,
        None => create_topic(broker, send)?,
    };
    let queue_id = check(broker, send, &topic, peer)?;
    let outcome = if send.is_batch() {
        append_batch(broker, send, queue_id, peer.addr())
    } else {
        append_one(broker, send, queue_id, peer.addr())
    };
    if outcome.is_err() {
        broker
            .figures
            .put_failed
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    outcome
}

/// Everything about a send that can be wrong without looking at the message itself.
fn check(
    broker: &Broker,
    send: &Send,
    topic: &TopicConfig,
    peer: &Peer,
) -> Result<QueueId, Refusal> {
    let fields = &send.fields;
    if names::is_closed_to_clients(&fields.topic) {
        let text = format!("Sending message to topic[{}] is forbidden.", fields.topic);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    }
    if topic.order && broker.config().topics.permission & 2 == 0 {
        let text = format!(
            "the broker[{}] sending message is forbidden",
            broker.config().listen.ip1
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
    if send.body.is_empty() || send.body.len() > broker.config().topics.message_bytes_max as usize {
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

fn illegal_message(broker: &Broker) -> Refusal {
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
    if names::is_closed_to_clients(&fields.topic) {
        let text = format!("Sending message to topic[{}] is forbidden.", fields.topic);
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, text));
    }
    let wanted = fields.default_topic_queues;
    let new = match fields.topic.strip_prefix(names::RETRY_PREFIX) {
        Some(group) => broker
            .state
            .groups
            .find(group)
            .map(|_| TopicConfig::new(&fields.topic, 1, 6)),
        None => crate::topics::from_template(
            &broker.state.topics,
            &fields.topic,
            &fields.default_topic,
            wanted,
        ),
    };
    let new = new.ok_or_else(|| Refusal::no_topic(&fields.topic))?;
    broker.add_topics(vec![new])?;
    broker
        .state
        .topics
        .find(&fields.topic)
        .ok_or_else(|| Refusal::no_topic(&fields.topic))
}

/// A message whose properties are sorted out.
struct Ready<'a> {
    body: &'a [u8],
    flag: i32,
    /// What is stored as its properties.
    parts: Vec<&'a str>,
    tags_code: i64,
    unique_key: &'a str,
    keys: Option<&'a str>,
}

/// The property that a message gets whose client gave it no unique key; else nothing.
fn made_key(broker: &Broker, properties: &ClientProperties<'_>) -> String {
    let mut made = String::new();
    if properties.unique_key.is_none() {
        let id = broker.signature.unique_ids.next(runtime::clock::now_ms());
        push_property(&mut made, property::UNIQUE_KEY, &id);
    }
    made
}

fn ready<'a>(
    broker: &'a Broker,
    (body, flag): (&'a [u8], i32),
    properties: &ClientProperties<'a>,
    made: &'a str,
) -> Result<Ready<'a>, Refusal> {
    if let Some(feature) = properties.asks_for {
        // Storing it as a plain message would deliver early what was meant for later.
        let text = format!("{feature} are not supported by this broker");
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text));
    }
    let mut parts = properties.kept.clone();
    parts.extend([made, broker.signature.properties.as_str()]);
    let made_id = made
        .split_once('\u{1}')
        .map_or("", |(_, id)| id.trim_end_matches('\u{2}'));
    Ok(Ready {
        body,
        flag,
        parts,
        tags_code: tags_code(properties.tags),
        unique_key: properties.unique_key.unwrap_or(made_id),
        keys: properties.keys,
    })
}

fn draft<'a>(
    broker: &Broker,
    send: &'a Send,
    ready: &'a Ready<'_>,
    at: (QueueId, SocketAddr),
) -> Draft<'a> {
    let fields = &send.fields;
    Draft {
        topic: &fields.topic,
        queue_id: at.0,
        flag: ready.flag,
        sys_flag: SysFlag(fields.sys_flag & CLIENT_FLAGS),
        born_timestamp: fields.born_timestamp,
        born_host: at.1,
        store_host: broker.signature.store_host,
        reconsume_times: fields.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body: ready.body,
        properties: &ready.parts,
        tags_code: ready.tags_code,
        unique_key: Some(ready.unique_key),
        keys: ready.keys,
    }
}

fn append_one(
    broker: &Broker,
    send: &Send,
    queue_id: QueueId,
    from: SocketAddr,
) -> Result<Answer, Refusal> {
    let properties = ClientProperties::read(send.properties());
    let made = made_key(broker, &properties);
    let ready = ready(broker, (&send.body, send.fields.flag), &properties, &made)?;
    let draft = draft(broker, send, &ready, (queue_id, from));
    let now_ms = runtime::clock::now_ms();
    let appended = broker
        .store
        .append(&draft, now_ms)
        .map_err(|error| refusal(broker, &error))?;
    broker.figures.put(1, u64::from(appended.size));
    let sent = Sent {
        message_id: message_id(broker, &appended).into(),
        queue_id: send_queue_id(queue_id),
        queue_offset: appended.queue_offset.0.cast_signed(),
        transaction_id: Some(slice_of(send.fields.properties.as_ref(), ready.unique_key)),
        region: Some(broker.signature.region.clone()),
        trace_on: Some(Text::from_static("true")),
    };
    Ok(gated(broker, sent, &appended, properties.waits))
}

fn append_batch(
    broker: &Broker,
    send: &Send,
    queue_id: QueueId,
    from: SocketAddr,
) -> Result<Answer, Refusal> {
    let topic = &send.fields.topic;
    if names::is_retry_topic(topic) {
        let text = format!("batch request does not support retry group {topic}");
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text));
    }
    if topic.len() > TOPIC_BYTES_MAX {
        let text = format!("message topic length too long {}", topic.len());
        return Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text));
    }
    let items: Vec<BatchItem<'_>> = BatchItems::new(&send.body)
        .take(BATCH_MESSAGES_MAX + 1)
        .collect::<Result<_, BatchError>>()
        .map_err(|_| illegal_message(broker))?;
    if items.is_empty() || items.len() > BATCH_MESSAGES_MAX {
        return Err(illegal_message(broker));
    }
    let texts = items
        .iter()
        .map(|item| str::from_utf8(item.properties().as_bytes()));
    let texts: Vec<_> = texts
        .collect::<Result<_, _>>()
        .map_err(|_| illegal_message(broker))?;
    let read: Vec<_> = texts.into_iter().map(ClientProperties::read).collect();
    let made: Vec<_> = read
        .iter()
        .map(|properties| made_key(broker, properties))
        .collect();
    let ready: Vec<_> = items
        .iter()
        .zip(read.iter().zip(&made))
        .map(|(item, (properties, made))| ready(broker, (item.body, item.flag), properties, made))
        .collect::<Result<_, _>>()?;
    let drafts: Vec<_> = ready
        .iter()
        .map(|r| draft(broker, send, r, (queue_id, from)))
        .collect();
    let appended = broker.store.append_batch(&drafts, runtime::clock::now_ms());
    let appended = appended.map_err(|error| refusal(broker, &error))?;
    let (Some(first), Some(last)) = (appended.first(), appended.last()) else {
        return Err(illegal_message(broker));
    };
    broker.figures.put(
        appended.len() as u64,
        appended.iter().map(|a| u64::from(a.size)).sum(),
    );
    let ids: Vec<_> = appended.iter().map(|one| message_id(broker, one)).collect();
    let waits = ClientProperties::read(send.properties()).waits && read.iter().all(|r| r.waits);
    let sent = Sent {
        message_id: ids.join(",").into(),
        queue_id: send_queue_id(queue_id),
        queue_offset: first.queue_offset.0.cast_signed(),
        transaction_id: None,
        region: Some(broker.signature.region.clone()),
        trace_on: Some(Text::from_static("true")),
    };
    Ok(gated(broker, sent, last, waits))
}

fn send_queue_id(queue_id: QueueId) -> i32 {
    queue_id.0.cast_signed()
}

fn message_id(broker: &Broker, appended: &Appended) -> String {
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

fn gated(broker: &Broker, sent: Sent, last: &Appended, waits: bool) -> Answer {
    let gate = if waits {
        &broker.gates.acknowledged
    } else {
        &broker.gates.written
    };
    Answer::Gated(Gated {
        gate: gate.clone(),
        at: last.end.0,
        reply: Reply::ok().with(sent),
        within: broker.config().flush.timeout,
        late: ResponseCode::FLUSH_DISK_TIMEOUT,
    })
}

fn refusal(broker: &Broker, error: &AppendError) -> Refusal {
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
