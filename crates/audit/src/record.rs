//! The part of a request's leaf that its record says. The one place where both
//! meet: what is written into the log and what is later compared with it cannot
//! drift apart.

use chat::Axis;
use store::{Outcome, Record};

use crate::{Hash, Leaf};

/// The leaf as far as the record says it: without the action, org and user, and
/// without what only the journey knew (guards, commitments, coverage).
pub fn of_record(record: &Record) -> Leaf {
    let judged = record.judged.as_ref();
    // A guard or the policy set may still say no to what was admitted.
    let denied = |code: &str| judged.is_some_and(|j| !j.allowed) || code.starts_with("GD");
    let (outcome, verdict) = match &record.outcome {
        Outcome::Completed => ("completed".into(), "allow"),
        Outcome::Refused(code) => (format!("refused {code}"), "deny"),
        Outcome::Failed(code) if denied(code) => (format!("failed {code}"), "deny"),
        Outcome::Failed(code) => (format!("failed {code}"), "allow"),
        Outcome::Abandoned => ("abandoned".into(), "allow"),
        Outcome::Crashed => ("crashed".into(), "allow"),
    };
    let last = record.attempts.last();
    let tokens =
        |axis: Axis| record.attempts.iter().map(|a| a.usage.get(axis)).fold(0u64, u64::saturating_add);
    Leaf {
        time: record.at,
        team: Some(record.team),
        key: Some(record.key),
        resource: record.model.clone(),
        decision: format!("{verdict}: {}", record.decision),
        policy_set: judged.map(|j| Hash(j.hash)),
        policies: judged.map(|j| j.determining.clone()).unwrap_or_default(),
        target: last.map(|a| format!("{}/{}", a.provider, a.upstream_model)).unwrap_or_default(),
        labels: record.labels.to_string(),
        tokens: Axis::ALL.into_iter().map(|axis| (axis.name().to_owned(), tokens(axis))).collect(),
        cost_pico: record.cost.pico(),
        request_id: Some(record.id),
        outcome,
        ..Leaf::default()
    }
}
