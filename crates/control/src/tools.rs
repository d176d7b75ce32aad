//! Tools: what was approved of them, and the calls that wait for a person.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Credential, Document, KeyFrom, Kind, Spec, ToolUpstream};
use policy::Object;
use report::Report;
use toolgate::Effect;
use units::Micros;

use crate::call::{Call, Outcome, json};
use crate::{Plane, missing};

/// The name under which the pins of a server are kept in the encrypted store.
pub fn pins_name(server: &str) -> String {
    format!("tool-pins/{server}")
}

/// What a person said of each tool of a server: the approved digest, or nothing
/// for one that is out of service.
pub type Pins = BTreeMap<String, Option<String>>;

/// # Errors
/// When the store cannot be read, or what it has cannot.
pub fn pins(store: &dyn store::Store, server: &str) -> Result<Pins, Report> {
    let Some(bytes) = store.secret(&pins_name(server)).map_err(|e| e.report())? else {
        return Ok(Pins::new());
    };
    serde_json::from_slice(&bytes).map_err(|e| {
        Report::new("CT0005", format!("the pins of \"{server}\" cannot be read")).because(e.to_string())
    })
}

/// Every tool that is declared or was looked at, under the name that records
/// have, as policies see it today.
pub(crate) fn objects(plane: &Plane, documents: &[Document]) -> Result<BTreeMap<String, Object>, Report> {
    let mut objects = BTreeMap::new();
    for document in documents {
        let Spec::Tool(server) = &document.spec else { continue };
        let pins = pins(&*plane.store, &document.name)?;
        let others = pins.keys().filter(|_| server.others || server.tools.is_empty());
        let names: BTreeSet<&String> = server.tools.keys().chain(others).collect();
        for name in names {
            let effect = server.tools.get(name).map(|tool| tool.effect).unwrap_or_default();
            let digest = pins.get(name).cloned().flatten().unwrap_or_default();
            let called = format!("{}__{name}", document.name);
            let tool = Object::tool(&called, effect != Effect::None, effect == Effect::Egress, &digest);
            objects.insert(format!("{}/{name}", document.name), tool);
        }
    }
    Ok(objects)
}

pub(crate) fn list(plane: &Plane, _call: &Call) -> Outcome {
    json(&api::List::from(plane.host.tools()))
}

pub(crate) fn approve(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::ApproveTool = call.read()?;
    let digest: Result<toolgate::Digest, _> = wanted.digest.parse();
    let digest = digest.map_err(|why| Report::new("CT0002", "the digest cannot be read").because(why))?;
    pin(plane, call, Some(digest.to_string()))
}

pub(crate) fn quarantine(plane: &Plane, call: &Call) -> Outcome {
    pin(plane, call, None)
}

fn pin(plane: &Plane, call: &Call, digest: Option<String>) -> Outcome {
    let (server, tool) = (call.param(0), call.param(1));
    declared(plane, server)?;
    let named = (1..=64).contains(&tool.len())
        && tool.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !named {
        return Err(Report::new("CT0002", format!("\"{tool:.80}\" is not the name of a tool")).into());
    }
    let mut pins = pins(&*plane.store, server)?;
    pins.insert(tool.into(), digest.clone());
    let bytes = serde_json::to_vec(&pins).expect("texts serialise");
    plane.store.put_secret(&pins_name(server), &bytes).map_err(|e| e.report())?;
    leaf(
        call,
        if digest.is_some() { "tool.approve" } else { "tool.quarantine" },
        &format!("{server}/{tool}"),
    );
    plane.host.reload()?;
    json(&api::ToolPin { server: server.into(), tool: tool.into(), digest })
}

pub(crate) fn set_key(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::SetToolKey = call.read()?;
    let server = call.param(0);
    let tool = declared(plane, server)?;
    let key = match &tool.upstream {
        ToolUpstream::Mcp { credential, .. } | ToolUpstream::Function { credential, .. } => {
            credential.as_ref().map(Credential::key)
        }
        ToolUpstream::Graph(graph) => graph.key.as_ref(),
        ToolUpstream::Command { .. } | ToolUpstream::Client => None,
    };
    let Some(KeyFrom::Store(name)) = key else {
        return Err(Report::new("CT0004", format!("tool server \"{server}\" takes no key from the store"))
            .hint("name one in its manifest: `keySecret: NAME`")
            .into());
    };
    plane.store.put_secret(name, wanted.key.expose().as_bytes()).map_err(|e| e.report())?;
    leaf(call, "tool.set_key", server);
    plane.host.reload()?;
    json(&api::ToolPin { server: server.into(), tool: String::new(), digest: None })
}

fn declared(plane: &Plane, name: &str) -> Result<manifest::Tool, Report> {
    for row in plane.state()?.manifests.iter().filter(|m| m.kind == Kind::Tool.name() && m.name == name) {
        for document in manifest::parse(&row.text, &row.name).unwrap_or_default() {
            if let Spec::Tool(tool) = document.spec {
                return Ok(tool);
            }
        }
    }
    Err(missing("tool server", name, "`bedplate tool list` shows them; a `Tool` manifest declares one"))
}

pub(crate) fn approvals(plane: &Plane, call: &Call) -> Outcome {
    json(&api::List::from(plane.host.held(call.now)))
}

pub(crate) fn grant(plane: &Plane, call: &Call) -> Outcome {
    answer(plane, call, true)
}

pub(crate) fn deny(plane: &Plane, call: &Call) -> Outcome {
    answer(plane, call, false)
}

/// How long an endorsement counts unless told, and at most.
const SECONDS: u32 = 3600;
const SECONDS_MAX: u32 = 86_400;

fn answer(plane: &Plane, call: &Call, granted: bool) -> Outcome {
    let wanted = if call.body.is_empty() { api::AnswerApproval { seconds: None } } else { call.read()? };
    let seconds = wanted.seconds.unwrap_or(SECONDS);
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(Report::new("CT0002", format!("an endorsement of {seconds} seconds is not possible"))
            .because(format!("it counts for 1 to {SECONDS_MAX} seconds"))
            .into());
    }
    let until = Micros(call.now.0.saturating_add(i64::from(seconds) * 1_000_000));
    let answered = plane.host.answer_held(call.param(0), granted, until, call.now)?;
    leaf(call, if granted { "approval.grant" } else { "approval.deny" }, &answered.id);
    json(&answered)
}

/// What an administrator did, as a line for operators; its leaf of the audit log
/// was written before it was done (`crate::audit`).
fn leaf(call: &Call, action: &'static str, what: &str) {
    observe::info!("admin.act", action = action, what = what, key = &*call.principal.key_name);
}
