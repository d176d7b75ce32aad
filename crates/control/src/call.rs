//! From HTTP to an operation and back.

use std::sync::Arc;

use api::{Action, ErrorBody, ErrorResponse, Route};
use net::server::{Request, Response};
use net::{HeaderValue, StatusCode, header, percent_decode};
use policy::{Act, Principal};
use report::{Report, Retry};
use serde::Serialize;
use serde::de::DeserializeOwned;
use units::Micros;

use crate::{
    Plane, access, audit, collections, declare, elevate, keyring, memory, money, openings, policies, ranking,
    records, show, sources, tools, users,
};

/// Manifests are the largest bodies here,
const BODY_MAX: u64 = manifest::TEXT_BYTES_MAX as u64 + 1024;
/// but for documents.
const DOCUMENT_MAX: u64 = retrieval::DOCUMENT_BYTES_MAX as u64;

/// One call of an operation.
pub(crate) struct Call {
    pub route: &'static Route,
    pub params: Vec<String>,
    query: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What the body says it is, without parameters; empty when it says nothing.
    pub media_type: String,
    pub principal: Principal,
    pub now: Micros,
}

/// A successful answer: JSON text, or a JSON text a line.
pub(crate) struct Answer {
    body: Vec<u8>,
    media_type: &'static str,
}

/// Why there is none: the first report decides the status.
pub(crate) struct Refusal(pub Vec<Report>);

impl From<Report> for Refusal {
    fn from(report: Report) -> Refusal {
        Refusal(vec![report])
    }
}
impl From<Vec<Report>> for Refusal {
    fn from(reports: Vec<Report>) -> Refusal {
        Refusal(reports)
    }
}

pub(crate) type Outcome = Result<Answer, Refusal>;

/// Writes an answer.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    let body = serde_json::to_vec(value).map_err(unwritten)?;
    Ok(Answer { body, media_type: "application/json" })
}

/// Writes an answer of one value a line.
pub(crate) fn lines(values: &[serde_json::Value]) -> Outcome {
    let mut body = Vec::new();
    for value in values {
        serde_json::to_writer(&mut body, value).map_err(unwritten)?;
        body.push(b'\n');
    }
    Ok(Answer { body, media_type: "application/x-ndjson" })
}

fn unwritten(error: serde_json::Error) -> Report {
    Report::new("CT0005", "the answer could not be written").because(error.to_string())
}

impl Call {
    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
    /// The body as JSON of a known shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Report> {
        serde_json::from_slice(&self.body).map_err(|e| {
            Report::new("CT0002", "the body is not what this operation takes").because(e.to_string())
        })
    }
    pub fn text(&self) -> Result<&str, Report> {
        std::str::from_utf8(&self.body)
            .map_err(|e| Report::new("CT0002", "the body is not UTF-8").because(e.to_string()))
    }
}

/// Answers a request whose path begins with `/api/`.
///
/// `who` asks, or why that is not known: which is told only to who asked for
/// an operation that exists.
pub async fn answer(plane: Arc<Plane>, request: Request, who: Result<Principal, Report>) -> Response {
    match prepare(&plane, request, who).await {
        Ok(call) => {
            let status = call.route.status;
            let run = tokio::task::spawn_blocking(move || {
                if is_event(call.route) {
                    audit::decided(&plane, &call)?;
                }
                operate(&plane, &call)
            });
            match run.await {
                Ok(Ok(Answer { body, media_type })) => {
                    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                    Response::json(status, body)
                        .header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
                }
                Ok(Err(Refusal(reports))) => refuse(&reports),
                Err(_) => refuse(&[Report::new("CT0005", "the operation failed unexpectedly")]),
            }
        }
        Err(report) => refuse(&[report]),
    }
}

async fn prepare(plane: &Plane, request: Request, who: Result<Principal, Report>) -> Result<Call, Report> {
    let (params, route): (Vec<String>, _) = match api::find(request.method.as_str(), request.path()) {
        Ok(found) => (found.params.iter().map(|p| percent_decode(p)).collect(), found.route),
        Err(api::Miss::NotFound) => {
            return Err(Report::new("CT0001", format!("no operation has the path {:.200}", request.path()))
                .hint("GET /api/openapi.json lists them"));
        }
        Err(api::Miss::Method) => {
            return Err(Report::new(
                "GW0002",
                format!("{:.200} does not take {}", request.path(), request.method),
            ));
        }
    };
    let now = runtime::clock::now();
    let principal = who?;
    if let Err(report) = allows_any(&principal, required(route.action))
        .and_then(|()| act(route.action).map_or(Ok(()), |act| policies::allows(plane, &principal, act)))
    {
        if is_event(route) {
            audit::refused(plane, &principal, route, params.join("/"), now);
        }
        return Err(report);
    }
    let query = request.uri.query().map(pairs).unwrap_or_default();
    if let Some((name, _)) = query.iter().find(|(n, _)| !route.query.iter().any(|q| q.name == n)) {
        return Err(Report::new(
            "CT0002",
            format!("{} does not take the parameter \"{name:.60}\"", route.path),
        ));
    }
    let media_type = request.header(header::CONTENT_TYPE).and_then(|v| v.split(';').next());
    let media_type = media_type.map(|v| v.trim().to_ascii_lowercase()).unwrap_or_default();
    let limit = if matches!(route.request, api::Body::Document) { DOCUMENT_MAX } else { BODY_MAX };
    let body = request.body.read_all(limit).await.map_err(|e| Report::new("GW0004", e.to_string()))?;
    Ok(Call { route, params, query, body: body.to_vec(), media_type, principal, now })
}

/// Whether it is written down before it is done: what changes the rules. A
/// cosignature changes none, and is in the checkpoint itself.
fn is_event(route: &Route) -> bool {
    route.action.writes() && route.action != Action::Cosign
}

/// What the action of a route takes: any of these.
fn required(action: Action) -> &'static [policy::Action] {
    use policy::Action::*;
    match action {
        Action::ReadStatus => &[ReadStatus],
        Action::ReadTeams | Action::ReadKeys => &[ReadAccess],
        Action::WriteTeams | Action::WriteKeys => &[ManageAccess],
        Action::ReadBudgets | Action::ReadCosts | Action::CheckLedger => &[ReadCosts],
        Action::WriteBudgets => &[ManageBudgets],
        Action::ReadKeyring => &[ReadAccess],
        Action::WriteKeyring => &[ManagePolicy],
        Action::ReadModels => &[ReadModels],
        // Each document by its own readers: `collections`.
        Action::ReadCollections | Action::ReadDocuments | Action::SearchCollections => &[Retrieve],
        Action::WriteCollections | Action::WriteDocuments => &[WriteDocuments],
        // What is found of a source that nobody knew is a decision about security.
        Action::ReviewSources | Action::ReleaseSources => &[ManagePolicy],
        Action::WriteSources => &[Deploy],
        // What is remembered is what was asked, and nobody's but the asker's own: `memory`.
        Action::ReadMemory | Action::WriteMemory => &[Infer],
        Action::ReadPolicies | Action::ReadProviders | Action::ReadManifests => &[ReadDeclared],
        Action::WriteProviders => &[Deploy],
        Action::ReadRecords => &[ReadOwnRecords],
        // The whole log to an auditor, to others what their own records say too.
        Action::ReadAudit => &[ReadAudit, ReadOwnRecords],
        // Over all teams' records, however little it says of each.
        Action::Cosign | Action::OpenAudit | Action::ReconcileAudit => &[ReadAudit],
        // One's own are shown to whoever may ask; those of others to whoever reads who has access.
        Action::ReadElevations | Action::AskElevation => &[AskElevation],
        Action::ApproveElevation => &[ApproveElevation],
        // The one who asked ends it, or who could have approved it: `elevate::end`.
        Action::EndElevation => &[AskElevation],
        Action::ReadSelf => &[ReadModels],
        // Each kind takes its own: `declare::required`.
        Action::WriteManifests => &[Deploy, ManagePolicy, ManageAccess, ManageBudgets],
        // Opening a tool to agents, or a value to a tool, is a decision about security.
        Action::ReadTools => &[ReadDeclared],
        Action::WriteTools => &[ManagePolicy],
        // Answered by the data plane: `api::DATA_PLANE`.
        Action::QueryGraphs => &[Infer],
    }
}

fn allows_any(principal: &Principal, actions: &[policy::Action]) -> Result<(), Report> {
    let mut refusal = None;
    for action in actions {
        match policy::allows(principal, *action) {
            Ok(()) => return Ok(()),
            Err(denied) => refusal = refusal.or(Some(denied)),
        }
    }
    refusal.map_or(Ok(()), |denied| Err(denied.report()))
}

/// The same, as policies name it. Applying a Policy takes more: `declare` asks.
/// `None`: it is asked about the collection, once it is known which, or about the caller's
/// own memory: `collections`, `memory`.
fn act(action: Action) -> Option<Act> {
    match action {
        Action::WriteKeys => Some(Act::AdminKeys),
        Action::ReadRecords => Some(Act::AdminRecords),
        Action::ReadCollections | Action::ReadDocuments | Action::SearchCollections => None,
        Action::ReadMemory | Action::WriteMemory | Action::QueryGraphs => None,
        Action::OpenAudit => Some(Act::AdminRead),
        action if action.writes() => Some(Act::AdminWrite),
        _ => Some(Act::AdminRead),
    }
}

/// One line per operation, in the order of the route table.
fn operate(plane: &Plane, call: &Call) -> Outcome {
    match call.route.name {
        "apply" => declare::apply(plane, call),
        "list_approvals" => tools::approvals(plane, call),
        "deny_approval" => tools::deny(plane, call),
        "grant_approval" => tools::grant(plane, call),
        "reconcile" => audit::reconcile(plane, call),
        "cosign" => audit::cosign(plane, call),
        "audit_key" => audit::key(plane, call),
        "list_leaves" => audit::leaves(plane, call),
        "open_commitments" => openings::open(plane, call),
        "prove_leaf" => audit::prove(plane, call),
        "receipt" => audit::receipt(plane, call),
        "list_budgets" => money::list_budgets(plane, call),
        "create_budget" => money::create_budget(plane, call),
        "delete_budget" => money::delete_budget(plane, call),
        "revoke_answer" => collections::revoke_answer(plane, call),
        "show_answer" => collections::show_answer(plane, call),
        "list_collections" => collections::list(plane, call),
        "create_collection" => collections::create(plane, call),
        "delete_collection" => collections::delete(plane, call),
        "show_collection" => collections::show_one(plane, call),
        "list_documents" => collections::list_documents(plane, call),
        "put_document" => collections::put_document(plane, call),
        "delete_document" => collections::delete_document(plane, call),
        "show_document" => collections::show_document_text(plane, call),
        "reindex_collection" => collections::reindex(plane, call),
        "forget_gate" => ranking::forget_gate(plane, call),
        "fit_gate" => ranking::fit_gate(plane, call),
        "show_graph" => collections::show_graph(plane, call),
        "list_quarantine" => sources::quarantine(plane, call),
        "show_quarantined" => sources::quarantined_text(plane, call),
        "list_sources" => sources::list(plane, call),
        "hold_source" => sources::hold(plane, call),
        "set_source_key" => sources::set_key(plane, call),
        "release_source" => sources::release(plane, call),
        "sync_collection" => sources::sync(plane, call),
        "search_collection" => collections::search(plane, call),
        "report_costs" => money::report_costs(plane, call),
        "list_elevations" => elevate::list(plane, call),
        "ask_elevation" => elevate::ask(plane, call),
        "approve_elevation" => elevate::approve(plane, call),
        "end_elevation" => elevate::end(plane, call),
        "whoami" => elevate::whoami(plane, call),
        "show_keyring" => keyring::show(plane, call),
        "rotate_keyring" => keyring::rotate(plane, call),
        "list_keys" => access::list_keys(plane, call),
        "create_key" => access::create_key(plane, call),
        "revoke_key" => access::revoke_key(plane, call),
        "rotate_key" => access::rotate_key(plane, call),
        "check_ledger" => money::check_ledger(plane, call),
        "list_manifests" => declare::list(plane, call),
        "list_conversations" => memory::list(plane, call),
        "audit_memory" => memory::audit(plane, call),
        "export_memory" => memory::export(plane, call),
        "list_facts" => memory::facts(plane, call),
        "state_fact" => memory::state(plane, call),
        "forget_memory" => memory::forget(plane, call),
        "search_memory" => memory::search(plane, call),
        "list_models" => show::models(plane, call),
        "plan" => declare::plan(plane, call),
        "list_policies" => policies::list(plane, call),
        "explain_policy" => policies::explain(plane, call),
        "replay_policies" => policies::replay(plane, call),
        "test_policies" => policies::test(plane, call),
        "list_providers" => show::providers(plane, call),
        "set_provider_key" => show::set_provider_key(plane, call),
        "list_records" => records::list(plane, call),
        "explain" => records::explain(plane, call),
        "status" => json(&plane.host.status()),
        "list_teams" => access::list_teams(plane, call),
        "create_team" => access::create_team(plane, call),
        "shred_tenant" => keyring::shred(plane, call),
        "list_tools" => tools::list(plane, call),
        "set_tool_key" => tools::set_key(plane, call),
        "approve_tool" => tools::approve(plane, call),
        "quarantine_tool" => tools::quarantine(plane, call),
        "list_users" => users::list(plane, call),
        "create_user" => users::create(plane, call),
        "remove_user_role" => users::remove_role(plane, call),
        "set_user_role" => users::set_role(plane, call),
        name => {
            Err(Report::new("CT0005", format!("operation {name} is declared and not implemented")).into())
        }
    }
}

/// A refusal in the control API's own envelope.
pub fn refuse(reports: &[Report]) -> Response {
    let Some(first) = reports.first() else {
        return refuse(&[Report::new("CT0005", "the operation failed without a reason")]);
    };
    let body =
        ErrorResponse { error: error_body(first), more: reports[1..].iter().map(error_body).collect() };
    let status = StatusCode::from_u16(first.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = serde_json::to_vec(&body).expect("strings and numbers serialise");
    let mut response = Response::json(status, bytes);
    if let Retry::After(seconds) = first.retry {
        response.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn error_body(report: &Report) -> ErrorBody {
    ErrorBody {
        code: report.code.0.into(),
        message: report.what.clone(),
        at: report.at.clone(),
        because: report.because.clone(),
        hint: report.hint.clone(),
        retry: match report.retry {
            Retry::Never => api::Retry::Never,
            Retry::Yes => api::Retry::Yes,
            Retry::After(seconds) => api::Retry::AfterSeconds(seconds),
        },
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|p| !p.is_empty()).take(32);
    pairs
        .map(|p| {
            p.split_once('=')
                .map_or((percent_decode(p), String::new()), |(n, v)| (percent_decode(n), percent_decode(v)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_an_operation_and_an_action() {
        // `operate` is a match on names; a route that it forgets would answer CT0005.
        let source = include_str!("call.rs");
        for route in api::ROUTES {
            assert!(source.contains(&format!("\"{}\" =>", route.name)), "{} has no operation", route.name);
        }
    }

    #[test]
    fn what_writes_takes_an_action_that_manages() {
        use policy::Action::*;
        let manages = [
            ManageAccess,
            ManagePolicy,
            Deploy,
            ManageBudgets,
            WriteDocuments,
            AskElevation,
            ApproveElevation,
        ];
        // A witness adds nothing but its signature, an opening nothing but its own leaf: both are an
        // auditor's. And what somebody's own memory holds is theirs to say and to forget.
        let own = |action| matches!(action, Action::Cosign | Action::OpenAudit | Action::WriteMemory);
        for route in api::ROUTES.iter().filter(|r| !own(r.action)) {
            let needs = required(route.action);
            assert!(!needs.is_empty(), "{}", route.name);
            let all = needs.iter().all(|a| manages.contains(a));
            assert!(all || !route.action.writes(), "{}", route.name);
        }
    }
}
