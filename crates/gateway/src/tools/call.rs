//! What one call goes through: grant, rate, pin, policy, gate, upstream, record.
//!
//! The order is that of trust: nothing is asked of an upstream for a caller who
//! was not granted it, and nothing is sent to it that the gate did not pass.

use std::sync::Arc;

use mcp::CallResult;
use net::client::Request;
use net::{HeaderValue, StatusCode, header};
use policy::Principal;
use report::Report;
use serde_json::{Map, Value, json};
use store::{Attempt, AttemptOutcome, Entry, Judged, Outcome, Record, Rejected, UsageRow};
use tokio::sync::oneshot;
use toolgate::{Decision, Digest, History, Verdict};
use units::{AttemptId, Integrity, Labels, Micros, RequestId, Usd};

use super::catalog::{self, Standing};
use super::held::Held;
use super::http::{self, Party};
use super::permit::permit;
use super::sessions::SessionId;
use super::tokens::{Caller, CallerToken};
use super::{ToolPlace, ToolServer, graph};
use crate::judge::Findings;
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
    /// `None`: what the model wrote is no JSON object.
    pub arguments: Option<Map<String, Value>>,
    pub ground: Ground<'a>,
    /// The user that an agent acts for.
    pub on_behalf_of: Option<&'a str>,
    /// What the request came with, where that is a token of an identity provider.
    pub token: Option<&'a CallerToken>,
    /// What guards found in what the model has read.
    pub findings: Findings,
    /// What it is for, in the record: `mcp`, `tool`.
    pub surface: &'static str,
}

/// What the gate holds a call against.
pub(crate) enum Ground<'a> {
    /// What the session has read, and the user's words, where the caller passes them on.
    Session { said: &'a [String] },
    /// The whole conversation of this request, and what is known of its data.
    Conversation { request: RequestId, history: &'a History, labels: &'a Labels },
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
#[derive(Default)]
struct Note {
    decision: String,
    provider: String,
    tool: String,
    started: Option<(Micros, u64)>,
    bytes: u64,
    rejected: Vec<Rejected>,
    labels: Labels,
    judged: Option<Judged>,
}

/// Makes the call, or says why not; either is in the record before it returns.
pub(crate) async fn call(
    worker: &Worker,
    snapshot: &Snapshot,
    proposed: Proposed<'_>,
) -> Result<CallResult, Refused> {
    let note =
        Note { provider: "tools".into(), tool: proposed.name.chars().take(130).collect(), ..Note::default() };
    let began = runtime::clock::monotonic_us();
    let mut open = Open { worker, snapshot, proposed: &proposed, began, note: Some(note) };
    let done = open.attempt().await;
    let end = done.as_ref().map_or_else(|refused| End::Refused(refused.report()), |_| End::Made);
    match open.close(&end).await {
        Ok(Ok(())) => done,
        // An answer whose record is lost is withheld, as everywhere.
        Ok(Err(error)) => Err(unrecorded(&error.to_string()).into()),
        Err(_) => Err(unrecorded("the store stopped").into()),
    }
}

/// A call that is not in the record yet. It ends there, once: with what came of
/// it, or as abandoned when its caller has left meanwhile.
struct Open<'a> {
    worker: &'a Worker,
    snapshot: &'a Snapshot,
    proposed: &'a Proposed<'a>,
    /// Monotonic.
    began: u64,
    note: Option<Note>,
}

/// How a call ended.
enum End<'a> {
    Made,
    Refused(&'a Report),
    Abandoned,
}

impl Open<'_> {
    async fn attempt(&mut self) -> Result<CallResult, Refused> {
        let note = self.note.as_mut().expect("only close takes the note, and it is not called yet");
        attempt(self.worker, self.snapshot, self.proposed, note).await
    }

    fn close(mut self, end: &End<'_>) -> oneshot::Receiver<Result<(), store::Error>> {
        let note = self.note.take().expect("a call is closed once: close takes it by value");
        record(self.worker, self.snapshot, self.proposed, note, end, self.began)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(note) = self.note.take() {
            // Nobody is left to wait for its durability; the writer queue keeps it.
            drop(record(self.worker, self.snapshot, self.proposed, note, &End::Abandoned, self.began));
        }
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
    // What a request calls for its model was let in with it.
    let is_request = matches!(proposed.ground, Ground::Session { .. });
    if is_request && gateway.shutdown.is_draining() {
        return Err(Report::new("GW0006", "the server is shutting down")
            .retry(report::Retry::After(1))
            .into());
    }
    let (server, tool) = snapshot.tools.find(proposed.principal, proposed.name)?;
    note.provider = server.name.to_string();
    note.tool.clone_from(&tool);
    if is_request {
        let ticket = gateway.limits().admit(proposed.principal, 0, proposed.at).map_err(|d| d.report())?;
        gateway.limits().true_up(ticket, 0);
    }
    let digest = approved(worker, server, &tool).await?;
    let session = SessionId::new(proposed.principal, proposed.session);
    note.labels = labels(worker, snapshot, proposed, &session);
    let (judged, permitted) = permit(gateway, snapshot, proposed, &note.labels, digest);
    note.judged = Some(judged);
    permitted?;
    let Some(arguments) = proposed.arguments.clone() else {
        let what = format!("the arguments of the call of {:.130} are not a JSON object", proposed.name);
        return Err(Report::new("TG0004", what).into());
    };
    let decision = decide(worker, snapshot, proposed, &arguments, &session);
    note.decision = sentence(&decision);
    note.rejected = decision
        .findings
        .iter()
        .map(|f| Rejected { target: proposed.name.into(), reason: f.sentence() })
        .collect();
    if decision.verdict != Verdict::Allow {
        return Err(hold(worker, proposed, &session, &decision));
    }
    let party = Party { client: &worker.client, gateway, server, caller: Caller::Somebody(proposed.token) };
    // A call whose token cannot be had was never begun.
    if let Some(credential) = party.credential().await? {
        note.decision.push_str(&format!("; {}", credential.words));
    }
    note.started = Some((runtime::clock::now(), runtime::clock::monotonic_us()));
    let result = upstream(&party, &note.labels, &tool, arguments).await?;
    note.bytes = result.text.len() as u64;
    if result.disarmed > 0 {
        note.decision.push_str(&format!("; took {} hidden characters out of the result", result.disarmed));
    }
    if is_request {
        let now = runtime::clock::now();
        gateway.tools.sessions().read(&session, &snapshot.tools.declared, proposed.name, &result.text, now);
    }
    Ok(result)
}

/// The gate's word.
fn decide(
    worker: &Worker,
    snapshot: &Snapshot,
    proposed: &Proposed<'_>,
    arguments: &Map<String, Value>,
    session: &SessionId,
) -> Decision {
    let (declared, name, now) = (&snapshot.tools.declared, proposed.name, proposed.at);
    let arguments = Value::Object(arguments.clone()).to_string();
    let mut sessions = worker.gateway.tools.sessions();
    match &proposed.ground {
        Ground::Session { said } => sessions.decide(session, declared, name, &arguments, said, now),
        Ground::Conversation { history, .. } => {
            let approvals = sessions.approvals(session, now);
            toolgate::decide(history, declared, name, &arguments, &approvals, now)
        }
    }
}

/// What is known of the arguments: the team's word, and what the session or the
/// conversation has read, which the model may repeat in words of its own.
fn labels(worker: &Worker, snapshot: &Snapshot, proposed: &Proposed<'_>, session: &SessionId) -> Labels {
    if let Ground::Conversation { labels, .. } = proposed.ground {
        return labels.clone();
    }
    let asks = Labels { integrity: Integrity::User, ..Labels::default() };
    let read = asks.join(&worker.gateway.tools.sessions().labels(session));
    match snapshot.team_labels.get(&proposed.principal.team) {
        Some(team) => read.join(team),
        None => read,
    }
}

/// That the tool is what a person approved: its definition's digest.
async fn approved(worker: &Worker, server: &Arc<ToolServer>, tool: &str) -> Result<Digest, Report> {
    let seen = catalog::seen(&worker.client, &worker.gateway, server).await?;
    let Some(found) = seen.tools.get(tool) else {
        return Err(Report::new(
            "TG0001",
            format!("the server \"{}\" has no tool \"{tool:.64}\"", server.name),
        ));
    };
    let standing = catalog::standing(server, tool, found.digest);
    if standing == Standing::Approved {
        return Ok(found.digest);
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

fn hold(worker: &Worker, proposed: &Proposed<'_>, session: &SessionId, decision: &Decision) -> Refused {
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
    party: &Party<'_>,
    data: &Labels,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<CallResult, Report> {
    let server = party.server;
    let result = match &server.place {
        ToolPlace::Function { origin, path, headers, .. } => {
            let path = path.parse().map_err(|_| http::broken(server, "its path is not one"))?;
            let body = Value::Object(arguments).to_string();
            let lost = |e: net::Error| http::broken(server, report::chain(&e));
            let mut headers = headers.clone();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let credential = party.credential().await?;
            if let Some(credential) = &credential {
                headers.insert(header::AUTHORIZATION, credential.header.clone());
            }
            let request = Request::post(path, headers, vec![body.into()]);
            let sent = party.client.send(&server.clear(data)?, origin, request, &server.timeouts).await;
            let response = sent.map_err(lost)?;
            if let (StatusCode::UNAUTHORIZED, Some(credential)) = (response.status, &credential) {
                // The next call gets another; this one is the model's to try again.
                party.gateway.tools.purse.forget(&credential.holder);
            }
            let status = response.status;
            let body = response.read_all(mcp::MESSAGE_MAX as u64).await.map_err(lost)?;
            let text = String::from_utf8_lossy(&body);
            json!({"content": [{"type": "text", "text": text}], "isError": !status.is_success()})
        }
        ToolPlace::Graph(place) => graph::ask(party.client, server, place, data, tool, &arguments).await?,
        ToolPlace::Http { .. } | ToolPlace::Command(_) => {
            let params = json!({"name": tool, "arguments": arguments});
            http::ask(party, data, "tools/call", params).await?
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
    end: &End<'_>,
    began: u64,
) -> oneshot::Receiver<Result<(), store::Error>> {
    let refused = match end {
        End::Refused(report) => Some(*report),
        End::Made | End::Abandoned => None,
    };
    let is_abandoned = matches!(end, End::Abandoned);
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
            outcome: match &code {
                Some(code) => AttemptOutcome::Failed(code.clone()),
                None if is_abandoned => AttemptOutcome::Cancelled,
                None => AttemptOutcome::Ok,
            },
            status: if is_abandoned { 499 } else { refused.map_or(200, |_| 502) },
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
        (None, _) if is_abandoned => Outcome::Abandoned,
        (None, _) => Outcome::Completed,
        (Some(code), true) => Outcome::Refused(code),
        (Some(code), false) => Outcome::Failed(code),
    };
    let mut decision = match refused {
        Some(report) if note.decision.is_empty() => report.what.clone(),
        _ => note.decision,
    };
    if let Ground::Conversation { request, .. } = proposed.ground {
        decision.push_str(&format!("; for request {request}"));
    }
    let record = Record {
        id: proposed.id,
        at: proposed.at,
        team: proposed.principal.team,
        key: proposed.principal.key,
        surface: proposed.surface.into(),
        model: format!("{}/{}", note.provider, note.tool),
        end_user: None,
        stream: false,
        request_bytes: proposed.arguments.clone().map_or(0, |a| Value::Object(a).to_string().len() as u64),
        response_bytes: note.bytes,
        outcome,
        status: if is_abandoned { 499 } else { refused.map_or(200, Report::status) },
        generation: snapshot.generation,
        decision,
        held: Usd::ZERO,
        cost: Usd::ZERO,
        duration_us: runtime::clock::monotonic_us().saturating_sub(began),
        steps: Vec::new(),
        attempts,
        rejected: note.rejected,
        labels: note.labels,
        judged: note.judged,
        spent: Vec::new(),
    };
    let (done, durable) = oneshot::channel();
    let leaf = Some(crate::leaf::of_tool_call(&record, proposed.principal));
    let entry = Entry::Settle { record: Arc::new(record), postings: Vec::new(), leaf };
    worker.gateway.store.append(entry, Box::new(move |result| drop(done.send(result))));
    durable
}
