//! A whole search as a request makes it: both arms, originals, the texts of the candidates,
//! their order. The question's vector is there already: no embedder is asked.

use std::cell::RefCell;
use std::sync::Arc;

use anyhow::{Context, Result};
use report::Report;
use retrieval::{Collections, Embed, Embedded, Found, Query};
use serde_json::{Value, json};
use store::documents::Tenants;
use units::{Labels, Micros};

use super::corpus::{self, Corpus, LEVELS};
use super::row;
use crate::clock;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats;

/// Passages of an answer.
const K: usize = 10;

/// The vector of the question at hand.
struct Given(RefCell<Vec<f32>>);

impl Embed for Given {
    fn embed(&self, _: &str, _: &Labels, _: &[String]) -> Result<Embedded, Report> {
        Ok(Embedded { made_by: corpus::MADE_BY.into(), vectors: vec![self.0.borrow().clone()] })
    }
}

pub fn measure(
    tenants: Arc<dyn Tenants>,
    corpus: &Corpus,
    rounds: usize,
    output: &Output,
    rows: &mut Vec<Row>,
) -> Result<Value> {
    let questions = if output.quick { 30 } else { 200 };
    let collections = Collections::new(tenants);
    let given = Given(RefCell::default());
    let labels = Labels::default();
    let ask = |level: u32, question: u64| -> Result<(f64, Found)> {
        let reader = corpus::reader(level);
        let text = Corpus::words(1 << 41 | question, 3).join(" ");
        given.0.replace(corpus.question(question));
        let start = clock::now();
        let collection = collections.find(&reader, &corpus::collection().name).context("find it")?;
        let query = Query::new(&text, K, &labels, Micros(0));
        let found = collections.search(&reader, &collection, &query, &given).context("search")?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        anyhow::ensure!(found.notes.is_empty(), "{}", found.notes.join("; "));
        Ok((ms, found))
    };
    // Indexes are made when they are first asked for.
    output.step("hybrid: the first search");
    ask(0, u64::MAX >> 24)?;
    let mut raw = Vec::new();
    for level in 0..LEVELS {
        let share = format!("one in {}", 10u64.pow(level));
        let (mut p50s, mut p99s, mut passages) = (Vec::new(), Vec::new(), Vec::new());
        let mut stages = std::collections::BTreeMap::<&str, u64>::new();
        for round in 0..rounds as u64 {
            output.step(&format!("hybrid: {share}, round {}/{rounds}", round + 1));
            let mut waits = Vec::new();
            let mut found = 0;
            for question in 0..questions {
                let (ms, answer) = ask(level, round * questions + question)?;
                waits.push(ms);
                found += answer.evidence.len();
                answer.explained.stages.iter().for_each(|(name, us)| *stages.entry(name).or_default() += us);
            }
            p50s.push(stats::quantile(&mut waits, 0.5).context("nothing was searched")?);
            p99s.push(stats::quantile(&mut waits, 0.99).context("nothing was searched")?);
            passages.push(found as f64 / questions as f64);
        }
        // The bound is for 100,000 chunks.
        let target = if corpus.chunks() <= 100_000 { Target::AtMost(50.0) } else { Target::Shown };
        rows.push(row(
            format!("hybrid without embedding p50, {share}"),
            "ms",
            &p50s,
            Target::Shown,
            questions,
        ));
        rows.push(row(format!("hybrid without embedding p99, {share}"), "ms", &p99s, target, questions));
        rows.push(row(format!("passages of {K}, {share}"), "passages", &passages, Target::Shown, questions));
        let each = |us: &u64| *us as f64 / (questions * rounds as u64) as f64;
        let stages: Vec<(&str, f64)> = stages.iter().map(|(name, us)| (*name, each(us))).collect();
        raw.push(json!({"level": level, "p50_ms": p50s, "p99_ms": p99s, "stage_mean_us": stages}));
    }
    Ok(Value::Array(raw))
}
