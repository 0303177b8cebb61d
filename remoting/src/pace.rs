//! When things last happened on one connection, by which its deadlines are told.
//! Invariant: what the peer did and what was done to it are kept apart.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// While a connection is busy its deadlines are looked at this often: an answer that says "too late"
/// after 5 s is at most a tenth late itself.
pub(crate) const TICK: Duration = Duration::from_millis(400);

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

    /// Something moves: from now on there are ticks.
    pub(crate) fn moved_now(&mut self, timer: Pin<&mut Sleep>) {
        self.moved = Instant::now();
        if !self.ticking {
            self.ticking = true;
            timer.reset(self.moved + TICK);
        }
    }
}
