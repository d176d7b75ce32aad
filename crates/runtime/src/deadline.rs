//! A point in time after which nobody waits any more.
//!
//! On tokio's clock, so that tests can pause it.

use std::time::Duration;

use tokio::time::Instant;

/// When to give up; `None` inside means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    pub const NEVER: Deadline = Deadline(None);

    /// `from_now` from now; never, if that is beyond the clock's range.
    pub fn after(from_now: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(from_now))
    }
    /// The earlier of two.
    pub fn min(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Deadline(Some(a.min(b))),
            (a, b) => Deadline(a.or(b)),
        }
    }
    pub fn instant(self) -> Option<Instant> {
        self.0
    }
    /// Time left: zero when past, `None` for never.
    pub fn left(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
    pub fn is_past(self) -> bool {
        self.0.is_some_and(|at| at <= Instant::now())
    }
    /// Ends at the deadline.
    pub async fn wait(self) {
        match self.0 {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
    /// Runs `future` until the deadline; `None` if it was not done by then.
    pub async fn limit<F: Future>(self, future: F) -> Option<F::Output> {
        match self.0 {
            Some(at) => tokio::time::timeout_at(at, future).await.ok(),
            None => Some(future.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_past_the_deadline_is_dropped() {
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(deadline.limit(std::future::ready(1)).await, Some(1));
        assert_eq!(deadline.limit(std::future::pending::<()>()).await, None);
        assert!(deadline.is_past());
        assert_eq!(deadline.left(), Some(Duration::ZERO));
        assert_eq!(Deadline::NEVER.min(deadline), deadline);
    }
}
