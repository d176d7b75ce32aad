//! Dense search with rights: mask, scan, originals from the encrypted file, order;
//! beside it brute force in memory and other libraries, in turn.

use std::ops::Range;

use anyhow::{Context, Result};
use context::plan;
use serde_json::{Value, json};
use store::documents::{ChunkId, Tenant};
use vectors::{DenseIndex, FlatIndex, ranked};

use super::corpus::{self, Corpus, LEVELS};
use super::peers::{Peer, RECALL, Searched, Tuned};
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{self, Summary};
use crate::{clock, proc};

pub const K: usize = 10;

/// What is searched.
pub struct World<'a> {
    pub tenant: &'a dyn Tenant,
    pub index: &'a FlatIndex,
    pub corpus: &'a Corpus,
}

/// How often.
#[derive(Clone, Copy)]
pub struct Rounds {
    pub rounds: usize,
    /// Questions of a round.
    pub questions: u64,
    /// Questions before the first round: for the peers to find their effort, for all to be warm.
    pub before: u64,
}

impl Rounds {
    pub fn new(rounds: usize, quick: bool) -> Rounds {
        Rounds { rounds, questions: if quick { 30 } else { 200 }, before: if quick { 10 } else { 50 } }
    }
    pub fn all(self) -> u64 {
        self.before + self.rounds as u64 * self.questions
    }
    fn of(self, round: usize) -> Range<u64> {
        let first = self.before + round as u64 * self.questions;
        first..first + self.questions
    }
}

/// The nearest by every original that may be read, for each question.
pub struct Truth(Vec<Vec<u64>>);

impl Truth {
    /// How much of it was found.
    pub fn recall(&self, questions: Range<u64>, found: impl Iterator<Item = Vec<u64>>) -> f64 {
        let truth = &self.0[questions.start as usize..questions.end as usize];
        let (mut hits, mut wanted) = (0, 0);
        for (truth, found) in truth.iter().zip(found) {
            hits += found.iter().filter(|chunk| truth.contains(chunk)).count();
            wanted += truth.len();
        }
        hits as f64 / wanted.max(1) as f64
    }
}

/// One round of ours at one selectivity.
#[derive(Default)]
struct Round {
    ms: Vec<f64>,
    scan_ms: Vec<f64>,
    cpu_ms: f64,
    read: usize,
    recall: f64,
}

/// A peer at one selectivity.
struct Beside {
    name: String,
    tuned: Result<Tuned, String>,
    rounds: Vec<Searched>,
}

pub fn measure(
    world: &World<'_>,
    peers: &mut [Peer],
    rounds: Rounds,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let corpus = world.corpus;
    let originals: Vec<Vec<f32>> = (0..corpus.chunks()).map(|chunk| corpus.vector(chunk)).collect();
    let mut raw = Vec::new();
    for level in 0..LEVELS {
        let allowed: Vec<u64> =
            (0..corpus.chunks()).filter(|chunk| Corpus::level(chunk / corpus::CHUNKS) >= level).collect();
        let share = format!("one in {}", 10u64.pow(level));
        output.step(&format!("dense: {share}, the truth"));
        let (truth, brute_ms) = truth(corpus, &originals, &allowed, rounds.all());
        let mut beside: Vec<Beside> = peers
            .iter_mut()
            .map(|peer| {
                output.step(&format!("dense: {share}, {} finds its effort", peer.name));
                let tuned = match &mut peer.state {
                    Ok(running) => {
                        let tuned = running.tune(level, 0..rounds.before, corpus.chunks(), &truth);
                        tuned.map_err(|error| format!("{error:#}"))
                    }
                    Err(why) => Err(why.clone()),
                };
                Beside { name: peer.name.to_owned(), tuned, rounds: Vec::new() }
            })
            .collect();
        search_all(world, level, 0..rounds.before, &truth)?;
        let mut ours = Vec::new();
        for round in 0..rounds.rounds {
            output.step(&format!("dense: {share}, round {}/{}", round + 1, rounds.rounds));
            // Whoever was first is last in the next round.
            for turn in 0..=peers.len() {
                let turn = (turn + round) % (peers.len() + 1);
                let Some(beside) = beside.get_mut(turn) else {
                    ours.push(search_all(world, level, rounds.of(round), &truth)?);
                    continue;
                };
                if let (Ok(running), Ok(tuned)) = (&mut peers[turn].state, &beside.tuned) {
                    let searched = running.search(level, rounds.of(round), tuned.effort, &truth);
                    beside.rounds.push(searched.with_context(|| beside.name.clone())?);
                }
            }
        }
        anyhow::ensure!(
            world.index.allowed(&*world.tenant.classes(&corpus::reader(level))?) == allowed.len(),
            "the mask lets through what it should"
        );
        output.passed(&format!("dense: {share}, done"));
        report(level, corpus, rounds, &mut ours, &brute_ms, rows)?;
        compare(level, rounds, &ours, &beside, rows);
        raw.push(raw_of(level, &ours, &beside));
    }
    Ok(Value::Array(raw))
}

/// The truth, and the milliseconds of each question, on one thread.
fn truth(corpus: &Corpus, originals: &[Vec<f32>], allowed: &[u64], questions: u64) -> (Truth, Vec<f64>) {
    let mut ms = Vec::new();
    let of = |question| {
        let query = corpus.question(question);
        let start = clock::now();
        let best = brute(&query, originals, allowed);
        ms.push(start.elapsed().as_secs_f64() * 1e3);
        best
    };
    let truth = (0..questions).map(of).collect();
    (Truth(truth), ms)
}

/// As `retrieval` searches.
fn search_all(world: &World<'_>, level: u32, questions: Range<u64>, truth: &Truth) -> Result<Round> {
    let World { tenant, index, corpus } = world;
    let reader = corpus::reader(level);
    let collection = corpus::collection().id;
    let queries: Vec<Vec<f32>> = questions.clone().map(|n| corpus.question(n)).collect();
    let mut round = Round::default();
    let mut found_all = Vec::new();
    let cpu = proc::own_cpu_ms();
    for query in &queries {
        let start = clock::now();
        let classes = tenant.classes(&reader).context("read the mask")?;
        let allowed = index.allowed(&classes);
        let plan = plan::plan(K, allowed as u64, plan::Index { quantised: true });
        let found = index.search(query, &classes, plan.scan.candidates(allowed)).context("scan")?;
        round.scan_ms.push(start.elapsed().as_secs_f64() * 1e3);
        let read = |ids: &[ChunkId]| {
            round.read += ids.len();
            let originals = index.originals(&classes, ids);
            if originals.len() == ids.len() {
                return Ok(originals);
            }
            tenant.vectors(&reader, collection, 1, ids)
        };
        let hits = ranked(query, &found, plan.k, read).context("read the originals")?;
        round.ms.push(start.elapsed().as_secs_f64() * 1e3);
        found_all.push(hits);
    }
    round.cpu_ms = proc::own_cpu_ms() - cpu;
    // Chunks were put in their order, so the first one's number is 1.
    let found = found_all.iter().map(|hits| hits.iter().map(|hit| hit.chunk.0 - 1).collect());
    round.recall = truth.recall(questions, found);
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
    rounds: Rounds,
    taken: &mut [Round],
    brute_ms: &[f64],
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut of = |pick: fn(&mut Round) -> &mut Vec<f64>, q: f64| -> Result<Vec<f64>> {
        taken
            .iter_mut()
            .map(|round| stats::quantile(pick(round), q).context("nothing was searched"))
            .collect()
    };
    let ours = (of(|r| &mut r.ms, 0.5)?, of(|r| &mut r.ms, 0.99)?);
    let scan = (of(|r| &mut r.scan_ms, 0.5)?, of(|r| &mut r.scan_ms, 0.99)?);
    let each = |pick: fn(&Round) -> f64| taken.iter().map(pick).collect::<Vec<f64>>();
    let per = |total: f64| total / rounds.questions as f64;
    let cpu: Vec<f64> = taken.iter().map(|r| per(r.cpu_ms)).collect();
    let read: Vec<f64> = taken.iter().map(|r| per(r.read as f64)).collect();
    let share = format!("one in {}", 10u64.pow(level));
    let row = |name: &str, unit, ours: &[f64], peer: &[f64], target| Row {
        bench: "context",
        row: format!("{name}, {share}"),
        unit,
        ours: Summary::of(ours),
        peer: Summary::of(peer),
        peer_name: (!peer.is_empty()).then(|| "brute force in memory, no rights to check".to_owned()),
        target,
        ratios: None,
        n: rounds.questions,
    };
    // The bounds are for 100,000 and for a million chunks.
    let bound = if corpus.chunks() <= 100_000 { 2.0 } else { 15.0 };
    rows.push(row("masked search with originals p50", "ms", &ours.0, brute_ms, Target::Shown));
    rows.push(row("masked search with originals p99", "ms", &ours.1, &[], Target::AtMost(bound)));
    rows.push(row("masked scan alone p50", "ms", &scan.0, &[], Target::Shown));
    rows.push(row("masked scan alone p99", "ms", &scan.1, &[], Target::Shown));
    rows.push(row("CPU of a search", "ms", &cpu, &[], Target::Shown));
    rows.push(row("originals read by a search", "vectors", &read, &[], Target::Shown));
    rows.push(row("recall@10", "share", &each(|r| r.recall), &[], Target::AtLeast(RECALL)));
    Ok(())
}

/// Questions a second of one client, and CPU time, beside each peer.
fn compare(level: u32, rounds: Rounds, ours: &[Round], beside: &[Beside], rows: &mut Vec<Row>) {
    let per_second = |ms: &[f64]| 1e3 * ms.len() as f64 / ms.iter().sum::<f64>();
    let speed: Vec<f64> = ours.iter().map(|round| per_second(&round.ms)).collect();
    let cpu: Vec<f64> = ours.iter().map(|round| round.cpu_ms / rounds.questions as f64).collect();
    for peer in beside {
        let (name, target) = match &peer.tuned {
            Err(why) => (format!("{}: {why}", peer.name), Target::Shown),
            Ok(tuned) if tuned.recall < RECALL => {
                (format!("{}, recall {:.3} only", peer.name, tuned.recall), target(level, &peer.name))
            }
            Ok(_) => (peer.name.clone(), target(level, &peer.name)),
        };
        let row = |what: &str, unit, ours: &[f64], theirs: &[f64], target| Row {
            bench: "context",
            row: format!("{what}, one in {}", 10u64.pow(level)),
            unit,
            ours: Summary::of(ours),
            peer: Summary::of(theirs),
            peer_name: Some(name.clone()),
            target,
            ratios: Summary::of(&ours.iter().zip(theirs).map(|(a, b)| a / b).collect::<Vec<_>>()),
            n: rounds.questions,
        };
        let theirs: Vec<f64> = peer.rounds.iter().map(|round| per_second(&round.ms)).collect();
        rows.push(row("searches of one client", "1/s", &speed, &theirs, target));
        let theirs: Vec<f64> = peer.rounds.iter().map(|round| round.cpu_ms / round.ms.len() as f64).collect();
        rows.push(row("CPU of a search", "ms", &cpu, &theirs, Target::Shown));
    }
}

/// The issue's: so many times the best peer's, which is each peer's.
fn target(level: u32, peer: &str) -> Target {
    match level {
        0 if peer.starts_with("hnswlib") => Target::ShareOfPeer(0.3),
        1 => Target::ShareOfPeer(5.0),
        2 => Target::ShareOfPeer(20.0),
        _ => Target::Shown,
    }
}

fn raw_of(level: u32, ours: &[Round], beside: &[Beside]) -> Value {
    let peers: Vec<Value> = beside
        .iter()
        .map(|peer| {
            let tuned = peer.tuned.as_ref().ok();
            json!({
                "name": peer.name, "effort": tuned.map(|t| t.effort), "recall_tuned": tuned.map(|t| t.recall),
                "recall": peer.rounds.iter().map(|r| r.recall).collect::<Vec<_>>(),
                "cpu_ms": peer.rounds.iter().map(|r| r.cpu_ms).collect::<Vec<_>>(),
                "mean_ms": peer.rounds.iter().map(|r| r.ms.iter().sum::<f64>() / r.ms.len() as f64)
                    .collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "level": level, "peers": peers, "recall": ours.iter().map(|r| r.recall).collect::<Vec<_>>(),
        "cpu_ms": ours.iter().map(|r| r.cpu_ms).collect::<Vec<_>>(),
        "mean_ms": ours.iter().map(|r| r.ms.iter().sum::<f64>() / r.ms.len() as f64).collect::<Vec<_>>(),
    })
}
