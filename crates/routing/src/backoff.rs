//! How long to wait before the next attempt.

/// The pauses between attempts at one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The first pause, before jitter.
    pub base_ms: u32,
    /// No pause is longer; a provider that asks for more is given up on instead.
    pub max_ms: u32,
}

impl Default for Backoff {
    fn default() -> Backoff {
        // Two retries cost at most 0.75 s of a person's wait. A provider that
        // asks for more than 4 s is better replaced by the next target.
        Backoff { base_ms: 250, max_ms: 4_000 }
    }
}

/// The pause before retry number `retry` (from 0): exponential with full
/// jitter, or what the provider asked for. `None`: it asked for more than
/// `max_ms`, so do not wait for this target.
///
/// Full jitter after M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015):
/// it spreads a herd better than jitter around the exponential.
pub fn pause_ms(backoff: &Backoff, retry: u32, retry_after_ms: Option<u64>, seed: u64) -> Option<u64> {
    if let Some(asked) = retry_after_ms {
        // A tenth on top, so that clients told the same second do not all return in it.
        let spread = asked / 10;
        return (asked <= u64::from(backoff.max_ms)).then(|| asked + draw(seed, retry, spread));
    }
    let ceiling =
        u64::from(backoff.base_ms).saturating_mul(1 << retry.min(16)).min(u64::from(backoff.max_ms));
    Some(draw(seed, retry, ceiling))
}

/// A number in `0..=ceiling` that depends only on the seed and the retry.
fn draw(seed: u64, retry: u32, ceiling: u64) -> u64 {
    (mix(seed ^ u64::from(retry)) % (ceiling + 1)).min(ceiling)
}

/// SplitMix64's output function (S. Vigna, public domain).
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pause_never_passes_its_ceiling(retry in 0u32..40, seed in any::<u64>()) {
            let backoff = Backoff::default();
            let pause = pause_ms(&backoff, retry, None, seed).expect("no Retry-After");
            prop_assert!(pause <= u64::from(backoff.max_ms));
        }

        #[test]
        fn what_the_provider_asks_is_kept_or_refused(asked in 0u64..100_000, seed in any::<u64>()) {
            match pause_ms(&Backoff::default(), 0, Some(asked), seed) {
                Some(pause) => prop_assert!(asked <= pause && pause <= asked + asked / 10),
                None => prop_assert!(asked > 4_000),
            }
        }
    }
}
