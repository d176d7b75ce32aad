//! How much of the truth is among the candidates, whatever the mask.

use store::documents::{ChunkId, Classes};

use super::{allow, clustered, entry};
use crate::{DenseIndex, FlatIndex, ranked, rescore};

const COUNT: usize = 8_000;
const DIMENSIONS: usize = 96;
const K: usize = 10;
/// As `context::plan` has it for ten.
const CANDIDATES: usize = 100;

/// The class of a vector: class `c` lets through one in 10^c.
fn class(n: usize) -> u32 {
    (0..=3).rev().find(|c| n.is_multiple_of(10usize.pow(*c))).unwrap_or_default()
}

#[test]
fn recall_after_rescoring_holds_at_every_selectivity() {
    let vectors = clustered(COUNT, DIMENSIONS, 40, 3);
    let index = FlatIndex::new(DIMENSIONS);
    let entries: Vec<_> = (0..COUNT).map(|n| entry(n as u64, class(n), vectors[n].clone())).collect();
    for part in entries.chunks(1_000) {
        index.add(part).expect("they are sound");
    }
    let queries = clustered(40, DIMENSIONS, 40, 3_000);
    // 1, 1e-1, 1e-2, 1e-3 of the vectors.
    for least in 0..=3u32 {
        let mask = allow(&(least..=3).collect::<Vec<_>>());
        let may = |n: &usize| mask.has(store::documents::AclClass(class(*n)));
        let allowed: Vec<usize> = (0..COUNT).filter(may).collect();
        assert_eq!(allowed.len(), COUNT / 10usize.pow(least));
        let (mut found, mut wanted) = (0, 0);
        for query in &queries {
            let truth = brute(query, &vectors, &allowed);
            found += search(&index, query, &mask, &vectors).iter().filter(|id| truth.contains(id)).count();
            wanted += truth.len();
        }
        let recall = found as f64 / wanted as f64;
        assert!(recall >= 0.995, "1e-{least}: recall {recall}");
    }
}

fn brute(query: &[f32], vectors: &[Vec<f32>], allowed: &[usize]) -> Vec<u64> {
    let all: Vec<(ChunkId, Vec<f32>)> =
        allowed.iter().map(|n| (ChunkId(*n as u64), vectors[*n].clone())).collect();
    rescore(query, &all, K).into_iter().map(|hit| hit.chunk.0).collect()
}

fn search(index: &FlatIndex, query: &[f32], mask: &Classes, vectors: &[Vec<f32>]) -> Vec<u64> {
    let found = index.search(query, mask, CANDIDATES).expect("it is sound");
    let read =
        |ids: &[ChunkId]| Ok::<_, ()>(ids.iter().map(|id| (*id, vectors[id.0 as usize].clone())).collect());
    ranked(query, &found, K, read).expect("they read").into_iter().map(|hit| hit.chunk.0).collect()
}
