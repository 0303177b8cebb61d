//! The checker: everything acknowledged against everything read back. Pure: entries and messages
//! in, a verdict out.
//!
//! - lost: acknowledged, not read. - duplicated: read more than once (nothing is ever sent twice).
//! - altered: bytes that nobody sent, or a message elsewhere than its acknowledgement says.
//! - reordered: behind a later message of its producer in one queue. - phantom: never sent.
//! - gaps: offsets missing inside a queue. - unacknowledged: stored although nobody was told.

use std::collections::HashMap;

use serde::Serialize;

use super::log::{Entry, Place, Start};
use crate::native::Payload;

/// What the check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub acknowledged: u64,
    pub read: u64,
    pub unacknowledged: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub altered: u64,
    pub reordered: u64,
    pub phantom: u64,
    pub gaps: u64,
    /// Which were lost.
    #[serde(skip)]
    pub missing: Vec<Missing>,
    /// The first few findings, for people.
    pub findings: Vec<String>,
}

/// An acknowledged message that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Missing {
    pub producer: u32,
    pub sequence: u64,
    pub place: Place,
}

const FINDINGS_MAX: usize = 10;

impl Verdict {
    /// Does everything hold that was promised?
    pub fn holds(&self) -> bool {
        let broken = [
            self.lost,
            self.altered,
            self.reordered,
            self.phantom,
            self.gaps,
        ];
        broken.iter().all(|count| *count == 0)
    }

    pub fn line(&self) -> String {
        format!(
            "acknowledged {} read {} unacknowledged {}: lost {} duplicated {} altered {} \
             reordered {} phantom {} gaps {}",
            self.acknowledged,
            self.read,
            self.unacknowledged,
            self.lost,
            self.duplicated,
            self.altered,
            self.reordered,
            self.phantom,
            self.gaps,
        )
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what());
        }
    }
}

#[derive(Debug)]
pub struct Checker {
    run: u64,
    in_order: bool,
    producers: HashMap<u32, Producer>,
    queues: HashMap<(u32, u32), Queue>,
    verdict: Verdict,
}

#[derive(Debug, Default)]
struct Producer {
    below: u64,
    /// By sequence.
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    acked: Option<Place>,
    reads: u32,
}

#[derive(Debug, Default)]
struct Queue {
    next: Option<u64>,
    /// The last sequence of each producer.
    last: HashMap<u32, u64>,
}

impl Checker {
    /// `in_order` asks that messages of one producer stand in a queue as they were sent.
    pub fn new(run: u64, in_order: bool) -> Self {
        Self {
            run,
            in_order,
            producers: HashMap::new(),
            queues: HashMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// The queue's next message stands here.
    pub fn begins(&mut self, start: &Start) {
        let queue = self.queues.entry((start.broker, start.queue)).or_default();
        queue.next = Some(start.offset);
    }

    pub fn logged(&mut self, entry: &Entry) {
        match *entry {
            Entry::MaySend { producer, below } => {
                let producer = self.producers.entry(producer).or_default();
                producer.below = producer.below.max(below);
            }
            Entry::Acked {
                producer,
                sequence,
                place,
            } => {
                self.verdict.acknowledged += 1;
                let producer = self.producers.entry(producer).or_default();
                producer.below = producer.below.max(sequence + 1);
                producer.sent(sequence).acked = Some(place);
            }
        }
    }

    /// Messages of one queue come in the order of their offsets.
    pub fn read(&mut self, place: Place, body: &[u8]) {
        let verdict = &mut self.verdict;
        verdict.read += 1;
        let queue = self.queues.entry((place.broker, place.queue)).or_default();
        if queue.next.is_some_and(|next| next != place.offset) {
            verdict.gaps += 1;
            verdict.find(|| format!("gap before {place:?}"));
        }
        queue.next = Some(place.offset + 1);

        let Some(payload) = Payload::read(body) else {
            verdict.altered += 1;
            verdict.find(|| format!("not what was sent: {place:?}"));
            return;
        };
        let producer = self.producers.get_mut(&payload.producer);
        let producer = producer.filter(|producer| payload.sequence < producer.below);
        let Some(producer) = producer.filter(|_| payload.run == self.run) else {
            verdict.phantom += 1;
            verdict.find(|| format!("never sent: {payload:?} at {place:?}"));
            return;
        };
        let sent = producer.sent(payload.sequence);
        sent.reads += 1;
        if sent.reads > 1 {
            verdict.duplicated += 1;
            verdict.find(|| format!("once more: {payload:?} at {place:?}"));
        } else if sent.acked.is_some_and(|acked| acked != place) {
            verdict.altered += 1;
            verdict.find(|| format!("acknowledged elsewhere: {payload:?} at {place:?}"));
        } else if sent.acked.is_none() {
            verdict.unacknowledged += 1;
        }
        let last = queue.last.entry(payload.producer).or_default();
        if self.in_order && *last > payload.sequence {
            verdict.reordered += 1;
            verdict.find(|| format!("behind sequence {last}: {payload:?} at {place:?}"));
        }
        *last = payload.sequence.max(*last);
    }

    pub fn finish(mut self) -> Verdict {
        for (id, producer) in &self.producers {
            for (sequence, sent) in producer.sent.iter().enumerate() {
                if let Some(place) = sent.acked.filter(|_| sent.reads == 0) {
                    self.verdict.lost += 1;
                    self.verdict.missing.push(Missing {
                        producer: *id,
                        sequence: sequence as u64,
                        place,
                    });
                    self.verdict
                        .find(|| format!("lost: producer {id} sequence {sequence} at {place:?}"));
                }
            }
        }
        self.verdict
    }
}

impl Producer {
    /// Sequences are below `below`, so a broken body cannot make this grow.
    fn sent(&mut self, sequence: u64) -> &mut Sent {
        let at = usize::try_from(sequence).unwrap_or(usize::MAX - 1);
        if self.sent.len() <= at {
            self.sent.resize(at + 1, Sent::default());
        }
        self.sent.get_mut(at).expect("resized")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 7;

    fn place(offset: u64) -> Place {
        Place {
            broker: 0,
            queue: 0,
            offset,
        }
    }

    fn body(producer: u32, sequence: u64) -> Vec<u8> {
        let mut body = vec![b'x'; 64];
        let payload = Payload {
            run: RUN,
            producer,
            sequence,
            due_ns: 0,
        };
        payload.write(&mut body);
        body
    }

    /// A producer whose messages 0 to 4 are acknowledged at offsets 10 to 14; 5 to 7 may be sent.
    fn checker() -> Checker {
        let mut checker = Checker::new(RUN, true);
        let below = 8;
        checker.logged(&Entry::MaySend { producer: 1, below });
        for sequence in 0..5 {
            checker.logged(&Entry::Acked {
                producer: 1,
                sequence,
                place: place(10 + sequence),
            });
        }
        checker
    }

    /// The verdict over these messages from offset 10 on, without the words.
    fn verdict(bodies: &[Vec<u8>]) -> Verdict {
        let mut checker = checker();
        for (offset, body) in (10..).zip(bodies) {
            checker.read(place(offset), body);
        }
        let mut verdict = checker.finish();
        assert_eq!(
            verdict.findings.is_empty(),
            verdict.holds() && verdict.duplicated == 0
        );
        verdict.findings.clear();
        assert_eq!(verdict.missing.len() as u64, verdict.lost);
        verdict.missing.clear();
        verdict
    }

    fn all() -> Vec<Vec<u8>> {
        (0..5).map(|sequence| body(1, sequence)).collect()
    }

    fn clean() -> Verdict {
        Verdict {
            acknowledged: 5,
            read: 5,
            ..Verdict::default()
        }
    }

    #[test]
    fn a_run_without_faults_holds() {
        assert_eq!(verdict(&all()), clean());
        assert!(clean().holds());
    }

    #[test]
    fn unanswered_messages_may_be_stored_or_not() {
        let mut bodies = all();
        bodies.push(body(1, 6));
        let expected = Verdict {
            read: 6,
            unacknowledged: 1,
            ..clean()
        };
        assert_eq!(verdict(&bodies), expected);
    }

    #[test]
    fn a_planted_loss_is_found() {
        let expected = Verdict {
            read: 4,
            lost: 1,
            ..clean()
        };
        assert_eq!(verdict(&all()[..4]), expected);
        assert!(!expected.holds());
    }

    #[test]
    fn a_planted_duplicate_is_found() {
        let mut bodies = all();
        bodies.push(body(1, 4));
        let expected = Verdict {
            read: 6,
            duplicated: 1,
            ..clean()
        };
        assert_eq!(verdict(&bodies), expected);
    }

    #[test]
    fn a_planted_change_is_found() {
        let mut bodies = all();
        bodies[2][50] ^= 1;
        let expected = Verdict {
            altered: 1,
            lost: 1,
            ..clean()
        };
        assert_eq!(verdict(&bodies), expected);
    }

    #[test]
    fn a_planted_change_of_order_is_found() {
        let mut bodies = all();
        bodies.swap(1, 3);
        // Offsets 11 and 13 have each other's message, and two stand behind a later one.
        let expected = Verdict {
            altered: 2,
            reordered: 2,
            ..clean()
        };
        assert_eq!(verdict(&bodies), expected);
    }

    #[test]
    fn order_is_not_asked_for_where_it_is_not_promised() {
        let mut checker = Checker::new(RUN, false);
        for (sequence, offset) in [(0, 11), (1, 10)] {
            let place = place(offset);
            checker.logged(&Entry::Acked {
                producer: 1,
                sequence,
                place,
            });
        }
        checker.read(place(10), &body(1, 1));
        checker.read(place(11), &body(1, 0));
        assert!(checker.finish().holds());
    }

    #[test]
    fn planted_phantoms_are_found() {
        let mut other_run = vec![b'x'; 64];
        let payload = Payload {
            run: RUN + 1,
            producer: 1,
            sequence: 0,
            due_ns: 0,
        };
        payload.write(&mut other_run);
        for phantom in [body(1, 8), body(2, 0), other_run] {
            let mut bodies = all();
            bodies.push(phantom);
            let expected = Verdict {
                read: 6,
                phantom: 1,
                ..clean()
            };
            assert_eq!(verdict(&bodies), expected);
        }
    }

    #[test]
    fn a_hole_in_a_queue_is_found() {
        let mut checker = checker();
        for (sequence, offset) in [(0, 10), (1, 11), (2, 12), (3, 13), (4, 14), (5, 16)] {
            checker.read(place(offset), &body(1, sequence));
        }
        let verdict = checker.finish();
        assert_eq!((verdict.gaps, verdict.holds()), (1, false));
    }
}
