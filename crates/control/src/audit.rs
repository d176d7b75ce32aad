//! The audit log: what was decided here, and what an auditor may read of it.

use ::audit::{Books, Difference, Hash, Leaf, Signature, Verifier};
use base64ct::{Base64, Encoding};
use policy::Principal;
use report::Report;
use store::{Entry, LEAVES_MAX};
use units::{Micros, OrgId, RequestId, Usd};

use crate::call::{Call, Outcome, Refusal, json};
use crate::{Plane, access, openings};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;

pub(crate) fn key(plane: &Plane, _call: &Call) -> Outcome {
    let key = plane.audit.with(|keeper, _| Ok(keeper.verifier().clone())).map_err(|e| e.report())?;
    json(&api::AuditKey { origin: key.name().to_owned(), key: key.to_string() })
}

/// The newest leaves, or those from a number on; to a viewer its own team's.
pub(crate) fn leaves(plane: &Plane, call: &Call) -> Outcome {
    let limit = match call.query("limit") {
        None => LIMIT_DEFAULT,
        Some(text) => text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n)).ok_or_else(|| {
            Report::new("CT0002", format!("limit is \"{text:.20}\"; write 1 to {LIMIT_MAX}"))
        })?,
    };
    let size = plane.store.log_size().map_err(|e| e.report())?;
    let all = reads_all(&call.principal);
    // A viewer's page is cut from the newest two thousand.
    let reach = if all { limit } else { LEAVES_MAX };
    let from = match call.query("from") {
        None => size.saturating_sub(reach as u64),
        Some(text) => index(text)?,
    };
    let signed = plane.audit.with(|keeper, _| Ok(keeper.size())).map_err(|e| e.report())?;
    let found = plane.store.leaves(from, reach).map_err(|e| e.report())?;
    let mut data = Vec::new();
    for (n, bytes) in (from..).zip(found) {
        let leaf = Leaf::decode(&bytes).map_err(|e| e.report().at(format!("leaf {n}")))?;
        if may_see(&call.principal, &leaf) {
            data.push(show(n, &leaf));
        }
    }
    if call.query("from").is_none() {
        data.drain(..data.len().saturating_sub(limit));
    }
    data.truncate(limit);
    json(&api::AuditLog { size, signed, data })
}

pub(crate) fn prove(plane: &Plane, call: &Call) -> Outcome {
    receipt_of(plane, call, index(call.param(0))?)
}

pub(crate) fn receipt(plane: &Plane, call: &Call) -> Outcome {
    receipt_of(plane, call, of_request(plane, call.param(0))?)
}

fn receipt_of(plane: &Plane, call: &Call, index: u64) -> Outcome {
    let receipt = plane.audit.with(|keeper, store| keeper.receipt(store, index)).map_err(|e| e.report())?;
    let leaf = Leaf::decode(&receipt.leaf).map_err(|e| e.report())?;
    // What another team may not see reads like what is not there.
    if !may_see(&call.principal, &leaf) {
        return Err(none(format!("no leaf {index}")).into());
    }
    json(&api::AuditReceipt { leaf: show(index, &leaf), receipt: receipt.to_string() })
}

pub(crate) fn reconcile(plane: &Plane, _call: &Call) -> Outcome {
    json(&show_books(&::audit::reconcile(&*plane.store).map_err(|e| e.report())?))
}

/// What was compared, in words.
pub fn show_books(books: &Books) -> api::AuditBooks {
    let difference = |d: &Difference| api::AuditDifference {
        request_id: d.request.map(|id| id.to_string()),
        leaf: d.leaf,
        what: d.what.into(),
        log: d.log.clone(),
        books: d.books.clone(),
    };
    api::AuditBooks {
        agrees: books.is_sound(),
        records: books.records,
        same: books.agree,
        older: books.older,
        without_leaf: books.without_leaf,
        without_record: books.without_record,
        different: books.differ,
        differences: books.differences.iter().map(difference).collect(),
    }
}

pub(crate) fn cosign(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::AddCosignature = call.read()?;
    let key = Verifier::parse(&wanted.key).map_err(|e| e.report())?;
    let signature = Signature::parse(wanted.signature.trim_end()).map_err(|e| e.report())?;
    let note = plane.audit.with(|keeper, store| keeper.cosigned(store, wanted.size, &key, signature));
    json(&api::AuditCheckpoint { note: note.map_err(|e| e.report())?.to_string() })
}

/// Writes down what is about to be done, and waits until that is durable: what
/// was done and what was refused are then never without a leaf, and a change
/// that a crash cut off has one too.
pub(crate) fn decided(plane: &Plane, call: &Call) -> Result<(), Refusal> {
    let id = RequestId(runtime::new_id());
    let mut leaf = event(&call.principal, call, id);
    if !call.body.is_empty() {
        let team = Some(call.principal.team);
        (leaf.request, leaf.salts) = openings::committed(&plane.keys, team, id, &call.body)?;
    }
    note(plane, leaf).map_err(Refusal::from)
}

/// The same for what the operator of the host changes, who is nobody's key: the
/// platform's salts commit to its text.
pub(crate) fn configured(
    plane: &Plane,
    action: &str,
    from: &str,
    text: &str,
    org: Option<OrgId>,
    now: Micros,
) -> Result<(), Report> {
    let id = RequestId(runtime::new_id());
    let (request, salts) = openings::committed(&plane.keys, None, id, text.as_bytes())?;
    let leaf = Leaf {
        time: now,
        org,
        action: action.into(),
        resource: from.into(),
        decision: "allow: the operator of the host".into(),
        request,
        salts,
        request_bytes: ::audit::Coverage { scanned: 0, sent: text.len() as u64 },
        request_id: Some(id),
        ..Leaf::default()
    };
    note(plane, leaf)
}

/// Writes down that a principal was refused an operation that changes something.
/// Nobody waits for it.
pub(crate) fn refused(plane: &Plane, who: &Principal, route: &api::Route, resource: String, now: Micros) {
    let leaf = Leaf {
        time: now,
        org: Some(who.org),
        team: Some(who.team),
        key: Some(who.key),
        user: who.user,
        action: route.name.into(),
        resource,
        decision: "deny: the role of the key".into(),
        request_id: Some(RequestId(runtime::new_id())),
        ..Leaf::default()
    };
    plane.store.append(Entry::Leaf(leaf.encode()), Box::new(|_| {}));
}

fn event(who: &Principal, call: &Call, id: RequestId) -> Leaf {
    let mut resource = call.params.join("/");
    // Most of what is made has its name in the body. Nothing else of it is written.
    if resource.is_empty()
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(&call.body)
        && let Some(name) = value["name"].as_str()
    {
        resource = name.to_owned();
    }
    // Which role is what the change is about, and one of our own words.
    if call.route.name == "set_user_role"
        && let Ok(wanted) = serde_json::from_slice::<api::SetUserRole>(&call.body)
    {
        resource = format!("{resource} as {}", access::role(wanted.role).name());
    }
    Leaf {
        time: call.now,
        org: Some(who.org),
        team: Some(who.team),
        key: Some(who.key),
        user: who.user,
        action: call.route.name.into(),
        resource,
        decision: "allow".into(),
        request_bytes: ::audit::Coverage { scanned: 0, sent: call.body.len() as u64 },
        request_id: Some(id),
        ..Leaf::default()
    }
}

/// A leaf by its number, or by the id of its request.
pub(crate) fn find(plane: &Plane, named: &str) -> Result<(u64, Leaf), Report> {
    let index = match named.parse::<u64>() {
        Ok(index) => index,
        Err(_) => of_request(plane, named)?,
    };
    let bytes = plane.store.leaves(index, 1).map_err(|e| e.report())?.into_iter().next();
    let bytes = bytes.ok_or_else(|| none(format!("no leaf {index}")))?;
    Ok((index, Leaf::decode(&bytes).map_err(|e| e.report())?))
}

fn of_request(plane: &Plane, text: &str) -> Result<u64, Report> {
    let id = text.parse().map_err(|e: units::IdError| Report::new("CT0002", e.to_string()))?;
    let found = plane.store.leaf_of(id).map_err(|e| e.report())?;
    found.ok_or_else(|| none(format!("no leaf for request {text:.60}")))
}

/// Appends a leaf and waits until it is durable. For a blocking thread.
pub fn note(plane: &Plane, leaf: Leaf) -> Result<(), Report> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    plane.store.append(Entry::Leaf(leaf.encode()), done);
    receiver.recv().unwrap_or(Err(store::Error::Closed)).map_err(|e| e.report())
}

fn reads_all(who: &Principal) -> bool {
    policy::allows(who, policy::Action::ReadAudit).is_ok()
}

fn may_see(who: &Principal, leaf: &Leaf) -> bool {
    let own = |(team, key)| policy::may_see(who, team, key, leaf.user);
    reads_all(who) || leaf.team.zip(leaf.key).is_some_and(own)
}

fn index(text: &str) -> Result<u64, Report> {
    text.parse().map_err(|_| Report::new("CT0002", format!("\"{text:.20}\" is no number of a leaf")))
}

fn none(what: String) -> Report {
    Report::new("AU0005", format!("the audit log has {what}"))
        .hint("the id is in the `x-request-id` header of every answer")
}

/// A leaf in words.
pub fn show(index: u64, leaf: &Leaf) -> api::AuditLeaf {
    let hash = |hash: Option<Hash>| hash.map(|h| Base64::encode_string(&h.0));
    api::AuditLeaf {
        index,
        time: leaf.time.to_string(),
        org: leaf.org.map(|id| id.to_string()),
        team: leaf.team.map(|id| id.to_string()),
        key: leaf.key.map(|id| id.to_string()),
        user: leaf.user.map(|id| id.to_string()),
        action: leaf.action.clone(),
        resource: leaf.resource.clone(),
        decision: leaf.decision.clone(),
        policy_set: hash(leaf.policy_set),
        policies: leaf.policies.clone(),
        guards: leaf
            .guards
            .iter()
            .map(|g| api::AuditVerdict {
                guard: g.guard.clone(),
                version: g.version.clone(),
                verdict: g.verdict.clone(),
            })
            .collect(),
        target: leaf.target.clone(),
        model_digest: hash(leaf.model),
        labels: leaf.labels.clone(),
        tokens: leaf.tokens.iter().cloned().collect(),
        cost_usd: Usd::from_pico(leaf.cost_pico).to_string(),
        request_commitment: hash(leaf.request),
        response_commitment: hash(leaf.response),
        salts: leaf.salts,
        request_bytes: leaf.request_bytes.sent,
        request_bytes_scanned: leaf.request_bytes.scanned,
        response_bytes: leaf.response_bytes.sent,
        response_bytes_scanned: leaf.response_bytes.scanned,
        request_id: leaf.request_id.map(|id| id.to_string()),
        outcome: leaf.outcome.clone(),
    }
}
