//! The record of requests, for people.

use policy::{Action, Principal};
use report::Report;
use store::{Attempt, AttemptOutcome, Outcome as Ended, Record, State};
use units::{KeyId, Usd, UserId};

use crate::Plane;
use crate::access::{key_name, team_name};
use crate::call::{Call, Outcome, json};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let limit = match call.query("limit") {
        None => LIMIT_DEFAULT,
        Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
            Report::new("CT0002", format!("limit is \"{text:.20}\"; write 1 to {LIMIT_MAX}"))
        })?,
    };
    json(&api::List::from(recent(plane, &call.principal, limit)?))
}

/// The last requests that the principal may see, the newest first.
pub(crate) fn recent(
    plane: &Plane,
    who: &Principal,
    limit: usize,
) -> Result<Vec<api::RecordSummary>, Report> {
    let state = plane.state()?;
    // The port has no filter yet: a page of those who see a part is cut from the newest thousand.
    let wanted = if who.actions.has(Action::ReadAllRecords) { limit } else { LIMIT_MAX };
    let records = plane.store.recent(wanted).map_err(|e| e.report())?;
    let seen = records.iter().filter(|r| policy::may_see(who, r.team, r.key, user(&state, r.key)));
    Ok(seen.take(limit).map(|r| summary(&state, r)).collect())
}

pub(crate) fn explain(plane: &Plane, call: &Call) -> Outcome {
    json(&record(plane, &call.principal, call.param(0))?)
}

/// Everything about one request.
pub(crate) fn record(plane: &Plane, who: &Principal, text: &str) -> Result<api::Record, Report> {
    let id = text.parse().map_err(|e: units::IdError| Report::new("CT0002", e.to_string()))?;
    let record = plane.store.record(id).map_err(|e| e.report())?;
    let state = plane.state()?;
    // What another team may not see reads like what is not there.
    let seen = record.filter(|r| policy::may_see(who, r.team, r.key, user(&state, r.key)));
    let record = seen.ok_or_else(|| {
        Report::new("CT0003", format!("there is no record of request {text:.60}"))
            .hint("the id is in the `x-request-id` header of every answer")
    })?;
    let postings = plane.store.postings(id).map_err(|e| e.report())?;
    let (outcome, error_code) = ended(&record.outcome);
    let spent = record.spent.iter().map(|spent| stage_spent(plane, spent)).collect::<Result<Vec<_>, _>>()?;
    let total = Usd::sum(record.spent.iter().map(|spent| spent.cost).chain([record.cost]));
    Ok(api::Record {
        id: record.id.to_string(),
        at: record.at.to_string(),
        team: team_name(&state, record.team),
        key: key_name(&state, record.key),
        key_id: record.key.to_string(),
        surface: record.surface.clone(),
        model: record.model.clone(),
        end_user: record.end_user.clone(),
        stream: record.stream,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        outcome,
        error_code,
        status: record.status,
        generation: record.generation,
        decision: record.decision.clone(),
        held_usd: record.held.to_string(),
        cost_usd: record.cost.to_string(),
        duration_us: record.duration_us,
        steps: record
            .steps
            .iter()
            .map(|s| api::Step {
                name: s.name.to_string(),
                start_us: s.start_us,
                duration_us: s.duration_us,
                note: s.note.clone(),
            })
            .collect(),
        attempts: record.attempts.iter().map(attempt).collect(),
        rejected: record
            .rejected
            .iter()
            .map(|r| api::Rejected { target: r.target.clone(), reason: r.reason.clone() })
            .collect(),
        postings: postings.iter().map(posting).collect(),
        labels: record.labels.to_string(),
        policy: record.judged.as_ref().map(judged),
        spent,
        total_usd: Usd::from_wide(total).unwrap_or(Usd::MAX).to_string(),
    })
}

/// What a stage spent, with the legs of its request. Whoever may see a request may see what it
/// spent: it was made by the same key.
fn stage_spent(plane: &Plane, spent: &store::Spent) -> Result<api::StageSpent, Report> {
    let postings = plane.store.postings(spent.request).map_err(|e| e.report())?;
    Ok(api::StageSpent {
        stage: spent.stage.clone(),
        request_id: spent.request.to_string(),
        tokens: spent.tokens,
        cost_usd: spent.cost.to_string(),
        postings: postings.iter().map(posting).collect(),
    })
}

fn posting(posting: &store::Posting) -> api::Posting {
    api::Posting {
        attempt: posting.attempt.to_string(),
        account: posting.account.to_string(),
        amount_usd: posting.amount.to_string(),
    }
}

fn judged(judged: &store::Judged) -> api::PolicyDecision {
    api::PolicyDecision {
        allowed: judged.allowed,
        policy_hash: judged.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        determining: judged.determining.clone(),
        action: judged.action.clone(),
        purpose: judged.purpose.clone(),
        on_behalf_of: judged.on_behalf_of.clone(),
    }
}

/// Whose key it was.
fn user(state: &State, key: KeyId) -> Option<UserId> {
    // Keys are in the order of their ids.
    let at = state.keys.binary_search_by_key(&key, |k| k.id).ok()?;
    state.keys[at].user
}

fn summary(state: &State, record: &Record) -> api::RecordSummary {
    let (outcome, error_code) = ended(&record.outcome);
    let mut axes = [0u64; chat::Axis::ALL.len()];
    for attempt in &record.attempts {
        axes.iter_mut().zip(attempt.usage.0).for_each(|(sum, n)| *sum = sum.saturating_add(n));
    }
    api::RecordSummary {
        id: record.id.to_string(),
        at: record.at.to_string(),
        team: team_name(state, record.team),
        key: key_name(state, record.key),
        model: record.model.clone(),
        surface: record.surface.clone(),
        stream: record.stream,
        outcome,
        error_code,
        status: record.status,
        tokens: api::Tokens::from_axes(axes),
        cost_usd: record.cost.to_string(),
        duration_us: record.duration_us,
    }
}

fn ended(outcome: &Ended) -> (String, Option<String>) {
    match outcome {
        Ended::Completed => ("completed".into(), None),
        Ended::Refused(code) => ("refused".into(), Some(code.clone())),
        Ended::Failed(code) => ("failed".into(), Some(code.clone())),
        Ended::Abandoned => ("abandoned".into(), None),
        Ended::Crashed => ("crashed".into(), None),
    }
}

fn attempt(a: &Attempt) -> api::Attempt {
    let (outcome, error_code) = match &a.outcome {
        AttemptOutcome::Ok => ("ok", None),
        AttemptOutcome::Failed(code) => ("failed", Some(code.clone())),
        AttemptOutcome::Cancelled => ("cancelled", None),
    };
    api::Attempt {
        id: a.id.to_string(),
        purpose: a.purpose.clone(),
        provider: a.provider.clone(),
        upstream_model: a.upstream_model.clone(),
        started: a.started.to_string(),
        first_byte_us: a.first_byte_us,
        duration_us: a.duration_us,
        outcome: outcome.into(),
        error_code,
        status: a.status,
        tokens: api::Tokens::from_axes(a.usage.0),
        estimated: a.estimated,
        unreconciled: a.unreconciled,
        tier: a.tier.clone(),
        lines: a
            .lines
            .iter()
            .map(|l| api::Line {
                item: l.item.to_string(),
                quantity: l.quantity,
                rate_usd: l.rate.to_string(),
                amount_usd: l.amount.to_string(),
            })
            .collect(),
        cost_usd: a.cost.to_string(),
        price_from: a.price.as_ref().map(|(at, _)| at.to_string()),
        price_source: a.price.as_ref().map(|(_, source)| source.clone()),
        upstream_id: a.upstream_id.clone(),
        note: a.note.clone(),
    }
}
