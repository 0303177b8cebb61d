//! What a name server knows of this broker, and what a failed registration makes of that.

use remoting::CallError;

/// What came of the last registration with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There was none.
    New,
    /// It knows all our topics, but for those that are announced one by one.
    Known,
    /// There is no link to it, or nobody answers.
    Away,
    /// It did not take all topics.
    Unwilling,
}

/// Why a server does not know us.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegisterError {
    #[error("cannot reach it: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("refused with code {0}: {1}")]
    Refused(i32, String),
}

impl From<&RegisterError> for Standing {
    fn from(error: &RegisterError) -> Self {
        match error {
            RegisterError::Unreachable(_)
            | RegisterError::Call(CallError::NotSent(_) | CallError::TimedOut) => Self::Away,
            RegisterError::Call(CallError::Closed) | RegisterError::Refused(..) => Self::Unwilling,
        }
    }
}
