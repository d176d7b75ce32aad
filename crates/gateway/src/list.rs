//! The surfaces that dispatch nothing: lists of models, and token counts.

use std::time::Duration;

use dialects::openai::models::ModelCard;
use net::server::{Request, Response};
use net::{HeaderValue, StatusCode};
use policy::{Principal, Purpose};
use report::Report;

use crate::account::Arrival;
use crate::journey::Stop;
use crate::judge::{Findings, Question};
use crate::{Place, Route, Surface, Worker, admit, decode, identify, label};

/// `/v1/models` and `/v1/models/{model}`: what this key may use.
pub(crate) async fn models(
    worker: &Worker,
    arrival: &mut Arrival,
    request: Request,
) -> Result<Response, Stop> {
    let principal = identify::identify(worker, arrival, &request).await?;
    let body = if arrival.surface == Surface::ShowModel {
        let name = request.path().strip_prefix("/v1/models/").unwrap_or_default();
        // Names with a slash or a colon arrive percent-encoded from the official clients.
        let name = net::percent_decode(name);
        let card = cards(arrival, &principal).into_iter().find(|c| c.id == name);
        let card = card.ok_or_else(|| {
            Report::new("GW0005", format!("no model is named \"{name:.100}\"")).hint("see `GET /v1/models`")
        })?;
        if arrival.anthropic {
            dialects::anthropic::models::one(&card)
        } else {
            dialects::openai::models::one(&card)
        }
    } else {
        let cards = cards(arrival, &principal);
        if arrival.anthropic {
            dialects::anthropic::models::list(&cards)
        } else {
            dialects::openai::models::list(&cards)
        }
    };
    Ok(tagged(arrival, Response::json(StatusCode::OK, body)))
}

fn cards(arrival: &Arrival, principal: &Principal) -> Vec<ModelCard> {
    let granted = |route: &Route| {
        policy::may_use(principal, &route.name).is_ok()
            && arrival.snapshot.world.in_catalogue(&principal.team_name, &route.name)
            && route.feature.as_ref().is_none_or(|feature| feature.may_use(principal).is_ok())
    };
    let granted = arrival.snapshot.routes.iter().filter(|(_, route)| granted(route));
    granted
        .map(|(name, route)| ModelCard {
            id: name.to_string(),
            created: route.created,
            owned_by: route.targets.first().map(|t| t.provider.to_string()).unwrap_or_default(),
            display_name: name.to_string(),
        })
        .collect()
}

/// Anthropic's `/v1/messages/count_tokens`: exact where the local engine will
/// answer, an estimate marked as such elsewhere.
pub(crate) async fn count_tokens(
    worker: &Worker,
    arrival: &mut Arrival,
    request: Request,
) -> Result<Response, Stop> {
    let principal = identify::identify(worker, arrival, &request).await?;
    let body = decode::read(arrival, request).await?;
    let mut decoded = dialects::anthropic::count_tokens::decode(&body).map_err(Report::from)?;
    let route = admit::find_route(arrival, &principal, &decoded.request.model)?;
    if let Some(feature) = &route.feature {
        feature.prepend(&mut decoded.request);
    }
    let ticket = worker.gateway.limits().admit(&principal, 0, arrival.at).map_err(|d| d.report())?;
    worker.gateway.limits().true_up(ticket, 0);
    if let Some(unreadable) = arrival.unreadable.take() {
        return Err(unreadable.into());
    }
    let labels = label::arriving(arrival, &principal, &route);
    let question = Question {
        snapshot: &arrival.snapshot,
        principal: &principal,
        on_behalf_of: principal.acting_for.and_then(|id| arrival.snapshot.world.user_name(id)),
        route: &route,
        surface: arrival.surface,
        labels: &labels,
        findings: &Findings::default(),
        budget_left: None,
    };
    question.ask().1?;
    let local = route.targets.iter().find_map(|t| match &t.place {
        // A model that may not have the prompt may not count it either.
        Place::Engine { model, .. } => {
            policy::admissible(&labels, &t.admits, Purpose::Chat).ok().map(|_cleared| model)
        }
        Place::Remote(_) => None,
    });
    let (tokens, estimated) = match local {
        // Counting is the model's own work, so it is loaded for it.
        Some(model) => {
            let patience = Duration::from_millis(u64::from(route.deadlines.total_ms));
            let engine = model.acquire(patience).await?;
            (u64::from(engine.count_tokens(&decoded.request).await.map_err(|e| e.report())?), false)
        }
        None => (body.len() as u64 / 4, true),
    };
    let mut response =
        Response::json(StatusCode::OK, dialects::anthropic::count_tokens::encode_response(tokens));
    if estimated {
        response.headers.insert("bedplate-estimated", HeaderValue::from_static("true"));
    }
    Ok(tagged(arrival, response))
}

fn tagged(arrival: &Arrival, mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&arrival.id.to_string()) {
        response.headers.insert("x-request-id", id);
    }
    response
}
