//! What a feature's model may call: definitions as a person approved them.
//!
//! A feature grants nothing. Its tools are offered to callers whose team their
//! servers grant them, while their definitions are the ones that were approved;
//! what is missing is told in the record, and the model does without.

use std::collections::BTreeMap;
use std::time::Duration;

use policy::Principal;
use tokio::time::timeout;

use super::catalog::{self, Standing};
use super::{JOINT, ToolServer};
use crate::{Snapshot, Worker};

/// What is offered, by the name that the model calls, and what is not, with the reason.
#[derive(Default)]
pub(crate) struct Offer {
    pub tools: BTreeMap<Box<str>, chat::Tool>,
    pub absent: Vec<String>,
}

/// Tools offered in one request: the most that providers take.
const TOOLS_MAX: usize = 128;
/// Bytes of a function's name that providers take.
const NAME_MAX: usize = 64;
/// How long a server may take to say what it has, if that is not known. A
/// request waits for it, so it is far less than a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tools of a feature for one caller. `wanted`: `server` or `server__tool`.
pub(crate) async fn offer(
    worker: &Worker,
    snapshot: &Snapshot,
    principal: &Principal,
    wanted: &[Box<str>],
) -> Offer {
    let mut offer = Offer::default();
    for name in wanted {
        let (server, tool) = match name.split_once(JOINT) {
            Some((server, tool)) => (server, Some(tool)),
            None => (&**name, None),
        };
        let Some(server) = snapshot.tools.servers.get(server) else {
            offer.absent.push(format!("{name}: no such server is in force"));
            continue;
        };
        if !server.grants(principal) {
            offer.absent.push(format!("{name}: not granted to the team {}", principal.team_name));
            continue;
        }
        match timeout(PATIENCE, catalog::seen(&worker.client, &worker.gateway, server)).await {
            Ok(Ok(seen)) => offer.add(server, tool, &seen),
            Ok(Err(report)) => offer.absent.push(format!("{name}: {}", report.sentence())),
            Err(_) => {
                offer.absent.push(format!("{name}: the server said nothing within {} s", PATIENCE.as_secs()));
            }
        }
    }
    offer
}

impl Offer {
    fn add(&mut self, server: &ToolServer, wanted: Option<&str>, seen: &catalog::Seen) {
        if let Some(tool) = wanted.filter(|tool| !seen.tools.contains_key(*tool)) {
            self.absent.push(format!("{}{JOINT}{tool}: the server has no such tool", server.name));
        }
        for (name, tool) in seen.tools.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        {
            let full = format!("{}{JOINT}{name}", server.name);
            let why = match catalog::standing(server, name, tool.digest) {
                Standing::Approved if !callable(&full) => "its name is none that a model can call",
                Standing::Approved if self.tools.len() >= TOOLS_MAX => "more tools than a model is offered",
                Standing::Approved => {
                    let offered = chat::Tool {
                        name: full.clone(),
                        description: Some(tool.definition.description.clone()),
                        parameters: Some(tool.definition.schema.to_string()),
                        strict: None,
                    };
                    self.tools.insert(full.into(), offered);
                    continue;
                }
                standing => standing.name(),
            };
            self.absent.push(format!("{full}: {why}"));
        }
    }

    /// Bytes of text that it adds to a prompt.
    pub fn bytes(&self) -> u64 {
        let of = |tool: &chat::Tool| {
            let texts = [&tool.description, &tool.parameters];
            tool.name.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
        };
        self.tools.values().map(of).sum::<usize>() as u64
    }

    /// For the record.
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self.tools.keys().map(AsRef::as_ref).collect();
        let mut text =
            format!("offered {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
        if !self.absent.is_empty() {
            text.push_str(&format!("; left out {}", self.absent.join("; ")));
        }
        text.chars().take(2000).collect()
    }
}

fn callable(name: &str) -> bool {
    name.len() <= NAME_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}
