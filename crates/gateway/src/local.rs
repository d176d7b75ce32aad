//! The local engine's side of steps 8 and 9.

use chat::{Event, Response};
use dialects::Dialect;
use engine::Caller;
use engine_process::Generation;
use report::Report;
use ring::digest::{Context, SHA256};
use units::{Labels, TeamId};

use crate::account::{Account, Admitted};
use crate::models::Lease;
use crate::prepare::Prepared;
use crate::reply::{Reply, Trouble};

/// Hands the request to the engine. It waits in the engine's own queue.
pub(crate) async fn submit(prepared: &mut Prepared, engine: Lease, adapter: u32) -> Result<Reply, Trouble> {
    let caller = Caller { adapter, ..caller(&prepared.admitted) };
    let decoded = prepared.asked.decoded().map_err(Trouble::final_)?;
    if let Some(name) = decoded.form_unread() {
        let report = Report::new("EN0010", "the local engine does not read this field").at(name);
        return Err(Trouble::elsewhere(
            report.hint("say it as structured_outputs: {choice, regex, json, grammar}"),
        ));
    }
    let request = &decoded.request;
    let submitted = match prepared.asked.dialect {
        Dialect::OpenaiCompletions => engine.complete_as(request, &caller).await,
        _ => engine.submit_as(request, &caller).await,
    };
    let generation = submitted.map_err(|error| trouble(&error))?;
    prepared.admitted.input_tokens = u64::from(generation.prompt_tokens());
    prepared.admitted.live().status = 200;
    Ok(Reply::Engine(generation, engine))
}

/// Teams take turns, and reuse only what they computed themselves on data with the
/// same labels (TRAPS X9).
fn caller(admitted: &Admitted) -> Caller {
    let team = u128::from_be_bytes(*admitted.principal.team.0.as_bytes());
    // What nobody may wait for any more is not computed.
    let total_us = i64::from(admitted.route.deadlines.total_ms) * 1_000;
    let deadline = Some(admitted.at.plus_us(total_us));
    let route = &admitted.route;
    Caller {
        tenant: team,
        scope: scope(admitted.principal.team, &admitted.labels),
        weight: admitted.snapshot.teams.get(&admitted.principal.team).map_or(1, |team| team.weight),
        deadline,
        // Put before the client's messages by step 6.
        pinned_messages: u32::from(route.feature.as_ref().is_some_and(|f| f.prompt.is_some())),
        banned: route.banned.clone(),
        ..Caller::default()
    }
}

/// What was computed is found again within a scope only. By SHA-256, since a client
/// has a say in its labels: none may lead into another's scope.
fn scope(team: TeamId, labels: &Labels) -> u128 {
    let mut context = Context::new(&SHA256);
    context.update(team.0.as_bytes());
    context.update(labels.to_string().as_bytes());
    let digest = context.finish();
    u128::from_be_bytes(digest.as_ref()[..16].try_into().expect("SHA-256 has 32 bytes"))
}

/// A full queue or a failed engine may be answered elsewhere; a request that
/// this engine cannot do, too.
pub(crate) fn trouble(error: &engine::Error) -> Trouble {
    let report = error.report();
    match report.blame {
        report::Blame::Client => Trouble::elsewhere(report),
        _ => Trouble { again: false, ..Trouble::unwell(report) },
    }
}

/// What ended an answer of the engine. The kind is the code of its error.
pub(crate) fn failure(kind: &str, message: &str) -> Report {
    match kind {
        "EN0012" => engine::Error::Crashed(message.to_owned()).report(),
        "EN0013" => engine::Error::Late.report(),
        _ => engine::Error::Failed(message.to_owned()).report(),
    }
}

/// The next event, metered; `None` after the last.
pub(crate) async fn next(account: &mut Account, generation: &mut Generation) -> Option<Event> {
    let event = generation.next().await;
    account.live().busy_us = generation.busy_us();
    if let Some(guard) = &mut account.guard {
        guard.withheld(generation.withheld());
    }
    if let Some(event) = &event {
        meter(account, event);
    }
    event
}

/// The whole answer.
pub(crate) async fn fold(account: &mut Account, mut generation: Generation) -> Response {
    let mut response = Response::default();
    while let Some(event) = next(account, &mut generation).await {
        account.journal_hold();
        response.push(event);
    }
    response
}

/// Takes from an event what the ledger and the record need.
pub(crate) fn meter(account: &mut Account, event: &Event) {
    let text = match event {
        Event::Text { text, .. } | Event::Reasoning { text, .. } | Event::Refusal { text, .. } => text.len(),
        Event::ToolArguments { fragment, .. } => fragment.len(),
        Event::ToolStart { name, .. } => name.len(),
        _ => 0,
    };
    if text > 0 {
        account.first_byte();
        account.live().output_bytes += text as u64;
        return;
    }
    let live = account.live();
    match event {
        Event::Start { id, .. } => live.upstream_id.clone_from(id),
        Event::Usage(usage) => live.usage = Some(usage.clone()),
        Event::Tier(tier) => live.tier = Some(tier.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use units::Uuid7;

    use super::*;

    #[test]
    fn trap_x9_a_scope_is_a_teams_and_its_labels() {
        let of = |team: u8, labels: &str| {
            scope(TeamId(Uuid7::from_bytes([team; 16])), &labels.parse().expect("labels"))
        };
        let labels =
            ["public anywhere user", "internal anywhere user", "internal eu user", "internal eu untrusted"];
        let mut scopes = BTreeSet::new();
        for team in [1, 2] {
            scopes.extend(labels.map(|labels| of(team, labels)));
        }
        assert_eq!(scopes.len(), 8);
        assert_eq!(of(1, labels[0]), of(1, labels[0]), "what is computed is found again");
    }
}
