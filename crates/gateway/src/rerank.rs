//! Reranking: like embeddings, but for what is computed and what it may cost.

use bytes::Bytes;

use crate::account::Admitted;
use crate::admit::Worst;
use crate::decode::Asked;
use crate::dispatch;
use crate::local;
use crate::models::Model;
use crate::reply::Trouble;
use report::Report;

/// The query is read once with each document.
pub(crate) fn worst(asked: &Asked) -> Result<Worst, Report> {
    let (request, _) = dialects::rerank::decode(&asked.body).map_err(Report::from)?;
    let again = (request.query.len() as u64).saturating_mul(request.documents.len() as u64 - 1);
    let worst = Worst::of(asked);
    // By the measures of `Asked`: three bytes to a token as a guess, one at most.
    Ok(Worst {
        input_tokens: worst.input_tokens.saturating_add(again / 3),
        input_tokens_max: worst.input_tokens_max.saturating_add(again),
        ..worst
    })
}

pub(crate) async fn compute(
    admitted: &mut Admitted,
    asked: &Asked,
    model: &Model,
    others: bool,
) -> Result<Bytes, Trouble> {
    let (request, _) = dialects::rerank::decode(&asked.body).map_err(|e| Trouble::final_(e.into()))?;
    let engine = dispatch::lease(admitted, model, others).await?;
    let from = runtime::clock::monotonic_us();
    let scored = engine.rerank(&request.query, &request.documents).await.map_err(|e| local::trouble(&e))?;
    let live = admitted.live();
    live.status = 200;
    // As for vectors: at most what it was awaited for.
    live.busy_us = runtime::clock::monotonic_us().saturating_sub(from);
    let tokens = scored.iter().map(|(_, tokens)| u64::from(*tokens)).sum();
    let usage = chat::Usage::default().with(chat::Axis::Input, tokens);
    live.usage = Some(usage.clone());
    let scores: Vec<f32> = scored.into_iter().map(|(score, _)| score).collect();
    let response = chat::RerankResponse::of(&request, &admitted.model, &scores, usage);
    Ok(dialects::rerank::encode_response(&response))
}
