//! Dense search with rights: mask, scan, originals from the encrypted file, order.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use store::documents::{ChunkId, Tenant};
use vectors::{DenseIndex, FlatIndex, candidates_for, rescore};

use super::corpus::{self, Corpus, LEVELS};
use crate::clock;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};

const K: usize = 10;

/// One round at one selectivity.
#[derive(Default)]
struct Round {
    ours_ms: Vec<f64>,
    scan_ms: Vec<f64>,
    brute_ms: Vec<f64>,
    found: usize,
    wanted: usize,
}

pub fn measure(
    tenant: &dyn Tenant,
    index: &FlatIndex,
    corpus: &Corpus,
    rounds: usize,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let questions = if output.quick { 30 } else { 200 };
    let originals: Vec<Vec<f32>> = (0..corpus.chunks()).map(|chunk| corpus.vector(chunk)).collect();
    let mut raw = Vec::new();
    for level in 0..LEVELS {
        let allowed: Vec<u64> =
            (0..corpus.chunks()).filter(|chunk| Corpus::level(chunk / corpus::CHUNKS) >= level).collect();
        let mut taken = Vec::new();
        for round in 0..rounds {
            output.step(&format!("dense: one in {}, round {}/{rounds}", 10u64.pow(level), round + 1));
            let first = round as u64 * questions;
            taken.push(search_all(
                tenant,
                index,
                corpus,
                &originals,
                &allowed,
                level,
                first..first + questions,
            )?);
        }
        report(level, corpus, questions, &mut taken, rows, &mut raw)?;
    }
    Ok(Value::Array(raw))
}

fn search_all(
    tenant: &dyn Tenant,
    index: &FlatIndex,
    corpus: &Corpus,
    originals: &[Vec<f32>],
    allowed: &[u64],
    level: u32,
    questions: std::ops::Range<u64>,
) -> Result<Round> {
    let reader = corpus::reader(level);
    let collection = corpus::collection().id;
    let mut round = Round::default();
    for question in questions {
        let query = corpus.question(question);
        let start = clock::now();
        let classes = tenant.classes(&reader).context("read the mask")?;
        let found = index.search(&query, &classes, candidates_for(K)).context("scan")?;
        round.scan_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let ids: Vec<ChunkId> = found.candidates.iter().map(|hit| hit.chunk).collect();
        let vectors = tenant.vectors(&reader, collection, 1, &ids).context("read the originals")?;
        let hits = rescore(&query, &vectors, K);
        round.ours_ms.push(start.elapsed().as_secs_f64() * 1e3);
        anyhow::ensure!(found.allowed == allowed.len(), "{} of {} may be read", found.allowed, allowed.len());

        let start = clock::now();
        let truth = brute(&query, originals, allowed);
        round.brute_ms.push(start.elapsed().as_secs_f64() * 1e3);
        round.wanted += truth.len();
        // Chunks were put in their order, so the first one's number is 1.
        round.found += hits.iter().filter(|hit| truth.contains(&(hit.chunk.0 - 1))).count();
    }
    Ok(round)
}

/// The nearest of those allowed, by every original, on one thread.
fn brute(query: &[f32], originals: &[Vec<f32>], allowed: &[u64]) -> Vec<u64> {
    let mut best: Vec<(f32, u64)> = Vec::with_capacity(K + 1);
    for chunk in allowed {
        let vector = &originals[*chunk as usize];
        let (mut product, mut norm) = ([0f32; 8], [0f32; 8]);
        for (x, y) in query.as_chunks::<8>().0.iter().zip(vector.as_chunks::<8>().0) {
            for lane in 0..8 {
                product[lane] += x[lane] * y[lane];
                norm[lane] += y[lane] * y[lane];
            }
        }
        let score = product.iter().sum::<f32>() / norm.iter().sum::<f32>().sqrt();
        if best.len() < K || score > best[K - 1].0 {
            let at = best.partition_point(|(other, _)| *other >= score);
            best.insert(at, (score, *chunk));
            best.truncate(K);
        }
    }
    best.into_iter().map(|(_, chunk)| chunk).collect()
}

fn report(
    level: u32,
    corpus: &Corpus,
    questions: u64,
    taken: &mut [Round],
    rows: &mut Vec<Row>,
    raw: &mut Vec<Value>,
) -> Result<()> {
    let mut of = |pick: fn(&mut Round) -> &mut Vec<f64>, q: f64| -> Result<Vec<f64>> {
        taken
            .iter_mut()
            .map(|round| stats::quantile(pick(round), q).context("nothing was searched"))
            .collect()
    };
    let ours = (of(|r| &mut r.ours_ms, 0.5)?, of(|r| &mut r.ours_ms, 0.99)?);
    let scan = (of(|r| &mut r.scan_ms, 0.5)?, of(|r| &mut r.scan_ms, 0.99)?);
    let brute = (of(|r| &mut r.brute_ms, 0.5)?, of(|r| &mut r.brute_ms, 0.99)?);
    let recall: Vec<f64> = taken.iter().map(|r| r.found as f64 / r.wanted.max(1) as f64).collect();
    let share = format!("one in {}", 10u64.pow(level));
    let row = |name: &str, unit, ours: &[f64], peer: &[f64], target| Row {
        bench: "context",
        row: format!("{name}, {share}"),
        unit,
        ours: Summary::of(ours),
        peer: Summary::of(peer),
        peer_name: (!peer.is_empty()).then(|| "brute force in memory".to_owned()),
        target,
        ratios: None,
        n: questions,
    };
    // The bounds are for 100,000 and for a million chunks.
    let bound = if corpus.chunks() <= 100_000 { 2.0 } else { 15.0 };
    rows.push(row("masked search with originals p50", "ms", &ours.0, &brute.0, Target::Shown));
    rows.push(row("masked search with originals p99", "ms", &ours.1, &brute.1, Target::AtMost(bound)));
    rows.push(row("masked scan alone p99", "ms", &scan.1, &[], Target::Shown));
    rows.push(row("recall@10", "share", &recall, &[], Target::AtLeast(0.995)));
    raw.push(json!({
        "level": level, "search_p50_ms": ours.0, "search_p99_ms": ours.1, "scan_p50_ms": scan.0,
        "scan_p99_ms": scan.1, "brute_p50_ms": brute.0, "brute_p99_ms": brute.1, "recall": recall,
    }));
    Ok(())
}
