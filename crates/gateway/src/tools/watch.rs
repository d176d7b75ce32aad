//! The calls in an answer for tools that the client runs itself.
//!
//! A `Tool` manifest with `client: true` says what such tools do. The gate has
//! the whole conversation here, so its whole rule holds: a call that fails it
//! does not reach the client, and a text in its place says why, with the id of
//! the approval that would let it through.

use std::sync::Arc;

use chat::{Message, Part};
use toolgate::{Decision, Declarations, Effect, Finding, History, Verdict, Watch};

use super::sessions::SessionId;
use crate::account::Account;

/// Tools that clients of these teams run.
pub struct ClientTools {
    pub teams: Vec<String>,
    pub declared: Declarations,
}

/// Who watches the answer to this request; `None` when it offers no declared
/// tool that does anything.
pub(crate) fn watch(account: &Account, request: &chat::Request) -> Option<Box<Watch>> {
    let mut declared = Declarations::new();
    let team = &account.principal.team_name;
    for tools in account.snapshot.tools.clients.iter().filter(|c| c.teams.iter().any(|t| **t == **team)) {
        tools.declared.iter().for_each(|(name, tool)| declared.insert(name, tool.clone()));
    }
    let acts = |name: &str| declared.get(name).is_some_and(|tool| tool.effect != Effect::None);
    if !request.tools.iter().any(|tool| acts(&tool.name)) {
        return None;
    }
    let mut known = account.snapshot.tools.declared.clone();
    declared.iter().for_each(|(name, tool)| known.insert(name, tool.clone()));
    let history = history(account, &request.messages, &known);
    let session = SessionId::new(&account.principal, &account.session);
    let approvals = account.gateway.tools.sessions().approvals(&session, account.at);
    let gateway = Arc::clone(&account.gateway);
    let (team, key) = (team.to_string(), account.principal.key_name.to_string());
    let at = account.at;
    let told = move |name: &str, decision: &Decision| {
        let why: Vec<String> = decision.findings.iter().map(Finding::sentence).collect();
        let why = why.join("; ");
        if decision.verdict == Verdict::Block {
            return format!("[TG0004: the call of {name} was blocked: {why}]");
        }
        let held = gateway.tools.desk().put(&session, &team, &key, name, decision, at);
        format!("[TG0002: the call of {name} waits for approval {}: {why}]", held.id)
    };
    Some(Box::new(Watch::new(history, Arc::new(declared), approvals, at, Box::new(told))))
}

/// What the model has read, as the gate sees it: with the values that guards
/// replaced, because a tool is given those and not their placeholders. Of a
/// conversation that the client names, what tools answered before belongs to it.
pub(crate) fn history(account: &Account, messages: &[Message], declared: &Declarations) -> History {
    let mut history = match account.is_named() {
        true => account
            .gateway
            .tools
            .sessions()
            .history(&SessionId::new(&account.principal, &account.session), account.at),
        false => History::default(),
    };
    // Passages stand in the user's message and are nobody's word.
    let apart = account.aside.as_ref().map(|aside| aside.apart(messages));
    let messages = apart.as_ref().map_or(messages, |(own, _)| own.as_slice());
    match account.guard.as_deref().map(guards::StreamGuard::vault).filter(|vault| !vault.is_empty()) {
        None => history.follow(messages, declared),
        Some(vault) => {
            let restore = vault.restorer();
            let whole = |message: &Message| {
                let parts = message.parts.iter().map(|part| restored(part, &restore)).collect();
                Message { parts, ..message.clone() }
            };
            let messages: Vec<Message> = messages.iter().map(whole).collect();
            history.follow(&messages, declared);
        }
    }
    apart.iter().flat_map(|(_, passages)| passages.iter()).for_each(|text| history.retrieved(text));
    history
}

fn restored(part: &Part, restore: &dyn Fn(&str) -> String) -> Part {
    match part {
        Part::Text(text) => Part::Text(restore(text)),
        Part::ToolResult { id, parts, is_error } => Part::ToolResult {
            id: id.clone(),
            parts: parts.iter().map(|part| restored(part, restore)).collect(),
            is_error: *is_error,
        },
        other => other.clone(),
    }
}

/// What a watch decided, in one line for the record.
pub(crate) fn summary(watch: &Watch) -> String {
    let one = |(name, decision): &(String, Decision)| {
        let why: Vec<String> = decision.findings.iter().map(Finding::sentence).collect();
        format!("{name}: {} {}", decision.verdict.name(), why.join("; "))
    };
    let all: Vec<String> = watch.decided().iter().map(one).collect();
    all.join(" | ").chars().take(2000).collect()
}
