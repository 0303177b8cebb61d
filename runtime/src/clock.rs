//! The wall clock.
//!
//! Owns the only call of `SystemTime::now` in the house (clippy refuses the others), so that a test
//! or a simulation has one place to replace. Durations are measured with `Instant` instead: the wall
//! clock may jump.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, signed as on the wire and on disk; a clock set before 1970 reads 0.
#[must_use]
pub fn now_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the wall clock"
    )]
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
