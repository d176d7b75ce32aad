//! `tool`, `approval`: what agents may call, and the calls that wait.

use api::{AnswerApproval, Approval, ApproveTool, List, Secret, SetToolKey, Tool, ToolPin, ToolStanding};
use report::Report;

use super::access::read_secret;
use super::show;
use crate::client::{Server, encode};
use crate::table::{short_time, table};
use crate::{Failure, args, duration};

pub(super) fn tool(server: &Server, command: args::Tool, json: bool) -> Result<(), Failure> {
    match command {
        args::Tool::List => {
            let tools: List<Tool> = server.get("/api/v1/tools")?;
            show(json, &tools, |tools| tool_table(&tools.data));
        }
        args::Tool::Approve { server: name, tools } => {
            let pins = approve(server, &name, &tools)?;
            show(json, &pins, |pins: &Vec<ToolPin>| {
                let lines = pins.iter().map(|p| format!("approved {}__{}\n", p.server, p.tool));
                lines.collect()
            });
        }
        args::Tool::Quarantine { server: name, tool } => {
            let path = format!("/api/v1/tools/{}/{}/quarantine", encode(&name), encode(&tool));
            let pin: ToolPin = server.post(&path, &serde_json::json!({}))?;
            show(json, &pin, |p| format!("{}__{} is out of service", p.server, p.tool));
        }
        args::Tool::SetKey { server: name } => {
            let set = SetToolKey { key: Secret::new(read_secret(&name)?) };
            let pin: ToolPin = server.put(&format!("/api/v1/tools/{}/key", encode(&name)), &set)?;
            show(json, &pin, |p| format!("the key of {} is in the encrypted store", p.server));
        }
    }
    Ok(())
}

/// Approves what the server describes now, by the digest that this command has
/// seen: what changes between the two is not approved.
fn approve(server: &Server, name: &str, wanted: &[String]) -> Result<Vec<ToolPin>, Failure> {
    let tools: List<Tool> = server.get("/api/v1/tools")?;
    let of_server: Vec<&Tool> =
        tools.data.iter().filter(|t| t.server == name && !t.tool.is_empty()).collect();
    let chosen: Vec<&Tool> = if wanted.is_empty() {
        let open = |t: &&&Tool| matches!(t.standing, ToolStanding::New | ToolStanding::Changed);
        of_server.iter().filter(open).copied().collect()
    } else {
        of_server.iter().filter(|t| wanted.contains(&t.tool)).copied().collect()
    };
    if let Some(absent) = wanted.iter().find(|w| !chosen.iter().any(|t| t.tool == **w)) {
        return Err(Report::new("CT0003", format!("the server \"{name}\" has no tool \"{absent}\""))
            .hint("`bedplate tool list` shows what it has")
            .into());
    }
    let mut pins = Vec::new();
    for tool in chosen {
        let path = format!("/api/v1/tools/{}/{}/approve", encode(name), encode(&tool.tool));
        pins.push(server.post(&path, &ApproveTool { digest: tool.digest.clone() })?);
    }
    Ok(pins)
}

fn tool_table(tools: &[Tool]) -> String {
    let rows: Vec<Vec<String>> = tools
        .iter()
        .map(|t| {
            let about = t.problem.as_ref().unwrap_or(&t.description);
            let about: String =
                about.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
            vec![
                t.server.clone(),
                t.tool.clone(),
                format!("{:?}", t.standing).to_lowercase(),
                t.effect.clone(),
                t.digest.chars().take(19).collect(),
                about,
            ]
        })
        .collect();
    table(&["SERVER", "TOOL", "STANDING", "EFFECT", "DIGEST", "ABOUT"], &rows)
}

pub(super) fn approval(server: &Server, command: args::Approval, json: bool) -> Result<(), Failure> {
    let (id, verb, seconds) = match command {
        args::Approval::List => {
            let approvals: List<Approval> = server.get("/api/v1/approvals")?;
            show(json, &approvals, |approvals| approval_table(&approvals.data));
            return Ok(());
        }
        args::Approval::Grant { id, lasting } => (id, "grant", duration::seconds("--for", &lasting)?),
        args::Approval::Deny { id, lasting } => (id, "deny", duration::seconds("--for", &lasting)?),
    };
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    let path = format!("/api/v1/approvals/{}/{verb}", encode(&id));
    let approval: Approval = server.post(&path, &AnswerApproval { seconds: Some(seconds) })?;
    show(json, &approval, |a| {
        let values: Vec<String> = a.values.iter().map(|v| format!("{} {}", v.role, v.value)).collect();
        format!("{:?}: {}", a.state, values.join(", ")).to_lowercase()
    });
    Ok(())
}

fn approval_table(approvals: &[Approval]) -> String {
    let mut rows = Vec::new();
    for a in approvals {
        for value in &a.values {
            rows.push(vec![
                a.id.clone(),
                format!("{:?}", a.state).to_lowercase(),
                short_time(&a.at),
                a.team.clone(),
                a.tool.clone(),
                format!("{} {}", value.role, value.value),
                value.why.chars().take(100).collect(),
            ]);
        }
    }
    table(&["ID", "STATE", "AT", "TEAM", "TOOL", "VALUE", "WHY"], &rows)
}
