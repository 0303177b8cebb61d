//! What the store must hold: a plain list of everything that was sent, in log order.

use std::collections::BTreeMap;

use proto::message::{Draft, LogOffset, QueueId, QueueOffset};
use store::{AppendError, Appended, KeyQuery, ReadStatus, Store};

use crate::support::*;

pub(super) const TOPICS: [&str; 3] = ["alpha", "beta", "%RETRY%group"];

#[derive(Clone, Debug)]
pub(super) struct Sent {
    topic: usize,
    queue: u32,
    body: String,
    key: String,
    pub(super) place: Appended,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) sent: Vec<Sent>,
    /// How many of them are durable, written, readable.
    pub(super) durable: usize,
    pub(super) written: usize,
    pub(super) readable: usize,
    /// How many were ever tried, so that no two are alike.
    tried: usize,
}

impl Expected {
    /// Sends messages of these sizes; more than one are a batch. What is refused is not expected.
    pub(super) fn append(
        &mut self,
        store: &Store,
        (topic, queue): (usize, u32),
        sizes: &[usize],
    ) -> Result<(), AppendError> {
        let texts: Vec<_> = sizes
            .iter()
            .zip(self.tried..)
            .map(|(bytes, n)| (format!("{n}:{}", "x".repeat(*bytes)), format!("key{n}")))
            .collect();
        self.tried += sizes.len();
        let properties: Vec<_> = texts
            .iter()
            .map(|(_, key)| format!("KEYS\u{1}{key}\u{2}"))
            .collect();
        let parts: Vec<_> = properties.iter().map(|text| [text.as_str()]).collect();
        let drafts: Vec<_> = texts
            .iter()
            .zip(&parts)
            .map(|((body, key), parts)| Draft {
                properties: parts,
                keys: Some(key),
                ..draft(TOPICS[topic], queue, body.as_bytes())
            })
            .collect();
        let places = match drafts.as_slice() {
            [one] => vec![store.append(one, NOW)?],
            many => store.append_batch(many, NOW)?,
        };
        for ((body, key), place) in texts.into_iter().zip(places) {
            self.sent.push(Sent {
                topic,
                queue,
                body,
                key,
                place,
            });
        }
        Ok(())
    }

    /// How many messages end at or before an offset.
    pub(super) fn up_to(&self, end: LogOffset) -> usize {
        self.sent.partition_point(|sent| sent.place.end <= end)
    }

    /// After a reopen the store holds a prefix of what was sent: at least the first `least`.
    pub(super) fn keep_prefix(&mut self, end: LogOffset, least: usize) {
        let kept = self.up_to(end);
        assert!(
            kept >= least,
            "{kept} of {least} messages that must be there"
        );
        self.sent.truncate(kept);
        (self.durable, self.written, self.readable) = (kept, kept, kept);
    }

    /// Whatever is asked of the store, it answers as the list does.
    pub(super) fn check(&self, store: &Store) {
        let queues = self.queues();
        for ((topic, queue), sent) in &queues {
            self.check_queue(store, (TOPICS[*topic], *queue), sent);
        }
        for listed in store.queues() {
            let known = queues.keys().any(|(topic, queue)| {
                (TOPICS[*topic], QueueId(*queue)) == (&*listed.topic, listed.queue_id)
            });
            assert!(
                known || listed.bounds.max.0 == 0,
                "{listed:?} out of nowhere"
            );
        }
        for sent in &self.sent[..self.readable] {
            let found = store.record_at(sent.place.log_offset);
            assert_eq!(found.is_some(), sent.place.log_offset >= store.log_start());
            let query = KeyQuery {
                topic: TOPICS[sent.topic],
                key: &sent.key,
                max: 10,
                begin_ms: 0,
                end_ms: i64::MAX,
            };
            let by_key = store.query_by_key(&query).expect("reads the index");
            assert_eq!(
                by_key,
                found.into_iter().collect::<Vec<_>>(),
                "by key {}",
                sent.key
            );
        }
    }

    fn queues(&self) -> BTreeMap<(usize, u32), Vec<&Sent>> {
        let mut queues: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for sent in &self.sent[..self.readable] {
            let queue = queues.entry((sent.topic, sent.queue)).or_default();
            queue.push(sent);
        }
        queues
    }

    fn check_queue(&self, store: &Store, (topic, queue): (&str, u32), sent: &[&Sent]) {
        let bounds = store.queue_bounds(topic, QueueId(queue)).expect("a queue");
        let end = QueueOffset(sent.len() as u64);
        assert_eq!(bounds.max, end, "end of {topic}/{queue}");
        let start = store.log_start();
        let gone = sent
            .iter()
            .take_while(|sent| sent.place.log_offset < start)
            .count();
        let first = QueueOffset(gone as u64);
        assert_eq!(bounds.min, first, "start of {topic}/{queue}");
        let expected: Vec<_> = sent[gone..].iter().map(|sent| sent.body.clone()).collect();
        assert_eq!(bodies(store, topic, queue, gone as u64), expected);
        if gone > 0 {
            let read = read(store, topic, queue, 0);
            assert_eq!(
                (read.status, read.next),
                (ReadStatus::OffsetTooSmall, bounds.min)
            );
        }
    }
}
