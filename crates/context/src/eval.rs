//! How good an order is, by judgements: nDCG, recall, reciprocal rank, poison.

use std::collections::{BTreeMap, BTreeSet};

/// A ranked list and what is known of the documents for its query.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Best first.
    pub ranked: &'a [&'a str],
    /// Grades of judged documents; 0, and whatever is not there, is not relevant.
    pub grades: &'a BTreeMap<&'a str, u32>,
    /// Documents that an attacker planted.
    pub poison: &'a BTreeSet<&'a str>,
}

/// What one query's list is worth, or many on average; each from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Scores {
    /// Normalised discounted cumulative gain of the first `k`.
    pub ndcg: f64,
    /// Share of all relevant documents among the first `k`.
    pub recall: f64,
    /// One over the rank of the first relevant document, if it is among the first `k`.
    pub mrr: f64,
    /// Whether any of the first `k` is poison; on average, the poison rate.
    pub poisoned: f64,
}

/// Averages over queries.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Summary {
    pub queries: usize,
    pub mean: Scores,
    /// The standard error of the mean nDCG; 0 for fewer than two queries.
    pub ndcg_error: f64,
}

/// Scores one query; `None` when nothing is relevant, which no order can be judged by
/// (`trec_eval` leaves such queries out, too).
pub fn score(judged: &Judged<'_>, k: usize) -> Option<Scores> {
    let all: Vec<u32> = judged.grades.values().copied().filter(|grade| *grade > 0).collect();
    if all.is_empty() {
        return None;
    }
    // A document that is listed twice counts where it stands first.
    let mut seen = BTreeSet::new();
    let first: Vec<&str> = judged.ranked.iter().copied().filter(|id| seen.insert(*id)).take(k).collect();
    let grades: Vec<u32> = first.iter().map(|id| judged.grades.get(id).copied().unwrap_or(0)).collect();
    let relevant = grades.iter().filter(|grade| **grade > 0).count();
    Some(Scores {
        ndcg: ndcg(&grades, &all, k),
        recall: relevant as f64 / all.len() as f64,
        mrr: grades.iter().position(|grade| *grade > 0).map_or(0.0, |at| 1.0 / (at + 1) as f64),
        poisoned: f64::from(u8::from(first.iter().any(|id| judged.poison.contains(id)))),
    })
}

/// nDCG at `k` with linear gain and a discount of `1/log2(rank + 1)`, as `trec_eval`
/// computes it: `grades` in the order of the list, `all` that there are. 0 when nothing
/// is relevant.
pub fn ndcg(grades: &[u32], all: &[u32], k: usize) -> f64 {
    let gain = |grades: &[u32]| -> f64 {
        let discounted = |(at, grade): (usize, &u32)| f64::from(*grade) / ((at + 2) as f64).log2();
        grades.iter().take(k).enumerate().map(discounted).sum()
    };
    let mut ideal = all.to_vec();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best = gain(&ideal);
    if best > 0.0 { gain(grades) / best } else { 0.0 }
}

/// The averages of queries' scores.
pub fn mean(scores: &[Scores]) -> Summary {
    let n = scores.len() as f64;
    if scores.is_empty() {
        return Summary::default();
    }
    let of = |part: fn(&Scores) -> f64| scores.iter().map(part).sum::<f64>() / n;
    let ndcg = of(|s| s.ndcg);
    let variance = scores.iter().map(|s| (s.ndcg - ndcg).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Summary {
        queries: scores.len(),
        mean: Scores { ndcg, recall: of(|s| s.recall), mrr: of(|s| s.mrr), poisoned: of(|s| s.poisoned) },
        ndcg_error: (variance / n).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by hand: gains 3, 2, 3, 0, 1, 2 of an ideal 3, 3, 2, 2, 1, 0.
    #[test]
    fn ndcg_is_that_of_the_textbook() {
        let grades = [3, 2, 3, 0, 1, 2];
        assert!((ndcg(&grades, &grades, 6) - 0.961).abs() < 5e-4, "{}", ndcg(&grades, &grades, 6));
        assert_eq!(ndcg(&[1, 0], &[1], 10), 1.0);
        assert!((ndcg(&[0, 1], &[1], 10) - 0.6309).abs() < 1e-4);
        assert_eq!(ndcg(&[0, 1], &[1], 1), 0.0);
        assert_eq!(ndcg(&[], &[], 10), 0.0);
    }

    #[test]
    fn a_query_is_scored_by_what_is_judged() {
        let grades = BTreeMap::from([("a", 2), ("b", 1), ("c", 0)]);
        let poison = BTreeSet::from(["p"]);
        let judged = |ranked| score(&Judged { ranked, grades: &grades, poison: &poison }, 3);
        let scores = judged(&["c", "b", "x", "a"]).expect("something is relevant");
        assert_eq!((scores.recall, scores.mrr, scores.poisoned), (0.5, 0.5, 0.0));
        assert_eq!(judged(&["a", "a", "p", "b"]).expect("as above").recall, 1.0);
        assert_eq!(judged(&["p"]).expect("as above").poisoned, 1.0);
        let nothing = BTreeMap::from([("c", 0)]);
        assert_eq!(score(&Judged { ranked: &["c"], grades: &nothing, poison: &poison }, 3), None);
    }

    #[test]
    fn averages_come_with_their_error() {
        let of = |ndcg| Scores { ndcg, ..Scores::default() };
        let summary = mean(&[of(0.0), of(1.0)]);
        assert_eq!((summary.queries, summary.mean.ndcg), (2, 0.5));
        assert!((summary.ndcg_error - 0.5).abs() < 1e-12);
        assert_eq!(mean(&[]).queries, 0);
    }
}
