//! Knowledge graphs that exist, asked by declared queries.
//!
//! A query is a tool: grant, policy, gate and record are those of [`super::call`], for an agent and
//! for whoever asks at `/api/v1/graphs/NAME/queries/QUERY`. What is sent is the template with its
//! values bound by type: over the one hardened client, which follows no redirect, or in a session of
//! its own that can only read. What comes back is read as its protocol says, and is untrusted like any
//! tool's result.

use std::collections::BTreeMap;

use graphquery::{ANSWER_BYTES_MAX, Bound, Query, Request as Post, Table, read};
use net::client::{Request as Asked, Timeouts};
use net::server::{Request, Response};
use net::{HeaderMap, HeaderValue, Origin, StatusCode, header};
use policy::Action;
use report::Report;
use serde_json::{Map, Value, json};
use units::Labels;

use super::call::{self, Ground, Proposed};
use super::{JOINT, ToolServer, http};
use crate::account::Arrival;
use crate::judge::Findings;
use crate::{Surface, Worker, admit, identify};

/// Where a graph is, and what may be asked of it.
pub struct GraphPlace {
    pub origin: Origin,
    pub way: GraphWay,
    pub queries: BTreeMap<String, Query>,
}

/// How it is spoken to, with our own credential.
pub enum GraphWay {
    Http { path: String, headers: HeaderMap },
    Postgres(sql_postgres::Login),
}

impl GraphPlace {
    /// The queries as the definitions of tools.
    pub(super) fn tools(&self) -> impl Iterator<Item = Value> {
        self.queries.iter().map(|(name, query)| {
            json!({"name": name, "description": query.description, "inputSchema": query.schema()})
        })
    }
}

/// Asks one query: a result as tools give it.
pub(super) async fn ask(
    client: &net::Client,
    server: &ToolServer,
    place: &GraphPlace,
    data: &Labels,
    name: &str,
    arguments: &Map<String, Value>,
) -> Result<Value, Report> {
    let query = place.queries.get(name).ok_or_else(|| http::broken(server, "it has no such query"))?;
    let bound = query.bind(arguments).map_err(|why| unfit(server, name, why.to_string()))?;
    let total = query.timeout_ms.map(std::time::Duration::from_millis).or(server.timeouts.total);
    let timeouts = Timeouts { total, ..server.timeouts };
    let table = match (&bound, &place.way) {
        (Bound::Http(request), GraphWay::Http { path, headers }) => {
            let to = (&place.origin, path.as_str(), headers);
            over_http(client, server, to, data, request, &timeouts, query.rows_max).await?
        }
        (Bound::Sql(statement), GraphWay::Postgres(login)) => {
            let limits = sql_postgres::Limits {
                rows: query.rows_max,
                bytes: ANSWER_BYTES_MAX,
                connect: timeouts.connect,
                total: total.unwrap_or(timeouts.first_byte),
            };
            let question = sql_postgres::Question { login, statement, limits };
            let clearance = server.clear(data)?;
            sql_postgres::ask(clearance, &place.origin, client.trust(), &question)
                .await
                .map_err(|error| unanswered(server, name, &error))?
        }
        _ => return Err(http::broken(server, "its queries are of another language than it speaks")),
    };
    let shown = json!({"columns": table.columns, "rows": table.rows, "left_out": table.left_out});
    Ok(json!({"content": [{"type": "text", "text": shown.to_string()}], "structuredContent": shown}))
}

async fn over_http(
    client: &net::Client,
    server: &ToolServer,
    (origin, path, headers): (&Origin, &str, &HeaderMap),
    data: &Labels,
    post: &Post,
    timeouts: &Timeouts,
    rows_max: usize,
) -> Result<Table, Report> {
    let mut headers = headers.clone();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(post.content_type));
    headers.insert(header::ACCEPT, HeaderValue::from_static(post.accept));
    let path = path.parse().map_err(|_| http::broken(server, "its path is not one"))?;
    let request = Asked::post(path, headers, vec![post.body.clone().into()]);
    let lost = |e: net::Error| http::broken(server, report::chain(&e));
    let response = client.send(&server.clear(data)?, origin, request, timeouts).await.map_err(lost)?;
    let status = response.status;
    if status.is_redirection() {
        return Err(http::broken(server, format!("it sends elsewhere ({status}), where nobody follows")));
    }
    let body = response.read_all(ANSWER_BYTES_MAX as u64).await.map_err(lost)?;
    if !status.is_success() {
        let (said, _) = mcp::disarm(&String::from_utf8_lossy(&body[..body.len().min(600)]));
        return Err(http::broken(server, format!("its status is {status}: {said:.300}")));
    }
    read(post.answers, &body, rows_max).map_err(|why| http::broken(server, why))
}

/// A database that did not answer, or a value that it cannot take.
fn unanswered(server: &ToolServer, query: &str, error: &sql_postgres::Error) -> Report {
    let (said, _) = mcp::disarm(&report::chain(error));
    if error.is_the_callers() { unfit(server, query, said) } else { http::broken(server, said) }
}

fn unfit(server: &ToolServer, query: &str, why: impl Into<String>) -> Report {
    let what = format!("the query \"{query:.64}\" of \"{}\" cannot be asked so", server.name);
    Report::new("TG0014", what).because(why)
}

/// The name of a graph and of its query in a path.
pub(crate) fn named(path: &str) -> Option<(&str, &str)> {
    let (graph, query) = path.strip_prefix("/api/v1/graphs/")?.split_once("/queries/")?;
    let plain = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    (plain(graph) && plain(query)).then_some((graph, query))
}

/// Answers `POST /api/v1/graphs/NAME/queries/QUERY`: `{"parameters": {...}}` in, columns and rows out.
pub(crate) async fn answer(
    worker: &Worker,
    arrival: &mut Arrival,
    request: Request,
) -> Result<Response, Report> {
    let principal = identify::identify(worker, arrival, &request).await?;
    policy::allows(&principal, Action::Infer).map_err(|d| d.report())?;
    admit::settle_user(arrival, &principal)?;
    let name = named(request.path()).map(|(graph, query)| format!("{graph}{JOINT}{query}"));
    let name = name.expect("the path led here");
    let body = crate::decode::read(arrival, request).await?;
    let arguments = parameters(&body)?;
    // Whoever asks here wrote the values: they are the user's own words.
    let said = [Value::Object(arguments.clone()).to_string()];
    let session = arrival.id.to_string();
    let proposed = Proposed {
        id: arrival.id,
        at: arrival.at,
        principal: &principal,
        session: &session,
        name: &name,
        arguments: Some(arguments),
        ground: Ground::Session { said: &said },
        on_behalf_of: arrival.on_behalf_of.as_deref(),
        token: arrival.token.as_ref(),
        findings: Findings::default(),
        surface: Surface::Graph.name(),
    };
    let result = call::call(worker, &arrival.snapshot, proposed).await.map_err(|r| r.report().clone())?;
    let body = serde_json::to_vec(&result.value["structuredContent"]).expect("a JSON value serialises");
    let mut response = Response::json(StatusCode::OK, body);
    if let Ok(value) = HeaderValue::from_str(&arrival.id.to_string()) {
        response.headers.insert("x-request-id", value);
    }
    Ok(response)
}

fn parameters(body: &[u8]) -> Result<Map<String, Value>, Report> {
    let wrong =
        |why: &str| Report::new("TG0014", "the body is not what a query takes").because(why.to_owned());
    let value: Value = serde_json::from_slice(body).map_err(|e| wrong(&e.to_string()))?;
    let Value::Object(mut map) = value else { return Err(wrong("it is not a JSON object")) };
    let parameters = match map.remove("parameters") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(parameters)) => parameters,
        Some(_) => return Err(wrong("`parameters` is not an object")),
    };
    if map.is_empty() { Ok(parameters) } else { Err(wrong("it has other fields than `parameters`")) }
}
