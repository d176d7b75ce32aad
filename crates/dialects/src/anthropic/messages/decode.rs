//! A client's messages request, read strictly.

use bytes::Bytes;
use chat::{Format, Image, Message, Part, Reasoning, Request, Role, Tool, ToolChoice};

use super::REDACTED;
use crate::fields::{
    self, Field, add, boolean, list, max_tokens, number, object, some_text, stops, text_of, whole,
};
use crate::{Decoded, Dialect, Error, usage};

/// Reads a messages request.
///
/// # Errors
/// DI0001-DI0005; DI0006 for documents, files and server tools, which have no
/// canonical form.
pub fn decode(body: &Bytes) -> Result<Decoded, Error> {
    decode_with(body, true)
}

pub(crate) fn decode_with(body: &Bytes, limit_required: bool) -> Result<Decoded, Error> {
    let mut r = Request::new("");
    let mut messages = None;
    let (mut rest, mut lost) = (Vec::new(), Vec::new());
    let all = fields::body(body)?;
    let text = fields::text(body);
    for (key, span) in all {
        let value = &text[span.clone()];
        match key.as_str() {
            "model" => r.model = text_of(&key, value)?,
            "messages" => messages = Some(value),
            "system" if value != "null" => {
                let mut parts = Vec::new();
                content("system", value, &mut parts, &mut lost)?;
                r.messages.insert(0, Message { role: Role::System, parts, name: None });
            }
            "max_tokens" => r.max_tokens = max_tokens(&key, value)?,
            "temperature" => r.sampling.temperature = number(&key, value, 0.0, 1.0)?,
            "top_p" => r.sampling.top_p = number(&key, value, 0.0, 1.0)?,
            "top_k" => {
                r.sampling.top_k = whole(&key, value, 0, 1_000_000)?.map(|k| k as u32).filter(|k| *k > 0);
            }
            "stop_sequences" => r.stop = stops(&key, value)?,
            "stream" => r.stream = boolean(&key, value)?,
            "tools" if value != "null" => {
                for (i, item) in list("tools", value)?.into_iter().enumerate() {
                    r.tools.push(tool(&format!("tools[{i}]"), item, &mut lost)?);
                }
            }
            "tool_choice" if value != "null" => tool_choice(value, &mut r)?,
            "thinking" if value != "null" => match thinking(value)? {
                Some(asked) => r.reasoning = Some(asked),
                None => add(&mut lost, "thinking.adaptive"),
            },
            "output_config" if value != "null" => output_config(value, &mut r, &mut lost)?,
            "metadata" if value != "null" => {
                for (inner, v) in object(&key, value)? {
                    match &*inner {
                        "user_id" => r.user = some_text("metadata.user_id", v)?,
                        other => add(&mut lost, format!("metadata.{other}")),
                    }
                }
            }
            "service_tier" => r.tier = some_text(&key, value)?.map(|t| usage::tier(&t)).unwrap_or_default(),
            _ if value == "null" => {}
            _ => fields::keep(&mut rest, body, key, span),
        }
    }
    // Anthropic's streams always carry usage.
    r.stream_usage = r.stream;
    if r.model.is_empty() {
        return Err(Error::missing("model"));
    }
    if limit_required && r.max_tokens.is_none() {
        return Err(Error::missing("max_tokens"));
    }
    let messages = messages.ok_or_else(|| Error::missing("messages"))?;
    for (i, item) in list("messages", messages)?.into_iter().enumerate() {
        message(&format!("messages[{i}]"), item, &mut r.messages, &mut lost)?;
    }
    Ok(Decoded { dialect: Dialect::AnthropicMessages, request: r, rest, lost })
}

/// One turn; tool results become turns of their own, as every other dialect has them.
fn message(path: &str, value: &str, out: &mut Vec<Message>, lost: &mut Vec<String>) -> Result<(), Error> {
    let (mut role, mut parts, mut has_content) = (None, Vec::new(), false);
    for (key, v) in object(path, value)? {
        let at = format!("{path}.{key}");
        match &*key {
            "role" => {
                role = Some(match &*fields::string(&at, v)? {
                    "user" => Role::User,
                    "assistant" => Role::Assistant,
                    "system" => Role::System,
                    _ => return Err(Error::field(at, v, "user or assistant")),
                });
            }
            "content" => {
                has_content = true;
                content(&at, v, &mut parts, lost)?;
            }
            other => add(lost, format!("messages.{other}")),
        }
    }
    let role = role.ok_or_else(|| Error::missing(format!("{path}.role")))?;
    if !has_content {
        return Err(Error::missing(format!("{path}.content")));
    }
    let (results, said): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|p| matches!(p, Part::ToolResult { .. }));
    let only_results = said.is_empty() && !results.is_empty();
    out.extend(results.into_iter().map(|r| Message { role: Role::Tool, parts: vec![r], name: None }));
    if !only_results {
        out.push(Message { role, parts: said, name: None });
    }
    Ok(())
}

fn content(path: &str, value: &str, parts: &mut Vec<Part>, lost: &mut Vec<String>) -> Result<(), Error> {
    if value.starts_with('"') {
        parts.push(Part::Text(text_of(path, value)?));
        return Ok(());
    }
    for (i, item) in list(path, value)?.into_iter().enumerate() {
        parts.push(block(&format!("{path}[{i}]"), item, lost)?);
    }
    Ok(())
}

/// The fields of one content block, by name.
struct Block<'a> {
    path: &'a str,
    all: Vec<Field<'a>>,
}

impl<'a> Block<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.all.iter().find(|(k, _)| k == name).map(|(_, v)| *v)
    }
    fn at(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }
    fn text(&self, name: &str) -> Result<String, Error> {
        match self.get(name) {
            Some(value) => text_of(&self.at(name), value),
            None => Err(Error::missing(self.at(name))),
        }
    }
    /// Names what the block says beyond the fields that are understood.
    fn only(&self, known: &[&str], lost: &mut Vec<String>) {
        for (key, value) in &self.all {
            if key != "type" && *value != "null" && !known.contains(&&**key) {
                add(lost, format!("messages.content.{key}"));
            }
        }
    }
}

fn block(path: &str, value: &str, lost: &mut Vec<String>) -> Result<Part, Error> {
    let b = Block { path, all: object(path, value)? };
    match b.text("type")?.as_str() {
        "text" => {
            b.only(&["text"], lost);
            b.text("text").map(Part::Text)
        }
        "image" => {
            b.only(&["source"], lost);
            image(&b.at("source"), b.get("source").ok_or_else(|| Error::missing(b.at("source")))?)
        }
        "tool_use" => {
            b.only(&["id", "name", "input"], lost);
            let input = b.get("input").unwrap_or("{}");
            object(&b.at("input"), input)?;
            Ok(Part::ToolCall { id: b.text("id")?, name: b.text("name")?, arguments: input.to_string() })
        }
        "tool_result" => {
            b.only(&["tool_use_id", "content", "is_error"], lost);
            let mut parts = Vec::new();
            if let Some(inner) = b.get("content").filter(|v| *v != "null") {
                content(&b.at("content"), inner, &mut parts, lost)?;
            }
            let is_error = b.get("is_error").map_or(Ok(false), |v| boolean(&b.at("is_error"), v))?;
            Ok(Part::ToolResult { id: b.text("tool_use_id")?, parts, is_error })
        }
        "thinking" => {
            b.only(&["thinking", "signature"], lost);
            let signature = b.get("signature").map_or(Ok(None), |v| some_text(&b.at("signature"), v))?;
            Ok(Part::Reasoning { text: b.text("thinking")?, signature: signature.filter(|s| !s.is_empty()) })
        }
        "redacted_thinking" => Ok(Part::Reasoning {
            text: String::new(),
            signature: Some(format!("{REDACTED}{}", b.text("data")?)),
        }),
        kind => Err(Error::Untranslatable {
            parameter: format!("{path}.{kind}"),
            target: "canonical",
            because: "only text, images, tools and thinking have a form that every dialect shares".into(),
        }),
    }
}

fn image(path: &str, value: &str) -> Result<Part, Error> {
    let b = Block { path, all: object(path, value)? };
    match b.text("type")?.as_str() {
        "base64" => Ok(Part::Image(Image::Inline {
            media_type: b.text("media_type")?,
            data: b.text("data")?,
            detail: None,
        })),
        "url" => {
            let url = b.text("url")?;
            if url.starts_with("https://") || url.starts_with("http://") {
                return Ok(Part::Image(Image::Url { url, detail: None }));
            }
            Err(Error::field(b.at("url"), &url, "an http(s) URL"))
        }
        kind => Err(Error::Untranslatable {
            parameter: format!("{path}.{kind}"),
            target: "canonical",
            because: "an uploaded file is known to one provider only".into(),
        }),
    }
}

fn tool(path: &str, value: &str, lost: &mut Vec<String>) -> Result<Tool, Error> {
    let b = Block { path, all: object(path, value)? };
    if let Some(kind) = b.get("type").filter(|k| !matches!(*k, "null" | "\"custom\"")) {
        return Err(Error::Untranslatable {
            parameter: format!("{path}.type {kind}"),
            target: "canonical",
            because: "only custom tools have a form that every dialect shares".into(),
        });
    }
    for (key, _) in &b.all {
        if !matches!(&**key, "type" | "name" | "description" | "input_schema" | "strict") {
            add(lost, format!("tools.{key}"));
        }
    }
    let schema = b.get("input_schema").ok_or_else(|| Error::missing(b.at("input_schema")))?;
    object(&b.at("input_schema"), schema)?;
    Ok(Tool {
        name: b.text("name")?,
        description: b.get("description").map_or(Ok(None), |v| some_text(&b.at("description"), v))?,
        parameters: Some(schema.to_string()),
        strict: b.get("strict").map_or(Ok(None), |v| fields::some_bool(&b.at("strict"), v))?,
    })
}

fn tool_choice(value: &str, r: &mut Request) -> Result<(), Error> {
    let b = Block { path: "tool_choice", all: object("tool_choice", value)? };
    let kind = b.get("type").ok_or_else(|| Error::missing("tool_choice.type"))?;
    r.tool_choice = match kind {
        "\"auto\"" => ToolChoice::Auto,
        "\"any\"" => ToolChoice::Required,
        "\"none\"" => ToolChoice::None,
        "\"tool\"" => ToolChoice::Named(b.text("name")?),
        other => return Err(Error::field("tool_choice.type", other, "auto, any, tool or none")),
    };
    if let Some(v) = b.get("disable_parallel_tool_use") {
        r.parallel_tool_calls = fields::some_bool(&b.at("disable_parallel_tool_use"), v)?.map(|off| !off);
    }
    Ok(())
}

fn thinking(value: &str) -> Result<Option<Reasoning>, Error> {
    let b = Block { path: "thinking", all: object("thinking", value)? };
    match b.get("type") {
        Some("\"disabled\"") => Ok(Some(Reasoning::Off)),
        // The model decides how much: no budget, and the effort may follow.
        Some("\"adaptive\"") => Ok(None),
        Some("\"enabled\"") => {
            let budget = b.get("budget_tokens").ok_or_else(|| Error::missing("thinking.budget_tokens"))?;
            Ok(max_tokens("thinking.budget_tokens", budget)?.map(Reasoning::Budget))
        }
        Some(other) => Err(Error::field("thinking.type", other, "enabled, adaptive or disabled")),
        None => Err(Error::missing("thinking.type")),
    }
}

fn output_config(value: &str, r: &mut Request, lost: &mut Vec<String>) -> Result<(), Error> {
    for (key, v) in object("output_config", value)? {
        match &*key {
            "effort" if v != "null" => {
                let effort = Reasoning::Effort(text_of("output_config.effort", v)?);
                r.reasoning = r.reasoning.take().or(Some(effort));
            }
            "format" if v != "null" => {
                let b = Block { path: "output_config.format", all: object("output_config.format", v)? };
                let schema = b.get("schema").ok_or_else(|| Error::missing(b.at("schema")))?;
                object(&b.at("schema"), schema)?;
                r.format = Format::JsonSchema {
                    name: "answer".into(),
                    schema: schema.to_string(),
                    strict: Some(true),
                };
            }
            _ if v == "null" => {}
            other => add(lost, format!("output_config.{other}")),
        }
    }
    Ok(())
}
