//! An MCP server on a loopback port: its tools and what they answer are the
//! test's, its manners too.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::http::{Listener, Peer, Received};

/// How a server answers one request of JSON-RPC.
#[derive(Clone, Debug)]
pub enum Says {
    /// A result, as JSON-RPC has it.
    Result(Value),
    /// The same as a stream of events, after a notification.
    Events(Value),
    /// Bytes that are whatever they are.
    Raw(String),
    /// The result of somebody else's request.
    WrongId(Value),
    /// Nothing, until the client leaves.
    Hang,
    Status(u16),
}

type Reply = dyn Fn(&str, &Value) -> Says + Send + Sync;

/// A running server and what it was asked.
pub struct McpServer {
    listener: Listener,
    seen: Arc<Mutex<Vec<Received>>>,
}

impl McpServer {
    /// Answers `initialize` by itself and everything else with `reply(method, params)`.
    ///
    /// # Panics
    /// If no port can be bound.
    pub fn start(reply: impl Fn(&str, &Value) -> Says + Send + Sync + 'static) -> McpServer {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (heard, reply): (_, Arc<Reply>) = (Arc::clone(&seen), Arc::new(reply));
        let listener = Listener::start(move |mut peer| {
            while let Ok(Some(request)) = peer.request() {
                heard.lock().unwrap_or_else(|p| p.into_inner()).push(request.clone());
                if answer(&mut peer, &request, &*reply).is_err() {
                    return;
                }
            }
        });
        McpServer { listener: listener.expect("bind a loopback port"), seen }
    }
    pub fn url(&self) -> String {
        format!("{}/mcp", self.listener.url())
    }
    /// Everything that was asked, in order.
    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().unwrap_or_else(|p| p.into_inner()).clone()
    }
    /// How often a method was asked.
    pub fn count(&self, method: &str) -> usize {
        let is =
            |r: &&Received| serde_json::from_slice::<Value>(&r.body).is_ok_and(|v| v["method"] == method);
        self.seen().iter().filter(is).count()
    }
}

fn answer(peer: &mut Peer, request: &Received, reply: &Reply) -> std::io::Result<()> {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if asked.get("id").is_none() {
        return peer.answer(202, &[], "");
    }
    let method = asked["method"].as_str().unwrap_or_default();
    let whole = |result: Value| json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string();
    let kind = [("content-type", "application/json")];
    if method == "initialize" {
        let hello = json!({"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"}});
        return peer.answer(200, &[kind[0], ("mcp-session-id", "s-1")], whole(hello));
    }
    match reply(method, &asked["params"]) {
        Says::Result(result) => peer.answer(200, &kind, whole(result)),
        Says::Events(result) => {
            peer.start_chunked(200, &[("content-type", "text/event-stream")])?;
            peer.chunk(
                "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n",
            )?;
            peer.chunk(format!("event: message\ndata: {}\n\n", whole(result)))?;
            peer.end_chunked()
        }
        Says::Raw(bytes) => peer.answer(200, &kind, bytes),
        Says::WrongId(result) => {
            peer.answer(200, &kind, json!({"jsonrpc": "2.0", "id": -7, "result": result}).to_string())
        }
        Says::Hang => {
            peer.wait_gone();
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        Says::Status(status) => peer.answer(status, &[], ""),
    }
}
