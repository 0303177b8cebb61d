//! What is kept of the dispatcher's progress for the checkpoint.

/// Everything below `end` is in the queues; the other fields belong to exactly that point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dispatched {
    pub(crate) end: u64,
    /// The sum of the ends of all queues.
    pub(crate) units: u64,
    /// The store time of the newest message.
    pub(crate) newest_time: i64,
}
