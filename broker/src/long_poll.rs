//! Pulls that found nothing and wait for a message, each at most as long as it asked for. Pure: the
//! caller brings the time and answers what comes out.
//!
//! Invariant: a parked pull leaves exactly once: by an arrival that it wants, by its deadline, or
//! because its peer or its topic is gone or the broker stops. Then none parks any more.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use proto::Text;
use proto::remoting::pull::Pull;
use remoting::Replier;
use tokio::time::Instant;

use crate::clients::Filter;

/// A pull that waits.
#[derive(Debug)]
pub(crate) struct ParkedPull {
    pub(crate) pull: Pull,
    pub(crate) filter: Arc<Filter>,
    pub(crate) replier: Replier,
    pub(crate) until: Instant,
}

/// Arrivals in watched queues that were not looked at yet: by topic, queue and tag code. Equal ones
/// wake the same pulls and are one, however many messages come before somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(HashMap<Text, HashSet<(i32, i64)>>);

impl Arrivals {
    pub(crate) fn note(&mut self, topic: &str, queue_id: i32, tags_code: i64) {
        let arrival = (queue_id, tags_code);
        match self.0.get_mut(topic) {
            Some(arrivals) => {
                arrivals.insert(arrival);
            }
            None => {
                self.0.insert(topic.into(), HashSet::from([arrival]));
            }
        }
    }

    pub(crate) fn into_each(self) -> impl Iterator<Item = (Text, i32, i64)> {
        self.0.into_iter().flat_map(|(topic, arrivals)| {
            let named = move |(queue_id, tags_code)| (topic.clone(), queue_id, tags_code);
            arrivals.into_iter().map(named)
        })
    }
}

#[derive(Debug)]
pub(crate) struct LongPolls {
    parked: HashMap<u64, ParkedPull>,
    by_queue: HashMap<(Text, i32), Vec<u64>>,
    by_peer: HashMap<u64, HashSet<u64>>,
    by_deadline: BTreeSet<(Instant, u64)>,
    next_id: u64,
    per_queue_max: usize,
    max: usize,
    closed: bool,
}

impl LongPolls {
    pub(crate) fn new(per_queue_max: usize, max: usize) -> Self {
        Self {
            parked: HashMap::new(),
            by_queue: HashMap::new(),
            by_peer: HashMap::new(),
            by_deadline: BTreeSet::new(),
            next_id: 0,
            per_queue_max,
            max,
            closed: false,
        }
    }

    /// # Errors
    /// Gives the pull back when too many wait already, and when nobody would wake it.
    #[expect(clippy::result_large_err, reason = "the pull itself comes back")]
    pub(crate) fn park(&mut self, pull: ParkedPull) -> Result<u64, ParkedPull> {
        let queue = (pull.pull.topic.clone(), pull.pull.queue_id);
        let waiting = self.by_queue.get(&queue).map_or(0, Vec::len);
        if self.closed || waiting >= self.per_queue_max || self.parked.len() >= self.max {
            return Err(pull);
        }
        let id = self.next_id;
        self.next_id += 1;
        self.by_queue.entry(queue).or_default().push(id);
        self.by_peer
            .entry(pull.replier.peer().id())
            .or_default()
            .insert(id);
        self.by_deadline.insert((pull.until, id));
        self.parked.insert(id, pull);
        Ok(id)
    }

    /// Takes a pull out again.
    pub(crate) fn take(&mut self, id: u64) -> Option<ParkedPull> {
        let pull = self.parked.remove(&id)?;
        let queue = (pull.pull.topic.clone(), pull.pull.queue_id);
        if let Some(ids) = self.by_queue.get_mut(&queue) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_queue.remove(&queue);
            }
        }
        let peer = pull.replier.peer().id();
        if let Some(ids) = self.by_peer.get_mut(&peer) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
        self.by_deadline.remove(&(pull.until, id));
        Some(pull)
    }

    /// Takes those of a queue that want a message with this tag code.
    pub(crate) fn arrived(
        &mut self,
        topic: &Text,
        queue_id: i32,
        tags_code: i64,
    ) -> Vec<ParkedPull> {
        let ids = self
            .by_queue
            .get(&(topic.clone(), queue_id))
            .cloned()
            .unwrap_or_default();
        let wants = |id: &u64| {
            self.parked
                .get(id)
                .is_some_and(|p| p.filter.wants(tags_code))
        };
        let wanting: Vec<_> = ids.into_iter().filter(wants).collect();
        wanting.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// Takes those whose time is up.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<ParkedPull> {
        let due: Vec<_> = self
            .by_deadline
            .range(..=(now, u64::MAX))
            .map(|(_, id)| *id)
            .collect();
        due.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// Takes those of all queues of a topic.
    pub(crate) fn of_topic(&mut self, topic: &Text) -> Vec<ParkedPull> {
        let queues = self.by_queue.iter().filter(|((of, _), _)| of == topic);
        let ids: Vec<_> = queues.flat_map(|(_, ids)| ids.iter().copied()).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// Takes all, and lets none park any more.
    pub(crate) fn close(&mut self) -> Vec<ParkedPull> {
        self.closed = true;
        let all: Vec<_> = self.parked.keys().copied().collect();
        all.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// Forgets those of a peer that is gone.
    pub(crate) fn gone(&mut self, peer_id: u64) {
        for id in self.by_peer.get(&peer_id).cloned().unwrap_or_default() {
            self.take(id);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(until, _)| *until)
    }

    pub(crate) fn is_waited_for(&self, topic: &Text, queue_id: i32) -> bool {
        self.by_queue.contains_key(&(topic.clone(), queue_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arrivals_are_one() {
        let mut arrivals = Arrivals::default();
        for _ in 0..100_000 {
            arrivals.note("t", 3, 65);
        }
        let each: Vec<_> = arrivals.into_each().collect();
        assert_eq!(each, [("t".into(), 3, 65)]);
    }

    #[test]
    fn arrivals_of_another_topic_queue_or_tag_are_others() {
        let all = [("t", 3, 65), ("t", 3, 66), ("t", 4, 65), ("u", 3, 65)];
        let mut arrivals = Arrivals::default();
        for (topic, queue_id, tags_code) in all {
            arrivals.note(topic, queue_id, tags_code);
        }
        let mut each: Vec<_> = arrivals.into_each().collect();
        each.sort();
        assert_eq!(
            each,
            all.map(|(topic, queue, code)| (topic.into(), queue, code))
        );
    }
}
