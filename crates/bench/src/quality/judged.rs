//! `judged`: each arm and the gate on judged sets that nobody of this project made.
//!
//! The gate is asked in two ways: untrained, as a new collection has it, and fitted to
//! one half of the questions and judged by the other, both ways round. What stands
//! beside it is the better single arm: a gate that is below it has failed.

use std::collections::{BTreeMap, BTreeSet};

use ::context::eval::{self, Judged, Scores};
use ::context::rank::{DevCandidate, DevQuery, Gate, Settings, Trust, coverage, rank};
use ::context::text::Lexing;
use anyhow::Result;

use super::index::{CANDIDATES, Entry, Found, Index};
use super::sets::{Question, Set};
use super::{Setting, row, sets};
use crate::record::{Row, Target};

pub fn run(setting: &Setting<'_>, rows: &mut Vec<Row>) -> Result<()> {
    let (data, output) = (setting.data, setting.output);
    for (name, lexing, target) in
        [("msmarco", Lexing::Stemmed, Target::AtLeast(0.70)), ("arcd", Lexing::Words, Target::AtLeast(0.75))]
    {
        let folder = data.join("agentset").join(name);
        if folder.is_dir() {
            passages(name, lexing, target, sets::beir(&folder)?, setting, rows)?;
        } else {
            output.say(&format!("skipped: {name}: {} is absent", folder.display()));
        }
    }
    let archive = data.join("locomo/locomo10.zip");
    if archive.is_file() {
        memory(sets::conversations(&archive)?, setting, rows)
    } else {
        output.say(&format!("skipped: locomo: {} is absent", archive.display()));
        Ok(())
    }
}

/// A question with what both arms have found for it.
struct Asked<'s> {
    question: &'s Question,
    found: Found,
}

fn ask<'s>(index: &Index, set: &'s Set, setting: &Setting<'_>) -> Result<Vec<Asked<'s>>> {
    let texts: Vec<&str> = set.questions.iter().map(|question| question.text.as_str()).collect();
    let found = index.find_all(&texts, &setting.embedding)?;
    Ok(set.questions.iter().zip(found).map(|(question, found)| Asked { question, found }).collect())
}

fn index(set: &Set, lexing: Lexing, setting: &Setting<'_>) -> Result<Index> {
    let entry = |text: &sets::Text| Entry {
        text: text.text.clone(),
        source: text.id.clone(),
        batch: text.id.clone(),
        trust: Trust::Known,
    };
    Index::new(set.texts.iter().map(entry).collect(), lexing, &setting.embedding)
}

fn passages(
    name: &str,
    lexing: Lexing,
    target: Target,
    set: Set,
    setting: &Setting<'_>,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let output = setting.output;
    output.step(&format!("{name}: {} texts", set.texts.len()));
    let index = index(&set, lexing, setting)?;
    let asked = ask(&index, &set, setting)?;
    output.step_done();
    let embedder = setting.embedding.embedder();
    let rules = Settings { k: 10, ..Settings::default() };
    let with = |gate: &dyn Fn(usize) -> Gate| scores_of(&index, &set, &asked, gate, &rules, setting);
    let [bm25, dense] = [true, false].map(|lexical| arm_scores(&set, &asked, lexical, 10));
    let untrained = with(&|_| Gate::untrained());
    // What the collapse of near copies costs, where both are judged relevant.
    let apart = Settings { near_copy: 2.0, ..rules };
    let apart = scores_of(&index, &set, &asked, &|_| Gate::untrained(), &apart, setting);
    // Fitted to one half, judged by the other.
    let dev: Vec<DevQuery> = asked.iter().map(|asked| dev_query(&index, &set, asked)).collect();
    let halves = [0, 1].map(|half| {
        let fold: Vec<DevQuery> = dev.iter().skip(1 - half).step_by(2).cloned().collect();
        Gate::fit(&fold, &embedder)
    });
    let fitted = with(&|n| halves[n % 2].gate.clone());
    let name_of_dense = setting.embedding.name();
    let [by_words, by_vectors] = [&bm25, &dense].map(|scores| eval::mean(scores).mean.ndcg);
    let better = if by_vectors > by_words { (name_of_dense, &dense) } else { ("BM25", &bm25) };
    for half in &halves {
        let (q, l, d, f) = (half.queries, half.lexical, half.dense, half.fused);
        output.say(&format!(
            "{name}: fitted to {q}: BM25 {l:.3}, dense {d:.3}, fused {f:.3}: {}",
            half.gate.to_text()
        ));
    }
    let mut add = |what: &str, scores: &[Scores], target: Target| {
        let summary = eval::mean(scores);
        let peer = Some((better.0, eval::mean(better.1).mean.ndcg));
        // Question by question, which is far less noisy than the difference of two means.
        let paired = scores.iter().zip(better.1);
        let less: Vec<Scores> =
            paired.map(|(a, b)| Scores { ndcg: a.ndcg - b.ndcg, ..Scores::default() }).collect();
        let less = eval::mean(&less);
        let label = format!("{name}: {what}");
        rows.push(row(label, "nDCG@10", summary.mean.ndcg, peer, target, summary.queries));
        output.say(&format!(
            "{name}: {what}: nDCG@10 {:.3} ± {:.3}, recall@10 {:.3}, MRR {:.3}; less the better arm {:+.4} ± {:.4}",
            summary.mean.ndcg,
            summary.ndcg_error,
            summary.mean.recall,
            summary.mean.mrr,
            less.mean.ndcg,
            less.ndcg_error
        ));
    };
    add("BM25 alone", &bm25, Target::Shown);
    add(&format!("{name_of_dense} alone"), &dense, Target::Shown);
    add("gate, untrained", &untrained, target);
    add("gate, untrained, near copies apart", &apart, Target::Shown);
    add("gate, fitted to the other half", &fitted, target);
    Ok(())
}

/// How deep evidence is looked for.
const DEPTHS: [usize; 4] = [5, 10, 20, 50];

/// What orders the turns of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Untrained,
    /// By a gate that was fitted to the other half of each conversation's questions.
    Fitted,
    /// As memory is searched: turns have no vectors.
    Lexical,
    Dense,
}

/// Recall of evidence in conversations.
fn memory(conversations: Vec<Set>, setting: &Setting<'_>, rows: &mut Vec<Row>) -> Result<()> {
    use Order::*;
    let embedder = setting.embedding.embedder();
    let mut all: BTreeMap<(Order, usize), Vec<Scores>> = BTreeMap::new();
    for (n, set) in conversations.iter().enumerate() {
        setting.output.step(&format!("locomo: conversation {}/{}", n + 1, conversations.len()));
        let index = index(set, Lexing::Stemmed, setting)?;
        let asked = ask(&index, set, setting)?;
        let dev: Vec<DevQuery> = asked.iter().map(|asked| dev_query(&index, set, asked)).collect();
        let halves = [0, 1].map(|half| {
            let fold: Vec<DevQuery> = dev.iter().skip(1 - half).step_by(2).cloned().collect();
            Gate::fit(&fold, &embedder).gate
        });
        for depth in DEPTHS {
            let rules = Settings { k: depth, ..Settings::default() };
            let with = |gate: &dyn Fn(usize) -> Gate| scores_of(&index, set, &asked, gate, &rules, setting);
            for (order, scores) in [
                (Untrained, with(&|_| Gate::untrained())),
                (Fitted, with(&|n| halves[n % 2].clone())),
                (Lexical, arm_scores(set, &asked, true, depth)),
                (Dense, arm_scores(set, &asked, false, depth)),
            ] {
                all.entry((order, depth)).or_default().extend(scores);
            }
        }
    }
    setting.output.step_done();
    for (order, depth) in all.keys().copied() {
        let name = match order {
            Untrained => "gate, untrained",
            Fitted => "gate, fitted to the other half",
            Lexical => "BM25 alone, as memory is searched",
            Dense => setting.embedding.name(),
        };
        let target = match (order, depth) {
            (Lexical | Untrained, 10) => Target::AtLeast(0.62),
            (Lexical | Untrained, 50) => Target::AtLeast(0.80),
            _ => Target::Shown,
        };
        let summary = eval::mean(&all[&(order, depth)]);
        let label = format!("locomo: {name}, evidence recall@{depth}");
        rows.push(row(label, "recall", summary.mean.recall, None, target, summary.queries));
    }
    Ok(())
}

/// Each question's list, as [`rank`] orders it, scored.
fn scores_of(
    index: &Index,
    set: &Set,
    asked: &[Asked<'_>],
    gate: &dyn Fn(usize) -> Gate,
    rules: &Settings,
    setting: &Setting<'_>,
) -> Vec<Scores> {
    let embedder = setting.embedding.embedder();
    let scored = asked.iter().enumerate().filter_map(|(n, asked)| {
        let candidates: Vec<_> = asked.found.rows.iter().map(|row| index.candidate(row)).collect();
        let ranked = rank(&asked.found.query, &candidates, &gate(n), &embedder, rules);
        let ids: Vec<&str> =
            ranked.hits.iter().map(|hit| set.texts[hit.chunk as usize].id.as_str()).collect();
        judge(&ids, asked.question, rules.k)
    });
    scored.collect()
}

/// One arm by itself, without anything that `rank` does besides.
fn arm_scores(set: &Set, asked: &[Asked<'_>], lexical: bool, k: usize) -> Vec<Scores> {
    let scored = asked.iter().filter_map(|asked| {
        let score =
            |at: usize| if lexical { asked.found.rows[at].lexical } else { asked.found.rows[at].dense };
        let mut order: Vec<usize> = (0..asked.found.rows.len()).filter(|at| score(*at).is_some()).collect();
        order.sort_by(|a, b| score(*b).unwrap_or(0.0).total_cmp(&score(*a).unwrap_or(0.0)));
        let ids: Vec<&str> =
            order.iter().map(|at| set.texts[asked.found.rows[*at].entry].id.as_str()).collect();
        judge(&ids, asked.question, k)
    });
    scored.collect()
}

fn judge(ids: &[&str], question: &Question, k: usize) -> Option<Scores> {
    let grades = question.grades.iter().map(|(id, grade)| (id.as_str(), *grade)).collect();
    eval::score(&Judged { ranked: ids, grades: &grades, poison: &BTreeSet::new() }, k)
}

fn dev_query(index: &Index, set: &Set, asked: &Asked<'_>) -> DevQuery {
    let grades = &asked.question.grades;
    let mut missed = grades.clone();
    let candidates = asked.found.rows.iter().map(|row| {
        let grade = missed.remove(&set.texts[row.entry].id).unwrap_or(0);
        let covered = coverage(&asked.found.query.terms, &index.entries[row.entry].text);
        DevCandidate {
            document: row.entry as u32,
            lexical: row.lexical,
            dense: row.dense,
            coverage: covered,
            grade,
        }
    });
    let candidates = candidates.take(2 * CANDIDATES).collect();
    DevQuery { script: asked.found.query.script, candidates, missed: missed.into_values().collect() }
}
