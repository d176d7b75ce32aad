//! From two arms' candidates to one order, and why it is that order.
//!
//! 1. **Fuse**: each arm's scores are scaled by its best, and added in the proportion
//!    that the [`Gate`] allows: never worse than the better arm on the questions that it
//!    was fitted to, full text alone where the embedder is no judge.
//! 2. **Demote** by age, by trust, and what poisoned texts look like (echoes of the
//!    question, clusters of near copies). What texts look like never removes one:
//!    such signs are wrong for a quarter of honest results.
//! 3. **Collapse** near copies under the one that is trusted most.
//! 4. **Cap**: of one source, and of one batch of unknown trust, only so many. That is
//!    what bounds an attacker, whatever the texts look like.

mod copies;
mod fuse;
mod gate;
mod order;

use crate::embed::Embedder;
use crate::text::Query;

pub use fuse::coverage;
pub use gate::{DEV_MIN, DevCandidate, DevQuery, Fit, Gate, Reason};

#[cfg(test)]
mod tests;

/// A chunk that an arm has found, with what deciding about it takes.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub chunk: u64,
    /// BM25, more is better; `None` when full text has not found it.
    pub lexical: Option<f32>,
    /// The cosine of its original vector and the question's.
    pub dense: Option<f32>,
    /// Its weight in a walk over the collection's graph ([`crate::graph`]), if there was one
    /// and it came by.
    pub graph: Option<f32>,
    /// A cross-encoder's opinion, 0 to 1, if it was asked about this one.
    pub rerank: Option<f32>,
    pub text: &'a str,
    /// For the likeness of two candidates; without vectors it is that of their words.
    pub vector: Option<&'a [f32]>,
    /// The document's source, and what brought it in.
    pub source: &'a str,
    pub batch: &'a str,
    pub trust: Trust,
    /// Since its content was last changed. Less than nothing counts as nothing.
    pub age_us: Option<i64>,
}

/// How far its source is trusted. What is in quarantine is not found at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    Unknown,
    Known,
    Signed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Results wanted.
    pub k: usize,
    /// Of one source among the results. Beyond it, what is of unknown trust is left out;
    /// what is trusted comes behind everything else, so that a single manual can still
    /// fill the results.
    pub per_source: Option<usize>,
    /// Of one batch, if its trust is unknown: beyond it left out.
    pub per_batch: Option<usize>,
    /// Texts that share so much of their word triples (Jaccard) are one result; above 1: never.
    pub near_copy: f32,
    /// From 0, all difference, to 1, all relevance (Carbonell and Goldstein 1998); `None`: off.
    pub mmr_lambda: Option<f32>,
    /// After how long the half of a score that can fade has halved.
    pub half_life_us: Option<i64>,
    /// Whether what is of unknown trust counts a little less.
    pub trust_prior: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            k: 10,
            per_source: Some(2),
            per_batch: Some(2),
            near_copy: 0.9,
            mmr_lambda: None,
            half_life_us: None,
            trust_prior: true,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Best first, at most `k`.
    pub hits: Vec<Ranking>,
    pub explain: Explain,
}

/// A result, and how it came to its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Its place among the candidates that were given.
    pub at: usize,
    pub chunk: u64,
    /// What it is ordered by; can be compared within this answer only.
    pub score: f32,
    /// How relevant it is by itself, 0 to 1: can be compared between questions, and with a
    /// threshold. A probability if [`Explain::calibrated`], else the share of the question
    /// that it covers.
    pub relevance: f32,
    pub lexical: Option<Place>,
    pub dense: Option<Place>,
    pub graph: Option<Place>,
    pub demoted: Vec<Demoted>,
    /// Near copies of it that were found, too.
    pub copies: Vec<u64>,
}

/// A place in one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// From 1.
    pub rank: usize,
    /// As the arm gave it.
    pub score: f32,
    /// By the arm's best, 0 to 1.
    pub scaled: f32,
}

/// Why a result stands lower than its fused score; with the factor, where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demoted {
    Age(f32),
    Trust(f32),
    /// It repeats the question word for word.
    Echo(f32),
    /// One of several that say nearly the same.
    Cluster(f32),
    /// Its source has its share already.
    Cap,
    /// It resembles a better one so much (MMR).
    Similar(f32),
}

/// What was decided for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Explain {
    /// The dense arm's share, 0 to 1.
    pub dense_weight: f32,
    pub reason: Reason,
    /// Whether relevance is a probability, fitted to judged questions.
    pub calibrated: bool,
    pub candidates: usize,
    /// Collapsed under another.
    pub copies: usize,
    /// Left out by a cap: results that were found and are not given.
    pub capped: usize,
    /// Moved behind by a cap, and among the results or behind them.
    pub moved: usize,
}

/// Ranks candidates. A candidate that is listed twice is one; scores that are no
/// numbers count as not found.
pub fn rank(
    query: &Query,
    candidates: &[Candidate<'_>],
    gate: &Gate,
    embedder: &Embedder,
    settings: &Settings,
) -> Ranked {
    let (dense_weight, reason) = gate.dense_weight(query, candidates, embedder);
    let mut ranked = fuse::fuse(query, candidates, dense_weight, gate);
    order::demote(query, candidates, settings, &mut ranked);
    let copies = copies::collapse(candidates, settings.near_copy, &mut ranked);
    if let Some(lambda) = settings.mmr_lambda {
        order::diversify(candidates, lambda.clamp(0.0, 1.0), settings.k, &mut ranked);
    }
    let (capped, moved) = order::cap(candidates, settings, &mut ranked);
    ranked.truncate(settings.k);
    let explain = Explain {
        dense_weight,
        reason,
        calibrated: gate.is_calibrated(),
        candidates: candidates.len(),
        copies,
        capped,
        moved,
    };
    Ranked { hits: ranked, explain }
}
