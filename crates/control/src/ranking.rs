//! How a collection orders what is found: what it is declared to, and what was fitted.

use report::Report;
use retrieval::{Fitted, Judged, QUESTIONS_MAX, RERANK_MS, Ranking, Reranker, Reranking};

use crate::call::{Call, Outcome, json};
use crate::{Plane, collections};

/// A reranker may take at most so long.
const RERANK_MS_MAX: u32 = 60_000;
/// Seconds of a half-life at most: ten years.
const HALF_LIFE_MAX: u64 = 10 * 31_557_600;

/// Fits the gate by what the caller may read; all searches of the collection go by it then.
pub(crate) fn fit_gate(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::FitGate = call.read()?;
    let collection = collections::found(plane, call)?;
    if asked.questions.len() > QUESTIONS_MAX {
        let what =
            format!("{} questions; a gate is fitted to at most {QUESTIONS_MAX}", asked.questions.len());
        return Err(Report::new("CT0002", what).into());
    }
    let judged = asked.questions.into_iter();
    let judged: Vec<Judged> = judged.map(|q| Judged { question: q.query, relevant: q.relevant }).collect();
    let purpose = format!("judged questions to collection {}", collection.name);
    let lent = plane.host.lend(&call.principal, purpose);
    let reader = call.principal.reader();
    let fitted = plane.collections.fit_gate(&reader, &collection, &judged, &*lent, call.now);
    json(&show_gate(&fitted.map_err(|e| e.report())?, &collection.live.embedder))
}

pub(crate) fn forget_gate(plane: &Plane, call: &Call) -> Outcome {
    let collection = collections::found(plane, call)?;
    plane.collections.forget_gate(call.principal.team, &collection).map_err(|e| e.report())?;
    json(&collections::show(&collections::counted(plane, call)?, &call.principal))
}

/// As somebody creates it.
pub(crate) fn wanted(plane: &Plane, wanted: &api::CollectionRanking) -> Result<Ranking, Report> {
    let deadline_ms = deadline(wanted.rerank_deadline_ms)?.unwrap_or(RERANK_MS);
    let reranker = match &wanted.reranker {
        None => None,
        Some(model) => {
            let of_name = |m: &api::Model| m.name == *model || m.aliases.contains(model);
            if !plane.host.models().iter().any(of_name) {
                return Err(Report::new(
                    "CT0003",
                    format!("there is no model \"{model:.100}\" to rerank with"),
                )
                .hint("`bedplate model list` shows all"));
            }
            Some(Reranker { model: model.clone(), deadline_ms })
        }
    };
    if wanted.half_life_s.is_some_and(|s| !(1..=HALF_LIFE_MAX).contains(&s)) {
        let what = format!("half_life_s is {:?}; write 1 to {HALF_LIFE_MAX}", wanted.half_life_s);
        return Err(Report::new("CT0002", what));
    }
    if let Some(mmr) = wanted.mmr.filter(|mmr| !(0.0..=1.0).contains(mmr)) {
        return Err(Report::new("CT0002", format!("mmr is {mmr}; write 0 to 1")));
    }
    let mmr_percent = wanted.mmr.map(|mmr| (mmr * 100.0).round() as u8);
    Ok(Ranking { reranker, half_life_s: wanted.half_life_s, mmr_percent })
}

/// As a manifest declares it.
pub(crate) fn declared(declared: &manifest::Collection) -> Ranking {
    let deadline_ms = declared.rerank_deadline_ms.unwrap_or(RERANK_MS);
    Ranking {
        reranker: declared.reranker.clone().map(|model| Reranker { model, deadline_ms }),
        half_life_s: declared.half_life_s,
        mmr_percent: declared.mmr_percent,
    }
}

/// Who orders what a search finds.
pub(crate) fn of_search(asked: &api::SearchCollection) -> Result<Reranking<'_>, Report> {
    let deadline_ms = deadline(asked.rerank_deadline_ms)?;
    match &asked.rerank {
        Some(_) if asked.no_rerank => {
            Err(Report::new("CT0002", "rerank and no_rerank stand beside each other; write one of them"))
        }
        Some(model) => Ok(Reranking::By { model, deadline_ms }),
        None if asked.no_rerank => Ok(Reranking::Without),
        None => Ok(Reranking::Declared),
    }
}

fn deadline(ms: Option<u32>) -> Result<Option<u32>, Report> {
    match ms {
        Some(ms) if !(1..=RERANK_MS_MAX).contains(&ms) => {
            Err(Report::new("CT0002", format!("rerank_deadline_ms is {ms}; write 1 to {RERANK_MS_MAX}")))
        }
        sound => Ok(sound),
    }
}

pub(crate) fn show(ranking: &Ranking) -> api::CollectionRanking {
    api::CollectionRanking {
        reranker: ranking.reranker.as_ref().map(|r| r.model.clone()),
        rerank_deadline_ms: ranking.reranker.as_ref().map(|r| r.deadline_ms),
        half_life_s: ranking.half_life_s,
        mmr: ranking.mmr_percent.map(|percent| f32::from(percent) / 100.0),
    }
}

pub(crate) fn show_gate(fitted: &Fitted, embedder: &str) -> api::CollectionGate {
    api::CollectionGate {
        embedder: embedder.into(),
        vectors_weigh: fitted.gate.shares().map(|(script, share)| (script.name().into(), share)).collect(),
        questions: fitted.questions,
        words: fitted.words,
        vectors: fitted.vectors,
        both: fitted.both,
        held_out: fitted.held_out,
        fitted: fitted.at.to_string(),
    }
}
