//! Single messages, by key or by place in the log.

use proto::message::LogOffset;
use proto::remoting::pull::{QueriedMessages, QueryMessage, ViewMessage};
use proto::remoting::{Reply, ResponseCode};
use runtime::clock;
use store::KeyQuery;

use super::offsets::unreadable;
use crate::broker::Broker;
use crate::refusal::Refusal;

/// Messages of one answer.
pub(crate) const MESSAGES_MAX: usize = 64;
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
    let wanted = KeyQuery {
        topic: &query.topic,
        key: &query.key,
        max,
        begin_ms: query.begin_ms,
        end_ms: query.end_ms,
    };
    let found = broker
        .store
        .query_by_key(&wanted)
        .map_err(|error| unreadable(&error.into()))?;
    if found.is_empty() {
        let text = "can not find message, maybe time range not correct";
        return Err(Refusal::new(ResponseCode::QUERY_NOT_FOUND, text));
    }
    // Messages are indexed as they become readable, so the index is as new as they are.
    let header = QueriedMessages {
        index_last_ms: clock::now_ms(),
        index_last_offset: broker.store.dispatched_to().0.cast_signed(),
    };
    let mut reply = Reply::ok().with(header);
    reply.body = found;
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
