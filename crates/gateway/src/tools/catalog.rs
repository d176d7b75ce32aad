//! What upstreams say they can do, and what a person has said to that.

use std::collections::BTreeMap;
use std::sync::Arc;

use report::Report;
use serde_json::{Value, json};
use toolgate::{Definition, Digest};
use units::Labels;

use super::http::{self, Party};
use super::tokens::Caller;
use super::{Pin, ToolPlace, ToolServer};
use crate::Gateway;

/// One upstream's tools, as last seen.
pub(super) struct Seen {
    /// Monotonic microseconds.
    at: u64,
    pub tools: BTreeMap<String, Tool>,
}

pub(super) struct Tool {
    pub definition: Definition,
    /// As the upstream wrote it.
    pub raw: Value,
    pub digest: Digest,
}

/// Whether a tool may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is what a person approved.
    Approved,
    /// Nobody has looked at it.
    New,
    /// It is no longer what was approved.
    Changed,
    /// A person took it out of service.
    Quarantined,
}

/// A tool as an administrator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub server: String,
    pub tool: String,
    pub description: String,
    pub digest: String,
    pub standing: Standing,
    pub effect: &'static str,
}

/// How long a list is believed: a change is noticed within this, before the next call.
const FRESH_US: u64 = 30_000_000;
/// Pages of one list: a server whose cursors go round in circles ends here.
const PAGES_MAX: usize = 16;

impl Standing {
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Approved => "approved",
            Standing::New => "new",
            Standing::Changed => "changed",
            Standing::Quarantined => "quarantined",
        }
    }
}

pub(super) fn standing(server: &ToolServer, name: &str, digest: Digest) -> Standing {
    match server.pins.get(name) {
        // What it says of itself is what was declared here: there is nobody else to approve.
        None if matches!(server.place, ToolPlace::Graph(_)) => Standing::Approved,
        None => Standing::New,
        Some(Pin::Approved(pinned)) if *pinned == digest => Standing::Approved,
        Some(Pin::Approved(_)) => Standing::Changed,
        Some(Pin::Quarantined) => Standing::Quarantined,
    }
}

/// The tools of a server, fetched again when what is known is old.
pub(super) async fn seen(
    client: &net::Client,
    gateway: &Gateway,
    server: &ToolServer,
) -> Result<Arc<Seen>, Report> {
    // What is declared here is known, and as new as the declaration.
    if matches!(server.place, ToolPlace::Function { .. } | ToolPlace::Graph(_)) {
        return fetch(client, gateway, server).await.map(Arc::new);
    }
    let tools = &gateway.tools;
    let now = runtime::clock::monotonic_us();
    let known =
        tools.catalog.lock().expect("no code panics while it holds the catalogue").get(&server.name).cloned();
    if let Some(known) = known.filter(|k| now.saturating_sub(k.at) < FRESH_US) {
        return Ok(known);
    }
    let fresh = Arc::new(fetch(client, gateway, server).await?);
    let mut catalog = tools.catalog.lock().expect("no code panics while it holds the catalogue");
    catalog.insert(Arc::clone(&server.name), Arc::clone(&fresh));
    Ok(fresh)
}

async fn fetch(client: &net::Client, gateway: &Gateway, server: &ToolServer) -> Result<Seen, Report> {
    let mut found = BTreeMap::new();
    let at = runtime::clock::monotonic_us();
    let own: Option<Vec<Value>> = match &server.place {
        ToolPlace::Function { tool, .. } => Some(vec![tool.clone()]),
        ToolPlace::Graph(graph) => Some(graph.tools().collect()),
        ToolPlace::Http { .. } | ToolPlace::Command(_) => None,
    };
    if let Some(own) = own {
        for raw in own {
            if let Ok(definition) = mcp::definition(&raw) {
                let digest = definition.digest();
                found.insert(definition.name.clone(), Tool { definition, raw, digest });
            }
        }
        return Ok(Seen { at, tools: found });
    }
    let party = Party { client, gateway, server, caller: Caller::Nobody };
    let mut params = json!({});
    for _ in 0..PAGES_MAX {
        let result = http::ask(&party, &Labels::default(), "tools/list", params).await?;
        let page = mcp::read_page(&result).map_err(|why| http::broken(server, why))?;
        for refused in &page.refused {
            observe::warn!("tool.refused", server = &*server.name, why = refused.as_str());
        }
        for (definition, raw) in page.tools {
            let name = definition.name.clone();
            // Two definitions under one name: neither can be told from the other.
            let digest = definition.digest();
            if server.offers(&name) && found.insert(name.clone(), Tool { definition, raw, digest }).is_some()
            {
                return Err(http::broken(server, "it has two tools of one name"));
            }
        }
        match page.next {
            Some(cursor) if found.len() < mcp::TOOLS_MAX => params = json!({"cursor": cursor}),
            _ => return Ok(Seen { at, tools: found }),
        }
    }
    Err(http::broken(server, "its list of tools does not end"))
}

/// Asks a server for its tools now, for an administrator.
///
/// # Errors
/// TG0005 when it cannot be asked.
pub async fn discover(
    client: &net::Client,
    gateway: &Gateway,
    server: &ToolServer,
) -> Result<Vec<Listed>, Report> {
    let seen = Arc::new(fetch(client, gateway, server).await?);
    let mut catalog = gateway.tools.catalog.lock().expect("no code panics while it holds the catalogue");
    catalog.insert(Arc::clone(&server.name), Arc::clone(&seen));
    let listed = seen.tools.iter().map(|(name, tool)| Listed {
        server: server.name.to_string(),
        tool: name.clone(),
        description: tool.definition.description.clone(),
        digest: tool.digest.to_string(),
        standing: standing(server, name, tool.digest),
        effect: server.effect(name).name(),
    });
    Ok(listed.collect())
}
