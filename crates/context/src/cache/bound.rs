//! How often one kept answer may be given for near questions, by its own record.
//!
//! After vCache (Schroeder et al. 2025): each entry has its own record of questions that
//! found it and of whether its answer was right for them; the error of what is given is
//! kept below δ by making the answer anew often enough. vCache fits a logistic curve
//! to the record; here stands what needs no such shape. Exactly:
//!
//! Let p(s) be the chance that the answer is right for a question of similarity s. It is
//! only assumed that p does not fall with s. Then p(s) is at least the mean of p over any
//! range of similarities that ends at or below s, and of that mean the record gives a
//! lower bound: that of Clopper and Pearson, at a confidence of 95 % divided among the five
//! ranges that are looked at ([`FLOORS`]; Bonferroni). The best of the five is q(s).
//! A near question is given the kept answer with probability min(1, δ / (1 − q)), so
//! that the expected share of wrong answers is at most δ wherever the bounds hold:
//! (1 − p) · δ / (1 − q) ≤ δ.
//!
//! A new entry has q = 0: one question in a hundred is given its answer at δ = 1 %, the
//! others judge it. That is slow, and it is what a bound per entry costs; a judge that
//! runs beside (a local model) makes it faster without a caller waiting.

/// The share of wrong answers that is aimed at, where nobody asked for less.
pub const DELTA: f64 = 0.01;
/// Observations kept of one entry; the oldest goes.
pub const OBSERVATIONS_MAX: usize = 512;

/// Lower ends of the ranges of similarity: fixed, so that their number is.
const FLOORS: [f32; 5] = [-1.0, 0.8, 0.9, 0.95, 0.98];
/// How often all five bounds together may fail.
const RISK: f64 = 0.05;

/// An entry's record.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Bound {
    /// Similarity, and whether the kept answer was right.
    observed: Vec<(f32, bool)>,
}

/// What is done with a near question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Give the kept answer.
    Serve,
    /// Make the answer anew, compare, and [`Bound::observe`].
    Ask,
}

impl Bound {
    pub fn new() -> Bound {
        Bound::default()
    }

    /// Records that an answer was judged. A similarity that is no number is none.
    pub fn observe(&mut self, similarity: f32, right: bool) {
        if similarity.is_finite() {
            if self.observed.len() == OBSERVATIONS_MAX {
                self.observed.remove(0);
            }
            self.observed.push((similarity, right));
        }
    }

    pub fn observations(&self) -> usize {
        self.observed.len()
    }

    /// q(s): with a confidence of 95 % the kept answer is right at least so often for
    /// questions of this similarity or a larger one.
    pub fn right_at_least(&self, similarity: f32) -> f64 {
        let of = |floor: &f32| {
            let within = self.observed.iter().filter(|(s, _)| *s >= *floor && *s <= similarity);
            within.fold((0u32, 0u32), |(n, right), (_, was_right)| (n + 1, right + u32::from(*was_right)))
        };
        let mut records: Vec<(u32, u32)> = FLOORS.iter().map(of).collect();
        records.dedup();
        let risk = RISK / FLOORS.len() as f64;
        records.into_iter().map(|(n, right)| clopper_pearson(right, n, risk)).fold(0.0, f64::max)
    }

    /// Decides about a near question. `delta` counts as far as it is stricter than
    /// [`DELTA`]; `draw` is uniform between 0 and 1, and must be drawn anew each time.
    pub fn decide(&self, similarity: f32, delta: f64, draw: f64) -> Decision {
        let delta = if delta.is_finite() { delta.clamp(0.0, DELTA) } else { 0.0 };
        let wrong = 1.0 - self.right_at_least(similarity);
        // A draw that is no number serves nothing.
        if similarity.is_finite() && draw * wrong < delta { Decision::Serve } else { Decision::Ask }
    }

    /// One line, to be kept with the entry.
    pub fn to_text(&self) -> String {
        let mut text = String::from("bound-1");
        for (similarity, right) in &self.observed {
            text.push_str(&format!(" {similarity}{}", if *right { '+' } else { '-' }));
        }
        text
    }

    /// Reads what [`Bound::to_text`] wrote. `None` for anything else: a record that
    /// cannot be read is none, and the entry begins again.
    pub fn from_text(text: &str) -> Option<Bound> {
        let mut parts = text.split(' ');
        if parts.next() != Some("bound-1") {
            return None;
        }
        let mut bound = Bound::new();
        for part in parts {
            let (similarity, right) = match part.strip_suffix('+') {
                Some(similarity) => (similarity, true),
                None => (part.strip_suffix('-')?, false),
            };
            let similarity: f32 = similarity.parse().ok().filter(|s: &f32| s.is_finite())?;
            if bound.observed.len() == OBSERVATIONS_MAX {
                return None;
            }
            bound.observed.push((similarity, right));
        }
        Some(bound)
    }
}

/// The lower end of the exact interval for a share of which `right` of `n` were seen: the
/// p at which so many or more would be seen with probability `risk`.
fn clopper_pearson(right: u32, n: u32, risk: f64) -> f64 {
    if right == 0 {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    // 40 halvings: 12 digits. The lower end is returned, which errs to the safe side.
    for _ in 0..40 {
        let p = (low + high) / 2.0;
        if at_least(right, n, p) < risk { low = p } else { high = p }
    }
    low
}

/// The probability of `right` or more of `n`.
fn at_least(right: u32, n: u32, p: f64) -> f64 {
    let (log_p, log_q) = (p.ln(), (1.0 - p).ln());
    // ln C(n, k), built up from k = 0.
    let mut log_choose = 0.0;
    let mut sum = 0.0;
    for k in 0..=n {
        if k > 0 {
            log_choose += f64::from(n - k + 1).ln() - f64::from(k).ln();
        }
        if k >= right {
            sum += (log_choose + f64::from(k) * log_p + f64::from(n - k) * log_q).exp();
        }
    }
    sum
}
