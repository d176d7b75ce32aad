//! The double-entry postings of an attempt: what the team's account is charged
//! and whom it is owed to. Their sum is zero, always.

use std::sync::Arc;

use chat::Axis;
use store::{Attempt, AttemptOutcome, HoldRow, Outcome, Posting, Record, UsageRow};
use units::{AttemptId, Micros, Usd};

/// Owed to nobody yet: something of the attempt has no known price.
const UNPRICED: &str = "suspense:unpriced";
/// Owed to nobody yet: the process died before the cost was known.
const CRASHED: &str = "suspense:crashed";

/// The postings of one attempt.
///
/// `expense:<team>/<model>` is debited with the cost; the credits go to
/// `engine:<provider>` and `energy:<provider>` for machine time,
/// `payable:<provider>` for everything else. An unpriced attempt credits only
/// `suspense:unpriced`, even with zero, so that a later price can be posted as
/// a correction. An attempt that used nothing has no postings.
pub fn postings(team_name: &str, model: &str, attempt: &Attempt) -> Vec<Posting> {
    let leg = |account: &str, pico: i128| Posting {
        attempt: attempt.id,
        account: account.into(),
        amount: Usd::from_wide(pico).expect("a part of a cost that fits i64 pico-dollars fits too"),
    };
    let cost = i128::from(attempt.cost.max(Usd::ZERO).pico());
    let expense = format!("expense:{team_name}/{model}");
    if attempt.price.is_none() {
        if attempt.lines.is_empty() && attempt.usage == UsageRow::default() && cost == 0 {
            return Vec::new();
        }
        return vec![leg(&expense, cost), leg(UNPRICED, -cost)];
    }
    if cost == 0 {
        return Vec::new();
    }
    let on = |item: &str| Usd::sum(attempt.lines.iter().filter(|l| l.item == item).map(|l| l.amount));
    let (machine, energy) = match (on("machine"), on("energy")) {
        (m, e) if m >= 0 && e >= 0 && m + e <= cost => (m, e),
        // Lines that say more than the cost are wrong; the cost is what was settled.
        _ => (0, 0),
    };
    let mut legs = vec![leg(&expense, cost)];
    // What is left is the provider's, by subtraction: the sum cannot be anything but zero.
    for (kind, pico) in [("engine", machine), ("energy", energy), ("payable", cost - machine - energy)] {
        if pico != 0 {
            legs.push(leg(&format!("{kind}:{}", attempt.provider), -pico));
        }
    }
    legs
}

/// The record and postings of a hold that a crash left behind: the whole hold
/// is charged and parked in `suspense:crashed`, because the target may have
/// billed up to that much and nobody saw how much it was.
pub fn crash_postings(
    hold: &HoldRow,
    team_name: &str,
    attempt: AttemptId,
    now: Micros,
    generation: u64,
) -> (Record, Vec<Posting>) {
    let account = |name: String| -> Arc<str> { name.into() };
    let cost = hold.amount.max(Usd::ZERO);
    let credit = Usd::ZERO.checked_sub(cost).expect("the negative of a positive i64 fits");
    let postings = vec![
        Posting { attempt, account: account(format!("expense:{team_name}/{}", hold.model)), amount: cost },
        Posting { attempt, account: account(CRASHED.into()), amount: credit },
    ];
    let duration_us = now.since(hold.at);
    let record = Record {
        id: hold.request,
        at: hold.at,
        team: hold.team,
        key: hold.key,
        surface: String::new(),
        model: hold.model.clone(),
        end_user: None,
        stream: false,
        request_bytes: 0,
        response_bytes: 0,
        outcome: Outcome::Crashed,
        status: 0,
        generation,
        decision: format!("admitted with {cost} USD held; the process died before it was settled"),
        held: hold.amount,
        cost,
        duration_us,
        steps: Vec::new(),
        attempts: vec![Attempt {
            id: attempt,
            purpose: "crashed".into(),
            // A hold is taken before the route is planned, and does not know its target.
            provider: "unknown".into(),
            upstream_model: "unknown".into(),
            started: hold.at,
            first_byte_us: None,
            duration_us,
            outcome: AttemptOutcome::Cancelled,
            status: 0,
            usage: UsageRow([0; Axis::ALL.len()]),
            estimated: true,
            unreconciled: false,
            tier: String::new(),
            lines: Vec::new(),
            cost,
            price: None,
            upstream_id: String::new(),
            note: "the hold, posted to suspense:crashed at the next start".into(),
        }],
        rejected: Vec::new(),
        labels: units::Labels::default(),
        judged: None,
        spent: Vec::new(),
    };
    (record, postings)
}

#[cfg(test)]
mod tests;
