//! `policy list`, `test`, `explain`, `replay`.

use std::process::ExitCode;

use api::{Policies, PolicyAnswer, PolicyQuestion, PolicyReplay, PolicyTestReport};

use super::{declared, show};
use crate::Failure;
use crate::args::Policy;
use crate::client::Server;
use crate::table::table;

pub(super) fn run(server: &Server, command: Policy, json: bool) -> Result<ExitCode, Failure> {
    match command {
        Policy::List { schema } => {
            let path = format!("/api/v1/policies{}", if schema { "?schema=true" } else { "" });
            let policies: Policies = server.get(&path)?;
            show(json, &policies, list);
            Ok(ExitCode::SUCCESS)
        }
        Policy::Test { files } => {
            let (mut report, stream): (PolicyTestReport, _) =
                declared::post_to(server, "/api/v1/policies/test", &files)?;
            for case in &mut report.cases {
                if let Some(at) = stream.place(&case.at) {
                    case.at = at;
                }
            }
            let failed = report.cases.iter().any(|case| !case.passed);
            show(json, &report, test);
            Ok(ExitCode::from(u8::from(failed)))
        }
        Policy::Explain(args) => {
            let question = PolicyQuestion {
                key: args.key,
                team: args.team,
                action: args.action,
                model: args.model,
                labels: args.labels,
                on_behalf_of: args.on_behalf_of,
                injection_score: args.injection_score,
                pii_types: args.pii_types,
            };
            let answer: PolicyAnswer = server.post("/api/v1/policies/explain", &question)?;
            show(json, &answer, explain);
            Ok(ExitCode::SUCCESS)
        }
        Policy::Replay { files, last } => {
            let path = format!("/api/v1/policies/replay?last={last}");
            let (report, _): (PolicyReplay, _) = declared::post_to(server, &path, &files)?;
            show(json, &report, replay);
            Ok(ExitCode::from(if report.newly_denied + report.newly_allowed > 0 { 2 } else { 0 }))
        }
    }
}

fn list(policies: &Policies) -> String {
    if let Some(schema) = &policies.schema {
        return schema.clone();
    }
    let rows: Vec<Vec<String>> = policies
        .policies
        .iter()
        .map(|p| {
            let from = if p.builtin { "built in" } else { "declared" };
            vec![p.id.clone(), from.into(), p.description.clone()]
        })
        .collect();
    let mut text = table(&["POLICY", "", "WHAT IT IS FOR"], &rows);
    text.push_str(&format!("set {}\n", policies.hash));
    if let Some(why) = &policies.closed {
        text.push_str(&format!("closed: only administration is allowed, because {why}\n"));
    }
    text
}

fn test(report: &PolicyTestReport) -> String {
    let mut text = String::new();
    for case in &report.cases {
        let sign = if case.passed { "ok    " } else { "FAILED" };
        text.push_str(&format!("{sign} {}: {}\n", case.policy, case.name));
        if !case.passed {
            let by = case.expected_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            text.push_str(&format!(
                "       {}: expected {}{by}, got {}\n",
                case.at,
                case.expected,
                said(&case.answer)
            ));
        }
    }
    let passed = report.cases.iter().filter(|case| case.passed).count();
    text.push_str(&format!("{passed} of {} cases passed, set {:.12}", report.cases.len(), report.hash));
    text
}

fn said(answer: &PolicyAnswer) -> String {
    let word = if answer.allowed { "allow" } else { "deny" };
    match answer.determining.as_slice() {
        [] => format!("{word}: no policy permits it"),
        ids => format!("{word} by {}", ids.join(", ")),
    }
}

fn explain(answer: &PolicyAnswer) -> String {
    let mut text = format!("{}\n", said(answer));
    let model = answer.model.as_ref().map(|m| format!(" of {m}")).unwrap_or_default();
    text.push_str(&format!(
        "  {}{model} by team {}, data labelled {}\n",
        answer.action, answer.team, answer.labels
    ));
    if let Some(why) = &answer.why {
        text.push_str(&format!("  because {why}\n"));
    }
    text.push_str(&format!("  set {:.12}", answer.hash));
    text
}

fn replay(report: &PolicyReplay) -> String {
    let mut text = String::new();
    if !report.changes.is_empty() {
        let rows: Vec<Vec<String>> = report
            .changes
            .iter()
            .map(|c| {
                let by = if c.determining.is_empty() { "no policy".into() } else { c.determining.join(", ") };
                vec![
                    c.request.clone(),
                    c.key.clone(),
                    c.model.clone(),
                    c.labels.clone(),
                    format!("{} -> {}", c.from, c.to),
                    by,
                ]
            })
            .collect();
        text.push_str(&table(&["REQUEST", "KEY", "MODEL", "LABELS", "DECISION", "BY"], &rows));
        let more = report.newly_denied + report.newly_allowed - report.changes.len();
        if more > 0 {
            text.push_str(&format!("and {more} more\n"));
        }
    }
    text.push_str(&format!(
        "{} of {} requests and calls of tools asked again: {} newly denied, {} newly allowed\n",
        report.replayed, report.records, report.newly_denied, report.newly_allowed
    ));
    if report.not_judged + report.not_known + report.drifted > 0 {
        text.push_str(&format!(
            "left out: {} never judged, {} of keys, models or tools that are gone; {} are decided otherwise today than when recorded\n",
            report.not_judged, report.not_known, report.drifted
        ));
    }
    text.push_str(&format!("set {:.12}; nothing was changed", report.hash));
    text
}
