//! The front door: which room a path belongs to.

use std::sync::Arc;

use control::Plane;
use gateway::Worker;
use gateway::models::Readiness;
use net::server::{Request, Response, ResponseBody};
use net::{HeaderMap, HeaderValue, Method, StatusCode, header};
use observe::EngineMetrics;
use report::Report;
use units::RequestId;

use crate::host::Process;
use crate::pages::{self, Pages};
use crate::signin::{self, Polled, Refusals, SIGN_IN_US, SignIns, Throttle};
use crate::{engines, log};

/// Everything a worker needs to answer.
#[derive(Clone)]
pub struct Front {
    pub worker: Worker,
    pub plane: Arc<Plane>,
    pub process: Arc<Process>,
    pub pages: Arc<Pages>,
    pub sign_ins: Arc<SignIns>,
    pub throttle: Arc<Throttle>,
    pub refusals: Arc<Refusals>,
    /// Whether the listener speaks TLS, so that cookies go no other way.
    pub is_tls: bool,
    pub engine_metrics: EngineMetrics,
    pub has_gateway: bool,
    pub has_control: bool,
    pub has_console: bool,
}

impl Front {
    pub async fn who(&self, request: &Request) -> Result<policy::Principal, Report> {
        gateway::who(&self.worker, request, runtime::clock::now()).await
    }
}

/// Answers one request, whatever it is for.
pub async fn answer(front: Front, request: Request) -> Response {
    if front.has_gateway
        && let Some(found) = gateway::find(&request.method, request.path())
    {
        front.process.requests.one();
        return match found {
            Ok(surface) => gateway::journey::travel(front.worker, surface, request).await,
            Err(allow) => {
                let what = format!("{:.200} does not take {}", request.path(), request.method);
                let mut response =
                    unknown(&request, &Report::new("GW0002", what).hint(format!("use {allow}")));
                response.headers.insert(header::ALLOW, HeaderValue::from_static(allow));
                response
            }
        };
    }
    if front.has_control && request.path().starts_with("/api/v1/") {
        let who = front.who(&request).await;
        return control::answer(front.plane, request, who).await;
    }
    let audit = request.path().starts_with("/audit/");
    if front.has_control && audit && request.method == Method::GET {
        return log::answer(front, request).await;
    }
    if front.has_control && request.method == Method::POST && request.path().starts_with("/api/log") {
        return terminal(&front, request).await;
    }
    let read = request.method == Method::GET || request.method == Method::HEAD;
    match request.path() {
        "/livez" if read => Response::text(StatusCode::OK, "ok\n"),
        "/readyz" if read => ready(&front),
        "/metrics" if read => metrics(&front, &request).await,
        "/api/openapi.json" if read && front.has_control => Response::json(
            StatusCode::OK,
            serde_json::to_vec(&api::openapi(env!("CARGO_PKG_VERSION"))).expect("a JSON value serialises"),
        ),
        _ if front.has_console && pages::owns(request.path()) => pages::answer(front, request).await,
        _ => unknown(
            &request,
            &Report::new("GW0001", format!("nothing is at {:.200}", request.path())).hint(
                "the data plane is under /v1, the control API under /api/v1; GET /api/openapi.json lists it",
            ),
        ),
    }
}

fn unknown(request: &Request, report: &Report) -> Response {
    let anthropic =
        request.headers.contains_key("anthropic-version") || request.path().starts_with("/v1/messages");
    let dialect =
        if anthropic { dialects::Dialect::AnthropicMessages } else { dialects::Dialect::OpenaiChat };
    gateway::error(dialect, RequestId(runtime::new_id()), report, HeaderMap::new())
}

/// Ready: takes requests and can answer them. Not while draining, nor before the
/// models to preload are loaded, nor while one of them cannot be or an engine
/// has work and computes nothing, nor with a damaged audit log that is required. `/livez` is about the process alone.
fn ready(front: &Front) -> Response {
    if front.worker.gateway.shutdown.is_draining() {
        return Response::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let unready = |why: String| Response::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    if let Some(Err(report)) = front.worker.gateway.required_log.as_ref().map(|log| log.required()) {
        return unready(format!("{}: {}", report.code.0, report.sentence()));
    }
    match front.process.models.readiness() {
        Readiness::Ready => {}
        Readiness::Loading(which) => return unready(format!("loading models: {which}")),
        Readiness::Broken(why) => return unready(why),
    }
    Response::text(StatusCode::OK, "ok\n")
}

/// For anyone on this machine; from elsewhere with a key that may read the status.
async fn metrics(front: &Front, request: &Request) -> Response {
    if !request.peer.ip().is_loopback() {
        let allowed = front
            .who(request)
            .await
            .and_then(|who| policy::allows(&who, policy::Action::ReadStatus).map_err(|d| d.report()));
        if let Err(report) = allowed {
            return control::refuse(&[report]);
        }
    }
    let snapshot = front.worker.gateway.snapshot.load();
    engines::observe(&front.process.models, &front.engine_metrics, &snapshot.teams);
    let mut response = Response::new(
        StatusCode::OK,
        ResponseBody::Full(front.worker.gateway.meters.registry.render().into()),
    );
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers.insert(header::CONTENT_TYPE, kind);
    response
}

/// `bedplate login` and `logout`: outside `/api/v1`, because who asks has no key yet.
async fn terminal(front: &Front, request: Request) -> Response {
    let now = runtime::clock::now();
    let done = match request.path() {
        "/api/login/device" => match front.throttle.admit(request.peer.ip(), now) {
            Ok(()) => signin::begin_device(front, now).await.map(|shown| serde_json::json!(shown)),
            Err(report) => Err(report),
        },
        "/api/login/token" => {
            let done = token(front, request, now).await;
            if let Err(report) = &done {
                signin::refused(front, control::Door::Terminal, report, now);
            }
            done
        }
        "/api/logout" => logout(front, &request, now).await,
        other => Err(Report::new("GW0001", format!("nothing is at {other:.200}"))),
    };
    match done {
        Ok(value) => Response::json(StatusCode::OK, value.to_string().into_bytes()),
        Err(report) => control::refuse(&[report]),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Poll {
    id: String,
}

/// `{"pending": 5}`, or the person's key for a working day.
async fn token(front: &Front, request: Request, now: units::Micros) -> Result<serde_json::Value, Report> {
    let unreadable = |why: String| Report::new("CT0002", "the body is not what this takes").because(why);
    let body = request.body.read_all(4096).await.map_err(|e| unreadable(e.to_string()))?;
    let poll: Poll = serde_json::from_slice(&body).map_err(|e| unreadable(e.to_string()))?;
    let who = match signin::poll_device(front, &poll.id, now).await? {
        Polled::Pending { interval } => return Ok(serde_json::json!({ "pending": interval })),
        Polled::Done(who) => who,
    };
    let (plane, of) = (Arc::clone(&front.plane), who.clone());
    let made = tokio::task::spawn_blocking(move || plane.sign_in(&of, SIGN_IN_US, now)).await;
    let (secret, expires) =
        made.unwrap_or_else(|_| Err(Report::new("CT0005", "the key could not be written")))?;
    Ok(serde_json::json!({
        "secret": secret,
        "expires": expires.to_string(),
        "key": who.key_name.as_ref(),
        "team": who.team_name.as_ref(),
        "role": who.role.name(),
    }))
}

async fn logout(front: &Front, request: &Request, now: units::Micros) -> Result<serde_json::Value, Report> {
    let presented = gateway::presented(request).unwrap_or_default().to_owned();
    let who = control::Host::identify(&*front.process, &presented, now).map_err(|d| d.report())?;
    let (plane, hash) = (Arc::clone(&front.plane), front.process.pepper.hash(&presented));
    let ended = tokio::task::spawn_blocking(move || plane.sign_out(&who, hash, now)).await;
    let ended = ended.unwrap_or_else(|_| Err(Report::new("CT0005", "the key could not be written")))?;
    Ok(serde_json::json!({ "ended": ended }))
}
