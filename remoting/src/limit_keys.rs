//! The settings for `Limits`, for every configuration that has some.
//!
//! Invariant: one row per number in `Limits`.

use runtime::settings::Key;

use crate::Limits;

/// The rows for the limits inside `C`.
#[must_use]
pub const fn limit_keys<C: AsMut<Limits>>() -> [Key<C>; 11] {
    [
        Key::<C>::new(
            "maxFirstFrameBytes",
            |c| &mut c.as_mut().first_frame_bytes,
            "The largest first frame of a peer, in bytes. More: closed.",
        )
        .range(1 << 10, 1 << 30),
        Key::<C>::new(
            "maxFrameBytes",
            |c| &mut c.as_mut().frame_bytes,
            "The largest frame after a valid first one, in bytes. More: closed.",
        )
        .range(1 << 10, 1 << 30),
        Key::<C>::new(
            "maxInFlightRequests",
            |c| &mut c.as_mut().in_flight,
            "Requests of one connection that wait for their answer. More: not read until one left.",
        )
        .range(1, 1 << 20),
        Key::<C>::new(
            "maxUnsentBytes",
            |c| &mut c.as_mut().unsent_bytes,
            "Answers that one connection has not taken yet, in bytes. More: its requests are not \
             read until it does.",
        )
        .range(1 << 10, 1 << 30),
        Key::<C>::new(
            "maxHeldBytes",
            |c| &mut c.as_mut().held_bytes,
            "All unfinished frames and answers, in bytes; 0: a quarter of the memory. More: they wait.",
        )
        .range(0, 1 << 50),
        Key::<C>::new(
            "maxWriteStallMillis",
            |c| &mut c.as_mut().write_stall,
            "How long a peer may take no byte of its answers, or wait for `maxHeldBytes`, in ms. \
             Longer: closed.",
        )
        .range(100, 3_600_000),
        Key::<C>::new(
            "maxIdleMillis",
            |c| &mut c.as_mut().idle,
            "How long a peer may be silent, in ms. Longer: closed.",
        )
        .range(1_000, 86_400_000),
        Key::<C>::new(
            "maxFirstFrameMillis",
            |c| &mut c.as_mut().first_frame,
            "How long a first frame may take once it has begun to arrive, in ms. Longer: closed.",
        )
        .range(100, 3_600_000),
        Key::<C>::new(
            "maxConnections",
            |c| &mut c.as_mut().connections,
            "Connections of one listener. More: closed at once.",
        )
        .range(1, 1 << 20),
        Key::<C>::new(
            "maxConnectionsPerAddress",
            |c| &mut c.as_mut().connections_per_address,
            "Connections from one address, loopback excepted. More: closed at once.",
        )
        .range(1, 1 << 20),
        Key::<C>::new(
            "maxAcceptsPerSecond",
            |c| &mut c.as_mut().accepts_per_second,
            "New connections of one listener in a second. More: they wait in the system's queue.",
        )
        .range(1, 1 << 20),
    ]
}
