//! Requests that we sent on a link and that are not answered yet: which opaque belongs to whom.
//! Invariant: an opaque is in the table from before its frame leaves until its reply, its caller's
//! end, or the link's end.

use std::collections::HashMap;

use parking_lot::Mutex;
use proto::remoting::Reply;
use tokio::sync::oneshot;

#[derive(Debug)]
pub(crate) struct InFlight {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: i32,
    waiting: HashMap<i32, oneshot::Sender<Reply>>,
    closed: bool,
}

impl InFlight {
    /// For at most so many requests at a time.
    pub(crate) fn new(max: usize) -> Self {
        let table = Mutex::default();
        Self { max, table }
    }

    /// A fresh opaque and the place its reply will come to; `None` when the link is gone or as many
    /// requests wait as may.
    pub(crate) fn enter(&self) -> Option<(i32, oneshot::Receiver<Reply>)> {
        let mut table = self.table.lock();
        if table.closed || table.waiting.len() >= self.max {
            return None;
        }
        let opaque = table.opaque();
        let (sender, receiver) = oneshot::channel();
        table.waiting.insert(opaque, sender);
        Some((opaque, receiver))
    }

    /// An opaque for a request that wants no reply.
    pub(crate) fn opaque(&self) -> i32 {
        self.table.lock().opaque()
    }

    /// Gives a reply to its caller, if it still waits.
    pub(crate) fn complete(&self, opaque: i32, reply: Reply) {
        let caller = self.table.lock().waiting.remove(&opaque);
        if let Some(caller) = caller {
            drop(caller.send(reply));
        }
    }

    pub(crate) fn has(&self, opaque: i32) -> bool {
        self.table.lock().waiting.contains_key(&opaque)
    }

    pub(crate) fn forget(&self, opaque: i32) {
        self.table.lock().waiting.remove(&opaque);
    }

    /// The link is gone: every caller learns it by the end of its channel.
    pub(crate) fn close(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        table.waiting.clear();
    }
}

impl Table {
    fn opaque(&mut self) -> i32 {
        loop {
            self.next = self.next.wrapping_add(1);
            if !self.waiting.contains_key(&self.next) {
                return self.next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_reaches_its_caller_once() {
        let table = InFlight::new(1);
        let (opaque, mut caller) = table.enter().unwrap();
        assert!(table.enter().is_none(), "the limit holds");
        table.complete(opaque, Reply::ok());
        table.complete(opaque, Reply::ok());
        assert_eq!(caller.try_recv(), Ok(Reply::ok()));
    }

    #[test]
    fn closing_ends_every_wait() {
        let table = InFlight::new(8);
        let (_, mut caller) = table.enter().unwrap();
        table.close();
        assert_eq!(caller.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(table.enter().is_none());
    }
}
