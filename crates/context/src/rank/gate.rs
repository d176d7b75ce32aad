//! How much the dense arm may say, by collection and by question.
//!
//! Plain reciprocal rank fusion was measured below the better single arm on every judged
//! set that we have, and at a third of it where the embedder did not know the language.
//! So fusion has to earn its place: a gate is fitted to judged questions of the
//! collection, per script, and takes a mixture only when that is better than both arms
//! by more than chance explains. Until then full text decides alone, unless the embedder is one that
//! understands, in a script that it has learned.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Candidate;
use super::fuse::{scaled, weighted};
use crate::embed::Embedder;
use crate::eval;
use crate::text::{Query, Script};

/// The dense share of a semantic embedder that nobody has fitted, in a script that it knows:
/// the middle. On questions about passages MiniLM is the better arm and this is between both; in
/// conversations BM25 is, and this is above both at every depth (docs/benchmarks.md).
const UNTRAINED: f32 = 0.5;
/// Questions of a script that a weight is fitted to at least.
pub const DEV_MIN: usize = 20;
/// Weights that are tried: steps of one twentieth.
const STEPS: usize = 20;
/// Standard errors by which a mixture must be better than the better arm. The best of 21
/// shares is better than an arm by one of them often enough without being better at all.
const ERRORS: f64 = 2.0;
/// The depth at which orders are compared.
const DEPTH: usize = 10;

/// What was learned of a collection, as small as a line of text.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Gate {
    /// The dense arm's share by the question's script.
    weights: BTreeMap<Script, f32>,
    /// Relevance as a probability: a logistic function of what a text covers.
    calibration: Option<Logistic>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Logistic {
    slope: f64,
    offset: f64,
}

/// Why the dense arm has the share that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Fitted to judged questions in this script.
    Fitted,
    /// Not fitted; the embedder understands, and knows the script.
    Untrained,
    /// Not fitted, and the embedder finds only what full text finds better.
    NotSemantic,
    /// The embedder has not learned the question's script, or there is none.
    UnknownScript,
    /// Full text was asked nothing, or found nothing: the dense arm alone.
    NoTerms,
    /// The dense arm has found nothing.
    NoDense,
}

/// A judged question with what both arms found for it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DevQuery {
    pub script: Option<Script>,
    pub candidates: Vec<DevCandidate>,
    /// Grades of relevant chunks that neither arm has found.
    pub missed: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct DevCandidate {
    /// Documents are judged: of several parts of one the best-placed stands for it.
    pub document: u32,
    pub lexical: Option<f32>,
    pub dense: Option<f32>,
    /// Of [`super::coverage`].
    pub coverage: f32,
    /// 0: not relevant.
    pub grade: u32,
}

/// A gate, and what it does for the questions that it was fitted to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    pub gate: Gate,
    /// Questions with something relevant, in scripts with enough of them.
    pub queries: usize,
    /// Of these the mean nDCG@10 of full text alone, of the dense arm alone, and as the gate
    /// fuses them: never less than the larger of the two.
    pub lexical: f64,
    pub dense: f64,
    pub fused: f64,
    /// The same of a gate that was fitted to every second question and judged by those between,
    /// both ways round: what it may be expected to do for questions that it has not seen.
    pub held_out: f64,
}

impl Gate {
    /// Nothing is known of the collection.
    pub fn untrained() -> Gate {
        Gate::default()
    }

    /// The dense arm's share for a question, 0 to 1, and why.
    pub fn dense_weight(
        &self,
        query: &Query,
        candidates: &[Candidate<'_>],
        embedder: &Embedder,
    ) -> (f32, Reason) {
        if !candidates.iter().any(|c| c.dense.is_some()) {
            return (0.0, Reason::NoDense);
        }
        if !candidates.iter().any(|c| c.lexical.is_some()) {
            return (1.0, Reason::NoTerms);
        }
        if let Some(weight) = query.script.and_then(|script| self.weights.get(&script)) {
            return (*weight, Reason::Fitted);
        }
        match (embedder.semantic, embedder.knows(query.script)) {
            (false, _) => (0.0, Reason::NotSemantic),
            (true, false) => (0.0, Reason::UnknownScript),
            (true, true) => (UNTRAINED, Reason::Untrained),
        }
    }

    pub fn is_calibrated(&self) -> bool {
        self.calibration.is_some()
    }

    /// How relevant a text is by itself: what it covers of the question's words and, by
    /// the dense arm's share, how near its vector is.
    pub(super) fn relevance(&self, dense_weight: f32, coverage: f32, cosine: f32) -> f32 {
        let raw = weighted(Some(coverage), Some(cosine), dense_weight);
        match self.calibration {
            Some(logistic) => logistic.at(f64::from(raw)) as f32,
            None => raw,
        }
    }

    /// Fits a gate to judged questions. For each script with at least [`DEV_MIN`] of them
    /// the share with the best mean nDCG@10 is taken if it beats the better arm by more than
    /// twice the standard error of the difference; else the share that nobody fitted, unless
    /// it is below the better arm; else that arm alone. So it is never below the better arm on
    /// these questions, and rarely on others. Once the error was not enough: with 25 Arabic
    /// questions it took a share that cost .08 on the other 25.
    pub fn fit(dev: &[DevQuery], embedder: &Embedder) -> Fit {
        let judged: Vec<&DevQuery> = dev.iter().filter(|query| !query.grades().is_empty()).collect();
        let gate = Gate::fitted_to(&judged, embedder);
        let knows = |query: &&&DevQuery| query.script.is_some_and(|s| gate.weights.contains_key(&s));
        let fitted: Vec<&DevQuery> = judged.iter().filter(knows).copied().collect();
        let halves = [1, 0].map(|from| {
            let half: Vec<&DevQuery> = fitted.iter().skip(from).step_by(2).copied().collect();
            Gate::fitted_to(&half, embedder)
        });
        let mean = |share: &dyn Fn(usize, &DevQuery) -> f32| {
            let scores = fitted.iter().enumerate().map(|(n, query)| query.ndcg(share(n, query)));
            scores.sum::<f64>() / fitted.len().max(1) as f64
        };
        Fit {
            queries: fitted.len(),
            lexical: mean(&|_, _| 0.0),
            dense: mean(&|_, _| 1.0),
            fused: mean(&|_, query| gate.share(query, embedder)),
            held_out: mean(&|n, query| halves[n % 2].share(query, embedder)),
            gate,
        }
    }

    fn fitted_to(judged: &[&DevQuery], embedder: &Embedder) -> Gate {
        let mut gate = Gate::default();
        let mut by_script: BTreeMap<Script, Vec<&DevQuery>> = BTreeMap::new();
        for query in judged {
            if let Some(script) = query.script {
                by_script.entry(script).or_default().push(query);
            }
        }
        for (script, queries) in by_script {
            if queries.len() >= DEV_MIN {
                let unfitted = Gate::default().share(queries[0], embedder);
                gate.weights.insert(script, best_weight(&queries, unfitted));
            }
        }
        gate.calibration = Logistic::fit(judged, |query| gate.share(query, embedder));
        gate
    }

    /// The dense arm's share by script, of those that it was fitted in.
    pub fn shares(&self) -> impl Iterator<Item = (Script, f32)> + '_ {
        self.weights.iter().map(|(script, share)| (*script, *share))
    }

    /// As [`Gate::dense_weight`] would say of a judged question.
    fn share(&self, query: &DevQuery, embedder: &Embedder) -> f32 {
        let fitted = query.script.and_then(|script| self.weights.get(&script)).copied();
        let untrained = if embedder.semantic && embedder.knows(query.script) { UNTRAINED } else { 0.0 };
        fitted.unwrap_or(untrained)
    }

    /// One line, for a collection's settings.
    pub fn to_text(&self) -> String {
        let mut text = String::from("gate-1");
        for (script, weight) in &self.weights {
            let _ = write!(text, " {}={weight}", script.name());
        }
        if let Some(Logistic { slope, offset }) = self.calibration {
            let _ = write!(text, " slope={slope} offset={offset}");
        }
        text
    }

    /// Reads what [`Gate::to_text`] wrote. `None` for anything else: a gate that cannot be
    /// read is no gate, and the untrained rule holds.
    pub fn from_text(text: &str) -> Option<Gate> {
        let mut gate = Gate::default();
        let (mut slope, mut offset) = (None, None);
        let mut parts = text.split(' ');
        if parts.next() != Some("gate-1") {
            return None;
        }
        for part in parts {
            match part.split_once('=') {
                Some(("slope", value)) => slope = Some(value.parse().ok().filter(|v: &f64| v.is_finite())?),
                Some(("offset", value)) => offset = Some(value.parse().ok().filter(|v: &f64| v.is_finite())?),
                Some((script, weight)) => {
                    let weight = weight.parse::<f32>().ok().filter(|w| (0.0..=1.0).contains(w))?;
                    gate.weights.insert(Script::from_name(script)?, weight);
                }
                None => return None,
            }
        }
        gate.calibration = slope.zip(offset).map(|(slope, offset)| Logistic { slope, offset });
        Some(gate)
    }
}

impl DevQuery {
    /// Of each relevant document, once.
    fn grades(&self) -> Vec<u32> {
        let mut seen = BTreeSet::new();
        let found = self.candidates.iter().filter(|c| seen.insert(c.document)).map(|c| c.grade);
        let all: Vec<u32> = found.chain(self.missed.iter().copied()).collect();
        all.into_iter().filter(|grade| *grade > 0).collect()
    }

    /// nDCG@10 with this share of the dense arm.
    fn ndcg(&self, dense_weight: f32) -> f64 {
        let finite = |score: Option<f32>| score.filter(|s| s.is_finite());
        let lexical = scaled(&self.candidates.iter().map(|c| finite(c.lexical)).collect::<Vec<_>>());
        let dense = scaled(&self.candidates.iter().map(|c| finite(c.dense)).collect::<Vec<_>>());
        let mut order: Vec<(f32, Option<f32>, &DevCandidate)> = (0..self.candidates.len())
            .map(|at| (weighted(lexical[at], dense[at], dense_weight), lexical[at], &self.candidates[at]))
            .collect();
        order.sort_by(|a, b| {
            let lexical = b.1.unwrap_or(-1.0).total_cmp(&a.1.unwrap_or(-1.0));
            b.0.total_cmp(&a.0).then(lexical)
        });
        let mut seen = BTreeSet::new();
        let first = order.into_iter().filter(|(_, _, candidate)| seen.insert(candidate.document));
        let grades: Vec<u32> = first.map(|(_, _, candidate)| candidate.grade).collect();
        eval::ndcg(&grades, &self.grades(), DEPTH)
    }
}

/// `unfitted`: the share that holds without any fitting.
fn best_weight(queries: &[&DevQuery], unfitted: f32) -> f32 {
    let at = |step: usize| step as f32 / STEPS as f32;
    let scores: Vec<Vec<f64>> =
        (0..=STEPS).map(|step| queries.iter().map(|query| query.ndcg(at(step))).collect()).collect();
    let sum = |step: usize| scores[step].iter().sum::<f64>();
    // The lexical arm where both are alike: it explains itself.
    let arm = if sum(STEPS) > sum(0) { STEPS } else { 0 };
    // The middle of the best ones: one that is best by a hair at the edge generalises worst.
    let most = (0..=STEPS).map(sum).fold(0.0, f64::max);
    let best: Vec<usize> = (0..=STEPS).filter(|step| sum(*step) >= most - 1e-9).collect();
    let mixed = best[best.len() / 2];
    let n = queries.len() as f64;
    let gains: Vec<f64> = scores[mixed].iter().zip(&scores[arm]).map(|(m, a)| m - a).collect();
    let mean = gains.iter().sum::<f64>() / n;
    let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let error = (variance / n).sqrt();
    if mean > ERRORS * error {
        return at(mixed);
    }
    let of_unfitted: f64 = queries.iter().map(|query| query.ndcg(unfitted)).sum();
    if of_unfitted >= sum(arm) { unfitted } else { at(arm) }
}

impl Logistic {
    fn at(self, x: f64) -> f64 {
        1.0 / (1.0 + (-(self.slope * x + self.offset)).exp())
    }

    /// Platt's method: maximum likelihood by Newton's steps, with targets drawn in by the
    /// number of examples so that separable ones give no infinite slope. `None` without
    /// examples of both kinds, or if more coverage would mean less relevance.
    fn fit(queries: &[&DevQuery], share: impl Fn(&DevQuery) -> f32) -> Option<Logistic> {
        let mut examples = Vec::new();
        for query in queries {
            let weight = share(query);
            for candidate in &query.candidates {
                let cosine = candidate.dense.filter(|s| s.is_finite()).map_or(0.0, |s| s.clamp(0.0, 1.0));
                let raw = weighted(Some(candidate.coverage), Some(cosine), weight);
                examples.push((f64::from(raw), candidate.grade > 0));
            }
        }
        let good = examples.iter().filter(|(_, relevant)| *relevant).count() as f64;
        let bad = examples.len() as f64 - good;
        if good < DEV_MIN as f64 || bad < DEV_MIN as f64 {
            return None;
        }
        let (high, low) = ((good + 1.0) / (good + 2.0), 1.0 / (bad + 2.0));
        let mut fit = Logistic { slope: 0.0, offset: ((good + 1.0) / (bad + 1.0)).ln() };
        for _ in 0..50 {
            let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
            for (x, relevant) in &examples {
                let p = fit.at(*x);
                let error = p - if *relevant { high } else { low };
                let w = p * (1.0 - p);
                (g0, g1) = (g0 + error, g1 + error * x);
                (h00, h01, h11) = (h00 + w, h01 + w * x, h11 + w * x * x);
            }
            let det = h00 * h11 - h01 * h01;
            if det.abs() < 1e-12 {
                return None;
            }
            let (offset, slope) = ((h11 * g0 - h01 * g1) / det, (h00 * g1 - h01 * g0) / det);
            fit = Logistic { slope: fit.slope - slope, offset: fit.offset - offset };
            if offset.abs() + slope.abs() < 1e-9 {
                break;
            }
        }
        (fit.slope.is_finite() && fit.offset.is_finite() && fit.slope > 0.0).then_some(fit)
    }
}
