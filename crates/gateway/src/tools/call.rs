//! What one call goes through: grant, rate, pin, gate, upstream, record.
//!
//! The order is that of trust: nothing is asked of an upstream for a caller who
//! was not granted it, and nothing is sent to it that the gate did not pass.

use std::sync::Arc;

use mcp::CallResult;
use net::client::Request;
use net::{HeaderValue, header};
use policy::Principal;
use report::Report;
use serde_json::{Map, Value, json};
use store::{Attempt, AttemptOutcome, Entry, Outcome, Record, Rejected, UsageRow};
use tokio::sync::oneshot;
use toolgate::{Decision, Verdict};
use units::{AttemptId, Integrity, Labels, Micros, RequestId, Usd};

use super::catalog::{self, Standing};
use super::held::Held;
use super::{ToolPlace, ToolServer, http};
use crate::{Snapshot, Worker};

/// A call that somebody proposes.
pub(crate) struct Proposed<'a> {
    pub id: RequestId,
    pub at: Micros,
    pub principal: &'a Principal,
    /// The session of the caller's key that it belongs to.
    pub session: &'a str,
    /// The name that clients see.
    pub name: &'a str,
    pub arguments: Map<String, Value>,
    /// The user's words, where the caller passes them on.
    pub said: &'a [String],
    /// What it is for, in the record: `mcp`, `tool`.
    pub surface: &'static str,
}

/// Why a call was not made.
pub(crate) enum Refused {
    Report(Report),
    /// A person has to endorse values first.
    Held(Report, Held),
}

impl From<Report> for Refused {
    fn from(report: Report) -> Refused {
        Refused::Report(report)
    }
}

impl Refused {
    pub fn report(&self) -> &Report {
        match self {
            Refused::Report(report) | Refused::Held(report, _) => report,
        }
    }
}

/// What the record keeps of it.
struct Note {
    decision: String,
    provider: String,
    tool: String,
    started: Option<(Micros, u64)>,
    bytes: u64,
    rejected: Vec<Rejected>,
    labels: Labels,
}

/// Makes the call, or says why not; either is in the record before it returns.
pub(crate) async fn call(
    worker: &Worker,
    snapshot: &Snapshot,
    proposed: Proposed<'_>,
) -> Result<CallResult, Refused> {
    let began = runtime::clock::monotonic_us();
    let mut note = Note {
        decision: String::new(),
        provider: "tools".into(),
        tool: proposed.name.chars().take(130).collect(),
        started: None,
        bytes: 0,
        rejected: Vec::new(),
        labels: Labels::default(),
    };
    let done = attempt(worker, snapshot, &proposed, &mut note).await;
    let durable = record(worker, snapshot, &proposed, note, done.as_ref().err().map(Refused::report), began);
    match durable.await {
        Ok(Ok(())) => done,
        // An answer whose record is lost is withheld, as everywhere.
        Ok(Err(error)) => Err(unrecorded(&error.to_string()).into()),
        Err(_) => Err(unrecorded("the store stopped").into()),
    }
}

fn unrecorded(because: &str) -> Report {
    Report::new("GW0007", "the record of the call could not be made durable").because(because)
}

async fn attempt(
    worker: &Worker,
    snapshot: &Snapshot,
    proposed: &Proposed<'_>,
    note: &mut Note,
) -> Result<CallResult, Refused> {
    let gateway = &worker.gateway;
    if gateway.shutdown.is_draining() {
        return Err(Report::new("GW0006", "the server is shutting down")
            .retry(report::Retry::After(1))
            .into());
    }
    let (server, tool) = snapshot.tools.find(proposed.principal, proposed.name)?;
    note.provider = server.name.to_string();
    note.tool.clone_from(&tool);
    let ticket = gateway.limits().admit(proposed.principal, 0, proposed.at).map_err(|d| d.report())?;
    gateway.limits().true_up(ticket, 0);
    approved(worker, server, &tool).await?;
    let arguments = Value::Object(proposed.arguments.clone()).to_string();
    let session = super::sessions::full(proposed.principal.key, proposed.session);
    let decision = gateway.tools.sessions().decide(
        &session,
        &snapshot.tools.declared,
        proposed.name,
        &arguments,
        proposed.said,
        proposed.at,
    );
    note.decision = sentence(&decision);
    note.labels = labels(worker, snapshot, proposed, &session);
    note.rejected = decision
        .findings
        .iter()
        .map(|f| Rejected { target: proposed.name.into(), reason: f.sentence() })
        .collect();
    if decision.verdict != Verdict::Allow {
        return Err(hold(worker, proposed, &session, &decision));
    }
    note.started = Some((runtime::clock::now(), runtime::clock::monotonic_us()));
    let result = upstream(worker, server, &note.labels, &tool, proposed.arguments.clone()).await?;
    note.bytes = result.text.len() as u64;
    if result.disarmed > 0 {
        note.decision.push_str(&format!("; took {} hidden characters out of the result", result.disarmed));
    }
    let now = runtime::clock::now();
    gateway.tools.sessions().read(&session, &snapshot.tools.declared, proposed.name, &result.text, now);
    Ok(result)
}

/// What is known of the arguments: the team's word, and what the session has
/// read, which the model may repeat in words of its own.
fn labels(worker: &Worker, snapshot: &Snapshot, proposed: &Proposed<'_>, session: &str) -> Labels {
    let sensitivity = worker.gateway.tools.sessions().sensitivity(session);
    let read = Labels { sensitivity, integrity: Integrity::User, ..Labels::default() };
    match snapshot.team_labels.get(&proposed.principal.team) {
        Some(team) => read.join(team),
        None => read,
    }
}

/// Whether the tool is what a person approved.
async fn approved(worker: &Worker, server: &Arc<ToolServer>, tool: &str) -> Result<(), Report> {
    let seen = catalog::seen(&worker.client, &worker.gateway.tools, server).await?;
    let Some(found) = seen.tools.get(tool) else {
        return Err(Report::new(
            "TG0001",
            format!("the server \"{}\" has no tool \"{tool:.64}\"", server.name),
        ));
    };
    let standing = catalog::standing(server, tool, found.digest);
    if standing == Standing::Approved {
        return Ok(());
    }
    let because = match standing {
        Standing::New => "nobody has approved its definition yet",
        Standing::Changed => "its definition is no longer the one that was approved",
        _ => "an administrator took it out of service",
    };
    Err(Report::new("TG0003", format!("the tool \"{tool:.64}\" of \"{}\" is in quarantine", server.name))
        .because(because)
        .hint(format!(
            "an administrator looks with `bedplate tool list` and runs `bedplate tool approve {} {tool:.64}`",
            server.name
        )))
}

fn hold(worker: &Worker, proposed: &Proposed<'_>, session: &str, decision: &Decision) -> Refused {
    let why: Vec<String> = decision.findings.iter().map(toolgate::Finding::sentence).collect();
    let because = why.join("; ");
    if decision.verdict == Verdict::Block {
        let report = Report::new("TG0004", format!("the call of {:.130} was blocked", proposed.name));
        return report.because(because).hint("no approval lets this value through; another value may").into();
    }
    let who = proposed.principal;
    let held = worker.gateway.tools.desk().put(
        session,
        &who.team_name,
        &who.key_name,
        proposed.name,
        decision,
        proposed.at,
    );
    let report =
        Report::new("TG0002", format!("the call of {:.130} waits for approval {}", proposed.name, held.id))
            .because(because)
            .hint(format!(
                "`bedplate approval grant {}` endorses the value for this session; then call again",
                held.id
            ));
    Refused::Held(report, held)
}

fn sentence(decision: &Decision) -> String {
    let why: Vec<String> = decision.findings.iter().map(toolgate::Finding::sentence).collect();
    let verdict = decision.verdict.name();
    let text = if why.is_empty() {
        format!("gate: {verdict}")
    } else {
        format!("gate: {verdict}: {}", why.join("; "))
    };
    text.chars().take(2000).collect()
}

async fn upstream(
    worker: &Worker,
    server: &ToolServer,
    data: &Labels,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<CallResult, Report> {
    let result = match &server.place {
        ToolPlace::Function { origin, path, headers, .. } => {
            let mut headers = headers.clone();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let path = path.parse().map_err(|_| http::broken(server, "its path is not one"))?;
            let body = Value::Object(arguments).to_string().into_bytes();
            let request = Request::post(path, headers, vec![body.into()]);
            let lost = |e: net::Error| http::broken(server, report::chain(&e));
            let response = worker
                .client
                .send(&server.clear(data)?, origin, request, &server.timeouts)
                .await
                .map_err(lost)?;
            let (status, body) =
                (response.status, response.read_all(mcp::MESSAGE_MAX as u64).await.map_err(lost)?);
            let text = String::from_utf8_lossy(&body);
            json!({"content": [{"type": "text", "text": text}], "isError": !status.is_success()})
        }
        _ => {
            let params = json!({"name": tool, "arguments": arguments});
            http::ask(&worker.client, &worker.gateway.tools, server, data, "tools/call", params).await?
        }
    };
    mcp::read_call(result).map_err(|why| http::broken(server, why))
}

/// One record for one call, and its leaf: who, what, the gate's word, how long.
fn record(
    worker: &Worker,
    snapshot: &Snapshot,
    proposed: &Proposed<'_>,
    note: Note,
    refused: Option<&Report>,
    began: u64,
) -> oneshot::Receiver<Result<(), store::Error>> {
    let code = refused.map(|r| r.code.0.to_owned());
    let mut attempts = Vec::new();
    if let Some((started, from)) = note.started {
        attempts.push(Attempt {
            id: AttemptId(runtime::new_id()),
            purpose: "tool".into(),
            provider: note.provider.clone(),
            upstream_model: note.tool.clone(),
            started,
            first_byte_us: None,
            duration_us: runtime::clock::monotonic_us().saturating_sub(from),
            outcome: code.clone().map_or(AttemptOutcome::Ok, AttemptOutcome::Failed),
            status: if refused.is_none() { 200 } else { 502 },
            usage: UsageRow::default(),
            estimated: false,
            unreconciled: false,
            tier: "standard".into(),
            lines: Vec::new(),
            cost: Usd::ZERO,
            price: None,
            upstream_id: String::new(),
            note: refused.map(Report::sentence).unwrap_or_default(),
        });
    }
    let outcome = match (code, attempts.is_empty()) {
        (None, _) => Outcome::Completed,
        (Some(code), true) => Outcome::Refused(code),
        (Some(code), false) => Outcome::Failed(code),
    };
    let decision = match refused {
        Some(report) if note.decision.is_empty() => report.what.clone(),
        _ => note.decision,
    };
    let record = Record {
        id: proposed.id,
        at: proposed.at,
        team: proposed.principal.team,
        key: proposed.principal.key,
        surface: proposed.surface.into(),
        model: format!("{}/{}", note.provider, note.tool),
        end_user: None,
        stream: false,
        request_bytes: Value::Object(proposed.arguments.clone()).to_string().len() as u64,
        response_bytes: note.bytes,
        outcome,
        status: refused.map_or(200, Report::status),
        generation: snapshot.generation,
        decision,
        held: Usd::ZERO,
        cost: Usd::ZERO,
        duration_us: runtime::clock::monotonic_us().saturating_sub(began),
        steps: Vec::new(),
        attempts,
        rejected: note.rejected,
        labels: note.labels,
        judged: None,
    };
    let (done, durable) = oneshot::channel();
    let leaf = Some(crate::leaf::of_tool_call(&record, proposed.principal));
    let entry = Entry::Settle { record: Arc::new(record), postings: Vec::new(), leaf };
    worker.gateway.store.append(entry, Box::new(move |result| drop(done.send(result))));
    durable
}
