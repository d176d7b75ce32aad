//! `guard test`: what a guard finds in a text, without sending it anywhere.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use guards::{Action, Deny, Kind, Limits, Release, Remote, Script, Secrets, Sensor, Shield, Spec};
use manifest::GuardAction;
use report::Report;
use serde::Serialize;

use crate::Failure;
use crate::args::{Global, Guard as Command};
use crate::client::Server;

/// A declared guard as crate `guards` takes it.
pub fn spec(name: &str, declared: &manifest::Guard) -> Spec {
    let sides = declared.on;
    let kind = |name: &str| Kind::ALL.into_iter().find(|k| k.name() == name);
    let limits = declared.limits.as_ref().map(|limits| Limits {
        input_characters: limits.input_characters,
        output_characters: limits.output_characters,
        scripts: limits.scripts.iter().filter_map(|s| Script::from_name(s)).collect(),
        action: action(limits.action),
    });
    Spec {
        name: Arc::from(name),
        input: sides != manifest::Side::Output,
        output: sides != manifest::Side::Input,
        personal: declared.personal.iter().filter_map(|(k, a)| Some((kind(k)?, action(*a)))).collect(),
        secrets: action(declared.secrets),
        known: action(declared.known),
        canaries: action(declared.canaries),
        deny: declared
            .deny
            .iter()
            .map(|d| Deny { phrases: d.phrases.clone(), action: action(d.action), soft: d.soft })
            .collect(),
        injection: declared
            .injection
            .map(|i| Sensor { threshold: i.threshold as f32 / 1000.0, action: action(i.action) }),
        limits: limits.unwrap_or_default(),
        remote: declared.remote.as_ref().map(|remote| Remote {
            url: remote.url.clone(),
            timeout_ms: remote.timeout_ms,
            fail_open: remote.fail_open,
            action: action(remote.action),
        }),
        release: release(declared.release),
    }
}

fn release(declared: Option<manifest::GuardRelease>) -> Release {
    let otherwise = Release::default();
    Release {
        bytes: declared.and_then(|r| r.bytes).map_or(otherwise.bytes, |bytes| bytes as usize),
        ms: declared.and_then(|r| r.ms).unwrap_or(otherwise.ms),
    }
}

fn action(declared: GuardAction) -> Action {
    Action::from_name(declared.name()).expect("both crates name the same six actions")
}

/// What `--json` prints. The text itself is not repeated.
#[derive(Serialize)]
struct Tested {
    guard: String,
    /// `allow`, or the strictest action of any finding.
    action: &'static str,
    injection: Option<f32>,
    findings: Vec<Found>,
    /// The text as a target would get it; absent when it is blocked.
    text: Option<String>,
}

#[derive(Serialize)]
struct Found {
    kind: &'static str,
    rule: &'static str,
    detector: String,
    from: u64,
    to: u64,
    action: &'static str,
    score: f32,
}

/// Exit 0: the text may pass; 1: it is blocked.
pub(crate) fn run(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    let Command::Test { name, text, file, manifests } = command;
    let declared = match manifests {
        Some(path) => declared_in(&path)?,
        None => Server::new(global)?.get::<api::List<api::Manifest>>("/api/v1/manifests").map(|list| {
            list.data
                .into_iter()
                .filter(|m| m.kind == "Guard")
                .map(|m| m.text)
                .collect::<Vec<_>>()
                .join("---\n")
        })?,
    };
    let documents = manifest::parse(&declared, "manifests")
        .map_err(|problems| Failure::from(problems.into_iter().next().unwrap_or_else(|| nothing(&name))))?;
    let guard = documents.iter().find_map(|d| match &d.spec {
        manifest::Spec::Guard(guard) if d.name == name => Some(guard),
        _ => None,
    });
    let guard = guard.ok_or_else(|| Failure::from(nothing(&name)))?;
    let text = match (text, file) {
        (Some(text), _) => text,
        (None, Some(path)) => read(&path)?,
        (None, None) => read(Path::new("-"))?,
    };
    let tested = test(&name, guard, text);
    let code = if tested.text.is_none() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    crate::commands::show(global.json, &tested, render);
    Ok(code)
}

fn nothing(name: &str) -> Report {
    Report::new("CT0003", format!("there is no guard \"{name}\""))
        .hint("name one that is applied, or give its manifest: `--manifests FILE`")
}

fn declared_in(path: &Path) -> Result<String, Failure> {
    read(path)
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |e: std::io::Error| {
        Failure::from(
            Report::new("CL0004", format!("{} cannot be read", path.display())).because(e.to_string()),
        )
    };
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(path).map_err(unreadable)?;
    }
    Ok(text)
}

fn test(name: &str, guard: &manifest::Guard, text: String) -> Tested {
    // Tested as a request: whatever the guard looks at, it is the same rules.
    let spec = Spec { input: true, ..spec(name, guard) };
    let canaries: Vec<Vec<u8>> = guard.canary_texts.iter().map(|t| t.clone().into_bytes()).collect();
    let shield = Shield::new(&[&spec], Secrets { known: &[], canaries: &canaries });
    let mut text = text;
    let screening = shield.screen_texts([&mut text], 0);
    let verdict = screening.verdict;
    let findings = verdict.findings.iter().map(|f| Found {
        kind: f.kind.name(),
        rule: f.rule,
        detector: format!("{} {}", f.detector.name, f.detector.version),
        from: f.span.start,
        to: f.span.end,
        action: f.action.name(),
        score: f.score,
    });
    Tested {
        guard: name.into(),
        action: verdict.action().name(),
        injection: verdict.injection,
        findings: findings.collect(),
        text: verdict.blocked().is_none().then_some(text),
    }
}

fn render(tested: &Tested) -> String {
    let mut out = String::new();
    for found in &tested.findings {
        let rule = if found.rule.is_empty() { String::new() } else { format!(" ({})", found.rule) };
        out.push_str(&format!(
            "{}{rule}  bytes {}-{}  {}  by {}\n",
            found.kind, found.from, found.to, found.action, found.detector
        ));
    }
    if let Some(score) = tested.injection {
        out.push_str(&format!("injection score {score:.2}\n"));
    }
    match &tested.text {
        Some(text) => out.push_str(&format!("{}: {text}\n", tested.action)),
        None => out.push_str("block: the text does not pass\n"),
    }
    out
}
