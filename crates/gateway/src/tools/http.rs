//! An MCP server over streamable HTTP, as its client.
//!
//! Our own credential goes with each request, or a token that was got for this
//! server, and nothing of the client's: no header, no token, no session. A server that does not know `initialize` is
//! spoken to in the stateless revision.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use mcp::{Id, Message, RpcError};
use net::client::Request;
use net::{HeaderMap, HeaderName, HeaderValue, Origin, StatusCode, header};
use policy::Clearance;
use report::Report;
use serde_json::{Map, Value, json};
use units::Labels;

use super::tokens::{self, Caller, Credential, Holder};
use super::{ToolPlace, ToolServer};
use crate::Gateway;

/// How a server is spoken to.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// Without handshake: the version goes with each request.
    stateless: bool,
    session: Option<HeaderValue>,
    version: String,
}

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

static NEXT: AtomicI64 = AtomicI64::new(1);

pub(super) fn next_id() -> Id {
    Id::Number(NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn broken(server: &ToolServer, why: impl Into<String>) -> Report {
    Report::new("TG0005", format!("the tool server \"{}\" did not answer as one", server.name)).because(why)
}

pub(super) fn client_info() -> Value {
    json!({"name": "bedplate", "version": env!("CARGO_PKG_VERSION")})
}

/// How each server is spoken to, and for whom: a session there is one caller's.
#[derive(Default)]
pub(super) struct Links(Mutex<BTreeMap<(Arc<str>, Holder), Link>>);

/// Links that are kept; beyond, all begin anew.
const LINKS_MAX: usize = 4096;

impl Links {
    fn get(&self, server: &ToolServer, holder: Holder) -> Option<Link> {
        let links = self.0.lock().expect("no code panics while it holds the links");
        links.get(&(Arc::clone(&server.name), holder)).cloned()
    }
    fn put(&self, server: &ToolServer, holder: Holder, link: Option<Link>) {
        let mut links = self.0.lock().expect("no code panics while it holds the links");
        let key = (Arc::clone(&server.name), holder);
        if links.len() >= LINKS_MAX {
            links.clear();
        }
        match link {
            Some(link) => links.insert(key, link),
            None => links.remove(&key),
        };
    }
}

/// Who asks which server, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Party<'a> {
    pub client: &'a net::Client,
    pub gateway: &'a Gateway,
    pub server: &'a ToolServer,
    pub caller: Caller<'a>,
}

impl Party<'_> {
    /// What the server is sent, beside its own headers.
    pub async fn credential(&self) -> Result<Option<Credential>, Report> {
        tokens::credential(self.client, self.gateway, self.server, self.caller).await
    }
}

/// One request to a server, whatever it is, and its result.
pub(super) async fn ask(
    party: &Party<'_>,
    data: &Labels,
    method: &str,
    params: Value,
) -> Result<Value, Report> {
    let Party { server, gateway, .. } = *party;
    let clearance = server.clear(data)?;
    let (origin, path, headers) = match &server.place {
        ToolPlace::Http { origin, path, headers } => (origin, path, headers),
        ToolPlace::Command(child) => {
            let total = server.timeouts.total.unwrap_or(server.timeouts.first_byte);
            return child.ask(method, params, total).await.map_err(|why| broken(server, why));
        }
        ToolPlace::Function { .. } | ToolPlace::Graph(_) => {
            return Err(broken(server, "it is no MCP server"));
        }
    };
    let links = &gateway.tools.links;
    // A server that restarted has forgotten our session, one whose tokens were
    // taken back does not know ours: once more from the beginning.
    for again in [true, false] {
        let credential = party.credential().await?;
        let holder = credential.as_ref().map_or([0; 32], |c| c.holder);
        let speaker = Speaker { party, clearance: &clearance, origin, path, headers, credential };
        let link = match links.get(server, holder) {
            Some(link) => link,
            None => {
                let link = speaker.greet().await?;
                links.put(server, holder, Some(link.clone()));
                link
            }
        };
        match speaker.exchange(&link, method, params.clone()).await? {
            Spoken::Result(Ok(result)) => return Ok(result),
            Spoken::Result(Err(error)) => return Err(said(server, &error)),
            Spoken::Refused(StatusCode::NOT_FOUND) if again && link.session.is_some() => {
                links.put(server, holder, None);
            }
            Spoken::Refused(StatusCode::UNAUTHORIZED) if again && speaker.credential.is_some() => {
                links.put(server, holder, None);
            }
            Spoken::Refused(status) => return Err(broken(server, format!("its status is {status}"))),
        }
    }
    Err(broken(server, "it forgets its sessions"))
}

/// An error that the server told by the rules.
fn said(server: &ToolServer, error: &RpcError) -> Report {
    let (message, _) = mcp::disarm(&error.message);
    broken(server, format!("it says: {message:.300} ({})", error.code))
}

enum Spoken {
    Result(Result<Value, RpcError>),
    Refused(StatusCode),
}

struct Speaker<'a> {
    party: &'a Party<'a>,
    clearance: &'a Clearance,
    origin: &'a Origin,
    path: &'a str,
    headers: &'a HeaderMap,
    credential: Option<Credential>,
}

impl Speaker<'_> {
    /// The handshake, or the knowledge that there is none.
    async fn greet(&self) -> Result<Link, Report> {
        let newest = mcp::HANDSHAKE[mcp::HANDSHAKE.len() - 1];
        let params = json!({"protocolVersion": newest, "capabilities": {}, "clientInfo": client_info()});
        let id = next_id();
        let body = mcp::request(&id, "initialize", params);
        let mut response = self.post(&Link::default(), "initialize", None, body).await?;
        let session = response.headers.remove(SESSION).filter(|s| s.len() <= 256);
        let stateless = Link { stateless: true, session: None, version: mcp::STATELESS.into() };
        match self.read(response, &id).await? {
            Spoken::Result(Ok(result)) => {
                let version = result["protocolVersion"].as_str().unwrap_or_default();
                if !mcp::HANDSHAKE.contains(&version) {
                    return Err(broken(self.party.server, format!("it speaks MCP of {version:.40}")));
                }
                let link = Link { stateless: false, session, version: version.into() };
                let ready = mcp::notification("notifications/initialized");
                // Told, not asked: whatever it answers is nothing to wait for.
                self.post(&link, "notifications/initialized", None, ready).await?;
                Ok(link)
            }
            Spoken::Result(Err(_)) | Spoken::Refused(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND) => {
                Ok(stateless)
            }
            Spoken::Refused(status) => Err(broken(self.party.server, format!("its status is {status}"))),
        }
    }

    async fn exchange(&self, link: &Link, method: &str, mut params: Value) -> Result<Spoken, Report> {
        let name = params.get("name").and_then(Value::as_str).map(str::to_owned);
        if link.stateless
            && let Value::Object(map) = &mut params
        {
            let meta = map.entry("_meta").or_insert_with(|| Value::Object(Map::new()));
            meta[mcp::META_VERSION] = link.version.as_str().into();
            meta[mcp::META_CLIENT] = client_info();
            meta[mcp::META_CAPABILITIES] = json!({});
        }
        let id = next_id();
        let body = mcp::request(&id, method, params);
        let response = self.post(link, method, name.as_deref(), body).await?;
        self.read(response, &id).await
    }

    async fn post(
        &self,
        link: &Link,
        method: &str,
        name: Option<&str>,
        body: Vec<u8>,
    ) -> Result<net::client::Response, Report> {
        let server = self.party.server;
        let mut headers = self.headers.clone();
        if let Some(credential) = &self.credential {
            headers.insert(header::AUTHORIZATION, credential.header.clone());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let mut put = |key: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(key, value);
            }
        };
        if !link.version.is_empty() {
            put(VERSION, &link.version);
        }
        if link.stateless {
            put(METHOD, method);
            if let Some(name) = name {
                put(NAME, name);
            }
        }
        if let Some(session) = &link.session {
            headers.insert(SESSION, session.clone());
        }
        let path = self.path.parse().map_err(|_| broken(server, "its path is not one"))?;
        let request = Request::post(path, headers, vec![body.into()]);
        let sent = self.party.client.send(self.clearance, self.origin, request, &server.timeouts).await;
        let response = sent.map_err(|e| broken(server, report::chain(&e)))?;
        if response.status == StatusCode::UNAUTHORIZED
            && let Some(credential) = &self.credential
        {
            self.party.gateway.tools.purse.forget(&credential.holder);
        }
        Ok(response)
    }

    /// The answer to `id`, whole or somewhere in a stream of events.
    async fn read(&self, mut response: net::client::Response, id: &Id) -> Result<Spoken, Report> {
        let kind =
            response.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let stream = kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        let status = response.status;
        let lost = |e: net::Error| broken(self.party.server, report::chain(&e));
        if !stream {
            let body = response.read_all(mcp::MESSAGE_MAX as u64).await.map_err(lost)?;
            return match mcp::decode(&body) {
                Ok(Message::Response { id: found, result }) if found == *id => Ok(Spoken::Result(result)),
                _ if !status.is_success() => Ok(Spoken::Refused(status)),
                Ok(_) => Err(broken(self.party.server, "its answer belongs to another request")),
                Err((_, error)) => Err(broken(self.party.server, error.message)),
            };
        }
        if !status.is_success() {
            return Ok(Spoken::Refused(status));
        }
        let mut frames = dialects::sse::Frames::new(mcp::MESSAGE_MAX);
        let mut found = None;
        let mut bytes = 0;
        while let Some(part) = response.frame().await {
            let part = part.map_err(lost)?;
            bytes += part.len();
            if bytes > 2 * mcp::MESSAGE_MAX {
                return Err(broken(self.party.server, "its stream is too long"));
            }
            frames.push(&part, |frame| {
                // Notifications and requests of the server are none of ours.
                if let Ok(Message::Response { id: got, result }) = mcp::decode(frame.data)
                    && got == *id
                {
                    found.get_or_insert(result);
                }
            });
            if let Some(result) = found.take() {
                return Ok(Spoken::Result(result));
            }
        }
        Err(broken(self.party.server, "its stream ended without an answer"))
    }
}
