//! Step 8: the plan is run. Attempts are repeated only until the first byte of
//! an answer; after that a failure is told, not hidden (TRAPS S4).

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use policy::Clearance;
use report::Report;
use routing::{Backoff, Plan, Reason, Rejection};
use store::AttemptOutcome;

use crate::account::{Account, overdue};
use crate::models::{Adapter, Lease, Model};
use crate::prepare::Prepared;
use crate::reply::{Reply, Trouble};
use crate::{Place, Worker, label, local, upstream};

pub(crate) async fn dispatch(worker: &Worker, prepared: &mut Prepared, plan: &Plan) -> Result<Reply, Report> {
    let from = runtime::clock::monotonic_us();
    let reply = run(worker, prepared, plan).await;
    prepared.admitted.step("dispatch", from, String::new());
    reply
}

async fn run(worker: &Worker, prepared: &mut Prepared, plan: &Plan) -> Result<Reply, Report> {
    let route = prepared.admitted.route.clone();
    let seed = u64::from_le_bytes(*prepared.admitted.id.0.as_bytes().last_chunk().expect("16 bytes hold 8"));
    let mut last: Option<Trouble> = None;
    let mut given_up: Option<usize> = None;
    for planned in &plan.attempts {
        if given_up == Some(planned.target) {
            continue;
        }
        if planned.retry > 0 {
            let asked = last.as_ref().and_then(|t| t.retry_after_ms);
            let pause = routing::pause_ms(&Backoff::default(), planned.retry - 1, asked, seed);
            let Some(pause) = pause.filter(|ms| time_left(&prepared.admitted, *ms)) else {
                given_up = Some(planned.target);
                continue;
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        if let Err(refused) = prepared.admitted.cover() {
            last = Some(Trouble::final_(refused));
            break;
        }
        let target = &route.targets[planned.target];
        // Asked again for every attempt: a label may have risen since the plan.
        let Ok(clearance) = prepared.admitted.clear(target) else {
            given_up = Some(planned.target);
            continue;
        };
        prepared.admitted.begin(target);
        let result = match &target.place {
            Place::Remote(to) => remote(worker, prepared, target, to, &clearance).await,
            Place::Engine { model, adapter, .. } => {
                compute(prepared, model, adapter.as_deref(), others(plan, planned.target)).await
            }
        };
        let trouble = match result {
            Ok(reply) => {
                target.breaker().succeed();
                return Ok(reply);
            }
            Err(trouble) => trouble,
        };
        prepared.admitted.live().note = trouble.report.sentence();
        prepared.admitted.end(AttemptOutcome::Failed(trouble.report.code.0.into()));
        if trouble.unwell {
            target.breaker().fail(runtime::clock::now(), trouble.retry_after_ms);
        } else {
            target.breaker().forget();
        }
        if !trouble.again {
            given_up = Some(planned.target);
        }
        let over = !trouble.elsewhere;
        last = Some(trouble);
        if over {
            break;
        }
    }
    Err(last.map_or_else(|| nowhere(&prepared.admitted, plan), |t| t.report))
}

/// Whether a pause still leaves a second for an attempt.
fn time_left(account: &Account, pause_ms: u64) -> bool {
    let spent_ms = runtime::clock::monotonic_us().saturating_sub(account.received_us) / 1000;
    spent_ms + pause_ms + 1_000 < u64::from(account.route.deadlines.total_ms)
}

/// The refusal when the plan was empty: every target has a reason.
fn nowhere(account: &Account, plan: &Plan) -> Report {
    if let Some(denied) = &account.denied {
        return denied.clone();
    }
    if account.route.targets.is_empty() {
        let why: Vec<&str> = account.route.absent.iter().map(|(_, why)| why.as_str()).collect();
        return Report::new("GW0010", format!("model \"{}\" has no target in force", account.model))
            .because(why.join("; "))
            .retry(report::Retry::After(1));
    }
    if plan.rejected.iter().any(|r| r.reason == Reason::Barred) {
        return label::nowhere(&account.route, &account.labels, account.surface.purpose());
    }
    if account.local_only && !account.route.targets.iter().any(|t| matches!(t.place, Place::Engine { .. })) {
        return Report::new(
            "GD0003",
            format!("model \"{}\" has no target inside this process", account.model),
        )
        .because("a guard found data in the request that must not leave it")
        .hint("ask a local model, or take the data out");
    }
    // What clients compact their history on, with both numbers (TRAPS S8).
    let too_short = |r: &Rejection| match r.reason {
        Reason::ContextTooShort { context, prompt } => Some((context, prompt)),
        _ => None,
    };
    if let Some((context, prompt)) = plan.rejected.iter().filter_map(too_short).max() {
        let what = format!("the prompt has at least {prompt} tokens and the model's context has {context}");
        let most = context.saturating_sub(1);
        return Report::new("EN0001", what).hint(format!("shorten the prompt to at most {most} tokens"));
    }
    let reasons: Vec<String> =
        account.rejected.iter().map(|r| format!("{}: {}", r.target, r.reason)).collect();
    Report::new("GW0008", format!("no target of model \"{}\" can serve this request", account.model))
        .because(reasons.join("; "))
}

/// Waits until the model is in memory, if it is not, and hands it the request.
async fn compute(
    prepared: &mut Prepared,
    model: &Model,
    adapter: Option<&Adapter>,
    others: bool,
) -> Result<Reply, Trouble> {
    let lease = lease(&mut prepared.admitted, model, others).await?;
    // An answer without the adapter would be a wrong one, so there is none.
    let adapter = match adapter {
        Some(adapter) => lease.adapter(adapter).await.map_err(Trouble::elsewhere)?,
        None => 0,
    };
    local::submit(prepared, lease, adapter).await
}

/// Whether the plan has another target than this one.
pub(crate) fn others(plan: &Plan, target: usize) -> bool {
    plan.attempts.iter().any(|planned| planned.target != target)
}

/// How long a request waits for a model to be loaded when another target could
/// answer it: what loading 8 B parameters from a cold disk takes.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// The right to use a local model, as soon as it is in memory.
pub(crate) async fn lease(account: &mut Account, model: &Model, others: bool) -> Result<Lease, Trouble> {
    let from = runtime::clock::monotonic_us();
    let mut patience = account.time_left();
    if others {
        patience = patience.min(LOAD_PATIENCE);
    }
    let lease = account.during(pin!(overdue()), model.acquire(patience)).await;
    if runtime::clock::monotonic_us().saturating_sub(from) > 1_000 {
        account.step("load", from, String::new());
    }
    let lease = lease.map_err(Trouble::elsewhere)?;
    account.evidence.model = audit::Hash::from_hex(&lease.info().fingerprint);
    account.live().reached.set(true);
    Ok(lease)
}

async fn remote(
    worker: &Worker,
    prepared: &mut Prepared,
    target: &crate::Target,
    to: &crate::Upstream,
    clearance: &Clearance,
) -> Result<Reply, Trouble> {
    // What this target cannot be told, another may understand.
    let out = upstream::outgoing(&prepared.asked, prepared.admitted.surface, target, to)
        .map_err(Trouble::elsewhere)?;
    let request = net::client::Request::post(out.path, to.headers.clone(), out.body);
    let reached = Rc::clone(&prepared.admitted.live().reached);
    let sending = worker.client.send_noting(clearance, &to.origin, request, &to.timeouts, &reached);
    let sent = prepared.admitted.during(pin!(overdue()), sending).await;
    let response = sent.map_err(|e| upstream::unreachable(to, &e))?;
    prepared.admitted.live().status = response.status.as_u16();
    if !response.status.is_success() {
        return Err(upstream::refused(out.wire, to, response).await);
    }
    if prepared.admitted.stream && !prepared.admitted.surface.encodes() {
        return first_frame(prepared, to, response, out.wire, out.stripped, out.dropped).await;
    }
    prepared.admitted.first_byte();
    let body = prepared.admitted.during(pin!(overdue()), response.read_all(ANSWER_MAX)).await;
    let body = body.map_err(|e| upstream::unreachable(to, &e))?;
    let text = body.trim_ascii();
    if !(text.starts_with(b"{") && text.ends_with(b"}")) {
        let report = Report::new("UP0004", format!("the answer of provider {} could not be read", to.name))
            .because("it is not a JSON object");
        return Err(Trouble::unwell(report));
    }
    Ok(Reply::Whole { wire: out.wire, body, dropped: out.dropped })
}

/// Largest whole answer: 1,536 embeddings of 3,072 dimensions in JSON are about 60 MB.
const ANSWER_MAX: u64 = 64 << 20;

async fn first_frame(
    prepared: &mut Prepared,
    to: &crate::Upstream,
    mut response: net::client::Response,
    wire: dialects::Dialect,
    stripped: bool,
    dropped: Vec<String>,
) -> Result<Reply, Trouble> {
    let kind =
        response.headers.get(net::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
        let report = Report::new("UP0004", format!("provider {} did not answer with a stream", to.name))
            .because(format!("its content-type is \"{kind:.80}\""));
        return Err(Trouble::unwell(report));
    }
    let first = prepared.admitted.during(pin!(overdue()), response.frame()).await;
    match first {
        Some(Ok(first)) => {
            prepared.admitted.first_byte();
            prepared.admitted.journal_hold();
            Ok(Reply::Frames { wire, response, first, stripped, dropped })
        }
        Some(Err(error)) => Err(upstream::unreachable(to, &error)),
        None => {
            Err(Trouble::unwell(Report::new("UP0005", format!("provider {} sent an empty stream", to.name))))
        }
    }
}
