//! The leaf of a request: its record as the audit log states it, with what was
//! decided and by what.
//!
//! The record says what it was like for us, the leaf what can be held against
//! us: it is hashed, signed and handed out. So it names ids and codes, carries
//! commitments instead of content, and none of the words of a client but the
//! model's name.

use audit::{Commitment, Coverage, Hash, Leaf, Part, SaltKey};
use policy::Principal;
use seal::{KeyRing, Purpose};
use store::Record;
use units::{OrgId, RequestId, TeamId, UserId};

/// What the commitments of one request are salted from: its team's own key, so
/// that they can be opened as long as the team is there and by nobody afterwards.
pub(crate) struct Salts {
    /// Of the key; the leaf says it.
    pub version: u32,
    key: SaltKey,
}

impl Salts {
    /// Unwraps the team's key, in about a microsecond, and never makes one: that
    /// is a write, and was done when the team came into force. A team whose key
    /// could not be made (it is told then) has leaves without commitments.
    pub fn of(keys: &KeyRing, team: TeamId) -> Option<Salts> {
        let (version, key) = keys.tenant(team).kept(Purpose::Commitments, None).ok()??;
        Some(Salts { version, key: SaltKey::new(key.expose()) })
    }
    pub fn begin(&self, request: RequestId, part: Part) -> Commitment {
        Commitment::new(&self.key.salt(request, part))
    }
}

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
    /// The version of the key that both are salted from.
    pub salts: u32,
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
        let covered = match part {
            Part::Request => &mut self.request_coverage,
            Part::Response => &mut self.response_coverage,
        };
        // What a loop added to its request was looked at by itself.
        let covered = covered.get_or_insert(Coverage { scanned: 0, sent: 0 });
        covered.scanned = covered.scanned.saturating_add(verdict.scanned);
        covered.sent = covered.sent.saturating_add(verdict.released);
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
    let committed = evidence.request.or(evidence.response).is_some();
    Leaf {
        org,
        user,
        action: action.into(),
        guards: evidence.guards,
        model: evidence.model,
        request: evidence.request,
        response: evidence.response,
        salts: if committed { evidence.salts } else { 0 },
        request_bytes: evidence.request_coverage.unwrap_or(unscanned(record.request_bytes)),
        response_bytes: evidence.response_coverage.unwrap_or(unscanned(record.response_bytes)),
        ..audit::of_record(record)
    }
    .encode()
}
