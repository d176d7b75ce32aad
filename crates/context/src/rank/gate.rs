//! How much the dense arm may say, by collection and by question.
//!
//! Plain reciprocal rank fusion was measured below the better single arm on every judged
//! set that we have, and at a third of it where the embedder did not know the language.
//! So fusion has to earn its place: a gate is fitted to judged questions of the
//! collection, per script, and takes a mixture only when that is better than both arms
//! by more than chance explains. Until then full text decides alone, unless the embedder is one that
//! understands, in a script that it has learned.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Candidate;
use super::fuse::{scaled, weighted};
use crate::embed::Embedder;
use crate::eval;
use crate::text::{Query, Script};

/// The dense share of a semantic embedder that nobody has fitted, in a script that it knows:
/// the middle, for want of a measurement (docs/benchmarks.md). On questions about passages
/// MiniLM was the better arm, in conversations BM25 by far.
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
    /// Whether the dense arm may never speak: conversations.
    lexical: bool,
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
    /// Conversations are searched by their words.
    Lexical,
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
}

impl Gate {
    /// Nothing is known of the collection.
    pub fn untrained() -> Gate {
        Gate::default()
    }

    /// For conversations: full text alone, whatever the embedder. BM25 finds a fifth more
    /// of the evidence in them than the embedder that was measured.
    pub fn conversation() -> Gate {
        Gate { lexical: true, ..Gate::default() }
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
        if self.lexical {
            return (0.0, Reason::Lexical);
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
    /// twice the standard error of the difference, else the better arm alone: so it is never
    /// below it on these questions, and rarely on others. Once was not enough: with 25 Arabic
    /// questions it took a share that cost .08 on the other 25.
    pub fn fit(dev: &[DevQuery], embedder: &Embedder) -> Fit {
        let judged: Vec<&DevQuery> = dev.iter().filter(|query| !query.grades().is_empty()).collect();
        let mut gate = Gate::default();
        let mut by_script: BTreeMap<Script, Vec<&DevQuery>> = BTreeMap::new();
        for query in &judged {
            if let Some(script) = query.script {
                by_script.entry(script).or_default().push(query);
            }
        }
        for (script, queries) in by_script {
            if queries.len() >= DEV_MIN {
                gate.weights.insert(script, best_weight(&queries));
            }
        }
        gate.calibration = Logistic::fit(&judged, |query| gate.share(query, embedder));
        let fitted: Vec<&DevQuery> =
            judged.into_iter().filter(|q| q.script.is_some_and(|s| gate.weights.contains_key(&s))).collect();
        let mean = |weight: &dyn Fn(&DevQuery) -> f32| {
            let sum: f64 = fitted.iter().map(|query| query.ndcg(weight(query))).sum();
            sum / fitted.len().max(1) as f64
        };
        let (lexical, dense) = (mean(&|_| 0.0), mean(&|_| 1.0));
        let fused = mean(&|query| gate.share(query, embedder));
        Fit { queries: fitted.len(), lexical, dense, fused, gate }
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
        if self.lexical {
            text.push_str(" lexical");
        }
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
                None if part == "lexical" => gate.lexical = true,
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
    fn grades(&self) -> Vec<u32> {
        let all = self.candidates.iter().map(|c| c.grade).chain(self.missed.iter().copied());
        all.filter(|grade| *grade > 0).collect()
    }

    /// nDCG@10 with this share of the dense arm.
    fn ndcg(&self, dense_weight: f32) -> f64 {
        let finite = |score: Option<f32>| score.filter(|s| s.is_finite());
        let lexical = scaled(&self.candidates.iter().map(|c| finite(c.lexical)).collect::<Vec<_>>());
        let dense = scaled(&self.candidates.iter().map(|c| finite(c.dense)).collect::<Vec<_>>());
        let mut order: Vec<(f32, Option<f32>, u32)> = (0..self.candidates.len())
            .map(|at| {
                (weighted(lexical[at], dense[at], dense_weight), lexical[at], self.candidates[at].grade)
            })
            .collect();
        order.sort_by(|a, b| {
            let lexical = b.1.unwrap_or(-1.0).total_cmp(&a.1.unwrap_or(-1.0));
            b.0.total_cmp(&a.0).then(lexical)
        });
        let grades: Vec<u32> = order.into_iter().map(|(_, _, grade)| grade).collect();
        eval::ndcg(&grades, &self.grades(), DEPTH)
    }
}

fn best_weight(queries: &[&DevQuery]) -> f32 {
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
    at(if mean > ERRORS * error { mixed } else { arm })
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
