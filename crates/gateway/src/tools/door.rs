//! `/mcp`: Bedplate as an MCP server over streamable HTTP.
//!
//! One POST, one JSON-RPC message, one JSON answer: nothing here needs a stream
//! of the server's own. Clients of revisions with a handshake get a session;
//! stateless ones share one per key unless `_meta` names another.
//!
//! A browser may not come here from another site: what has an `origin` must
//! come from this host, by a name that cannot be rebound (TRAPS X5).

use mcp::{Id, Message, RpcError};
use net::server::{Request, Response, ResponseBody};
use net::{HeaderName, HeaderValue, Method, StatusCode, header};
use policy::{Action, Principal};
use report::Report;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::call::{self, Ground, Proposed, Refused};
use super::sessions::SessionId;
use super::{JOINT, catalog};
use crate::account::Arrival;
use crate::judge::Findings;
use crate::{Surface, Worker, admit, identify};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// Where a client passes on what its user said: a text or a list of texts.
const SAID: &str = "bedplate/user";
/// Where a stateless client names its session.
const NAMED: &str = "bedplate/session";
/// Bytes of the user's words that are followed.
const SAID_MAX: usize = 256 << 10;

/// Answers one request at `/mcp`.
pub(crate) async fn answer(
    worker: &Worker,
    arrival: &mut Arrival,
    request: Request,
) -> Result<Response, Report> {
    at_home(&request)?;
    let principal = identify::identify(worker, arrival, &request).await?;
    policy::allows(&principal, Action::Infer).map_err(|d| d.report())?;
    admit::settle_user(arrival, &principal)?;
    let session = match request.header(SESSION) {
        Some(name) => {
            let name = name.to_owned();
            let known = SessionId::new(&principal, &name);
            if name.len() > 64 || !worker.gateway.tools.sessions().knows(&known) {
                return Err(
                    Report::new("TG0007", "no session of this key has that id").hint("initialize again")
                );
            }
            Some(name)
        }
        None => None,
    };
    if request.method == Method::DELETE {
        if let Some(name) = &session {
            // What was endorsed in it is over when this is answered, whatever happens then.
            let (done, ended) = oneshot::channel();
            let done = Box::new(move |result| drop(done.send(result)));
            worker.gateway.tools.sessions().end(&SessionId::new(&principal, name), done);
            ended.await.unwrap_or(Err(store::Error::Closed)).map_err(|error| error.report())?;
        }
        return Ok(Response::new(StatusCode::NO_CONTENT, ResponseBody::empty()));
    }
    if let Some(version) = request.header(VERSION)
        && version != mcp::STATELESS
        && !mcp::HANDSHAKE.contains(&version)
    {
        let error = unsupported(version);
        return Ok(Response::json(StatusCode::BAD_REQUEST, mcp::failure(None, &error)));
    }
    let body = crate::decode::read(arrival, request).await?;
    let (id, method, params) = match mcp::decode(&body) {
        Ok(Message::Request { id, method, params }) => (id, method, params),
        // Notifications, and answers to questions that we never ask.
        Ok(_) => return Ok(Response::new(StatusCode::ACCEPTED, ResponseBody::empty())),
        Err((id, error)) => {
            return Ok(Response::json(StatusCode::BAD_REQUEST, mcp::failure(id.as_ref(), &error)));
        }
    };
    let visit = Visit { worker, arrival, principal, session };
    Ok(visit.request(&id, &method, params).await)
}

/// DNS rebinding makes a page of another site speak to us under its own name.
/// A request of a browser says where it comes from; it must be here, and here
/// must be an address or this machine.
fn at_home(request: &Request) -> Result<(), Report> {
    let Some(origin) = request.headers.get(header::ORIGIN) else { return Ok(()) };
    let refuse = || {
        Report::new("TG0006", "requests from other sites are not answered here")
            .because("the `origin` or `host` header names neither this machine nor an address of it")
    };
    let origin = origin.to_str().map_err(|_| refuse())?;
    let from = origin.split_once("://").map(|(_, authority)| authority).ok_or_else(refuse)?;
    if request.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(refuse());
    }
    let to = request.header(header::HOST).or_else(|| request.uri.host()).ok_or_else(refuse)?;
    let numeric = |host: &str| host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    let sound = |authority: &str| {
        let host = host_of(authority);
        host.eq_ignore_ascii_case("localhost") || numeric(host)
    };
    if sound(from) && sound(to) && from.eq_ignore_ascii_case(to) { Ok(()) } else { Err(refuse()) }
}

fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn unsupported(version: &str) -> RpcError {
    let mut supported: Vec<&str> = mcp::HANDSHAKE.to_vec();
    supported.push(mcp::STATELESS);
    let requested: String = version.chars().take(40).collect();
    RpcError {
        code: mcp::UNSUPPORTED_VERSION,
        message: "that revision of MCP is not spoken here".into(),
        data: json!({"supported": supported, "requested": requested}),
    }
}

struct Visit<'a> {
    worker: &'a Worker,
    arrival: &'a Arrival,
    principal: Principal,
    session: Option<String>,
}

impl Visit<'_> {
    async fn request(self, id: &Id, method: &str, params: Map<String, Value>) -> Response {
        let mut session = None;
        let result = match method {
            "initialize" => {
                let tools = &self.worker.gateway.tools;
                session = Some(tools.sessions().begin(&self.principal, self.arrival.at));
                Ok(initialize(&params))
            }
            "server/discover" => Ok(discover()),
            "ping" => Ok(json!({})),
            "tools/list" => Ok(self.list().await),
            "tools/call" => self.call(params).await,
            other => {
                let what = format!("there is no method {}", other.escape_debug());
                Err(RpcError::new(mcp::METHOD_NOT_FOUND, what))
            }
        };
        let status = match &result {
            Err(error) if error.code == mcp::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
            Err(error) if error.code == mcp::INVALID_PARAMS => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        let body = match result {
            Ok(value) => mcp::success(id, value),
            Err(error) => mcp::failure(Some(id), &error),
        };
        let mut response = Response::json(status, body);
        if let Some(value) = session.and_then(|s| HeaderValue::from_str(&s).ok()) {
            response.headers.insert(SESSION, value);
        }
        if let Ok(value) = HeaderValue::from_str(&self.arrival.id.to_string()) {
            response.headers.insert("x-request-id", value);
        }
        response
    }

    /// The union of what the team is granted, of what is approved. A server that
    /// cannot be asked is left out: the others' tools still work.
    async fn list(&self) -> Value {
        let snapshot = &self.arrival.snapshot;
        let mut tools = Vec::new();
        for server in snapshot.tools.servers.values().filter(|s| s.grants(&self.principal)) {
            let seen = match catalog::seen(&self.worker.client, &self.worker.gateway, server).await {
                Ok(seen) => seen,
                Err(report) => {
                    observe::warn!("tool.server", server = &*server.name, why = report.sentence().as_str());
                    continue;
                }
            };
            for (name, tool) in &seen.tools {
                if catalog::standing(server, name, tool.digest) != catalog::Standing::Approved {
                    continue;
                }
                let mut shown = tool.raw.clone();
                shown["name"] = format!("{}{JOINT}{name}", server.name).into();
                if let Some(map) = shown.as_object_mut() {
                    map.remove("_meta");
                    map.entry("inputSchema").or_insert_with(|| json!({"type": "object"}));
                }
                tools.push(shown);
            }
        }
        json!({"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})
    }

    async fn call(&self, mut params: Map<String, Value>) -> Result<Value, RpcError> {
        let wrong = |why: &str| RpcError::new(mcp::INVALID_PARAMS, why);
        let Some(Value::String(name)) = params.remove("name") else {
            return Err(wrong("`name` is not a text"));
        };
        let arguments = match params.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(wrong("`arguments` is not an object")),
        };
        let meta = params.get("_meta");
        let said = said(meta).map_err(wrong)?;
        let named = meta.and_then(|m| m.get(NAMED)).and_then(Value::as_str).unwrap_or("default");
        let session = match &self.session {
            Some(session) => session.as_str(),
            None if named.len() <= 128 && named.bytes().all(|b| b.is_ascii_graphic()) => named,
            None => return Err(wrong("`bedplate/session` is not a short name")),
        };
        let proposed = Proposed {
            id: self.arrival.id,
            at: self.arrival.at,
            principal: &self.principal,
            session,
            name: &name,
            arguments: Some(arguments),
            ground: Ground::Session { said: &said },
            on_behalf_of: self.arrival.on_behalf_of.as_deref(),
            token: self.arrival.token.as_ref(),
            findings: Findings::default(),
            surface: Surface::Mcp.name(),
        };
        match call::call(self.worker, &self.arrival.snapshot, proposed).await {
            Ok(result) => {
                let mut value = result.value;
                value["resultType"] = "complete".into();
                Ok(value)
            }
            Err(refused) => refusal(&refused),
        }
    }
}

/// The user's words that a client passes on.
fn said(meta: Option<&Value>) -> Result<Vec<String>, &'static str> {
    let texts = match meta.and_then(|m| m.get(SAID)) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items
            .iter()
            .map(|i| i.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or("`bedplate/user` is not texts")?,
        Some(_) => return Err("`bedplate/user` is not texts"),
    };
    if texts.iter().map(String::len).sum::<usize>() > SAID_MAX {
        Err("`bedplate/user` is too long")
    } else {
        Ok(texts)
    }
}

/// A refusal that a model should read is a result; one that only its host can
/// mend is an error of the protocol.
fn refusal(refused: &Refused) -> Result<Value, RpcError> {
    let report = refused.report();
    let mut error = json!({"code": report.code.0, "message": report.sentence()});
    if let Some(hint) = &report.hint {
        error["hint"] = hint.to_string().into();
    }
    if let Refused::Held(_, held) = refused {
        let values: Vec<Value> = held
            .values
            .iter()
            .map(|(role, value, why)| json!({"role": role, "value": value, "why": why}))
            .collect();
        error["approval"] = json!({"id": held.id, "until": held.until.to_string(), "values": values});
    }
    if matches!(report.code.0, "TG0001" | "GW0006" | "GW0007" | "ID0006") {
        return Err(RpcError { code: mcp::INVALID_PARAMS, message: report.sentence(), data: error });
    }
    Ok(json!({
        "content": [{"type": "text", "text": report.sentence()}],
        "isError": true,
        "resultType": "complete",
        "_meta": {"bedplate/error": error},
    }))
}

fn initialize(params: &Map<String, Value>) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let version =
        mcp::HANDSHAKE.iter().find(|v| **v == asked).unwrap_or(&mcp::HANDSHAKE[mcp::HANDSHAKE.len() - 1]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "bedplate", "version": env!("CARGO_PKG_VERSION")},
        "instructions": INSTRUCTIONS,
    })
}

const INSTRUCTIONS: &str = "Tools of several servers behind one gate. A call whose result says TG0002 waits for a person: \
    tell the user the approval's id and the value that it is about, and call again after it was granted.";

fn discover() -> Value {
    let mut supported: Vec<&str> = vec![mcp::STATELESS];
    supported.extend(mcp::HANDSHAKE.iter().rev());
    json!({
        "supportedVersions": supported,
        "capabilities": {"tools": {}},
        "instructions": INSTRUCTIONS,
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "bedplate", "version": env!("CARGO_PKG_VERSION")}},
    })
}
