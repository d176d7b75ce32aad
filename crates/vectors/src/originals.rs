//! Ranking candidates by their original vectors.

use store::documents::{ChunkId, Hit};

use crate::Found;

/// Originals that are read before it is known how far four bits are off.
const FIRST_MIN: usize = 20;
/// Read together after that.
const STEP: usize = 16;
/// A candidate is not read when it would have to be further off than so many standard
/// deviations of those that were read. Those were chosen by the very scores that are off, so
/// they vary less than the others: with three, recall@10 of 20,000 vectors was .995.
const DEVIATIONS: f64 = 4.0;

/// The best `k` of a search's candidates by the cosine with their originals, the nearest
/// first, equals in the order of their ids.
///
/// `read` fetches originals, for the same reader; what it leaves out is left out. They lie
/// encrypted and cost more than the scan, so they are read in the order of their four bits
/// until none of the others can be among the best: how far four bits are off shows in those
/// that were read. When the candidates are all that may be read, all are.
///
/// # Errors
/// Those of `read`.
pub fn ranked<E>(
    query: &[f32],
    found: &Found,
    k: usize,
    mut read: impl FnMut(&[ChunkId]) -> Result<Vec<(ChunkId, Vec<f32>)>, E>,
) -> Result<Vec<Hit>, E> {
    let candidates = &found.candidates;
    if k == 0 || candidates.is_empty() {
        return Ok(Vec::new());
    }
    let ids = |hits: &[Hit]| hits.iter().map(|hit| hit.chunk).collect::<Vec<_>>();
    if found.is_exact() {
        return Ok(rescore(query, &read(&ids(candidates))?, k));
    }
    let mut best: Vec<Hit> = Vec::new();
    let mut off = Deviation::default();
    let mut next = 0;
    let mut until = (k + k / 4).max(FIRST_MIN);
    while next < until.min(candidates.len()) {
        let part = &candidates[next..until.min(candidates.len())];
        let originals = read(&ids(part))?;
        let scored = rescore(query, &originals, part.len());
        for hit in &scored {
            let estimate = part.iter().find(|candidate| candidate.chunk == hit.chunk);
            estimate.into_iter().for_each(|e| off.add(f64::from(hit.score) - f64::from(e.score)));
        }
        best.extend(scored);
        sort(&mut best);
        best.truncate(k);
        next = until;
        let reach = off.mean().max(0.0) + DEVIATIONS * off.deviation();
        let may = |candidate: &Hit| {
            best.len() < k || f64::from(candidate.score) + reach >= f64::from(best[k - 1].score)
        };
        let others = candidates.get(next..).unwrap_or_default();
        until += others.iter().take(STEP).take_while(|candidate| may(candidate)).count();
    }
    Ok(best)
}

/// The best `k` by the cosine with their originals, the nearest first, equals in the order
/// of their ids. A vector without a direction is as far as an unrelated one.
pub fn rescore(query: &[f32], originals: &[(ChunkId, Vec<f32>)], k: usize) -> Vec<Hit> {
    let norm = |vector: &[f32]| dot(vector, vector).sqrt();
    let of_query = norm(query);
    let cosine = |vector: &[f32]| {
        let product = norm(vector) * of_query;
        if product > 0.0 { dot(query, vector) / product } else { 0.0 }
    };
    let mut hits: Vec<Hit> =
        originals.iter().map(|(chunk, vector)| Hit { chunk: *chunk, score: cosine(vector) }).collect();
    sort(&mut hits);
    hits.truncate(k);
    hits
}

fn sort(hits: &mut [Hit]) {
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
}

/// Mean and standard deviation of what was added.
#[derive(Default)]
struct Deviation {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Deviation {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }
    fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }
    fn deviation(&self) -> f64 {
        if self.count > 1.0 {
            (self.squares / self.count - self.mean() * self.mean()).max(0.0).sqrt()
        } else {
            f64::INFINITY
        }
    }
}

/// In eight lanes, which the compiler keeps in registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0f32; 8];
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}
