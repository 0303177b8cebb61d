//! Why a send did not succeed, and what that says about the message.

use proto::Text;
use proto::remoting::ResponseCode;
use remoting::CallError;

use crate::links::Unreachable;
use crate::routes::RouteError;

/// What is known about a message whose send failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not leave: surely not stored.
    NotSent,
    /// It may be stored or not; sending it again may store it twice.
    Unknown,
    /// The broker said no: not stored.
    Rejected(ResponseCode),
}

/// Why a send did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("illegal message: {0}")]
    Illegal(&'static str),
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error("topic {0} has no queue that can be written to")]
    NoQueue(Text),
    #[error("broker {0}, to which the message belongs, is away")]
    NoMaster(Text),
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error("the time was over before the message could be sent")]
    TooLate,
    #[error("{addr}: {cause}")]
    Call { addr: Text, cause: CallError },
    #[error("{addr} refused: {code}: {remark}")]
    Refused {
        addr: Text,
        code: ResponseCode,
        remark: Text,
    },
    #[error("{addr} answered what cannot be read: {why}")]
    Unreadable { addr: Text, why: String },
    /// Only when duplicates are accepted.
    #[error("an earlier attempt had no answer, and now: {0}")]
    AfterUnknown(Box<Self>),
}

impl SendError {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Illegal(_)
            | Self::Route(_)
            | Self::NoQueue(_)
            | Self::NoMaster(_)
            | Self::Unreachable(_)
            | Self::TooLate => Outcome::NotSent,
            Self::Call { cause, .. } => match cause {
                CallError::NotSent(_) => Outcome::NotSent,
                CallError::Closed | CallError::TimedOut => Outcome::Unknown,
            },
            // A broker says this when it failed in the middle, too.
            Self::Refused { code, .. } if *code == ResponseCode::SYSTEM_ERROR => Outcome::Unknown,
            Self::Refused { code, .. } => Outcome::Rejected(*code),
            Self::Unreadable { .. } | Self::AfterUnknown(_) => Outcome::Unknown,
        }
    }

    /// Where may the message be tried again, if it was not stored?
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable(_) => Remedy::Anywhere,
            Self::Call { .. } if self.outcome() == Outcome::NotSent => Remedy::Anywhere,
            Self::Refused { code, .. } => match *code {
                ResponseCode::SYSTEM_BUSY | ResponseCode::GO_AWAY | FLOW_CONTROL => {
                    Remedy::Anywhere
                }
                ResponseCode::SERVICE_NOT_AVAILABLE
                | ResponseCode::NO_PERMISSION
                | ResponseCode::TOPIC_NOT_EXIST => Remedy::OtherBroker,
                _ => Remedy::None,
            },
            _ => Remedy::None,
        }
    }
}

const FLOW_CONTROL: ResponseCode = ResponseCode(215);

/// See [`SendError::remedy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    None,
    /// Another broker may take it; this one will not.
    OtherBroker,
    /// Another broker, or after a pause this one.
    Anywhere,
}
