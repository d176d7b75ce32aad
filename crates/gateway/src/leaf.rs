//! The leaf of a request: its record as the audit log states it, with what was
//! decided and by what.
//!
//! The record says what it was like for us, the leaf what can be held against
//! us: it is hashed, signed and handed out. So it names ids and codes, carries
//! commitments instead of content, and none of the words of a client but the
//! model's name.

use audit::{Coverage, Hash, Leaf, Part};
use chat::Axis;
use policy::Principal;
use store::{Outcome, Record};
use units::{OrgId, UserId};

/// What the steps of the journey found that the record does not say. Each field is filled by
/// the step that knows it; what no step has filled stays empty.
#[derive(Default)]
pub(crate) struct Evidence {
    /// What guards found, with the versions of what found it.
    pub guards: Vec<audit::Verdict>,
    /// The engine's fingerprint of the model's file; of the attempt under way.
    pub model: Option<Hash>,
    /// Bytes of text that guards looked at, and of text that went on after them;
    /// `None` where no guard looked: then the leaf says the body's bytes, unscanned.
    pub request_coverage: Option<Coverage>,
    pub response_coverage: Option<Coverage>,
    /// Commitments to both bodies as the client sent and was sent them; the
    /// comment with a stream's cost, which says the leaf's own cost, apart.
    pub request: Option<Hash>,
    pub response: Option<Hash>,
}

impl Evidence {
    /// Adds what guards said of the request (or of the answer).
    pub fn add(&mut self, verdict: &guards::Verdict, part: Part) {
        let side = if part == Part::Request { "request" } else { "answer" };
        let found = match verdict.summary() {
            nothing if nothing.is_empty() => "nothing found".to_owned(),
            found => found,
        };
        let mut versions: Vec<String> = Vec::new();
        for finding in &verdict.findings {
            let version = format!("{} {}", finding.detector.name, finding.detector.version);
            if !versions.contains(&version) {
                versions.push(version);
            }
        }
        self.guards.push(audit::Verdict {
            guard: guards::names(verdict),
            version: versions.join(", "),
            verdict: format!("{side}: {found}"),
        });
        let coverage = Coverage { scanned: verdict.scanned, sent: verdict.released };
        match part {
            Part::Request => self.request_coverage = Some(coverage),
            Part::Response => self.response_coverage = Some(coverage),
        }
    }
}

fn unscanned(sent: u64) -> Coverage {
    Coverage { scanned: 0, sent }
}

/// The leaf of a request by a principal, as bytes.
pub(crate) fn of(record: &Record, who: &Principal, evidence: Evidence) -> Vec<u8> {
    build("infer", record, Some(who.org), who.user, evidence)
}

/// The leaf of a request that a crash cut off: what its hold still says.
pub fn crashed(record: &Record, org: Option<OrgId>) -> Vec<u8> {
    build("infer", record, org, None, Evidence::default())
}

/// The leaf of a tool call: what the gate said of it is in its record's decision.
pub(crate) fn of_tool_call(record: &Record, who: &Principal) -> Vec<u8> {
    build("tool.call", record, Some(who.org), who.user, Evidence::default())
}

fn build(
    action: &str,
    record: &Record,
    org: Option<OrgId>,
    user: Option<UserId>,
    evidence: Evidence,
) -> Vec<u8> {
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
        org,
        team: Some(record.team),
        key: Some(record.key),
        user,
        action: action.into(),
        resource: record.model.clone(),
        decision: format!("{verdict}: {}", record.decision),
        policy_set: judged.map(|j| Hash(j.hash)),
        policies: judged.map(|j| j.determining.clone()).unwrap_or_default(),
        guards: evidence.guards,
        target: last.map(|a| format!("{}/{}", a.provider, a.upstream_model)).unwrap_or_default(),
        model: evidence.model,
        labels: record.labels.to_string(),
        tokens: Axis::ALL.into_iter().map(|axis| (axis.name().to_owned(), tokens(axis))).collect(),
        cost_pico: record.cost.pico(),
        request: evidence.request,
        response: evidence.response,
        request_bytes: evidence.request_coverage.unwrap_or(unscanned(record.request_bytes)),
        response_bytes: evidence.response_coverage.unwrap_or(unscanned(record.response_bytes)),
        request_id: Some(record.id),
        outcome,
    }
    .encode()
}
