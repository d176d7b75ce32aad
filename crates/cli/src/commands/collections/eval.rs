//! `collection eval`: what a search is worth on judged questions, arm by arm.

mod judged;
mod junit;

use std::collections::BTreeSet;
use std::process::ExitCode;

use api::{SearchCollection, SearchResult};
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

/// What each order of a question was worth.
struct Outcome<'q> {
    question: &'q Question,
    words: Scores,
    vectors: Scores,
    both: Scores,
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
    let mut progress = Progress::steps("questions", Some(questions.len() as u64));
    let (mut outcomes, mut left_out) = (Vec::new(), 0);
    for question in &questions {
        match ask(server, args, question)? {
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
    let evaluated = evaluate(args, &outcomes, left_out);
    let enough = args.min_ndcg.is_none_or(|least| evaluated.both.ndcg >= least);
    if let Some(path) = &args.junit {
        let text = junit::text(&evaluated, &outcomes, args.min_ndcg);
        std::fs::write(path, text).map_err(|e| failure::file("write", path, &e))?;
    }
    show(json, &evaluated, Evaluated::text);
    let good = enough && !evaluated.worse;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn ask<'q>(
    server: &Server,
    args: &args::CollectionEval,
    question: &'q Question,
) -> Result<Option<Outcome<'q>>, Failure> {
    let asked = SearchCollection {
        query: question.query.clone(),
        k: Some(PARTS),
        source: None,
        graph: false,
        explain: true,
        as_user: None,
        rerank: None,
        rerank_deadline_ms: None,
    };
    let found: SearchResult = server.post(&format!("{}/search", path_of(&args.name)), &asked)?;
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
    Ok(Some(Outcome { question, words, vectors, both }))
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
        let rows = [row("words", &self.words), row("vectors", &self.vectors), row("both", &self.both)];
        let (ndcg, recall) = (format!(">nDCG@{}", self.k), format!(">RECALL@{}", self.k));
        let mut text = table(&["ARM", &ndcg, ">ERROR", &recall, ">MRR", ">POISONED"], &rows);
        text.push_str(&format!(
            "{} judged questions; both arms less the better one: {:+.3} (standard error {:.3})\n",
            grouped(self.questions as u64),
            self.gain,
            self.gain_error
        ));
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
