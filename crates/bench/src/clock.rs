//! The one place where the benches read a clock.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "a bench measures real time; every reading passes here")]
pub fn now() -> Instant {
    Instant::now()
}
