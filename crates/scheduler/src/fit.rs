//! How long a step takes, learned from every step.
//!
//! `t = a + b·rows + d·context`: reading the weights once, computing a row, and
//! reading the keys and values each row attends to. The fit is recursive least
//! squares with forgetting, of the relative error, so that a step of one row
//! counts as much as one of 512. It prices steps before they are run: for the
//! chunk that keeps an inter-token target, for the ledger and for the planner.

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct StepTime {
    /// Microseconds of any step.
    pub base_us: f64,
    /// Microseconds of each row more.
    pub row_us: f64,
    /// Microseconds for each thousand tokens attended to, over all rows.
    pub context_us: f64,
    /// Steps it was learned from.
    pub steps: u64,
    /// Mean of |predicted - seen| / seen, recent steps first.
    pub error: f64,
}

impl StepTime {
    /// The predicted time of a step of `rows` rows that attend to `context` tokens in all.
    pub fn predict(&self, rows: u32, context: u64) -> f64 {
        self.base_us + self.row_us * f64::from(rows) + self.context_us * context as f64 / 1000.0
    }
    /// Whether there is enough to go by.
    pub fn is_known(&self) -> bool {
        self.steps >= 8
    }
}

/// The shape of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Shape {
    pub rows: u32,
    /// Tokens attended to, over all rows.
    pub context: u64,
}

/// How fast old steps are forgotten: about the last 50 count.
const FORGET: f64 = 0.98;
/// A step this many times as long as predicted is an interruption, not a cost.
const OUTLIER: f64 = 4.0;

#[derive(Clone, Debug)]
pub(crate) struct Fit {
    weights: [f64; 3],
    covariance: [[f64; 3]; 3],
    steps: u64,
    error: f64,
    outliers: u32,
}

impl Default for Fit {
    fn default() -> Fit {
        let mut covariance = [[0.0; 3]; 3];
        for (i, row) in covariance.iter_mut().enumerate() {
            row[i] = 1e8;
        }
        Fit { weights: [0.0; 3], covariance, steps: 0, error: 0.0, outliers: 0 }
    }
}

impl Fit {
    /// Learns from a step that took `us` microseconds.
    pub(crate) fn learn(&mut self, shape: Shape, us: u64) {
        let seen = us.max(1) as f64;
        let told = self.told();
        if told.is_known() {
            let off = (told.predict(shape.rows, shape.context) - seen).abs() / seen;
            self.error += (off - self.error) * 0.05;
            // Others use the cores; what lasts is learned, what passes is not.
            if seen > OUTLIER * told.predict(shape.rows, shape.context) {
                self.outliers += 1;
                if self.outliers < 8 {
                    return;
                }
            } else {
                self.outliers = 0;
            }
        }
        self.steps += 1;
        // Relative error: everything is divided by the time seen.
        let x = [1.0 / seen, f64::from(shape.rows) / seen, shape.context as f64 / 1000.0 / seen];
        let px: [f64; 3] = std::array::from_fn(|i| dot(&self.covariance[i], &x));
        let gain = FORGET + dot(&x, &px);
        let miss = 1.0 - dot(&self.weights, &x);
        for (weight, p) in self.weights.iter_mut().zip(px) {
            *weight += p / gain * miss;
        }
        for (row, pi) in self.covariance.iter_mut().zip(px) {
            for (c, pj) in row.iter_mut().zip(px) {
                // Directions that no step shows would grow without end.
                *c = ((*c - pi * pj / gain) / FORGET).clamp(-1e12, 1e12);
            }
        }
    }

    /// What was learned; no part of a cost is below zero.
    pub(crate) fn told(&self) -> StepTime {
        StepTime {
            base_us: self.weights[0].max(0.0),
            row_us: self.weights[1].max(0.0),
            context_us: self.weights[2].max(0.0),
            steps: self.steps,
            error: self.error,
        }
    }
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    #[test]
    fn a_linear_machine_is_learned_to_a_few_percent() {
        let mut fit = Fit::default();
        let mut random = Random::new(1, 0);
        let truth = |s: Shape| 4000.0 + 2200.0 * f64::from(s.rows) + 300.0 * s.context as f64 / 1000.0;
        for _ in 0..400 {
            let rows = 1 + random.next_u32() % if random.next_unit() < 0.7 { 8 } else { 256 };
            let shape = Shape { rows, context: u64::from(rows) * u64::from(random.next_u32() % 2000) };
            let noise = 0.9 + 0.2 * random.next_unit();
            // One step in fifty is interrupted for a second.
            let pause = if random.next_unit() < 0.02 { 1e6 } else { 0.0 };
            fit.learn(shape, (truth(shape) * noise + pause) as u64);
        }
        for shape in [(1, 100), (1, 2000), (32, 32_000), (256, 100_000)] {
            let shape = Shape { rows: shape.0, context: shape.1 };
            let ratio = fit.told().predict(shape.rows, shape.context) / truth(shape);
            assert!((0.85..1.2).contains(&ratio), "{shape:?}: {ratio}");
        }
    }

    #[test]
    fn a_machine_that_becomes_slower_is_followed() {
        let mut fit = Fit::default();
        for slow in [1.0, 10.0] {
            for i in 0..400u32 {
                let shape = Shape { rows: 1 + i % 64, context: 0 };
                fit.learn(shape, (slow * (1000.0 + 500.0 * f64::from(shape.rows))) as u64);
            }
        }
        let now = fit.told().predict(10, 0);
        assert!((50_000.0..70_000.0).contains(&now), "{now}");
    }
}
