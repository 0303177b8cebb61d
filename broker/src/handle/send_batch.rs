//! Storing a batch: many messages of one topic in one send, all of them or none.

use std::net::SocketAddr;

use proto::Text;
use proto::message::{BatchError, BatchItem, BatchItems, QueueId};
use proto::names;
use proto::remoting::ResponseCode;
use proto::remoting::send::{Send, Sent};
use remoting::Answer;
use runtime::clock;

use super::send::{draft, gated, illegal_message, message_id, refusal, refuse_unsupported};
use crate::broker::Broker;
use crate::client_properties::ClientProperties;
use crate::config::Config;
use crate::refusal::Refusal;

/// compat: SendMessageProcessor#sendBatchMessage refuses longer topics.
pub(crate) const TOPIC_BYTES_MAX: usize = 127;

pub(super) fn append(
    broker: &Broker,
    config: &Config,
    send: &Send,
    place: (QueueId, SocketAddr),
) -> Result<Answer, Refusal> {
    check_topic(&send.fields.topic)?;
    let limits = &config.topics;
    let items =
        items(&send.body, limits.batch_messages_max).ok_or_else(|| illegal_message(broker))?;
    // compat: MessageExtEncoder#encode adds no properties of the broker to the members of a batch.
    let properties: Vec<_> = items
        .iter()
        .map(|(_, text)| ClientProperties::read(text, limits.properties_max))
        .collect();
    properties.iter().try_for_each(refuse_unsupported)?;
    let drafts: Vec<_> = items
        .iter()
        .zip(&properties)
        .map(|((item, _), own)| draft(broker, send, (item.body, item.flag), own, place))
        .collect();
    let appended = broker.store.append_batch(&drafts, clock::now_ms());
    let appended = appended.map_err(|error| refusal(broker, &error))?;
    let (Some(first), Some(last)) = (appended.first(), appended.last()) else {
        return Err(illegal_message(broker));
    };
    let bytes = appended.iter().map(|one| u64::from(one.size)).sum();
    broker.figures.put(appended.len() as u64, bytes);
    let ids: Vec<_> = appended.iter().map(|one| message_id(broker, one)).collect();
    let sent = Sent {
        message_id: ids.join(",").into(),
        queue_id: place.0.0.cast_signed(),
        queue_offset: first.queue_offset.0.cast_signed(),
        transaction_id: None,
        region: Some(broker.signature.region.clone()),
        trace_on: Some(Text::from_static("true")),
    };
    let waits = ClientProperties::read(send.properties(), limits.properties_max).waits
        && properties.iter().all(|properties| properties.waits);
    Ok(gated(broker, sent, last, waits, config.flush.timeout))
}

fn check_topic(topic: &str) -> Result<(), Refusal> {
    let text = if names::is_retry_topic(topic) {
        format!("batch request does not support retry group {topic}")
    } else if topic.len() > TOPIC_BYTES_MAX {
        format!("message topic length too long {}", topic.len())
    } else {
        return Ok(());
    };
    Err(Refusal::new(ResponseCode::MESSAGE_ILLEGAL, text))
}

/// The members with their properties as text; `None` when the body is not a batch, or has more than
/// `most`.
fn items(body: &[u8], most: usize) -> Option<Vec<(BatchItem<'_>, &str)>> {
    let items: Vec<_> = BatchItems::new(body)
        .take(most + 1)
        .collect::<Result<_, BatchError>>()
        .ok()?;
    if items.is_empty() || items.len() > most {
        return None;
    }
    items.into_iter().map(with_text).collect()
}

fn with_text(item: BatchItem<'_>) -> Option<(BatchItem<'_>, &str)> {
    let text = str::from_utf8(item.properties().as_bytes()).ok()?;
    Some((item, text))
}
