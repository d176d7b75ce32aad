//! The wall clock and the monotonic clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use units::Micros;

/// Now, in microseconds since 1970 UTC. A clock before 1970 reads as 0: every
/// user of it compares or stores, none may panic.
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Microseconds since the first call in this process: for durations, never
/// for storage. Never goes back.
#[expect(clippy::disallowed_methods, reason = "the one place where the monotonic clock is read")]
pub fn monotonic_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = Instant::now();
    let start = *START.get_or_init(|| now);
    u64::try_from(now.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_read_and_the_monotonic_one_never_goes_back() {
        assert!(now() > Micros(1_700_000_000_000_000), "the wall clock reads {}", now());
        let first = monotonic_us();
        assert!(monotonic_us() >= first);
    }
}
