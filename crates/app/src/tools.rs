//! Declared tool servers, put in force.

use std::collections::BTreeMap;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use gateway::tools::{
    CallAs, Child, ClientTools, GraphPlace, GraphWay, Pin, TIMEOUTS, Tokens, ToolPlace, ToolServer, Toolbox,
};
use identity::Exchange;
use manifest::{Credential, Database, Document, GraphServer, KeyFrom, OAuth, Spec, ToolUpstream};
use net::client::{Reach, Timeouts};
use net::{HeaderMap, HeaderValue, Origin, header};
use report::Report;
use sql_postgres::Login;
use toolgate::Declarations;
use zeroize::Zeroizing;

/// The tools of what is declared; a server that cannot be put in force is told and left out.
pub fn toolbox(store: &dyn store::Store, documents: &[Document], problems: &mut Vec<Report>) -> Toolbox {
    let mut toolbox = Toolbox::default();
    for document in documents {
        let Spec::Tool(declared) = &document.spec else { continue };
        if declared.upstream == ToolUpstream::Client {
            toolbox
                .clients
                .push(ClientTools { teams: declared.teams.clone(), declared: declarations(declared) });
            continue;
        }
        match server(store, &document.name, declared) {
            Ok(server) => toolbox.insert(server),
            Err(report) => problems.push(report),
        }
    }
    toolbox
}

fn server(store: &dyn store::Store, name: &str, declared: &manifest::Tool) -> Result<ToolServer, Report> {
    let unusable =
        |why: String| Report::new("TG0010", format!("tool server \"{name}\" cannot be used")).because(why);
    let mut tokens = None;
    let mut reached = |url: &str, private: bool, credential: &Option<Credential>| {
        let reach = if private { Reach::Private } else { Reach::Public };
        let (origin, path) = Origin::split(url, reach).map_err(|e| unusable(e.to_string()))?;
        let mut headers = HeaderMap::new();
        match credential {
            None => {}
            Some(Credential::Key(key)) => headers = ours(store, name, key, false).map_err(unusable)?,
            Some(Credential::Token(oauth)) => {
                tokens = Some(exchanged(store, name, oauth).map_err(unusable)?);
            }
        }
        Ok::<_, Report>((origin, path.path().to_owned(), headers))
    };
    let place = match &declared.upstream {
        ToolUpstream::Mcp { url, allow_private, credential } => {
            let (origin, path, headers) = reached(url, *allow_private, credential)?;
            ToolPlace::Http { origin, path, headers }
        }
        ToolUpstream::Client => return Err(unusable("its client runs it".into())),
        ToolUpstream::Command { program, arguments, environment } => {
            let mut environment = environment.clone();
            // What every program needs to find others and its files; nothing else of ours.
            for variable in ["PATH", "HOME"] {
                let known = environment.iter().any(|(k, _)| k == variable);
                if let (false, Some(value)) = (known, cli::environment(variable)) {
                    environment.push((variable.into(), value));
                }
            }
            ToolPlace::Command(Child::new(program.clone(), arguments.clone(), environment))
        }
        ToolUpstream::Function { url, allow_private, credential, description, schema } => {
            let (origin, path, headers) = reached(url, *allow_private, credential)?;
            let schema: serde_json::Value =
                serde_json::from_str(schema).map_err(|e| unusable(format!("its schema is no JSON: {e}")))?;
            let tool = function_name(name, declared);
            let tool = serde_json::json!({"name": tool, "description": description, "inputSchema": schema});
            ToolPlace::Function { origin, path, headers, tool }
        }
        ToolUpstream::Graph(graph) => {
            let reach = if graph.allow_private { Reach::Private } else { Reach::Public };
            let key = graph.key.as_ref();
            let (origin, way) = match &graph.server {
                GraphServer::Http { url, basic } => {
                    let (origin, path) = Origin::split(url, reach).map_err(|e| unusable(e.to_string()))?;
                    let headers = key.map(|key| ours(store, name, key, *basic));
                    let headers = headers.transpose().map_err(unusable)?.unwrap_or_default();
                    (origin, GraphWay::Http { path: path.path().to_owned(), headers })
                }
                GraphServer::Postgres(database) => {
                    let login = key.ok_or_else(|| "its login is not declared".to_owned());
                    let login = login.and_then(|key| login_of(&secret(store, name, key)?, database));
                    (postgres(database, reach), GraphWay::Postgres(login.map_err(unusable)?))
                }
            };
            ToolPlace::Graph(GraphPlace { origin, way, queries: graph.queries.clone() })
        }
    };
    let mut declarations = declarations(declared);
    if let ToolPlace::Graph(graph) = &place {
        // A template only reads, and where it asks is declared: nothing of a value decides that.
        for query in graph.queries.keys().filter(|query| !declared.tools.contains_key(*query)) {
            declarations.insert(query, toolgate::Tool::reading());
        }
    }
    if matches!(place, ToolPlace::Function { .. }) && declared.tools.is_empty() {
        declarations.insert(name, toolgate::Tool::default());
    }
    Ok(ToolServer {
        name: name.into(),
        teams: declared.teams.clone(),
        declared: declarations,
        others: declared.others,
        pins: pins(store, name)?,
        admits: admits(name, &place, declared),
        place,
        tokens,
        timeouts: timeouts(&declared.timeouts),
    })
}

/// What it may be sent. A child process is of this machine.
fn admits(name: &str, place: &ToolPlace, declared: &manifest::Tool) -> policy::Place {
    let origin = match place {
        ToolPlace::Http { origin, .. } | ToolPlace::Function { origin, .. } => Some(origin),
        ToolPlace::Graph(graph) => Some(&graph.origin),
        ToolPlace::Command(_) => None,
    };
    crate::labels::place(origin, Some(&declared.labels), None, &format!("tools/{name}").into())
}

fn declarations(declared: &manifest::Tool) -> Declarations {
    let mut declarations = Declarations::new();
    declared.tools.iter().for_each(|(tool, what)| declarations.insert(tool, what.clone()));
    declarations
}

/// A function is called as its one declaration is, or as its server.
fn function_name(name: &str, declared: &manifest::Tool) -> String {
    declared.tools.keys().next().cloned().unwrap_or_else(|| name.to_owned())
}

fn pins(store: &dyn store::Store, name: &str) -> Result<BTreeMap<String, Pin>, Report> {
    let pins = control::tools::pins(store, name)?;
    let read = |(tool, digest): (String, Option<String>)| {
        // What cannot be read approves nothing.
        let pin = digest.and_then(|d| d.parse().ok()).map_or(Pin::Quarantined, Pin::Approved);
        (tool, pin)
    };
    Ok(pins.into_iter().map(read).collect())
}

/// Our own key for the server, and never a client's. `basic`: it is a name and a password with a
/// colon between them.
fn ours(store: &dyn store::Store, name: &str, key: &KeyFrom, basic: bool) -> Result<HeaderMap, String> {
    let key = secret(store, name, key)?;
    let credential = match basic {
        true => format!("Basic {}", Base64::encode_string(key.as_bytes())),
        false => format!("Bearer {key}"),
    };
    let mut value = HeaderValue::from_str(&credential).map_err(|_| "its key cannot stand in a header")?;
    value.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value);
    Ok(headers)
}

/// Where a database is.
fn postgres(database: &Database, reach: Reach) -> Origin {
    Origin::other("postgresql", database.tls, &database.host, database.port, reach)
}

/// A name and a password with a colon between them, for a database.
fn login_of(key: &str, database: &Database) -> Result<Login, String> {
    let (user, password) = key.split_once(':').ok_or("its key is not `user:password`")?;
    let plain = |text: &str| !text.contains('\0');
    if user.is_empty() || !plain(user) || !plain(password) {
        return Err("its key is not `user:password`".into());
    }
    let password = Zeroizing::new(password.to_owned());
    Ok(Login { database: database.name.clone(), user: user.to_owned(), password })
}

/// Where the server's tokens come from.
fn exchanged(store: &dyn store::Store, name: &str, declared: &OAuth) -> Result<Tokens, String> {
    let exchange = Exchange {
        issuer: declared.issuer.clone(),
        client_id: declared.client_id.clone(),
        client_secret: secret(store, name, &declared.client_secret)?.into(),
        audience: declared.audience.clone(),
        resource: declared.resource.clone(),
        scope: declared.scope.clone(),
    };
    let call_as = match declared.identity {
        manifest::CallAs::Caller => CallAs::Caller,
        manifest::CallAs::Server => CallAs::Server,
        manifest::CallAs::CallerOrServer => CallAs::CallerOrServer,
    };
    Ok(Tokens { exchange, call_as })
}

fn secret(store: &dyn store::Store, name: &str, key: &KeyFrom) -> Result<String, String> {
    match key {
        KeyFrom::Environment(variable) => cli::environment(variable)
            .ok_or_else(|| format!("its key should be in ${variable}, which is not set")),
        KeyFrom::Store(secret) => {
            let bytes = store.secret(secret).map_err(|e| e.to_string())?.ok_or_else(|| {
                format!("its key should be in the store as \"{secret}\": `bedplate tool set-key {name}`")
            })?;
            String::from_utf8(bytes).map_err(|_| "its stored key is not text".to_owned())
        }
    }
}

fn timeouts(declared: &manifest::Timeouts) -> Timeouts {
    let or = |ms: Option<u64>, or: Duration| ms.map_or(or, Duration::from_millis);
    Timeouts {
        connect: or(declared.connect_ms, TIMEOUTS.connect),
        first_byte: or(declared.first_byte_ms, TIMEOUTS.first_byte),
        idle: or(declared.idle_ms, TIMEOUTS.idle),
        total: declared.total_ms.map(Duration::from_millis).or(TIMEOUTS.total),
    }
}

/// Every declared tool as its server describes it now. Blocks: for the control plane's threads.
pub fn list(gateway: &gateway::Gateway) -> Vec<api::Tool> {
    let snapshot = gateway.snapshot.load_full();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let client = net::Client::new(net::client::Config::default());
    let mut tools = Vec::new();
    for server in snapshot.tools.servers.values() {
        let found = runtime.block_on(gateway::tools::discover(&client, gateway, server));
        match found {
            Ok(found) => tools.extend(found.into_iter().map(|t| api::Tool {
                server: t.server,
                tool: t.tool,
                description: t.description,
                digest: t.digest,
                standing: standing(t.standing),
                effect: t.effect.into(),
                problem: None,
            })),
            Err(report) => tools.push(api::Tool {
                server: server.name.to_string(),
                tool: String::new(),
                description: String::new(),
                digest: String::new(),
                standing: api::ToolStanding::Unknown,
                effect: String::new(),
                problem: Some(report.sentence()),
            }),
        }
    }
    tools
}

fn standing(standing: gateway::tools::Standing) -> api::ToolStanding {
    use gateway::tools::Standing;
    match standing {
        Standing::Approved => api::ToolStanding::Approved,
        Standing::New => api::ToolStanding::New,
        Standing::Changed => api::ToolStanding::Changed,
        Standing::Quarantined => api::ToolStanding::Quarantined,
    }
}

/// A held call as the control API shows it.
pub fn held(held: gateway::tools::Held) -> api::Approval {
    use gateway::tools::HeldState;
    api::Approval {
        id: held.id,
        at: held.at.to_string(),
        until: held.until.to_string(),
        team: held.team,
        key: held.key,
        tool: held.tool,
        values: held
            .values
            .into_iter()
            .map(|(role, value, why)| api::ApprovalValue { role, value, why })
            .collect(),
        state: match held.state {
            HeldState::Waiting => api::ApprovalState::Waiting,
            HeldState::Granted => api::ApprovalState::Granted,
            HeldState::Denied => api::ApprovalState::Denied,
        },
    }
}
