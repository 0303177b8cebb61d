//! Every command that one side asks of the other, as one typed enum; the `table!` below is the list of codes
//! that have a meaning here. A code without one is kept whole as [`Request::Unknown`].

use bytes::Bytes;

use super::clients::{
    ConsumerGroup, Heartbeat, ProducerGroup, QueueLocks, RunningState, UnregisterClient,
};
use super::config::{CreateTopic, DataVersion, DeleteGroup, GroupConfig, GroupOf, TopicOf};
use super::fields::{Ext, FieldError, Fields, Sink};
use super::frame::{Frame, WriteExt};
use super::header::Header;
use super::naming::{BrokerName, BrokerOf, ClusterOf, KvKey, KvNamespace, KvPut, RegisterBroker};
use super::pull::{
    Pull, QueryConsumerOffset, QueryMessage, QueueOf, SearchOffset, UpdateConsumerOffset,
    ViewMessage,
};
use super::send::{Send, SendFields};
use super::stats::ConsumeStatsOf;
use crate::json::{self, JsonError};

/// Why a known command could not be read. The frame was whole, so its sender gets an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Fields(#[from] FieldError),
    #[error(transparent)]
    Body(#[from] JsonError),
    #[error("the body has {0} bytes, for this request at most {1}")]
    BodyTooLarge(usize, usize),
}

/// The largest body that is JSON or text, but for registrations: what a client says of itself, of
/// queues it locks, of a group, of settings.
pub const JSON_BODY_BYTES_MAX: usize = 1 << 20;

/// The largest body of a request that has none; it is not looked at.
pub const STRAY_BODY_BYTES_MAX: usize = 64 << 10;

fn body_within(max: usize, frame: &Frame) -> Result<&Bytes, RequestError> {
    if frame.body.len() > max {
        return Err(RequestError::BodyTooLarge(frame.body.len(), max));
    }
    Ok(&frame.body)
}

/// Codes of sends, which differ in the names of their parameters only.
const SEND: i32 = 10;
const SEND_V2: i32 = 310;
const SEND_BATCH: i32 = 320;

/// One row a command: its name, what its parameters and its body are, its code (and other codes
/// that mean the same when read).
macro_rules! table {
    (
        fields { $($(#[$fm:meta])* $f:ident($ft:ty) = $fc:literal $(| $falso:literal)*,)* }
        json { $($(#[$jm:meta])* $j:ident($jt:ty) = $jc:literal,)* }
        text { $($(#[$tm:meta])* $t:ident = $tc:literal,)* }
        bare { $($(#[$bm:meta])* $b:ident = $bc:literal,)* }
    ) => {
        /// A command. Variants with one payload carry either parameters or a JSON body.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request {
            Send(Send),
            RegisterBroker { fields: RegisterBroker, body: Bytes },
            QueryDataVersion { broker: BrokerOf, version: DataVersion },
            $($(#[$fm])* $f($ft),)*
            $($(#[$jm])* $j($jt),)*
            $($(#[$tm])* $t(Bytes),)*
            $($(#[$bm])* $b,)*
            Unknown { code: i32, ext: Ext, body: Bytes },
        }

        impl Request {
            /// The code it is sent with.
            pub fn code(&self) -> i32 {
                match self {
                    Self::Send(send) => if send.is_batch() { SEND_BATCH } else { SEND_V2 },
                    Self::RegisterBroker { .. } => 103,
                    Self::QueryDataVersion { .. } => 322,
                    $(Self::$f(_) => $fc,)*
                    $(Self::$j(_) => $jc,)*
                    $(Self::$t(_) => $tc,)*
                    $(Self::$b => $bc,)*
                    Self::Unknown { code, .. } => *code,
                }
            }

            /// Gives a frame's header and body their meaning.
            ///
            /// # Errors
            /// When parameters or body of a known code cannot be read.
            pub fn decode(header: Header<'_>, frame: &Frame) -> Result<Self, RequestError> {
                let (pairs, bytes) = (header.ext, frame.header_bytes());
                let body = || frame.body.clone();
                let small = || body_within(JSON_BODY_BYTES_MAX, frame);
                let none = || body_within(STRAY_BODY_BYTES_MAX, frame);
                // Pulls and tools wait for long, and a slice would keep all that was read with
                // them: they have texts of their own.
                let owned = Bytes::new();
                Ok(match header.code {
                    SEND | SEND_V2 | SEND_BATCH => {
                        let mut fields = SendFields::read(pairs, bytes)?;
                        if header.code == SEND_BATCH {
                            fields.batch = Some(true);
                        }
                        Self::Send(Send { fields, body: body() })
                    }
                    103 => Self::RegisterBroker { fields: Fields::read(pairs, bytes)?, body: body() },
                    322 => Self::QueryDataVersion {
                        broker: Fields::read(pairs, bytes)?,
                        version: json::read(small()?)?,
                    },
                    $($fc $(| $falso)* => {
                        none()?;
                        Self::$f(Fields::read(pairs, &owned)?)
                    })*
                    $($jc => Self::$j(json::read(small()?)?),)*
                    $($tc => Self::$t(Bytes::copy_from_slice(small()?)),)*
                    $($bc => {
                        none()?;
                        Self::$b
                    })*
                    code => Self::Unknown { code, ext: Ext::keep(pairs, bytes), body: body() },
                })
            }

            /// What follows the header on the wire.
            pub fn body(&self) -> Bytes {
                match self {
                    Self::Send(send) => send.body.clone(),
                    Self::RegisterBroker { body, .. } | Self::Unknown { body, .. } => body.clone(),
                    Self::QueryDataVersion { version, .. } => json::write(version),
                    $(Self::$f(_))|* => Bytes::new(),
                    $(Self::$j(body) => json::write(body),)*
                    $(Self::$t(body))|* => body.clone(),
                    $(Self::$b)|* => Bytes::new(),
                }
            }
        }

        impl WriteExt for Request {
            fn write_ext<S: Sink>(&self, sink: &mut S) {
                match self {
                    Self::Send(send) => send.fields.write(sink),
                    Self::RegisterBroker { fields, .. } => fields.write(sink),
                    Self::QueryDataVersion { broker, .. } => broker.write(sink),
                    Self::Unknown { ext, .. } => ext.write(sink),
                    $(Self::$f(fields) => fields.write(sink),)*
                    $(Self::$j(_))|* => {}
                    $(Self::$t(_))|* => {}
                    $(Self::$b)|* => {}
                }
            }
        }
    };
}

table! {
    fields {
        Pull(Pull) = 11 | 361,
        QueryMessage(QueryMessage) = 12,
        QueryConsumerOffset(QueryConsumerOffset) = 14,
        UpdateConsumerOffset(UpdateConsumerOffset) = 15,
        CreateTopic(CreateTopic) = 17,
        SearchOffset(SearchOffset) = 29,
        MaxOffset(QueueOf) = 30,
        MinOffset(QueueOf) = 31,
        EarliestTime(QueueOf) = 32,
        ViewMessage(ViewMessage) = 33,
        UnregisterClient(UnregisterClient) = 35,
        ConsumerIds(ConsumerGroup) = 38,
        /// From a broker to its clients: who consumes with you has changed.
        ConsumersChanged(ConsumerGroup) = 40,
        PutKv(KvPut) = 100,
        KvValue(KvKey) = 101,
        DeleteKv(KvKey) = 102,
        UnregisterBroker(BrokerOf) = 104,
        Route(TopicOf) = 105,
        TopicStats(TopicOf) = 202,
        ConsumerConnections(ConsumerGroup) = 203,
        ProducerConnections(ProducerGroup) = 204,
        WipeWritePerm(BrokerName) = 205,
        DeleteGroup(DeleteGroup) = 207,
        ConsumeStats(ConsumeStatsOf) = 208,
        DeleteTopic(TopicOf) = 215,
        DeleteTopicInNamesrv(TopicOf) = 216,
        KvList(KvNamespace) = 219,
        TopicsOfCluster(ClusterOf) = 224,
        GroupsOfTopic(TopicOf) = 300,
        RunningState(RunningState) = 307,
        AddWritePerm(BrokerName) = 327,
        TopicsOfGroup(GroupOf) = 343,
        TopicConfig(TopicOf) = 351,
        GroupConfig(GroupOf) = 352,
    }
    json {
        Heartbeat(Heartbeat) = 34,
        LockQueues(QueueLocks) = 41,
        UnlockQueues(QueueLocks) = 42,
        UpdateGroup(GroupConfig) = 200,
    }
    text {
        /// `key=value` lines.
        UpdateBrokerConfig = 25,
        UpdateNamesrvConfig = 318,
    }
    bare {
        AllTopicConfigs = 21,
        BrokerConfig = 26,
        BrokerRuntime = 28,
        ClusterTable = 106,
        AllGroupConfigs = 201,
        AllTopicNames = 206,
        SystemTopics = 304,
        NamesrvConfig = 319,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::header::{Envelope, Language, Serialization};
    use super::*;

    fn pull() -> Request {
        Request::Pull(Pull {
            group: "g".into(),
            topic: "t".into(),
            queue_id: 0,
            queue_offset: 0,
            messages_max: 32,
            sys_flag: 0,
            commit_offset: 0,
            suspend_timeout_ms: 0,
            subscription: Some("*".into()),
            sub_version: 0,
            expression_type: Some("TAG".into()),
            bytes_max: None,
        })
    }

    /// As it comes over a link, with a body.
    fn sent(request: &Request, body: &[u8]) -> BytesMut {
        let envelope = Envelope {
            code: request.code(),
            opaque: 1,
            flag: 0,
            language: Language::JAVA,
            version: 0,
            remark: None,
        };
        let mut bytes = BytesMut::new();
        let how = Serialization::Json;
        super::super::frame::encode_head(&envelope, how, request, body.len(), &mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    fn received(bytes: &mut BytesMut) -> Result<Request, RequestError> {
        let frame = Frame::split_off(bytes, 16 << 20).unwrap().unwrap();
        Request::decode(frame.header().unwrap(), &frame)
    }

    #[test]
    fn a_request_of_fields_has_next_to_no_body() {
        for request in [pull(), Request::BrokerRuntime] {
            for bytes in [0, 1, 64 << 10] {
                let mut sent = sent(&request, &vec![b'x'; bytes]);
                assert_eq!(received(&mut sent), Ok(request.clone()));
            }
            let refused = received(&mut sent(&request, &vec![b'x'; 1 << 20])).unwrap_err();
            let text = "the body has 1048576 bytes, for this request at most 65536";
            assert_eq!(refused.to_string(), text);
        }
    }

    #[test]
    fn what_may_be_kept_for_long_does_not_hold_what_was_read() {
        let settings = Request::UpdateBrokerConfig("a=b".into());
        for request in [pull(), settings] {
            let mut input = sent(&request, &request.body());
            let capacity = input.capacity();
            let _kept = received(&mut input).unwrap();
            assert!(input.try_reclaim(capacity), "{request:?}");
        }
    }
}
