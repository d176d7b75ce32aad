//! How alike texts are, by their words: near copies are one result.

use std::collections::{BTreeMap, BTreeSet};

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

/// Which texts may be alike. Two that share `threshold` of their triples share one of the first
/// few of each, in whatever order both have them: as many as may be missing, and one more (the
/// prefix filter of Chaudhuri, Ganti and Kaushik 2006). Comparing each of 200 with each of the
/// others took most of a search.
struct Seen {
    threshold: f32,
    by_triple: BTreeMap<u64, Vec<usize>>,
}

impl Seen {
    fn first<'a>(&self, triples: &'a [u64]) -> &'a [u64] {
        // A little less, for what the division was rounded to.
        let both = f64::from(self.threshold) * triples.len() as f64 * (1.0 - 1e-6);
        let both = (both.ceil().max(1.0) as usize).min(triples.len());
        &triples[..triples.len().min(triples.len() - both + 1)]
    }
    fn add(&mut self, triples: &[u64], at: usize) {
        for triple in self.first(triples) {
            self.by_triple.entry(*triple).or_default().push(at);
        }
    }
    /// In the order in which they were added.
    fn near(&self, triples: &[u64]) -> BTreeSet<usize> {
        self.first(triples)
            .iter()
            .filter_map(|triple| self.by_triple.get(triple))
            .flatten()
            .copied()
            .collect()
    }
}

/// Puts near copies under one of them: at the best one's place stands the one that is
/// trusted most, so that a copy cannot push the original aside. Returns how many went.
pub(super) fn collapse(candidates: &[Candidate<'_>], threshold: f32, ranked: &mut Vec<Ranking>) -> usize {
    let mut kept: Vec<(Vec<u64>, Ranking)> = Vec::with_capacity(ranked.len());
    let mut seen = Seen { threshold, by_triple: BTreeMap::new() };
    let mut gone = 0;
    // Texts that are equal to the byte need no comparison.
    let mut exact: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, mut hit) in std::mem::take(ranked).into_iter().enumerate() {
        let text = candidates[hit.at].text.trim();
        let own = if n < LOOKED_AT && threshold <= 1.0 { triples(text) } else { Vec::new() };
        let found = match exact.get(text) {
            Some(at) if threshold <= 1.0 && !text.is_empty() => Some(*at),
            _ => seen.near(&own).into_iter().find(|at| shared(&own, &kept[*at].0) >= threshold),
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
                seen.add(&own, kept.len());
                kept.push((own, hit));
            }
        }
    }
    *ranked = kept.into_iter().map(|(_, hit)| hit).collect();
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is looked at has every pair that is alike enough.
        #[test]
        fn no_near_copy_is_passed_over(
            sets in proptest::collection::vec(proptest::collection::btree_set(0u64..25, 0..25), 2..12),
            threshold in 0.05f32..=1.0,
        ) {
            let sets: Vec<Vec<u64>> = sets.into_iter().map(|set| set.into_iter().collect()).collect();
            let mut seen = Seen { threshold, by_triple: BTreeMap::new() };
            for (at, own) in sets.iter().enumerate() {
                let near = seen.near(own);
                for (other, theirs) in sets[..at].iter().enumerate() {
                    prop_assert!(shared(own, theirs) < threshold || near.contains(&other), "{:?} {:?}", own, theirs);
                }
                seen.add(own, at);
            }
        }
    }
}
