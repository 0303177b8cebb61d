//! When things last happened on one connection, by which its deadlines are told.
//! Invariant: what the peer did and what was done to it are kept apart.

use tokio::time::Instant;

/// When things last happened; see `Connection::tick`.
#[derive(Debug)]
pub(crate) struct Pace {
    /// When the first bytes of a first frame came.
    pub(crate) first_byte: Instant,
    pub(crate) moved: Instant,
    /// When the peer last gave a sign of life: bytes came, or it took some of what was stuck. A
    /// write is none: the system takes bytes for a peer that is long gone.
    pub(crate) heard: Instant,
    /// Since when the peer takes nothing of what is due to it.
    pub(crate) stuck: Option<Instant>,
    /// Since when it is not read because all connections hold too much.
    pub(crate) crowded: Option<Instant>,
    pub(crate) framed: bool,
    pub(crate) ticking: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            first_byte: now,
            moved: now,
            heard: now,
            stuck: None,
            crowded: None,
            framed: false,
            ticking: false,
        }
    }
}
