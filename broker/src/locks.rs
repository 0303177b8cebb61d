//! Which client of a group may consume a queue in order. Grants end by themselves after a minute
//! without renewal, so a dead consumer blocks a queue no longer than that. Kept in memory only:
//! after a restart clients ask again.

use std::collections::HashMap;
use std::time::Duration;

use proto::remoting::clients::{MessageQueue, QueueLocks};
use tokio::time::Instant;

/// compat: RebalanceLockManager#REBALANCE_LOCK_MAX_LIVE_TIME
const GRANTED_FOR: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Locks {
    groups: HashMap<String, HashMap<MessageQueue, Grant>>,
}

#[derive(Debug)]
struct Grant {
    client: String,
    until: Instant,
}

impl Locks {
    /// Grants or renews what is free or the client's own; returns what it now holds of `wanted`.
    pub(crate) fn lock(&mut self, wanted: QueueLocks, now: Instant) -> Vec<MessageQueue> {
        let queues = self.groups.entry(wanted.consumer_group).or_default();
        let mut held = Vec::new();
        for queue in wanted.mq_set {
            let free = match queues.get(&queue) {
                Some(grant) => grant.client == wanted.client_id || grant.until <= now,
                None => true,
            };
            if free {
                let grant = Grant {
                    client: wanted.client_id.clone(),
                    until: now + GRANTED_FOR,
                };
                queues.insert(queue.clone(), grant);
                held.push(queue);
            }
        }
        held
    }

    pub(crate) fn unlock(&mut self, given_up: &QueueLocks) {
        let Some(queues) = self.groups.get_mut(&given_up.consumer_group) else {
            return;
        };
        for queue in &given_up.mq_set {
            if queues
                .get(queue)
                .is_some_and(|grant| grant.client == given_up.client_id)
            {
                queues.remove(queue);
            }
        }
    }

    /// Forgets grants that have ended, and groups without any.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.groups.retain(|_, queues| {
            queues.retain(|_, grant| grant.until > now);
            !queues.is_empty()
        });
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
        locks.unlock(&asks("b", &[0]));
        assert_eq!(
            ids(&locks.lock(asks("b", &[0]), start)),
            [0; 0],
            "only the owner gives up"
        );
        locks.unlock(&asks("a", &[0]));
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
}
