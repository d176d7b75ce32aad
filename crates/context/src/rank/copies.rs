//! How alike texts are, by their words: near copies are one result.

use std::collections::BTreeMap;

use super::{Candidate, Ranking};

/// Words of a text that are compared.
const WORDS_MAX: usize = 2_000;
/// Results that are compared with each other: more are behind what anybody is given.
pub(super) const LOOKED_AT: usize = 200;

/// The triples of words of a text, hashed and in order; shorter texts are one.
pub(super) fn triples(text: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    crate::text::for_each_word(text, WORDS_MAX, |word| {
        let hash = word.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        hashes.push(hash);
    });
    let mix = |words: &[u64]| {
        words.iter().fold(0u64, |all, word| (all.rotate_left(21) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    };
    let mut triples: Vec<u64> = match hashes.len() {
        0 => Vec::new(),
        1 | 2 => vec![mix(&hashes)],
        _ => hashes.windows(3).map(mix).collect(),
    };
    triples.sort_unstable();
    triples.dedup();
    triples
}

/// What two sets share of all that is in either (Jaccard); of nothing: 0.
pub(super) fn shared(a: &[u64], b: &[u64]) -> f32 {
    let (mut left, mut right, mut both) = (0, 0, 0usize);
    while left < a.len() && right < b.len() {
        match a[left].cmp(&b[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => (left, right, both) = (left + 1, right + 1, both + 1),
        }
    }
    let either = a.len() + b.len() - both;
    if either == 0 { 0.0 } else { both as f32 / either as f32 }
}

/// Puts near copies under one of them: at the best one's place stands the one that is
/// trusted most, so that a copy cannot push the original aside. Returns how many went.
pub(super) fn collapse(candidates: &[Candidate<'_>], threshold: f32, ranked: &mut Vec<Ranking>) -> usize {
    let mut kept: Vec<(Vec<u64>, Ranking)> = Vec::with_capacity(ranked.len());
    let mut gone = 0;
    // Texts that are equal to the byte need no comparison.
    let mut exact: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, mut hit) in std::mem::take(ranked).into_iter().enumerate() {
        let text = candidates[hit.at].text.trim();
        let own = if n < LOOKED_AT && threshold <= 1.0 { triples(text) } else { Vec::new() };
        let alike = |(other, _): &(Vec<u64>, Ranking)| !own.is_empty() && shared(&own, other) >= threshold;
        let found = match exact.get(text) {
            Some(at) if threshold <= 1.0 && !text.is_empty() => Some(*at),
            _ => kept.iter().position(alike),
        };
        match found {
            Some(at) => {
                gone += 1;
                let first = &mut kept[at].1;
                if candidates[hit.at].trust > candidates[first.at].trust {
                    hit.score = first.score;
                    std::mem::swap(first, &mut hit);
                    first.copies = std::mem::take(&mut hit.copies);
                }
                first.copies.push(hit.chunk);
            }
            None => {
                exact.insert(text, kept.len());
                kept.push((own, hit));
            }
        }
    }
    *ranked = kept.into_iter().map(|(_, hit)| hit).collect();
    gone
}
