//! What moves results behind others, and what leaves them out.

use std::collections::{BTreeMap, BTreeSet};

use super::copies::{LOOKED_AT, shared, triples};
use super::{Candidate, Demoted, Ranking, Settings, Trust, fuse};
use crate::embed::cosine;
use crate::text::{Query, words};

/// Of unknown trust, where the settings say so.
const UNKNOWN: f32 = 0.9;
/// Of unknown trust, and repeats the question. A signed FAQ may.
const ECHO: f32 = 0.6;
/// Of unknown trust, and one of several that say nearly the same.
const CLUSTER: f32 = 0.7;
/// Words of a question whose repetition is no accident.
const ECHO_WORDS: usize = 5;
/// Results that are looked at for clusters, and how many make one.
const CLUSTER_AMONG: usize = 20;
const CLUSTER_MIN: usize = 3;
/// How alike the members of a cluster are: by their vectors, or by what triples of words they share.
const CLUSTER_COSINE: f32 = 0.9;
const CLUSTER_SHARED: f32 = 0.4;
/// The share of a score that does not fade with age.
const LASTING: f32 = 0.5;

/// Lowers scores by age, trust and signs of poisoning, and orders again.
pub(super) fn demote(
    query: &Query,
    candidates: &[Candidate<'_>],
    settings: &Settings,
    ranked: &mut [Ranking],
) {
    let questions: Vec<Vec<String>> = query.phrasings().map(|phrasing| words(&phrasing.text)).collect();
    let clustered = clusters(candidates, ranked);
    for hit in ranked.iter_mut() {
        let candidate = &candidates[hit.at];
        let mut lower = |why: fn(f32) -> Demoted, factor: f32| {
            hit.score *= factor;
            hit.demoted.push(why(factor));
        };
        if let (Some(half_life), Some(age)) = (settings.half_life_us, candidate.age_us)
            && half_life > 0
            && age > 0
        {
            let halves = (age as f64 / half_life as f64).min(64.0);
            lower(Demoted::Age, LASTING + (1.0 - LASTING) * 0.5f64.powf(halves) as f32);
        }
        if candidate.trust > Trust::Unknown {
            continue;
        }
        if settings.trust_prior {
            lower(Demoted::Trust, UNKNOWN);
        }
        if questions.iter().any(|question| repeats(question, candidate.text)) {
            lower(Demoted::Echo, ECHO);
        }
        if clustered.contains(&hit.chunk) {
            lower(Demoted::Cluster, CLUSTER);
        }
    }
    fuse::sort(ranked);
}

/// Whether a text has the question in it, word for word.
fn repeats(question: &[String], text: &str) -> bool {
    question.len() >= ECHO_WORDS && words(text).windows(question.len()).any(|window| window == question)
}

/// Chunks of unknown trust among the best that are near others of unknown trust, all but
/// the best one of each group.
fn clusters(candidates: &[Candidate<'_>], ranked: &[Ranking]) -> BTreeSet<u64> {
    let best: Vec<(&Ranking, &Candidate<'_>, Vec<u64>)> = ranked
        .iter()
        .take(CLUSTER_AMONG)
        .map(|hit| (hit, &candidates[hit.at]))
        .filter(|(_, candidate)| candidate.trust == Trust::Unknown)
        .map(|(hit, candidate)| (hit, candidate, triples(candidate.text)))
        .collect();
    let mut clustered = BTreeSet::new();
    for (n, (hit, candidate, own)) in best.iter().enumerate() {
        let near: Vec<usize> = (0..best.len())
            .filter(|other| {
                let (_, with, theirs) = &best[*other];
                *other == n
                    || shared(own, theirs) >= CLUSTER_SHARED
                    || vectors(candidate, with).is_some_and(|cosine| cosine >= CLUSTER_COSINE)
            })
            .collect();
        if near.len() >= CLUSTER_MIN && near[0] < n {
            clustered.insert(hit.chunk);
        }
    }
    clustered
}

fn vectors(a: &Candidate<'_>, b: &Candidate<'_>) -> Option<f32> {
    Some(cosine(a.vector?, b.vector?))
}

/// Maximal marginal relevance over as many results as are wanted, and some more: each next
/// one is the best of what is left, less what it resembles one that was taken.
pub(super) fn diversify(candidates: &[Candidate<'_>], lambda: f32, k: usize, ranked: &mut Vec<Ranking>) {
    let rest = ranked.split_off(ranked.len().min(LOOKED_AT));
    let best = ranked.first().map_or(0.0, |hit| hit.score);
    if best <= 0.0 {
        return ranked.extend(rest);
    }
    let texts: Vec<Vec<u64>> = ranked.iter().map(|hit| triples(candidates[hit.at].text)).collect();
    let mut left: Vec<(usize, Ranking, f32)> =
        std::mem::take(ranked).into_iter().enumerate().map(|(n, hit)| (n, hit, 0.0)).collect();
    while !left.is_empty() && ranked.len() < k.saturating_mul(2) {
        let worth =
            |(_, hit, like): &(usize, Ranking, f32)| lambda * hit.score / best - (1.0 - lambda) * like;
        // The first of equals: it was ranked better.
        let mut next = 0;
        for at in 1..left.len() {
            if worth(&left[at]) > worth(&left[next]) {
                next = at;
            }
        }
        let (taken, hit, _) = left.remove(next);
        // Better ones that it passed are those that were moved.
        for (_, passed, like) in &mut left[..next] {
            if !passed.demoted.iter().any(|why| matches!(why, Demoted::Similar(_))) {
                passed.demoted.push(Demoted::Similar(*like));
            }
        }
        for (n, other, most) in &mut left {
            let alike = vectors(&candidates[hit.at], &candidates[other.at])
                .unwrap_or_else(|| shared(&texts[taken], &texts[*n]));
            *most = most.max(alike);
        }
        ranked.push(hit);
    }
    ranked.extend(left.into_iter().map(|(_, hit, _)| hit));
    ranked.extend(rest);
}

/// Keeps sources and batches within their share of the first `k`. Returns how many of
/// the results that would have been given are left out, and how many were moved behind.
pub(super) fn cap(
    candidates: &[Candidate<'_>],
    settings: &Settings,
    ranked: &mut Vec<Ranking>,
) -> (usize, usize) {
    let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
    let mut batches: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut within, mut behind, mut left_out) = (Vec::with_capacity(ranked.len()), Vec::new(), 0);
    for mut hit in std::mem::take(ranked) {
        let candidate = &candidates[hit.at];
        let unknown = candidate.trust == Trust::Unknown;
        let of_source = sources.get(candidate.source).copied().unwrap_or(0);
        let of_batch = batches.get(candidate.batch).copied().unwrap_or(0);
        let source_full = settings.per_source.is_some_and(|max| of_source >= max);
        let batch_full = unknown && settings.per_batch.is_some_and(|max| of_batch >= max);
        if !source_full && !batch_full {
            sources.insert(candidate.source, of_source + 1);
            batches.insert(candidate.batch, of_batch + 1);
            within.push(hit);
        } else if unknown {
            // Counted where it would have been a result.
            left_out += usize::from(within.len() < settings.k);
        } else {
            hit.demoted.push(Demoted::Cap);
            behind.push(hit);
        }
    }
    let moved = behind.len();
    within.extend(behind);
    *ranked = within;
    (left_out, moved)
}
