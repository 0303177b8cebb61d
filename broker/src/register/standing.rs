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

/// Whether one link still has another end.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Calls in a row that timed out while nothing came at all.
    calls: u32,
    heard: Option<u64>,
}

impl Silence {
    const CALLS_MAX: u32 = 3;

    /// What came of a call, and how often bytes have come on the link by then. A server that is only
    /// slow is not given up: for a link that ends it takes us out of all routes.
    pub(super) fn is_dead(&mut self, timed_out: bool, heard: Option<u64>) -> bool {
        let is_silent = timed_out && heard.is_some() && heard == self.heard;
        self.calls = if is_silent { self.calls + 1 } else { 0 };
        self.heard = heard;
        self.calls >= Self::CALLS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_dead_when_nothing_came_for_three_calls() {
        let mut silence = Silence::default();
        let calls = [
            (false, 7, false),
            (true, 7, false),
            (true, 7, false),
            // Late, but it lives.
            (true, 8, false),
            (true, 8, false),
            (true, 8, false),
            (true, 8, true),
        ];
        for (nth, (timed_out, heard, dead)) in calls.into_iter().enumerate() {
            assert_eq!(silence.is_dead(timed_out, Some(heard)), dead, "{nth}");
        }
        for _ in 0..5 {
            assert!(!silence.is_dead(true, None), "within the process");
        }
    }
}
