//! Replies of one connection that wait for a watermark, in the order in which they become due.

use std::collections::VecDeque;

use proto::remoting::header::Serialization;
use runtime::Reached;
use tokio::time::Instant;

use crate::answer::Gated;
use crate::outgoing::Unsent;

#[derive(Debug, Default)]
pub(crate) struct GatedReplies(VecDeque<Waiting>);

#[derive(Debug)]
struct Waiting {
    opaque: i32,
    how: Serialization,
    until: Instant,
    gated: Gated,
}

impl GatedReplies {
    pub(crate) fn push(&mut self, (opaque, how): (i32, Serialization), gated: Gated, now: Instant) {
        let until = now + gated.within;
        self.0.push_back(Waiting {
            opaque,
            how,
            until,
            gated,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Resolves when the first of them is due.
    pub(crate) fn first_due(&self) -> Option<Reached> {
        let first = self.0.front()?;
        Some(first.gated.gate.wait(first.gated.at))
    }

    /// Hands over what is due.
    pub(crate) fn release(&mut self, to: &mut Unsent) {
        while let Some(first) = self.0.pop_front() {
            let gate = &first.gated.gate;
            let reply = if gate.reached() >= first.gated.at {
                first.gated.reply
            } else if gate.is_stopped() {
                first.gated.stopped()
            } else {
                self.0.push_front(first);
                return;
            };
            to.reply(first.opaque, first.how, reply);
        }
    }

    /// Hands over what has waited for too long, as such.
    pub(crate) fn release_overdue(&mut self, now: Instant, to: &mut Unsent) {
        while let Some(first) = self.0.pop_front_if(|first| now >= first.until) {
            to.reply(first.opaque, first.how, first.gated.overdue());
        }
    }
}
