//! Full text with rights: three words of a question, any of which may fit; and a whole page
//! of them.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use store::documents::{Tenant, TextQuery};

use super::corpus::{self, Corpus, LEVELS};
use super::row;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats;
use crate::{clock, proc};

/// Words of a question, and those of a page that was pasted.
const WORDS: u64 = 3;
const PAGE: u64 = 64;

/// `in_memory`: bytes that full text takes beside the file. The first search of all waits for
/// that to be there, and is counted by itself.
pub fn measure(
    tenant: &dyn Tenant,
    corpus: &Corpus,
    rounds: usize,
    in_memory: impl Fn() -> u64,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let chunks = corpus.chunks();
    output.step("full text: read into memory");
    let cpu = proc::own_cpu_ms();
    let seconds = search(tenant, 0, 1 << 50, WORDS)?.0 / 1e3;
    let cpu = (proc::own_cpu_ms() - cpu) / 1e3;
    rows.push(row("full text read into memory".into(), "s", &[seconds], Target::Shown, chunks));
    rows.push(row("CPU of reading it".into(), "s", &[cpu], Target::Shown, chunks));
    let counted = in_memory() as f64 / chunks as f64;
    rows.push(row("memory of full text, as it counts".into(), "B/chunk", &[counted], Target::Shown, chunks));
    let mut raw = Vec::new();
    for (level, words) in (0..LEVELS).map(|level| (level, WORDS)).chain([(0, PAGE)]) {
        raw.push(at(tenant, corpus, level, words, rounds, output, rows)?);
    }
    Ok(Value::Array(raw))
}

fn at(
    tenant: &dyn Tenant,
    corpus: &Corpus,
    level: u32,
    words: u64,
    rounds: usize,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let questions = if output.quick { 30 } else { 200 };
    let share = match words {
        WORDS => format!("one in {}", 10u64.pow(level)),
        _ => format!("{words} words, one in {}", 10u64.pow(level)),
    };
    let (mut p50s, mut p99s, mut hits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        output.step(&format!("full text: {share}, round {}/{rounds}", round + 1));
        let mut waits = Vec::new();
        let mut found = 0;
        for question in 0..questions {
            let (ms, count) = search(tenant, level, 1 << 40 | (round * questions + question), words)?;
            waits.push(ms);
            found += count;
        }
        p50s.push(stats::quantile(&mut waits, 0.5).context("nothing was searched")?);
        p99s.push(stats::quantile(&mut waits, 0.99).context("nothing was searched")?);
        hits.push(found as f64 / questions as f64);
    }
    rows.push(row(format!("full text p50, {share}"), "ms", &p50s, Target::Shown, questions));
    rows.push(row(format!("full text p99, {share}"), "ms", &p99s, Target::AtMost(50.0), questions));
    rows.push(row(format!("hits of 100, {share}"), "hits", &hits, Target::Shown, questions));
    Ok(json!({
        "level": level, "words": words, "p50_ms": p50s, "p99_ms": p99s, "hits": hits, "chunks": corpus.chunks(),
    }))
}

/// How long a search took, and how many it found.
fn search(tenant: &dyn Tenant, level: u32, question: u64, words: u64) -> Result<(f64, usize)> {
    let (reader, terms) = (corpus::reader(level), Corpus::words(question, words));
    let start = clock::now();
    let query = TextQuery { terms: &terms, limit: 100 };
    let found = tenant.search_text(&reader, corpus::collection().id, &query).context("search")?.len();
    Ok((start.elapsed().as_secs_f64() * 1e3, found))
}
