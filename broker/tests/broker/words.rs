//! What clients say, and what they read in the answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::message::{LogOffset, StoredMessage};
use proto::remoting::clients::{ConsumerData, ConsumerGroup, Heartbeat, Subscription};
use proto::remoting::config::CreateTopic;
use proto::remoting::pull::{
    OffsetIs, Pull, Pulled, QueryConsumerOffset, SUBSCRIPTION, SUSPEND, UpdateConsumerOffset,
};
use proto::remoting::reply::ReplyFields;
use proto::remoting::send::{Send, SendFields, Sent};
use proto::remoting::{Reply, Request, ResponseCode};

use crate::desk::Client;

/// A send to be changed by those who want something special.
pub(crate) fn message(topic: &str, queue_id: i32, body: &str) -> Send {
    Send {
        fields: SendFields {
            producer_group: Some("producers".into()),
            topic: topic.into(),
            default_topic: "TBW102".into(),
            default_topic_queues: 4,
            queue_id,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            flag: 0,
            properties: None,
            reconsume_times: None,
            unit_mode: None,
            max_reconsume_times: None,
            batch: None,
        },
        body: Bytes::from(body.to_owned()),
    }
}

/// Properties as text, each with its separators.
pub(crate) fn properties(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}\u{1}{value}\u{2}");
    pairs.iter().map(pair).collect()
}

/// A pull of up to 32 messages that does not wait; `tags` is its expression.
pub(crate) fn pull(topic: &str, queue_id: i32, queue_offset: i64, tags: &str) -> Pull {
    Pull {
        group: "readers".into(),
        topic: topic.into(),
        queue_id,
        queue_offset,
        messages_max: 32,
        sys_flag: SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_ms: 0,
        subscription: Some(tags.into()),
        sub_version: 0,
        expression_type: Some("TAG".into()),
        bytes_max: None,
    }
}

/// One that waits for a message.
pub(crate) fn waiting(pull: Pull, suspend_timeout_ms: i64) -> Request {
    let sys_flag = pull.sys_flag | SUSPEND;
    Request::Pull(Pull {
        sys_flag,
        suspend_timeout_ms,
        ..pull
    })
}

/// What stands on the answer to a pull.
pub(crate) fn pulled(code: ResponseCode, remark: &str, next: i64, range: (i64, i64)) -> Reply {
    let mut reply = Reply::new(code).with(Pulled {
        suggested_broker: 0,
        next_offset: next,
        min_offset: range.0,
        max_offset: range.1,
        topic_sys_flag: Some(0),
        group_sys_flag: Some(0),
    });
    reply.remark = Some(remark.to_owned().into());
    reply
}

/// The parameters of an answer that must be a success.
pub(crate) fn fields<T: ReplyFields>(reply: &Reply) -> T {
    assert_eq!((reply.code, &reply.remark), (ResponseCode::SUCCESS, &None));
    reply.read().unwrap()
}

/// A message as a consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) queue: (u32, u64),
    pub(crate) log_offset: LogOffset,
    pub(crate) body: String,
    pub(crate) properties: BTreeMap<String, String>,
}

/// The messages in an answer.
pub(crate) fn messages(reply: &Reply) -> Vec<Message> {
    let body = reply.whole_body();
    let (mut rest, mut messages) = (&body[..], Vec::new());
    while !rest.is_empty() {
        let stored = StoredMessage::parse(rest).unwrap();
        let properties = stored.properties.iter();
        messages.push(Message {
            topic: stored.topic.to_owned(),
            queue: (stored.queue_id.0, stored.queue_offset.0),
            log_offset: stored.log_offset,
            body: String::from_utf8(stored.body.to_vec()).unwrap(),
            properties: properties.map(|(k, v)| (k.into(), v.into())).collect(),
        });
        rest = &rest[stored.size as usize..];
    }
    messages
}

pub(crate) fn bodies(reply: &Reply) -> Vec<String> {
    messages(reply).into_iter().map(|m| m.body).collect()
}

/// What makes a topic of so many queues.
pub(crate) fn new_topic(topic: &str, queues: i32) -> CreateTopic {
    CreateTopic {
        topic: topic.into(),
        default_topic: None,
        read_queues: queues,
        write_queues: queues,
        perm: 6,
        filter_type: "SINGLE_TAG".into(),
        sys_flag: None,
        order: false,
        attributes: None,
    }
}

/// A consumer's heartbeat that subscribes to `topic`.
pub(crate) fn consumer(client_id: &str, group: &str, topic: &str, tags: &str) -> Heartbeat {
    let codes = tags
        .split("||")
        .map(|tag| proto::message::java_string_hash(tag.trim()));
    let subscription = Subscription {
        topic: topic.into(),
        sub_string: tags.into(),
        code_set: codes.collect(),
        sub_version: 1,
        expression_type: "TAG".into(),
        ..Subscription::default()
    };
    let consumer = ConsumerData {
        group_name: group.into(),
        consume_type: "CONSUME_PASSIVELY".into(),
        message_model: "CLUSTERING".into(),
        consume_from_where: "CONSUME_FROM_LAST_OFFSET".into(),
        subscription_data_set: vec![subscription],
        unit_mode: false,
    };
    Heartbeat {
        client_id: client_id.into(),
        consumer_data_set: vec![consumer],
        ..Heartbeat::default()
    }
}

pub(crate) fn group(group: &str) -> ConsumerGroup {
    ConsumerGroup {
        group: group.into(),
    }
}

impl Client {
    /// Sends a message, which the broker must take.
    pub(crate) async fn send(&self, topic: &str, queue_id: i32, body: &str) -> Sent {
        let sent = self.ask(Request::Send(message(topic, queue_id, body)));
        fields(&sent.await)
    }

    /// Sends a message with one tag, which the broker must take.
    pub(crate) async fn send_tagged(&self, topic: &str, queue_id: i32, tag: &str) -> Sent {
        let mut message = message(topic, queue_id, tag);
        message.fields.properties = Some(properties(&[("TAGS", tag)]).into());
        fields(&self.ask(Request::Send(message)).await)
    }

    /// Everything of a queue from its start.
    pub(crate) async fn pull_all(&self, topic: &str, queue_id: i32) -> Reply {
        self.ask(Request::Pull(pull(topic, queue_id, 0, "*"))).await
    }

    pub(crate) async fn create_topic(&self, topic: &str, queues: i32) {
        let create = new_topic(topic, queues);
        assert_eq!(self.ask(Request::CreateTopic(create)).await, Reply::ok());
    }

    pub(crate) async fn delete_topic(&self, topic: &str) {
        let delete = Request::DeleteTopic(crate::tools::topic_of(topic));
        assert_eq!(self.ask(delete).await, Reply::ok());
    }

    pub(crate) async fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let update = UpdateConsumerOffset {
            group: group.into(),
            topic: topic.into(),
            queue_id,
            commit_offset: Some(offset),
        };
        let reply = self.ask(Request::UpdateConsumerOffset(update)).await;
        assert_eq!(reply, Reply::ok());
    }

    pub(crate) async fn query_offset(&self, group: &str, topic: &str, queue_id: i32) -> Reply {
        let query = QueryConsumerOffset {
            group: group.into(),
            topic: topic.into(),
            queue_id,
            set_zero_if_not_found: None,
        };
        self.ask(Request::QueryConsumerOffset(query)).await
    }
}

pub(crate) fn offset_is(offset: i64) -> Reply {
    Reply::ok().with(OffsetIs { offset })
}
