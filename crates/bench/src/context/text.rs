//! Full text with rights: three words of a question, any of which may fit.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use store::documents::{Tenant, TextQuery};

use super::corpus::{self, Corpus};
use super::row;
use crate::clock;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats;

pub fn measure(
    tenant: &dyn Tenant,
    corpus: &Corpus,
    rounds: usize,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let questions = if output.quick { 30 } else { 200 };
    let collection = corpus::collection().id;
    let mut raw = Vec::new();
    for level in [0, 1, 2] {
        let reader = corpus::reader(level);
        let (mut p50s, mut p99s, mut hits) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds as u64 {
            output.step(&format!("full text: one in {}, round {}/{rounds}", 10u64.pow(level), round + 1));
            let mut waits = Vec::new();
            let mut found = 0;
            for question in 0..questions {
                let terms = Corpus::words(1 << 40 | (round * questions + question), 3);
                let start = clock::now();
                let query = TextQuery { terms: &terms, limit: 100 };
                found += tenant.search_text(&reader, collection, &query).context("search")?.len();
                waits.push(start.elapsed().as_secs_f64() * 1e3);
            }
            p50s.push(stats::quantile(&mut waits, 0.5).context("nothing was searched")?);
            p99s.push(stats::quantile(&mut waits, 0.99).context("nothing was searched")?);
            hits.push(found as f64 / questions as f64);
        }
        let share = format!("one in {}", 10u64.pow(level));
        rows.push(row(format!("full text p50, {share}"), "ms", &p50s, Target::Shown, questions));
        rows.push(row(format!("full text p99, {share}"), "ms", &p99s, Target::AtMost(50.0), questions));
        rows.push(row(format!("hits of 100, {share}"), "hits", &hits, Target::Shown, questions));
        raw.push(
            json!({"level": level, "p50_ms": p50s, "p99_ms": p99s, "hits": hits, "chunks": corpus.chunks()}),
        );
    }
    Ok(Value::Array(raw))
}
