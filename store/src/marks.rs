//! How far the log is: written, durable, readable. Each mark only moves forward.

use crate::sync::Mutex;
use crate::sync::atomic::AtomicU64;

/// `dispatched` and `durable_to` are never above `appended_to`, nor `persisted_to` above either.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) appended_to: AtomicU64,
    pub(crate) durable_to: AtomicU64,
    pub(crate) dispatched: Mutex<Dispatched>,
    /// The checkpoint vouches for queues and index up to here.
    pub(crate) persisted_to: AtomicU64,
}

/// Everything below `end` is in the queues; the other fields belong to exactly that point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dispatched {
    pub(crate) end: u64,
    /// The sum of the ends of all queues.
    pub(crate) units: u64,
    /// The store time of the newest message.
    pub(crate) newest_time: i64,
}

impl Marks {
    /// A log that is written, durable and readable up to the same place.
    pub(crate) fn at(dispatched: Dispatched, persisted_to: u64) -> Self {
        Self {
            appended_to: AtomicU64::new(dispatched.end),
            durable_to: AtomicU64::new(dispatched.end),
            dispatched: Mutex::new(dispatched),
            persisted_to: AtomicU64::new(persisted_to),
        }
    }
}
