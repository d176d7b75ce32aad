//! One score of two arms.

use std::collections::BTreeSet;

use super::{Candidate, Gate, Place, Ranking};
use crate::text::{Query, Script, script_of, words};

/// The share of a walk over the graph, where one was asked for. Between .35 and .65 it finds the
/// same of what takes several documents (`retrieval`'s `tests::hops`): the middle. Its scores are
/// taken by their roots: each step of a walk costs about an order of magnitude.
const GRAPH: f32 = 0.5;

/// Fuses the arms and orders by what comes out; equals by the arms' own ranks.
pub(super) fn fuse(
    query: &Query,
    candidates: &[Candidate<'_>],
    dense_weight: f32,
    gate: &Gate,
) -> Vec<Ranking> {
    let lexical = places(candidates.iter().map(|c| c.lexical));
    let dense = places(candidates.iter().map(|c| c.dense));
    let graph = places(candidates.iter().map(|c| c.graph));
    // Where nothing was walked, nothing changes.
    let graph_weight = if graph.iter().any(Option::is_some) { GRAPH } else { 0.0 };
    let mut seen = BTreeSet::new();
    let mut ranked: Vec<Ranking> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| seen.insert(candidate.chunk))
        .map(|(at, candidate)| {
            let (lexical, dense, graph) = (lexical[at], dense[at], graph[at]);
            let covers = query.phrasings().map(|phrasing| coverage(&phrasing.terms, candidate.text));
            let covered = covers.fold(0.0, f32::max);
            let cosine = dense.map_or(0.0, |place| place.score.clamp(0.0, 1.0));
            let said = weighted(lexical.map(|p| p.scaled), dense.map(|p| p.scaled), dense_weight);
            Ranking {
                at,
                chunk: candidate.chunk,
                score: weighted(Some(said), graph.map(|p| p.scaled.sqrt()), graph_weight),
                relevance: gate.relevance(dense_weight, covered, cosine),
                lexical,
                dense,
                graph,
                demoted: Vec::new(),
                copies: Vec::new(),
            }
        })
        .collect();
    rerank(candidates, &mut ranked);
    sort(&mut ranked);
    ranked
}

/// A convex combination of scaled scores, which Bruch et al. (2023) found better than
/// reciprocal ranks wherever there is anything to fit it to. What an arm has not found
/// counts zero there.
pub(super) fn weighted(lexical: Option<f32>, dense: Option<f32>, dense_weight: f32) -> f32 {
    (1.0 - dense_weight) * lexical.unwrap_or(0.0) + dense_weight * dense.unwrap_or(0.0)
}

/// Scores by the arm's best: zero is what a text without anything in common has in both
/// arms, so that it stays zero.
pub(super) fn scaled(scores: &[Option<f32>]) -> Vec<Option<f32>> {
    let best = scores.iter().flatten().copied().fold(0.0f32, f32::max);
    scores
        .iter()
        .map(|score| score.map(|score| if best > 0.0 { (score / best).clamp(0.0, 1.0) } else { 0.0 }))
        .collect()
}

fn places(scores: impl Iterator<Item = Option<f32>>) -> Vec<Option<Place>> {
    let scores: Vec<Option<f32>> = scores.map(|score| score.filter(|s| s.is_finite())).collect();
    let scaled = scaled(&scores);
    let mut order: Vec<usize> = (0..scores.len()).filter(|at| scores[*at].is_some()).collect();
    order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap_or(std::cmp::Ordering::Equal));
    let mut places = vec![None; scores.len()];
    for (rank, at) in order.into_iter().enumerate() {
        if let (Some(score), Some(scaled)) = (scores[at], scaled[at]) {
            places[at] = Some(Place { rank: rank + 1, score, scaled });
        }
    }
    places
}

/// A cross-encoder has read both texts: where it was asked, its opinion is the score.
/// The others stay in their order, behind the least of those.
fn rerank(candidates: &[Candidate<'_>], ranked: &mut [Ranking]) {
    let opinion = |at: usize| candidates[at].rerank.filter(|s| s.is_finite()).map(|s| s.clamp(0.0, 1.0));
    let Some(least) = ranked.iter().filter_map(|hit| opinion(hit.at)).min_by(f32::total_cmp) else { return };
    for hit in ranked {
        match opinion(hit.at) {
            Some(score) => (hit.score, hit.relevance) = (score, score),
            None => hit.score *= least,
        }
    }
}

/// Best first; equals by full text's rank, then by the dense one, then by the chunk.
pub(super) fn sort(ranked: &mut [Ranking]) {
    let rank = |place: Option<Place>| place.map_or(usize::MAX, |place| place.rank);
    ranked.sort_by(|a, b| {
        let scores = b.score.total_cmp(&a.score);
        let arms = rank(a.lexical).cmp(&rank(b.lexical)).then(rank(a.dense).cmp(&rank(b.dense)));
        scores.then(arms).then(a.chunk.cmp(&b.chunk))
    });
}

/// The share of a question's terms that a text has, 0 to 1: whole words, or words of the
/// same stem as far as endings of up to three letters go. Unlike BM25 it means the same in
/// every collection.
pub fn coverage(terms: &[String], text: &str) -> f32 {
    if terms.is_empty() {
        return 0.0;
    }
    let all = words(text);
    let there: BTreeSet<&str> = all.iter().map(String::as_str).collect();
    let found = terms.iter().filter(|term| {
        let unspaced = |c: char| matches!(script_of(c), Some(Script::Cjk | Script::Thai));
        if term.contains(' ') {
            let phrase: Vec<&str> = term.split(' ').collect();
            return all.windows(phrase.len()).any(|window| window.iter().zip(&phrase).all(|(a, b)| a == b))
                || there.contains(term.replace(' ', "").as_str());
        }
        if term.chars().any(unspaced) {
            return all.iter().any(|word| word.contains(term.as_str()));
        }
        there.contains(term.as_str()) || has_stem(&there, term)
    });
    found.count() as f32 / terms.len() as f32
}

/// Whether a word begins like this one: four letters at least, and endings of at most three.
fn has_stem(there: &BTreeSet<&str>, term: &str) -> bool {
    const LETTERS: usize = 4;
    const ENDING: usize = 3;
    let Some((start, _)) = term.char_indices().nth(LETTERS) else { return false };
    let start = &term[..start];
    there.range(start..).take_while(|word| word.starts_with(start)).any(|word| {
        let shared = term.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
        term.chars().count() - shared <= ENDING && word.chars().count() - shared <= ENDING
    })
}
