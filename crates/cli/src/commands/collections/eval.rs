//! `collection eval`: what a search is worth on judged questions, arm by arm.

mod judged;
mod junit;

use std::collections::BTreeSet;
use std::process::ExitCode;

use api::{Collection, CollectionGate, FitGate, JudgedQuestion, SearchCollection, SearchResult};
use context::eval::{Judged, Scores, Summary, mean, score};
use report::Report;
use serde::Serialize;

use super::path_of;
use crate::client::Server;
use crate::commands::show;
use crate::table::{grouped, table};
use crate::{Failure, Progress, args, failure};
use judged::Question;

/// Parts asked for: several may be of one document, and documents are judged.
const PARTS: u32 = 100;
/// Questions that a gate is fitted to at most.
const FITTED_MAX: usize = 1_000;

/// What each order of a question was worth.
struct Outcome<'q> {
    question: &'q Question,
    words: Scores,
    vectors: Scores,
    both: Scores,
    reranked: Option<Scores>,
}

/// The result as a program reads it.
#[derive(Serialize)]
struct Evaluated {
    collection: String,
    k: u32,
    questions: usize,
    /// Questions to which nothing is relevant: no order can be judged by them.
    left_out: usize,
    words: Arm,
    vectors: Arm,
    both: Arm,
    /// Both arms together less the better one alone, in nDCG; and the standard error of that.
    gain: f64,
    gain_error: f64,
    /// Whether both together are worse than the better arm by more than two standard errors.
    worse: bool,
    /// What the collection's reranker makes of both, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reranked: Option<Arm>,
    /// The gate that was fitted first, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<CollectionGate>,
}

#[derive(Serialize)]
struct Arm {
    ndcg: f64,
    ndcg_error: f64,
    recall: f64,
    mrr: f64,
    poison_rate: f64,
}

pub(super) fn run(server: &Server, args: &args::CollectionEval, json: bool) -> Result<ExitCode, Failure> {
    let questions = judged::read(&args.judged)?;
    let gate = if args.fit { Some(fit(server, args, &questions)?) } else { None };
    let collection: Collection = server.get(&path_of(&args.name))?;
    let reranks = collection.ranking.reranker.is_some();
    let mut progress = Progress::steps("questions", Some(questions.len() as u64));
    let (mut outcomes, mut left_out) = (Vec::new(), 0);
    for question in &questions {
        match ask(server, args, question, reranks)? {
            Some(outcome) => outcomes.push(outcome),
            None => left_out += 1,
        }
        progress.add(1);
    }
    drop(progress);
    if outcomes.is_empty() {
        return Err(Report::new("CL0010", "no question can be judged")
            .at(args.judged.display().to_string())
            .because("to none of them is anything relevant")
            .hint("name sources with a grade above 0: \"relevant\": {\"leave.md\": 1}")
            .into());
    }
    let evaluated = Evaluated { gate, ..evaluate(args, &outcomes, left_out) };
    let enough = args.min_ndcg.is_none_or(|least| evaluated.both.ndcg >= least);
    if let Some(path) = &args.junit {
        let text = junit::text(&evaluated, &outcomes, args.min_ndcg);
        std::fs::write(path, text).map_err(|e| failure::file("write", path, &e))?;
    }
    show(json, &evaluated, Evaluated::text);
    let good = enough && !evaluated.worse;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Fits the gate to the questions; to some from all over the file where there are many.
fn fit(
    server: &Server,
    args: &args::CollectionEval,
    questions: &[Question],
) -> Result<CollectionGate, Failure> {
    let step = questions.len().div_ceil(FITTED_MAX).max(1);
    let judged = |q: &Question| JudgedQuestion { query: q.query.clone(), relevant: q.relevant.clone() };
    let wanted = FitGate { questions: questions.iter().step_by(step).map(judged).collect() };
    server.post(&format!("{}/gate", path_of(&args.name)), &wanted)
}

fn ask<'q>(
    server: &Server,
    args: &args::CollectionEval,
    question: &'q Question,
    reranks: bool,
) -> Result<Option<Outcome<'q>>, Failure> {
    let path = format!("{}/search", path_of(&args.name));
    let asked = SearchCollection {
        query: question.query.clone(),
        k: Some(PARTS),
        explain: true,
        no_rerank: true,
        ..SearchCollection::default()
    };
    let found: SearchResult = server.post(&path, &asked)?;
    let (words, vectors) = found.explain.map(|e| (e.by_words, e.by_vectors)).unwrap_or_default();
    let both: Vec<String> = found.evidence.into_iter().map(|e| e.source).collect();
    let grades = question.relevant.iter().map(|(source, grade)| (source.as_str(), *grade)).collect();
    let poison: BTreeSet<&str> = question.poison.iter().map(String::as_str).collect();
    let of = |ranked: &[String]| {
        let ranked: Vec<&str> = ranked.iter().map(String::as_str).collect();
        score(&Judged { ranked: &ranked, grades: &grades, poison: &poison }, args.limit as usize)
    };
    let (Some(words), Some(vectors), Some(both)) = (of(&words), of(&vectors), of(&both)) else {
        return Ok(None);
    };
    let reranked = match reranks {
        false => None,
        true => {
            let asked = SearchCollection { no_rerank: false, explain: false, ..asked };
            let found: SearchResult = server.post(&path, &asked)?;
            of(&found.evidence.into_iter().map(|e| e.source).collect::<Vec<_>>())
        }
    };
    Ok(Some(Outcome { question, words, vectors, both, reranked }))
}

fn evaluate(args: &args::CollectionEval, outcomes: &[Outcome<'_>], left_out: usize) -> Evaluated {
    let all = |part: fn(&Outcome<'_>) -> Scores| mean(&outcomes.iter().map(part).collect::<Vec<_>>());
    let (words, vectors, both) = (all(|o| o.words), all(|o| o.vectors), all(|o| o.both));
    let better = if words.mean.ndcg >= vectors.mean.ndcg {
        |o: &Outcome<'_>| o.words
    } else {
        |o: &Outcome<'_>| o.vectors
    };
    // Question by question, which is far less noisy than the difference of two means.
    let differences: Vec<Scores> =
        outcomes.iter().map(|o| Scores { ndcg: o.both.ndcg - better(o).ndcg, ..Scores::default() }).collect();
    let gain = mean(&differences);
    let reranked: Vec<Scores> = outcomes.iter().filter_map(|o| o.reranked).collect();
    Evaluated {
        collection: args.name.clone(),
        k: args.limit,
        questions: outcomes.len(),
        left_out,
        words: Arm::of(&words),
        vectors: Arm::of(&vectors),
        both: Arm::of(&both),
        gain: gain.mean.ndcg,
        gain_error: gain.ndcg_error,
        reranked: (!reranked.is_empty()).then(|| Arm::of(&mean(&reranked))),
        gate: None,
        worse: gain.mean.ndcg < 0.0 && gain.mean.ndcg < -2.0 * gain.ndcg_error,
    }
}

impl Arm {
    fn of(summary: &Summary) -> Arm {
        let Scores { ndcg, recall, mrr, poisoned } = summary.mean;
        Arm { ndcg, ndcg_error: summary.ndcg_error, recall, mrr, poison_rate: poisoned }
    }
}

impl Evaluated {
    fn text(&self) -> String {
        let row = |name: &str, arm: &Arm| {
            vec![
                name.to_owned(),
                format!("{:.3}", arm.ndcg),
                format!("{:.3}", arm.ndcg_error),
                format!("{:.3}", arm.recall),
                format!("{:.3}", arm.mrr),
                format!("{:.1} %", arm.poison_rate * 100.0),
            ]
        };
        let mut rows =
            vec![row("words", &self.words), row("vectors", &self.vectors), row("both", &self.both)];
        rows.extend(self.reranked.as_ref().map(|arm| row("reranked", arm)));
        let (ndcg, recall) = (format!(">nDCG@{}", self.k), format!(">RECALL@{}", self.k));
        let mut text = table(&["ARM", &ndcg, ">ERROR", &recall, ">MRR", ">POISONED"], &rows);
        text.push_str(&format!(
            "{} judged questions; both arms less the better one: {:+.3} (standard error {:.3})\n",
            grouped(self.questions as u64),
            self.gain,
            self.gain_error
        ));
        if let Some(gate) = &self.gate {
            text.push_str(&format!(
                "{}: nDCG@10 of each other half of them {:.3}, by a gate that had not seen it; `collection gate {} --forget` takes it back\n",
                super::order::gate_text(gate),
                gate.held_out,
                self.collection
            ));
        }
        if self.left_out > 0 {
            text.push_str(&format!(
                "{} questions to which nothing is relevant were left out\n",
                self.left_out
            ));
        }
        if self.worse {
            text.push_str("both together are worse than the better arm alone\n");
        }
        text
    }
}
