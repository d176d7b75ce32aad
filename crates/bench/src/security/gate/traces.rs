//! Recorded runs, as canonical conversations.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chat::{Message, Part, Role};
use serde_json::Value;

/// One run of one model at one task.
pub(crate) struct Trace {
    pub file: String,
    pub suite: String,
    pub task: String,
    pub attacked: bool,
    /// The user's task was done.
    pub success: bool,
    /// The oracle says that the injected goal was reached.
    pub achieved: bool,
    pub messages: Vec<Message>,
}

pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|f| f.extension().is_some_and(|x| x == "jsonl"));
    files.sort();
    Ok(files)
}

pub(crate) fn read(file: &Path) -> Result<Vec<Trace>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let mut traces = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).context("read a row")?;
        // The first row of a file is its header.
        let Some(messages) = row["messages"].as_array() else { continue };
        let about = &row["metadata"];
        let word = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
        traces.push(Trace {
            file: name.clone(),
            suite: word("suite_name"),
            task: word("user_task_id"),
            attacked: !about["injection_task_id"].is_null(),
            success: about["success"] == true,
            achieved: about["security"] == true,
            messages: messages.iter().map(message).collect(),
        });
    }
    Ok(traces)
}

fn message(row: &Value) -> Message {
    let role = match row["role"].as_str() {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("tool") => Role::Tool,
        _ => Role::Assistant,
    };
    let id = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let text = row["content"].as_str().unwrap_or_default();
    let mut parts = Vec::new();
    if role == Role::Tool {
        let text = unmarked(text).to_owned();
        let result = vec![Part::Text(text)];
        parts.push(Part::ToolResult { id: id(&row["tool_call_id"]), parts: result, is_error: false });
    } else if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    for call in row["tool_calls"].as_array().into_iter().flatten() {
        parts.push(Part::ToolCall {
            id: id(&call["id"]),
            name: id(&call["function"]["name"]),
            arguments: call["function"]["arguments"].to_string(),
        });
    }
    Message { role, parts, name: None }
}

/// One recording put `<<` and `>>` around what tools answered, between tool and
/// model; a gateway sees the answer before.
fn unmarked(text: &str) -> &str {
    let inner = text.strip_prefix("<<").and_then(|t| t.trim_end().strip_suffix(">>"));
    inner.unwrap_or(text)
}
