//! A circuit breaker per target, and what is known of its speed.

use units::Micros;

/// Failures in a row that open the circuit.
const OPEN_AFTER: u32 = 5;
/// The first time out; doubles with each further failure up to [`OPEN_MAX_US`].
const OPEN_BASE_US: i64 = 2_000_000;
const OPEN_MAX_US: i64 = 60_000_000;

/// Whether a target may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Closed,
    /// It failed too often; one probe may go through.
    Probe,
    /// It failed too often; not before this time.
    Open(Micros),
}

/// The health of one target, fed by the outcome of every attempt.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Breaker {
    failures: u32,
    open_until: Option<Micros>,
    probing: bool,
}

impl Breaker {
    pub fn verdict(&self, now: Micros) -> Verdict {
        match self.open_until {
            None => Verdict::Closed,
            Some(until) if now < until || self.probing => Verdict::Open(until),
            Some(_) => Verdict::Probe,
        }
    }

    /// An attempt at this target begins. While open past its time, it is the one probe.
    pub fn begin(&mut self) {
        self.probing = self.open_until.is_some();
    }

    /// The target answered, if only to refuse the request.
    pub fn succeed(&mut self) {
        *self = Breaker::default();
    }

    /// The attempt ended without telling anything about the target (the client left).
    pub fn forget(&mut self) {
        self.probing = false;
    }

    /// The target failed: unreachable, timed out, 5xx, or 429.
    pub fn fail(&mut self, now: Micros, retry_after_ms: Option<u64>) {
        self.probing = false;
        self.failures = self.failures.saturating_add(1);
        if let Some(ms) = retry_after_ms {
            // It said when to come back: believe it, up to the cap.
            let wait = i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000).min(OPEN_MAX_US);
            self.open_until = Some(now.plus_us(wait));
        } else if self.failures >= OPEN_AFTER {
            let doublings = (self.failures - OPEN_AFTER).min(5);
            self.open_until = Some(now.plus_us((OPEN_BASE_US << doublings).min(OPEN_MAX_US)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Micros = Micros(1_000_000_000);

    fn failed(times: u32) -> Breaker {
        let mut breaker = Breaker::default();
        (0..times).for_each(|_| breaker.fail(T0, None));
        breaker
    }

    #[test]
    fn four_failures_leave_it_closed_and_the_fifth_opens_it() {
        assert_eq!(failed(4).verdict(T0), Verdict::Closed);
        assert_eq!(failed(5).verdict(T0), Verdict::Open(T0.plus_us(2_000_000)));
    }

    #[test]
    fn one_probe_goes_through_and_its_success_closes_it() {
        let mut breaker = failed(5);
        let later = T0.plus_us(2_000_000);
        assert_eq!(breaker.verdict(later), Verdict::Probe);
        breaker.begin();
        assert!(matches!(breaker.verdict(later), Verdict::Open(_)), "the probe is alone");
        breaker.succeed();
        assert_eq!(breaker.verdict(later), Verdict::Closed);
    }

    #[test]
    fn a_probe_whose_client_left_frees_the_next_probe() {
        let mut breaker = failed(5);
        let later = T0.plus_us(2_000_000);
        breaker.begin();
        breaker.forget();
        assert_eq!(breaker.verdict(later), Verdict::Probe);
    }

    #[test]
    fn a_retry_after_is_believed_up_to_a_minute() {
        let mut breaker = Breaker::default();
        breaker.fail(T0, Some(3_600_000));
        assert_eq!(breaker.verdict(T0), Verdict::Open(T0.plus_us(OPEN_MAX_US)));
    }
}
