//! Which client of a group may consume a queue in order. Grants end by themselves after a minute
//! without renewal, so a dead consumer blocks a queue no longer than that. Kept in memory only:
//! after a restart clients ask again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proto::remoting::clients::{MessageQueue, QueueLocks};
use tokio::time::Instant;

/// compat: RebalanceLockManager#REBALANCE_LOCK_MAX_LIVE_TIME
const GRANTED_FOR: Duration = Duration::from_secs(60);

/// All grants; what is free beyond it stays so until others end.
pub(crate) const GRANTS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Locks {
    /// By group and queue.
    grants: HashMap<(Arc<str>, MessageQueue), Grant>,
}

#[derive(Debug)]
struct Grant {
    client: Arc<str>,
    until: Instant,
}

impl Locks {
    /// Grants or renews what is free or the client's own; returns what it now holds of `wanted`.
    pub(crate) fn lock(&mut self, wanted: QueueLocks, now: Instant) -> Vec<MessageQueue> {
        let group: Arc<str> = wanted.consumer_group.into();
        let client: Arc<str> = wanted.client_id.into();
        let mut held = Vec::new();
        for queue in wanted.mq_set {
            let key = (Arc::clone(&group), queue);
            let free = match self.grants.get(&key) {
                Some(grant) => grant.client == client || grant.until <= now,
                None => self.grants.len() < GRANTS_MAX,
            };
            if free {
                let grant = Grant {
                    client: Arc::clone(&client),
                    until: now + GRANTED_FOR,
                };
                held.push(key.1.clone());
                self.grants.insert(key, grant);
            }
        }
        held
    }

    pub(crate) fn unlock(&mut self, given_up: QueueLocks) {
        let group: Arc<str> = given_up.consumer_group.into();
        for queue in given_up.mq_set {
            let key = (Arc::clone(&group), queue);
            let grant = self.grants.get(&key);
            if grant.is_some_and(|grant| *grant.client == *given_up.client_id) {
                self.grants.remove(&key);
            }
        }
    }

    /// Forgets grants that have ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.grants.retain(|_, grant| grant.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(client: &str, ids: &[i32]) -> QueueLocks {
        let queue = |id: &i32| MessageQueue {
            broker_name: "b".into(),
            queue_id: *id,
            topic: "t".into(),
        };
        QueueLocks {
            consumer_group: "g".into(),
            client_id: client.into(),
            only_this_broker: false,
            mq_set: ids.iter().map(queue).collect(),
        }
    }

    fn ids(queues: &[MessageQueue]) -> Vec<i32> {
        queues.iter().map(|queue| queue.queue_id).collect()
    }

    #[test]
    fn a_queue_has_one_owner_until_it_is_given_up_or_runs_out() {
        let (mut locks, start) = (Locks::default(), Instant::now());
        assert_eq!(ids(&locks.lock(asks("a", &[0, 1]), start)), [0, 1]);
        assert_eq!(ids(&locks.lock(asks("b", &[1, 2]), start)), [2]);
        locks.unlock(asks("b", &[0]));
        assert_eq!(
            ids(&locks.lock(asks("b", &[0]), start)),
            [0; 0],
            "only the owner gives up"
        );
        locks.unlock(asks("a", &[0]));
        assert_eq!(ids(&locks.lock(asks("b", &[0, 1]), start)), [0]);
        let later = start + GRANTED_FOR;
        assert_eq!(ids(&locks.lock(asks("b", &[1]), later)), [1]);
        locks.expire(later);
        assert_eq!(
            ids(&locks.lock(asks("a", &[1]), later)),
            [0; 0],
            "renewed a moment ago"
        );
    }

    #[test]
    fn beyond_the_most_grants_only_what_is_held_is_granted() {
        let (mut locks, now) = (Locks::default(), Instant::now());
        let most = i32::try_from(GRANTS_MAX).unwrap();
        let all: Vec<_> = (0..most).collect();
        assert_eq!(locks.lock(asks("a", &all), now).len(), GRANTS_MAX);
        assert_eq!(ids(&locks.lock(asks("a", &[0, most]), now)), [0], "renewed");
        locks.unlock(asks("a", &[0]));
        assert_eq!(ids(&locks.lock(asks("b", &[most]), now)), [most]);
    }
}
