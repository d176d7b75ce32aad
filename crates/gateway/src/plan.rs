//! Step 7: which targets, in which order: [`routing::plan`] over this moment's health.

use routing::{Need, Plan, Reason};

use crate::Place;
use crate::account::Account;
use crate::prepare::Prepared;

pub(crate) fn plan(prepared: &mut Prepared) -> Plan {
    let from = runtime::clock::monotonic_us();
    let account = &mut prepared.admitted;
    // A guard may have learned what the decision at admission did not know.
    if let Err(denied) = account.judge_again() {
        account.step("plan", from, denied.code.0.into());
        account.denied = Some(denied);
        return Plan { attempts: Vec::new(), rejected: Vec::new() };
    }
    // Eight bytes to a token understates every tokenizer in use: only a prompt
    // that surely overflows rules a target out here; the rest its engine judges.
    let need = Need {
        embedding: account.surface == crate::Surface::Embed,
        reranking: account.surface == crate::Surface::Rerank,
        images: false,
        // An encoder reads its texts one by one, so their sum says nothing.
        input_tokens_min: match account.surface.encodes() {
            true => 0,
            false => prepared.asked.envelope.text_bytes as u64 / 8,
        },
        barred: barred(account),
    };
    let seed = account.id.0.as_bytes()[8..].try_into().map_or(0, u64::from_le_bytes);
    let route = account.route.clone();
    let mut plan = routing::plan(&route.candidates, &route.health(), &need, account.at, seed);
    let away = keep_local(account, &mut plan);
    account.rejected = plan
        .rejected
        .iter()
        .map(|r| store::Rejected {
            target: route.targets[r.target].sku.to_string(),
            reason: match account.clear(&route.targets[r.target]) {
                Err(why) if r.reason == Reason::Barred => why.to_string(),
                _ => r.reason.to_string(),
            },
        })
        .chain(
            route
                .absent
                .iter()
                .map(|(sku, why)| store::Rejected { target: sku.to_string(), reason: why.clone() }),
        )
        .chain(away)
        .collect();
    account.step("plan", from, String::new());
    plan
}

/// The targets that may not have the data, one bit each. A manifest names at most 32.
fn barred(account: &Account) -> u64 {
    let bars = |(at, target)| if account.clear(target).is_err() { 1u64 << at } else { 0 };
    (0..64).zip(account.route.targets.iter().map(AsRef::as_ref)).map(bars).sum()
}

/// Takes the targets outside of this process from the plan when a guard says so.
fn keep_local(account: &Account, plan: &mut Plan) -> Vec<store::Rejected> {
    let mut away: Vec<store::Rejected> = Vec::new();
    if !account.local_only {
        return away;
    }
    plan.attempts.retain(|attempt| {
        let target = &account.route.targets[attempt.target];
        let is_local = matches!(target.place, Place::Engine { .. });
        if !is_local && !away.iter().any(|r| r.target == *target.sku) {
            let reason = String::from("a guard allows only targets inside this process");
            away.push(store::Rejected { target: target.sku.to_string(), reason });
        }
        is_local
    });
    away
}
