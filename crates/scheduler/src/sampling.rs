//! From logits to a token.
//!
//! The order is: logit bias, penalties, temperature, top-k, min-p, top-p, draw.
//! Log-probabilities are of the model's own distribution, before any of these.
//! Everything is computed with our own `exp`, so that a seed gives the same
//! text on machines whose C libraries round differently.

use std::collections::BTreeMap;

use crate::{Random, Token};

/// How a choice's tokens are drawn. Values are taken as they are; bounds are the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 or less: always the likeliest token.
    pub temperature: f32,
    /// 0: no limit.
    pub top_k: u32,
    /// 1 or more: no limit.
    pub top_p: f32,
    /// 0: no limit.
    pub min_p: f32,
    /// Subtracted once from every token already written.
    pub presence: f32,
    /// Subtracted for each time a token was written.
    pub frequency: f32,
    /// Divides (multiplies, below zero) the logits of tokens in the prompt and the answer. 1: off.
    pub repetition: f32,
    pub seed: u64,
    /// Added to the logits.
    pub bias: Vec<(Token, f32)>,
    /// How many of the likeliest tokens to tell with each token.
    pub logprobs: Option<u8>,
}

impl Sampling {
    /// Always the likeliest token.
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        presence: 0.0,
        frequency: 0.0,
        repetition: 1.0,
        seed: 0,
        bias: Vec::new(),
        logprobs: None,
    };

    fn edits(&self) -> bool {
        !self.bias.is_empty() || self.counts()
    }
    fn counts(&self) -> bool {
        self.presence != 0.0 || self.frequency != 0.0 || self.repetition != 1.0
    }
}

/// A drawn token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    pub token: Token,
    /// Its natural log-probability, and the likeliest tokens with theirs, when asked for.
    pub logprob: Option<(f32, Vec<(Token, f32)>)>,
}

/// The state of one choice.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    random: Random,
    /// Tokens seen: how often in the answer (0: only in the prompt).
    seen: BTreeMap<Token, u32>,
    logits: Vec<f32>,
    weights: Vec<f32>,
    candidates: Vec<(f32, Token)>,
}

impl Sampler {
    pub fn new(sampling: Sampling, choice: u32, prompt: &[Token]) -> Sampler {
        let mut seen = BTreeMap::new();
        if sampling.repetition != 1.0 {
            seen.extend(prompt.iter().map(|t| (*t, 0)));
        }
        Sampler {
            random: Random::new(sampling.seed, u64::from(choice)),
            sampling,
            seen,
            logits: Vec::new(),
            weights: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// Draws from one row of logits, and remembers the token.
    pub fn draw(&mut self, logits: &[f32]) -> Sampled {
        let token = match self.sampling.edits() {
            false => self.pick(logits),
            true => self.pick_edited(logits, None),
        };
        self.remember(token, logits)
    }

    /// The same among the tokens whose bit is set: bit `t % 32` of word `t / 32`.
    /// `None`: none of them is possible.
    pub fn draw_among(&mut self, logits: &[f32], allowed: &[u32]) -> Option<Sampled> {
        let token = self.pick_edited(logits, Some(allowed));
        has(allowed, token).then(|| self.remember(token, logits))
    }

    fn pick_edited(&mut self, logits: &[f32], allowed: Option<&[u32]>) -> Token {
        let mut edited = std::mem::take(&mut self.logits);
        edited.clear();
        edited.extend_from_slice(logits);
        self.edit(&mut edited);
        if let Some(allowed) = allowed {
            for (token, logit) in edited.iter_mut().enumerate() {
                if !has(allowed, token as Token) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let token = self.pick(&edited);
        self.logits = edited;
        token
    }

    fn remember(&mut self, token: Token, logits: &[f32]) -> Sampled {
        if self.sampling.counts() {
            *self.seen.entry(token).or_insert(0) += 1;
        }
        let logprob = self.sampling.logprobs.map(|k| logprobs(logits, token, usize::from(k)));
        Sampled { token, logprob }
    }

    fn edit(&self, logits: &mut [f32]) {
        for (token, bias) in &self.sampling.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
        for (token, count) in &self.seen {
            let Some(logit) = logits.get_mut(*token as usize) else { continue };
            if *logit > 0.0 {
                *logit /= self.sampling.repetition;
            } else {
                *logit *= self.sampling.repetition;
            }
            if *count > 0 {
                *logit -= self.sampling.presence + self.sampling.frequency * *count as f32;
            }
        }
    }

    fn pick(&mut self, logits: &[f32]) -> Token {
        let (best, max) = most(logits);
        if self.sampling.temperature <= 0.0 || !max.is_finite() {
            return best;
        }
        let scale = 1.0 / self.sampling.temperature;
        self.weights.clear();
        self.weights.extend(logits.iter().map(|l| exp((l - max) * scale)));
        let s = &self.sampling;
        if s.top_k == 0 && s.top_p >= 1.0 && s.min_p <= 0.0 {
            return walk(self.weights.iter().copied(), &mut self.random).map_or(best, |i| i as Token);
        }
        // Tokens so unlikely that all of them together weigh less than what
        // top-p leaves out cannot be in the nucleus: they need no sorting.
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        let unlikely = ((1.0 - f64::from(s.top_p)).max(0.0) * total / self.weights.len() as f64) as f32;
        let floor = if s.top_k > 0 { s.min_p } else { unlikely.max(s.min_p) };
        self.candidates.clear();
        self.candidates.extend(
            self.weights.iter().zip(0..).filter(|(w, _)| **w >= floor && **w > 0.0).map(|(w, t)| (*w, t)),
        );
        let order = |a: &(f32, Token), b: &(f32, Token)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        let k = s.top_k as usize;
        if k > 0 && k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(k - 1, order);
            self.candidates.truncate(k);
        }
        self.candidates.sort_unstable_by(order);
        if s.top_p < 1.0 {
            // Without top-k the mass is of all tokens, those below min-p included.
            let mass: f64 = if k > 0 { self.candidates.iter().map(|c| f64::from(c.0)).sum() } else { total };
            let mut sum = 0.0;
            let enough = f64::from(s.top_p) * mass;
            let keep = self.candidates.iter().position(|c| {
                sum += f64::from(c.0);
                sum >= enough
            });
            self.candidates.truncate(keep.map_or(usize::MAX, |i| i + 1).max(1));
        }
        walk(self.candidates.iter().map(|c| c.0), &mut self.random).map_or(best, |i| self.candidates[i].1)
    }
}

fn has(allowed: &[u32], token: Token) -> bool {
    allowed.get(token as usize / 32).is_some_and(|word| word & (1 << (token % 32)) != 0)
}

/// An index, drawn in proportion to the weights.
fn walk(weights: impl Iterator<Item = f32> + Clone, random: &mut Random) -> Option<usize> {
    let total: f64 = weights.clone().map(f64::from).sum();
    let target = random.next_unit() * total;
    let (mut sum, mut last) = (0.0, None);
    for (i, w) in weights.enumerate() {
        if w > 0.0 {
            sum += f64::from(w);
            last = Some(i);
            if sum > target {
                return last;
            }
        }
    }
    last
}

/// The token of the greatest logit, the lowest id among equals.
pub(crate) fn likeliest(logits: &[f32]) -> Token {
    most(logits).0
}

/// The same with its logit; NaN is never it.
fn most(logits: &[f32]) -> (Token, f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = logits.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, l) in lanes.iter_mut().zip(chunk) {
            *lane = if *l > *lane { *l } else { *lane };
        }
    }
    let max = lanes
        .iter()
        .chain(chunks.remainder())
        .fold(f32::NEG_INFINITY, |max, l| if *l > max { *l } else { max });
    let token = logits.iter().position(|l| *l == max).unwrap_or(0);
    (token as Token, max)
}

fn logprobs(logits: &[f32], token: Token, k: usize) -> (f32, Vec<(Token, f32)>) {
    let (_, max) = most(logits);
    let sum: f64 = logits.iter().map(|l| f64::from(exp(l - max))).sum();
    let norm = max + sum.ln() as f32;
    let mut top: Vec<(Token, f32)> = Vec::with_capacity(k + 1);
    for (l, t) in logits.iter().zip(0..) {
        if k > 0 && (top.len() < k || top.last().is_some_and(|(_, least)| l > least)) {
            let at = top.partition_point(|(_, other)| other >= l);
            top.insert(at, (t, *l));
            top.truncate(k);
        }
    }
    for (_, l) in &mut top {
        *l -= norm;
    }
    (logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY) - norm, top)
}

/// e^x for x at most 0, within 3e-7 relative; 0 below -87 and for NaN. Without
/// branches or calls, so that the compiler computes 16 at a time.
///
/// 2^k · e^f with k the nearest whole number to x / ln 2, and e^f by its Taylor
/// series. ln 2 is subtracted in two parts, the first of 10 bits, so that
/// `x - k · ln 2` loses nothing (Cody and Waite, "Software manual for the
/// elementary functions", 1980).
fn exp(x: f32) -> f32 {
    let y = if x > -87.0 { x } else { -87.0 };
    let y = if y < 87.0 { y } else { 87.0 };
    let k = (y * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
    let f = (y - k * 0.693_359_4) + k * 2.121_944_4e-4;
    let p = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f / 720.0)))));
    let power = f32::from_bits(((k as i32 + 127) as u32) << 23);
    if x > -87.0 { p * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(sampling: Sampling, logits: &[f32], n: usize) -> Vec<Token> {
        let mut sampler = Sampler::new(sampling, 0, &[]);
        (0..n).map(|_| sampler.draw(logits).token).collect()
    }
    fn warm() -> Sampling {
        Sampling { temperature: 1.0, seed: 7, ..Sampling::GREEDY }
    }

    #[test]
    fn exp_is_close_to_the_real_one() {
        for i in 0..9000 {
            let x = -(i as f32) / 100.0;
            let (ours, real) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - real).abs() <= 1e-6 * real + 1e-37, "{x}: {ours} {real}");
        }
        assert_eq!((exp(0.0), exp(f32::NEG_INFINITY), exp(f32::NAN)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn frequencies_follow_the_distribution() {
        let p = [0.5f32, 0.3, 0.15, 0.05];
        let logits: Vec<f32> = p.iter().map(|p| p.ln() + 3.0).collect();
        let drawn = draw(warm(), &logits, 20_000);
        for (t, p) in p.iter().enumerate() {
            let share = drawn.iter().filter(|d| **d == t as u32).count() as f32 / 20_000.0;
            assert!((share - p).abs() < 0.015, "{t}: {share} for {p}");
        }
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32).collect();
        assert_eq!(draw(warm(), &logits, 50), draw(warm(), &logits, 50));
        assert_ne!(draw(warm(), &logits, 50), draw(Sampling { seed: 8, ..warm() }, &logits, 50));
    }

    #[test]
    fn limits_keep_only_the_likeliest() {
        let logits: Vec<f32> = [0.4f32, 0.3, 0.2, 0.1].iter().map(|p| p.ln()).collect();
        let most = |s: Sampling| draw(s, &logits, 500).into_iter().max().expect("some");
        assert_eq!(most(Sampling { top_k: 2, ..warm() }), 1);
        assert_eq!(most(Sampling { top_p: 0.35, ..warm() }), 0);
        assert_eq!(most(Sampling { top_p: 0.65, ..warm() }), 1);
        assert_eq!(most(Sampling { top_p: 0.85, ..warm() }), 2);
        assert_eq!(most(Sampling { min_p: 0.45, ..warm() }), 2);
        assert_eq!(most(Sampling { top_k: 1, top_p: 0.1, min_p: 0.9, ..warm() }), 0);
        assert_eq!(most(Sampling::GREEDY), 0);
    }

    #[test]
    fn bias_and_penalties_move_tokens() {
        let logits = [2.0, 1.9, 1.0];
        assert_eq!(draw(Sampling { bias: vec![(2, 5.0), (99, 1.0)], ..Sampling::GREEDY }, &logits, 1), [2]);
        assert_eq!(draw(Sampling { bias: vec![(0, -100.0)], ..Sampling::GREEDY }, &logits, 1), [1]);
        assert_eq!(draw(Sampling { presence: 0.5, ..Sampling::GREEDY }, &logits, 3), [0, 1, 0]);
        assert_eq!(draw(Sampling { frequency: 0.6, ..Sampling::GREEDY }, &logits, 4), [0, 1, 0, 1]);
        let mut s = Sampler::new(Sampling { repetition: 2.0, ..Sampling::GREEDY }, 0, &[0]);
        assert_eq!(s.draw(&logits).token, 1);
    }

    #[test]
    fn log_probabilities_are_of_the_raw_distribution() {
        let logits: Vec<f32> = [0.5f32, 0.25, 0.25].iter().map(|p| p.ln() + 1.0).collect();
        let sampling = Sampling { bias: vec![(2, 9.0)], logprobs: Some(2), ..Sampling::GREEDY };
        let drawn = Sampler::new(sampling, 0, &[]).draw(&logits);
        let (own, top) = drawn.logprob.expect("asked for");
        assert_eq!(drawn.token, 2);
        assert!((own - 0.25f32.ln()).abs() < 1e-5);
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [0, 1]);
        assert!((top[0].1 - 0.5f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn only_what_is_allowed_is_drawn_and_nothing_when_nothing_is() {
        let logits: Vec<f32> = (0..70).map(|i| i as f32).collect();
        let mut sampler = Sampler::new(Sampling { temperature: 5.0, top_k: 3, ..warm() }, 0, &[]);
        for _ in 0..200 {
            let drawn = sampler.draw_among(&logits, &[1 << 5, 1 << 1, 0]).expect("two are allowed");
            assert!([5, 33].contains(&drawn.token));
        }
        assert_eq!(sampler.draw_among(&logits, &[0, 0, 0]), None);
        assert_eq!(sampler.draw_among(&[f32::NAN; 70], &[2, 0, 0]), None);
    }

    #[test]
    fn broken_logits_still_give_a_token() {
        for logits in [[f32::NAN; 3], [f32::NEG_INFINITY; 3], [f32::INFINITY; 3]] {
            assert!(draw(warm(), &logits, 3).iter().all(|t| *t < 3));
        }
        assert_eq!(draw(warm(), &[f32::NAN, 1.0, f32::NEG_INFINITY], 5), [1; 5]);
    }
}
