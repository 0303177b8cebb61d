//! What can go wrong, for every door: one table from a code to its HTTP status and its number in
//! RocketMQ 5's gRPC protocol, so that two protocols cannot disagree.
#![warn(clippy::wildcard_enum_match_arm)]

use client::{AskError, CallError, Outcome, RouteError, SendError};
use proto::remoting::ResponseCode;

macro_rules! codes {
    ($($code:ident $name:literal $http:literal $grpc:literal $retry:ident $title:literal,)*) => {
        /// The stable name of a failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Code { $($code,)* }

        impl Code {
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$code,)*];

            pub(crate) fn row(self) -> &'static Row {
                match self {
                    $(Self::$code => &Row {
                        name: $name, http: $http, grpc: $grpc, retryable: codes!(@$retry), title: $title,
                    },)*
                }
            }
        }
    };
    (@retry) => { true };
    (@final) => { false };
}

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) http: u16,
    /// A code without a number of its own has that of its kind.
    pub(crate) grpc: u32,
    /// May the very same request succeed later?
    pub(crate) retryable: bool,
    pub(crate) title: &'static str,
}

codes! {
    BadRequest "bad_request" 400 40000 final "The request is malformed",
    BadPath "bad_path" 400 40000 final "The path is not percent-encoded text",
    BadDuration "bad_duration" 400 40000 final "The duration is unusable",
    ConflictingMetadata "conflicting_metadata" 400 40000 final "One thing is given two values",
    RepeatedParameter "repeated_parameter" 400 40000 final "The parameter may be given once",
    UnknownParameter "unknown_parameter" 400 40000 final "The parameter is unknown",
    UnknownHeader "unknown_header" 400 40000 final "The header is unknown",
    IllegalTopic "illegal_topic" 400 40002 final "The topic's name is illegal",
    IllegalMessageTag "illegal_message_tag" 400 40004 final "The tag is illegal",
    IllegalMessageKey "illegal_message_key" 400 40005 final "A key is illegal",
    IllegalMessageGroup "illegal_message_group" 400 40006 final "The sharding key is illegal",
    IllegalMessagePropertyKey "illegal_message_property_key" 400 40007 final "A property is illegal",
    SystemTopic "system_topic" 403 40300 final "The topic belongs to the system",
    NoPermissionOnTopic "no_permission_on_topic" 403 40300 final "The topic cannot be written to",
    NotFound "not_found" 404 40400 final "There is nothing here",
    AdminNotHere "admin_not_here" 404 40400 final "Administration has a port of its own",
    TopicNotFound "topic_not_found" 404 40402 final "Topic does not exist",
    MethodNotAllowed "method_not_allowed" 405 40000 final "The method does not fit the path",
    RequestTimeout "request_timeout" 408 40800 retry "The request did not arrive in time",
    MessageBodyTooLarge "message_body_too_large" 413 41301 final "The body is too large",
    TargetTooLong "target_too_long" 414 40000 final "The request target is too long",
    UnsupportedEncoding "unsupported_encoding" 415 40000 final "The content encoding is not supported",
    UnsupportedMediaType "unsupported_media_type" 415 40000 final "The content type is not supported",
    MessageBodyEmpty "message_body_empty" 422 41302 final "The body is empty",
    MessagePropertiesTooLarge "message_properties_too_large" 431 43101 final "The properties are too large",
    UnsupportedMethod "unsupported_method" 501 50501 final "The method is unknown",
    UnsupportedByBroker "unsupported_by_broker" 501 50501 final "The broker cannot do this",
    BrokerError "broker_error" 502 50000 final "The broker answered something unexpected",
    BrokerBusy "broker_busy" 503 42900 retry "The broker is busy",
    NoBroker "no_broker" 503 50000 retry "No broker can take it now",
    Overloaded "overloaded" 503 42900 retry "The gateway is busy",
    Draining "draining" 503 50000 retry "The gateway is stopping",
    BrokerTimeout "broker_timeout" 504 50400 retry "The broker did not answer in time",
}

/// A failure, as any door may tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Error {
    pub(crate) code: Code,
    /// For people; may change.
    pub(crate) detail: String,
    /// Of a publish that got as far as the client.
    pub(crate) outcome: Option<&'static str>,
    /// What the broker said.
    pub(crate) remoting_code: Option<i32>,
    /// The limit that was passed.
    pub(crate) max: Option<usize>,
    pub(crate) did_you_mean: Option<&'static str>,
}

impl Error {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            outcome: None,
            remoting_code: None,
            max: None,
            did_you_mean: None,
        }
    }

    #[must_use]
    pub(crate) fn max(self, max: usize) -> Self {
        Self {
            max: Some(max),
            ..self
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        let outcome = match error.outcome() {
            Outcome::NotSent | Outcome::Rejected(_) => "not_stored",
            Outcome::Unknown => "unknown",
        };
        let (code, remoting_code) = match &error {
            SendError::Illegal(_) => (Code::BadRequest, None),
            SendError::Route(RouteError::UnknownTopic(_)) => (Code::TopicNotFound, None),
            SendError::NoQueue(_) => (Code::NoPermissionOnTopic, None),
            SendError::Route(RouteError::NoNameServer(_))
            | SendError::NoMaster(_)
            | SendError::Unreachable(_) => (Code::NoBroker, None),
            SendError::Call { cause, .. } => match cause {
                CallError::NotSent(_) => (Code::NoBroker, None),
                CallError::Closed | CallError::TimedOut => (Code::BrokerTimeout, None),
            },
            SendError::TooLate | SendError::AfterUnknown(_) => (Code::BrokerTimeout, None),
            SendError::Unreadable { .. } => (Code::BrokerError, None),
            SendError::Refused { code, .. } => (refused(*code), Some(code.0)),
        };
        Self {
            outcome: Some(outcome),
            remoting_code,
            ..Self::new(code, error.to_string())
        }
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        let (code, remoting_code) = match &error {
            AskError::Route(RouteError::UnknownTopic(_)) => (Code::TopicNotFound, None),
            AskError::Route(RouteError::NoNameServer(_))
            | AskError::NoNameServer
            | AskError::NoBroker(_)
            | AskError::Unreachable(_) => (Code::NoBroker, None),
            AskError::Unanswered { .. } => (Code::BrokerTimeout, None),
            AskError::Unreadable { .. } => (Code::BrokerError, None),
            AskError::Refused { code, .. } => (refused(*code), Some(code.0)),
        };
        Self {
            remoting_code,
            ..Self::new(code, error.to_string())
        }
    }
}

fn refused(code: ResponseCode) -> Code {
    match code {
        ResponseCode::SYSTEM_BUSY | ResponseCode(215) | ResponseCode::GO_AWAY => Code::BrokerBusy,
        ResponseCode::SERVICE_NOT_AVAILABLE => Code::NoBroker,
        // Everything else that this code can mean was refused here before.
        ResponseCode::MESSAGE_ILLEGAL => Code::MessageBodyTooLarge,
        ResponseCode::NO_PERMISSION => Code::NoPermissionOnTopic,
        ResponseCode::TOPIC_NOT_EXIST => Code::TopicNotFound,
        ResponseCode::INVALID_PARAMETER => Code::BadRequest,
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED => Code::UnsupportedByBroker,
        _ => Code::BrokerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_a_name_of_its_own_and_statuses_agree_with_being_retryable() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.row().name).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let row = code.row();
            assert!((400..600).contains(&row.http), "{row:?}");
            assert_eq!(
                row.retryable,
                matches!(row.http, 408 | 503 | 504),
                "{row:?}"
            );
        }
    }

    fn refusal(code: ResponseCode) -> Error {
        let (addr, remark) = ("b:1".into(), "no".into());
        Error::from(SendError::Refused { addr, code, remark })
    }

    fn unanswered(cause: CallError) -> Error {
        let addr = "b:1".into();
        Error::from(SendError::Call { addr, cause })
    }

    #[test]
    fn what_a_broker_says_becomes_a_code_and_an_outcome() {
        for (code, expected) in [
            (ResponseCode::SYSTEM_BUSY, Code::BrokerBusy),
            (ResponseCode::SERVICE_NOT_AVAILABLE, Code::NoBroker),
            (ResponseCode::MESSAGE_ILLEGAL, Code::MessageBodyTooLarge),
            (ResponseCode::NO_PERMISSION, Code::NoPermissionOnTopic),
            (ResponseCode::TOPIC_NOT_EXIST, Code::TopicNotFound),
            (ResponseCode(777), Code::BrokerError),
        ] {
            let error = refusal(code);
            assert_eq!((error.code, error.outcome), (expected, Some("not_stored")));
        }
        let error = refusal(ResponseCode::SYSTEM_ERROR);
        assert_eq!(
            (error.code, error.outcome),
            (Code::BrokerError, Some("unknown"))
        );
    }

    #[test]
    fn only_what_surely_did_not_leave_is_called_not_stored() {
        for (error, code, outcome) in [
            (
                unanswered(CallError::TimedOut),
                Code::BrokerTimeout,
                "unknown",
            ),
            (
                unanswered(CallError::Closed),
                Code::BrokerTimeout,
                "unknown",
            ),
            (
                unanswered(CallError::NotSent("x")),
                Code::NoBroker,
                "not_stored",
            ),
            (SendError::TooLate.into(), Code::BrokerTimeout, "not_stored"),
            (
                SendError::NoQueue("t".into()).into(),
                Code::NoPermissionOnTopic,
                "not_stored",
            ),
            (
                SendError::NoMaster("b".into()).into(),
                Code::NoBroker,
                "not_stored",
            ),
        ] {
            assert_eq!(
                (error.code, error.outcome),
                (code, Some(outcome)),
                "{}",
                error.detail
            );
        }
    }
}
