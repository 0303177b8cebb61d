//! A request that is not done: the code and the text that its sender gets. Texts are those that
//! RocketMQ's users search for; the handlers write them where they refuse.

use proto::Text;
use proto::names::NameError;
use proto::remoting::{Reply, ResponseCode};
use remoting::Answer;

use crate::config_table::AddError;

/// compat: FAQUrl#suggestTodo
pub(crate) const FAQ: &str =
    "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: ResponseCode,
    text: Text,
}

impl Refusal {
    pub(crate) fn new(code: ResponseCode, text: impl Into<Text>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    pub(crate) fn no_topic(topic: &str) -> Self {
        let text = format!("topic[{topic}] not exist, apply first please!{FAQ}");
        Self::new(ResponseCode::TOPIC_NOT_EXIST, text)
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::new(ResponseCode::INVALID_PARAMETER, error.to_string())
    }
}

/// A change that could not be written down.
impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "cannot write a configuration change");
        Self::new(
            ResponseCode::SYSTEM_ERROR,
            "the change could not be written to disk",
        )
    }
}

impl From<AddError> for Refusal {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Large(..) | AddError::Deep(..) => {
                Self::new(ResponseCode::INVALID_PARAMETER, error.to_string())
            }
            AddError::Full(..) => Self::new(ResponseCode::SYSTEM_ERROR, error.to_string()),
            AddError::Io(error) => error.into(),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal.code, refusal.text)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Now(refusal.into())
    }
}
