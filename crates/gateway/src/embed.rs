//! What an encoder does, vectors and scores, walks the same ten steps as chat.

use bytes::Bytes;
use net::server::{Request, Response};
use policy::Principal;
use report::Report;
use store::AttemptOutcome;

use crate::account::{Account, Admitted, Arrival};
use crate::decode::Asked;
use crate::journey::Stop;
use crate::models::Model;
use crate::prepare::Prepared;
use crate::reply::{Reply, Trouble};
use crate::{
    Place, Surface, Worker, admit, decode, dispatch, identify, local, plan, prepare, rerank, screen, stream,
};

pub(crate) async fn embed(
    worker: &Worker,
    arrival: &mut Arrival,
    request: Request,
) -> Result<Response, Stop> {
    let principal = identify::identify(worker, arrival, &request).await?;
    let asked = decode::decode(arrival, request).await?;
    walk(worker, arrival, principal, asked).await.map(|(response, _)| response)
}

/// The steps from the fourth on, and by what the answer was made.
pub(crate) async fn walk(
    worker: &Worker,
    arrival: &mut Arrival,
    principal: Principal,
    asked: Asked,
) -> Result<(Response, String), Stop> {
    let worst = match arrival.surface {
        Surface::Rerank => rerank::worst(&asked)?,
        _ => admit::Worst::of(&asked),
    };
    let admitted = admit::admit_worst(&worker.gateway, arrival, principal, worst)?;
    let screened = screen::screen(worker, admitted, asked).await?;
    let mut prepared = prepare::prepare(worker, screened).await?;
    let mut plan = plan::plan(&mut prepared);
    // The engine answers here and providers in dispatch; a route may hold both.
    let route = prepared.admitted.route.clone();
    while let Some(first) = plan.attempts.first().copied() {
        let target = &route.targets[first.target];
        let Place::Engine { model, .. } = &target.place else { break };
        if prepared.admitted.clear(target).is_err() {
            plan.attempts.remove(0);
            continue;
        }
        prepared.admitted.begin(target);
        let others = dispatch::others(&plan, first.target);
        let (admitted, asked) = (&mut prepared.admitted, &prepared.asked);
        let computed = match admitted.surface {
            Surface::Rerank => rerank::compute(admitted, asked, model, others).await,
            _ => compute(admitted, asked, model, others).await,
        };
        match computed {
            Ok(body) => {
                target.breaker().succeed();
                let made_by = made_by(&prepared.admitted);
                return Ok((stream::finish(prepared.admitted, body, &[]).await?, made_by));
            }
            Err(trouble) => {
                prepared.admitted.live().note = trouble.report.sentence();
                if trouble.unwell {
                    target.breaker().fail(runtime::clock::now(), None);
                } else {
                    target.breaker().forget();
                }
                prepared.admitted.end(AttemptOutcome::Failed(trouble.report.code.0.into()));
                plan.attempts.remove(0);
                if !trouble.elsewhere || plan.attempts.is_empty() {
                    return Err(Stop::Failed(prepared.admitted, trouble.report));
                }
            }
        }
    }
    let reply = dispatch::dispatch(worker, &mut prepared, &plan).await;
    let made_by = made_by(&prepared.admitted);
    Ok((answer(worker, prepared, reply).await?, made_by))
}

/// What makes an attempt's vectors comparable with others: the weights, where we have
/// them; else the provider and what it calls its model.
fn made_by(account: &Account) -> String {
    match (&account.live, &account.evidence.model) {
        (Some(live), Some(weights)) if matches!(live.target.place, Place::Engine { .. }) => {
            let digits: String = weights.0[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("local:{digits}")
        }
        (Some(live), _) => live.target.sku.to_string(),
        (None, _) => String::new(),
    }
}

async fn compute(
    admitted: &mut Admitted,
    asked: &Asked,
    model: &Model,
    others: bool,
) -> Result<Bytes, Trouble> {
    let (request, _rest) =
        dialects::openai::embeddings::decode(&asked.body).map_err(|e| Trouble::final_(e.into()))?;
    let mut texts = Vec::with_capacity(request.input.len());
    for input in request.input {
        match input {
            chat::EmbedInput::Text(text) => texts.push(text),
            chat::EmbedInput::Tokens(_) => {
                let report = Report::new("EN0004", "the local engine embeds texts, not token ids")
                    .at("input")
                    .hint("send strings");
                return Err(Trouble::elsewhere(report));
            }
        }
    }
    let engine = dispatch::lease(admitted, model, others).await?;
    let from = runtime::clock::monotonic_us();
    let vectors = engine.embed(texts).await.map_err(|e| local::trouble(&e))?;
    let live = admitted.live();
    live.status = 200;
    // The engine has one thread per model: what it was awaited for is what it was busy, at most.
    live.busy_us = runtime::clock::monotonic_us().saturating_sub(from);
    let tokens = vectors.iter().map(|(_, tokens)| u64::from(*tokens)).sum();
    let usage = chat::Usage::default().with(chat::Axis::Input, tokens);
    live.usage = Some(usage.clone());
    let response = chat::EmbedResponse {
        model: admitted.model.clone(),
        vectors: vectors.into_iter().map(|(vector, _)| vector).collect(),
        usage,
    };
    Ok(dialects::openai::embeddings::encode_response(&response, request.base64))
}

async fn answer(worker: &Worker, prepared: Prepared, reply: Result<Reply, Report>) -> Result<Response, Stop> {
    match reply {
        Ok(Reply::Engine(..)) | Ok(Reply::Frames { .. }) => {
            let report =
                Report::new("UP0004", "the target answered a request for vectors or scores with text");
            Err(Stop::Failed(prepared.admitted, report))
        }
        reply => stream::stream(worker, prepared, reply).await,
    }
}
