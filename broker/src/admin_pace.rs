//! How fast requests of operators and their tools are answered. A tool that asks for each of its
//! thousand topics is slowed down, not refused: those tools do not try again.
//!
//! Invariant: in the long run no more than the setting allows; who would wait for longer than
//! [`WAIT_MAX`] is refused at once.

use std::time::Duration;

use parking_lot::Mutex;
use proto::remoting::Request;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
/// The tools of RocketMQ wait for five seconds.
const WAIT_MAX: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct AdminPace {
    /// When the last admitted request is due.
    last: Mutex<Instant>,
}

impl AdminPace {
    pub(crate) fn starting_at(now: Instant) -> Self {
        Self {
            last: Mutex::new(now),
        }
    }

    /// How long a request waits for its turn, if it may wait. A quiet second is made up for.
    pub(crate) fn admit(&self, now: Instant, per_second: u32) -> Option<Duration> {
        let mut last = self.last.lock();
        let earliest = now.checked_sub(SECOND).unwrap_or(now);
        let turn = (*last).max(earliest) + SECOND / per_second.max(1);
        let wait = turn.saturating_duration_since(now);
        (wait <= WAIT_MAX).then(|| {
            *last = turn;
            wait
        })
    }
}

/// Whether it is a request that tools make and the clients of applications do not, and that costs
/// more than a look into a table.
pub(crate) fn is_paced(request: &Request) -> bool {
    matches!(
        request,
        Request::CreateTopic(_)
            | Request::DeleteTopic(_)
            | Request::AllTopicConfigs
            | Request::TopicStats(_)
            | Request::GroupsOfTopic(_)
            | Request::UpdateGroup(_)
            | Request::DeleteGroup(_)
            | Request::AllGroupConfigs
            | Request::TopicsOfGroup(_)
            | Request::ConsumeStats(_)
            | Request::ConsumerConnections(_)
            | Request::ProducerConnections(_)
            | Request::BrokerRuntime
            | Request::BrokerConfig
            | Request::UpdateBrokerConfig(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_then_each_in_its_turn_then_nobody() {
        let start = Instant::now();
        let pace = AdminPace::starting_at(start);
        let now = start + 10 * SECOND;
        let waits: Vec<_> = (0..600).map(|_| pace.admit(now, 100)).collect();
        assert!(
            waits[..100]
                .iter()
                .all(|wait| *wait == Some(Duration::ZERO))
        );
        assert_eq!(waits[100], Some(Duration::from_millis(10)));
        assert_eq!((waits[399], waits[400]), (Some(WAIT_MAX), None));
        assert_eq!(
            pace.admit(now + SECOND, 100),
            Some(Duration::from_millis(2010))
        );
    }
}
