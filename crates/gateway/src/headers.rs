//! Response heads: the same few headers on every answer and every refusal.

use std::sync::Arc;

use bytes::Bytes;
use dialects::Dialect;
use net::server::{Response, ResponseBody};
use net::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use observe::ServerTiming;
use report::{Report, Retry};
use store::{AttemptOutcome, Outcome, Record, Step};
use units::RequestId;

use crate::Gateway;
use crate::account::{Account, Admitted, Arrival};
use crate::cache::Tier;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What Anthropic's own servers call it, and its clients read.
const REQUEST_ID_ANTHROPIC: HeaderName = HeaderName::from_static("request-id");
const TARGET: HeaderName = HeaderName::from_static("bedplate-target");
pub(crate) const COST: HeaderName = HeaderName::from_static("bedplate-cost");
const CACHE: HeaderName = HeaderName::from_static("bedplate-cache");
const DROPPED: HeaderName = HeaderName::from_static("bedplate-dropped");
const TIMING: HeaderName = HeaderName::from_static("server-timing");
const ERROR: HeaderName = HeaderName::from_static("bedplate-error");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The head of a stream, waiting for its body.
pub(crate) struct Head(HeaderMap);

impl Head {
    pub fn with(self, body: ResponseBody) -> Response {
        Response { status: StatusCode::OK, headers: self.0, body }
    }
}

fn common(
    id: RequestId,
    target: Option<&str>,
    hit: Option<Tier>,
    dropped: &[String],
    timing: &str,
    anthropic: bool,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(10);
    let id = value(&id.to_string());
    if anthropic {
        headers.insert(REQUEST_ID_ANTHROPIC, id.clone());
    }
    headers.insert(REQUEST_ID, id);
    if let Some(target) = target {
        headers.insert(TARGET, value(target));
        headers.insert(CACHE, HeaderValue::from_static("miss"));
    }
    if let Some(tier) = hit {
        headers.insert(CACHE, HeaderValue::from_static(tier.name()));
    }
    if !dropped.is_empty() {
        headers.insert(DROPPED, value(&dropped.join(", ")));
    }
    headers.insert(TIMING, value(timing));
    headers
}

/// Text as a header value; what a header cannot hold is left out.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let plain: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        HeaderValue::from_str(&plain).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

fn timing(steps: &[Step], total_us: u64) -> String {
    let mut timing = ServerTiming::new();
    for step in steps {
        timing.step(&step.name, step.duration_us);
    }
    timing.step("total", total_us);
    timing.value().to_string()
}

/// The head of a stream. Its cost is not known yet: it comes as the comment
/// `: bedplate-cost` before the end marker.
pub(crate) fn begin(account: &Account, dropped: &[String]) -> Head {
    let target = account.live.as_ref().map(|l| l.target.sku.as_ref());
    let total = runtime::clock::monotonic_us().saturating_sub(account.received_us);
    let anthropic = account.surface.dialect().is_anthropic();
    let hit = account.cache.hit();
    let mut headers = common(account.id, target, hit, dropped, &timing(&account.steps, total), anthropic);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Head(headers)
}

/// A whole answer.
pub(crate) fn whole(record: &Record, body: Bytes, dropped: &[String], hit: Option<Tier>) -> Response {
    let target = record.attempts.last().map(|a| format!("{}/{}", a.provider, a.upstream_model));
    let anthropic = record.surface.starts_with("anthropic");
    let timing = timing(&record.steps, record.duration_us);
    let mut headers = common(record.id, target.as_deref(), hit, dropped, &timing, anthropic);
    headers.insert(COST, value(&record.cost.to_string()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response { status: StatusCode::OK, headers, body: ResponseBody::Full(body) }
}

/// A refusal before admission.
pub(crate) fn refusal(gateway: &Gateway, arrival: &Arrival, report: &Report) -> Response {
    gateway.meters.requests.with(&[arrival.surface.name(), status_text(report.status())]).one();
    error(arrival.envelope(), arrival.id, report, HeaderMap::new())
}

/// A failure after admission: the account is settled before the client is told.
pub(crate) async fn failure(mut admitted: Admitted, arrival: &Arrival, report: Report) -> Response {
    admitted.end(AttemptOutcome::Failed(report.code.0.into()));
    let settled = admitted.close(Outcome::Failed(report.code.0.into()), report.status());
    // A failure to record replaces the failure to answer: it is the one that matters more.
    let (report, cost) = match settled.durable().await {
        Ok(record) => (report, Some(Arc::clone(&record))),
        Err(unrecorded) => (unrecorded, None),
    };
    let mut headers = HeaderMap::new();
    if let Some(record) = cost {
        headers.insert(COST, value(&record.cost.to_string()));
        headers.insert(TIMING, value(&timing(&record.steps, record.duration_us)));
    }
    error(arrival.envelope(), arrival.id, &report, headers)
}

/// An error in the client's own envelope. Outside a journey (an unknown path)
/// the id is all there is to ask about.
pub fn error(dialect: Dialect, id: RequestId, report: &Report, mut headers: HeaderMap) -> Response {
    let id_text = id.to_string();
    let (status, body) = dialects::encode_error(dialect, report, &id_text);
    headers.insert(REQUEST_ID, value(&id_text));
    if dialect.is_anthropic() {
        headers.insert(REQUEST_ID_ANTHROPIC, value(&id_text));
    }
    headers.insert(ERROR, value(report.code.0));
    if let Retry::After(seconds) = report.retry {
        headers.insert(header::RETRY_AFTER, value(&seconds.to_string()));
    }
    // The official clients retry 409, 429 and 5xx by themselves unless told otherwise.
    if report.retry == Retry::Never {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Response { status, headers, body: ResponseBody::Full(body) }
}

/// The id of an answer that we write, in the manner of its dialect.
pub(crate) fn answer_id(client: Dialect, id: RequestId) -> String {
    let prefix = match client {
        Dialect::OpenaiChat => "chatcmpl-",
        Dialect::OpenaiCompletions => "cmpl-",
        Dialect::AnthropicMessages => "msg_",
        Dialect::OpenaiEmbeddings | Dialect::Rerank => "",
    };
    format!("{prefix}{id}")
}

/// A status as a metric label: a bounded set.
fn status_text(status: u16) -> &'static str {
    match status {
        400 => "400",
        401 => "401",
        402 => "402",
        403 => "403",
        404 => "404",
        405 => "405",
        413 => "413",
        415 => "415",
        429 => "429",
        200..=299 => "2xx",
        500..=599 => "5xx",
        _ => "other",
    }
}
