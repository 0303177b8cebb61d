//! Single messages, by key or by place in the log.

use proto::message::LogOffset;
use proto::remoting::pull::{QueriedMessages, QueryMessage, ViewMessage};
use proto::remoting::{Reply, ResponseCode};

use super::offsets::unreadable;
use crate::broker::Broker;
use crate::refusal::Refusal;

/// Messages of one answer.
const MESSAGES_MAX: usize = 64;
/// compat: QueryMessageProcessor#queryMessage: so many when one message is looked for.
const UNIQUE_MAX: usize = 32;

pub(super) fn by_key(broker: &Broker, query: &QueryMessage) -> Result<Reply, Refusal> {
    let asked = usize::try_from(query.max)
        .unwrap_or(0)
        .clamp(1, MESSAGES_MAX);
    let max = if query.unique_key == Some(true) {
        UNIQUE_MAX
    } else {
        asked
    };
    let time = query.begin_ms..=query.end_ms;
    let found = broker
        .store
        .query_by_key(&query.topic, &query.key, max, time);
    let found = found.map_err(|error| unreadable(&error))?;
    if found.records.is_empty() {
        let text = "can not find message, maybe time range not correct";
        return Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, text));
    }
    let header = QueriedMessages {
        index_last_ms: found.index_last_ms,
        index_last_offset: found.index_last_offset.0.cast_signed(),
    };
    let mut reply = Reply::ok().with(header);
    reply.body = found.records;
    Ok(reply)
}

pub(super) fn by_offset(broker: &Broker, view: &ViewMessage) -> Result<Reply, Refusal> {
    let refused = || {
        let text = format!("can not find message by the offset, {}", view.offset);
        Refusal::new(ResponseCode::SYSTEM_ERROR, text)
    };
    let offset = u64::try_from(view.offset).map_err(|_| refused())?;
    let record = broker
        .store
        .record_at(LogOffset(offset))
        .ok_or_else(refused)?;
    Ok(Reply::ok().body(record))
}
