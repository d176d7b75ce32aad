//! Order statistics over repeated measurements.
//!
//! A bench on a shared machine has one-sided noise: something else ran and the
//! value got worse. So the figure reported is the median of the rounds, and the
//! figure beside it is the whole range, not a standard deviation that assumes a
//! shape nobody checked.

/// The median, lowest and highest of a set of rounds, in the unit of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub rounds: usize,
}

impl Summary {
    /// `None` for an empty set: a figure nobody measured is not zero. Values
    /// that are not finite are dropped.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        Some(Summary { median: median_of_sorted(&sorted), low, high, rounds: sorted.len() })
    }

    /// Width of the range as a fraction of the median: 0.1 means that the
    /// rounds lie within 10 % of each other. Zero when the median is zero.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.high - self.low) / self.median.abs() }
    }
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The `q`-quantile (0..=1) by the nearest-rank rule: the smallest sample such
/// that at least `q` of all samples are no larger. It returns a latency that
/// some request really had, which interpolation does not.
pub fn quantile(samples: &mut [f64], q: f64) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    samples.sort_by(f64::total_cmp);
    let rank = (q.clamp(0.0, 1.0) * samples.len() as f64).ceil() as usize;
    Some(samples[rank.clamp(1, samples.len()) - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_odd_count_has_its_middle_value_and_an_even_count_the_mean_of_two() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]).unwrap().median, 2.0);
        assert_eq!(Summary::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[f64::NAN]), None);
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn spread_is_the_range_over_the_median() {
        let summary = Summary::of(&[90.0, 100.0, 120.0]).unwrap();
        assert_eq!((summary.low, summary.high, summary.rounds), (90.0, 120.0, 3));
        assert!((summary.spread() - 0.3).abs() < 1e-12);
        assert_eq!(Summary::of(&[0.0, 0.0]).unwrap().spread(), 0.0);
    }

    #[test]
    fn the_99th_of_a_hundred_is_the_99th_and_not_the_worst() {
        let mut samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut samples, 0.99), Some(99.0));
        assert_eq!(quantile(&mut samples, 0.5), Some(50.0));
        assert_eq!(quantile(&mut samples, 1.0), Some(100.0));
        assert_eq!(quantile(&mut samples, 0.0), Some(1.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_median_lies_inside_the_range(values in proptest::collection::vec(-1e9f64..1e9, 1..40)) {
            let summary = Summary::of(&values).unwrap();
            prop_assert!(summary.low <= summary.median && summary.median <= summary.high);
        }

        #[test]
        fn a_quantile_is_a_sample(values in proptest::collection::vec(0f64..1e6, 1..40), q in 0f64..=1.0) {
            let mut sorted = values.clone();
            let found = quantile(&mut sorted, q).unwrap();
            prop_assert!(values.contains(&found));
        }
    }
}
