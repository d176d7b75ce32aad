//! How long a step takes, learned from every step.
//!
//! `t = a + b·rows + d·context + e·tiled`: reading the weights once, computing a
//! row, and reading the keys and values each row attends to, which kernels do for a
//! row at a time or, of long prompts, for a tile of rows at once. The fit is least squares of
//! the relative error, none of the four below zero, in which older steps count
//! less; so a step of one row counts as much as one of 512. It prices steps before
//! they are run: for the chunk that keeps an inter-token target, and for whoever
//! plans with this machine.

/// What a step costs.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct StepTime {
    /// Microseconds of any step.
    pub base_us: f64,
    /// Microseconds of each row more.
    pub row_us: f64,
    /// Microseconds for each thousand tokens attended to, over all rows.
    pub context_us: f64,
    /// The same where rows attend in tiles; 0 until one has been seen.
    pub tiled_us: f64,
    /// Steps it was learned from.
    pub steps: u64,
    /// Mean of |predicted - seen| / seen, recent steps first.
    pub error: f64,
}

impl StepTime {
    /// The predicted time of a step of `rows` rows that attend to `context` tokens in all.
    pub fn predict(&self, rows: u32, context: u64) -> f64 {
        self.predict_shape(Shape { rows, context, tiled: 0 })
    }
    /// The predicted time of a step.
    pub fn predict_shape(&self, shape: Shape) -> f64 {
        let rows = self.base_us + self.row_us * f64::from(shape.rows);
        rows + (self.context_us * shape.context as f64 + self.tiled_us * shape.tiled as f64) / 1000.0
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
    /// Tokens attended to, over all rows but those that attend in tiles.
    pub context: u64,
    /// Tokens that the others attend to: those of prompts, where there are enough.
    pub tiled: u64,
}

/// How fast old steps are forgotten: about the last 50 count.
const FORGET: f64 = 0.98;
/// A step this many times as long as predicted is an interruption, not a cost.
const OUTLIER: f64 = 4.0;

/// Base, row, context, tiled.
const WEIGHTS: usize = 4;

/// The sums of the normal equations, and what follows from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fit {
    squares: [[f64; WEIGHTS]; WEIGHTS],
    products: [f64; WEIGHTS],
    told: StepTime,
    outliers: u32,
    /// The most rows of a step, forgotten like all else.
    widest: f64,
}

impl Fit {
    /// Learns from a step that took `us` microseconds.
    pub(crate) fn learn(&mut self, shape: Shape, us: u64) {
        let seen = us.max(1) as f64;
        if self.told.is_known() {
            let predicted = self.told.predict_shape(shape);
            self.told.error += ((predicted - seen).abs() / seen - self.told.error) * 0.05;
            // Others use the cores; what lasts is learned, what passes is not.
            if seen > OUTLIER * predicted {
                self.outliers += 1;
                if self.outliers < 8 {
                    return;
                }
            } else {
                self.outliers = 0;
            }
        }
        self.widest = (self.widest * FORGET).max(f64::from(shape.rows));
        // Relative error: everything is divided by the time seen.
        let thousands = [shape.context, shape.tiled].map(|tokens| tokens as f64 / 1000.0);
        let x = [1.0, f64::from(shape.rows), thousands[0], thousands[1]].map(|v| v / seen);
        for (row, xi) in self.squares.iter_mut().zip(x) {
            for (sum, xj) in row.iter_mut().zip(x) {
                *sum = *sum * FORGET + xi * xj;
            }
        }
        for (sum, xi) in self.products.iter_mut().zip(x) {
            *sum = *sum * FORGET + xi;
        }
        let [base_us, row_us, context_us, tiled_us] = self.solve();
        let steps = self.told.steps + 1;
        self.told = StepTime { base_us, row_us, context_us, tiled_us, steps, error: self.told.error };
    }

    pub(crate) fn told(&self) -> StepTime {
        self.told
    }

    /// The most rows that it may be asked about: twice as many as were seen lately.
    /// Steps of a few rows say next to nothing about one of hundreds.
    pub(crate) fn reach(&self) -> u32 {
        (2.0 * self.widest) as u32
    }

    /// The best weights of which none is below zero: of the best for each choice
    /// of those that are not zero. There are fifteen choices.
    fn solve(&self) -> [f64; WEIGHTS] {
        let mut best = ([0.0; WEIGHTS], 0.0);
        for used in 1..1u32 << WEIGHTS {
            let w = self.solve_for(used);
            let gain: f64 = (0..WEIGHTS)
                .map(|i| {
                    let told: f64 = (0..WEIGHTS).map(|j| self.squares[i][j] * w[j]).sum();
                    w[i] * (2.0 * self.products[i] - told)
                })
                .sum();
            if w.iter().all(|w| *w >= 0.0) && gain > best.1 {
                best = (w, gain);
            }
        }
        best.0
    }

    /// Gaussian elimination over the weights whose bit is set; the others are zero.
    fn solve_for(&self, used: u32) -> [f64; WEIGHTS] {
        let (mut a, mut b) = (self.squares, self.products);
        for i in 0..WEIGHTS {
            // A little of each weight for itself, so that what no step shows stays small.
            a[i][i] *= 1.0 + 1e-9;
            if used & (1 << i) == 0 {
                a[i] = [0.0; WEIGHTS];
                (a[i][i], b[i]) = (1.0, 0.0);
            }
        }
        for i in 0..WEIGHTS {
            let pivot = a[i];
            if pivot[i].abs() < f64::MIN_POSITIVE {
                return [-1.0; WEIGHTS];
            }
            for k in (0..WEIGHTS).filter(|k| *k != i) {
                let factor = a[k][i] / pivot[i];
                for (to, from) in a[k].iter_mut().zip(pivot) {
                    *to -= factor * from;
                }
                b[k] -= factor * b[i];
            }
        }
        std::array::from_fn(|i| b[i] / a[i][i])
    }
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
            let context = u64::from(rows) * u64::from(random.next_u32() % 2000);
            let shape = Shape { rows, context, tiled: 0 };
            let noise = 0.9 + 0.2 * random.next_unit();
            // One step in fifty is interrupted for a second.
            let pause = if random.next_unit() < 0.02 { 1e6 } else { 0.0 };
            fit.learn(shape, (truth(shape) * noise + pause) as u64);
        }
        for shape in [(1, 100), (1, 2000), (32, 32_000), (256, 100_000)] {
            let shape = Shape { rows: shape.0, context: shape.1, tiled: 0 };
            let ratio = fit.told().predict(shape.rows, shape.context) / truth(shape);
            assert!((0.85..1.2).contains(&ratio), "{shape:?}: {ratio}");
        }
    }

    #[test]
    fn what_tiles_cost_is_told_apart() {
        let mut fit = Fit::default();
        let truth =
            |s: Shape| 4000.0 + 2200.0 * f64::from(s.rows) + 4.6 * s.context as f64 + 0.9 * s.tiled as f64;
        for i in 0..400u64 {
            let (rows, depth) = (1 + (i * 7 % 48) as u32, i * 37 % 1500);
            let (rows, tiled) = if i % 3 == 0 { (rows + 64, 64 * depth) } else { (rows, 0) };
            let shape = Shape { rows, context: u64::from(rows % 64) * depth, tiled };
            fit.learn(shape, truth(shape) as u64);
        }
        let told = fit.told();
        assert!((4400.0..4800.0).contains(&told.context_us), "{told:?}");
        assert!((800.0..1000.0).contains(&told.tiled_us), "{told:?}");
    }

    #[test]
    fn a_machine_that_becomes_slower_is_followed() {
        let mut fit = Fit::default();
        for slow in [1.0, 10.0] {
            for i in 0..400u32 {
                let shape = Shape { rows: 1 + i % 64, ..Shape::default() };
                fit.learn(shape, (slow * (1000.0 + 500.0 * f64::from(shape.rows))) as u64);
            }
        }
        let now = fit.told().predict(10, 0);
        assert!((50_000.0..70_000.0).contains(&now), "{now}");
    }
}
