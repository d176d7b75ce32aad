//! A client's chat request, read strictly.

use bytes::Bytes;
use chat::{Format, Image, Message, Part, Reasoning, Request, Role, Tool, ToolChoice};

use crate::fields::{
    self, add, boolean, list, max_tokens, number, object, signed, some_bool, some_text, stops, text_of, whole,
};
use crate::openai::structured;
use crate::{Decoded, Dialect, Error, scan, usage};

/// Reads a chat completions request.
///
/// # Errors
/// DI0001-DI0005; DI0006 for `functions`, audio and files, which have no
/// canonical form.
pub fn decode(body: &Bytes) -> Result<Decoded, Error> {
    let mut common = Common::new(Dialect::OpenaiChat);
    let mut has_messages = false;
    let all = fields::body(body)?;
    let text = fields::text(body);
    for (key, span) in all {
        let value = &text[span.clone()];
        let c = &mut common;
        match key.as_str() {
            "messages" => {
                has_messages = true;
                for (i, item) in list("messages", value)?.into_iter().enumerate() {
                    let message = message(&format!("messages[{i}]"), item, &mut c.lost)?;
                    c.decoded.request.messages.push(message);
                }
            }
            "tools" if value != "null" => {
                for (i, item) in list("tools", value)?.into_iter().enumerate() {
                    let tool = tool(&format!("tools[{i}]"), item, &mut c.lost)?;
                    c.decoded.request.tools.push(tool);
                }
            }
            "tool_choice" if value != "null" => c.decoded.request.tool_choice = tool_choice(value)?,
            "parallel_tool_calls" => c.decoded.request.parallel_tool_calls = some_bool(&key, value)?,
            "functions" | "function_call" if value != "null" => {
                return Err(Error::Untranslatable {
                    parameter: key,
                    target: "canonical",
                    because: "it was replaced by tools and tool_choice".into(),
                });
            }
            "logprobs" if boolean(&key, value)? => {
                c.decoded.request.logprobs = c.decoded.request.logprobs.or(Some(0));
            }
            "logprobs" => {}
            "top_logprobs" => {
                if let Some(k) = whole(&key, value, 0, 20)? {
                    c.decoded.request.logprobs = Some(k as u8);
                }
            }
            "response_format" if value != "null" => c.hold(&key, value, format_of(value)?)?,
            "reasoning_effort" if value != "null" => {
                c.decoded.request.reasoning = Some(effort(text_of(&key, value)?));
            }
            "reasoning" if value.starts_with('{') => c.decoded.request.reasoning = reasoning(value)?,
            _ => c.take(body, key, value, span)?,
        }
    }
    if !has_messages {
        return Err(Error::missing("messages"));
    }
    common.done()
}

/// The fields that chat and legacy completions share.
pub(crate) struct Common {
    pub decoded: Decoded,
    pub lost: Vec<String>,
}

impl Common {
    pub(crate) fn new(dialect: Dialect) -> Common {
        let request = Request::new("");
        Common { decoded: Decoded { dialect, request, rest: Vec::new(), lost: Vec::new() }, lost: Vec::new() }
    }

    pub(crate) fn take(
        &mut self,
        body: &Bytes,
        key: String,
        value: &str,
        span: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        let r = &mut self.decoded.request;
        match key.as_str() {
            "model" => r.model = text_of(&key, value)?,
            "stream" => r.stream = boolean(&key, value)?,
            "stream_options" if value != "null" => {
                for (inner, v) in object(&key, value)? {
                    match &*inner {
                        "include_usage" => r.stream_usage = boolean("stream_options.include_usage", v)?,
                        other => add(&mut self.lost, format!("stream_options.{other}")),
                    }
                }
            }
            "max_tokens" | "max_completion_tokens" => {
                r.max_tokens = max_tokens(&key, value)?.or(r.max_tokens)
            }
            "temperature" => r.sampling.temperature = number(&key, value, 0.0, 2.0)?,
            "top_p" => r.sampling.top_p = number(&key, value, 0.0, 1.0)?,
            // -1 and 0 both mean "off" in the field.
            "top_k" if value == "-1" => {}
            "top_k" => {
                r.sampling.top_k = whole(&key, value, 0, 1_000_000)?.map(|k| k as u32).filter(|k| *k > 0)
            }
            "min_p" => r.sampling.min_p = number(&key, value, 0.0, 1.0)?,
            "presence_penalty" => r.sampling.presence_penalty = number(&key, value, -2.0, 2.0)?,
            "frequency_penalty" => r.sampling.frequency_penalty = number(&key, value, -2.0, 2.0)?,
            "repetition_penalty" => r.sampling.repetition_penalty = number(&key, value, 0.01, 10.0)?,
            "seed" => r.sampling.seed = signed(&key, value)?,
            "logit_bias" if value != "null" => {
                for (token, bias) in object(&key, value)? {
                    let id = token
                        .parse::<u32>()
                        .map_err(|_| Error::field("logit_bias", &token, "token ids as keys"))?;
                    let bias = number("logit_bias", bias, -100.0, 100.0)?
                        .ok_or_else(|| Error::field("logit_bias", "null", "a number from -100 to 100"))?;
                    r.sampling.logit_bias.push((id, bias));
                }
            }
            "stop" => r.stop = stops(&key, value)?,
            "n" => r.n = whole(&key, value, 1, scan::CHOICES_MAX.into())?.unwrap_or(1) as u32,
            "structured_outputs" if value != "null" => {
                let format = structured::read(value)?;
                self.hold(&key, value, format)?;
            }
            "user" => r.user = some_text(&key, value)?,
            "service_tier" => r.tier = some_text(&key, value)?.map(|t| usage::tier(&t)).unwrap_or_default(),
            _ if value == "null" => {}
            _ => fields::keep(&mut self.decoded.rest, body, key, span),
        }
        Ok(())
    }

    /// Holds the answer to a form; to one.
    fn hold(&mut self, key: &str, value: &str, format: Format) -> Result<(), Error> {
        let held = &mut self.decoded.request.format;
        if *held != Format::Text && format != Format::Text {
            return Err(Error::field(key, value, "response_format or structured_outputs, not both"));
        }
        if format != Format::Text {
            *held = format;
        }
        Ok(())
    }

    pub(crate) fn done(mut self) -> Result<Decoded, Error> {
        if self.decoded.request.model.is_empty() {
            return Err(Error::missing("model"));
        }
        self.decoded.lost = self.lost;
        Ok(self.decoded)
    }
}

/// What a text-only target cannot be told; for the dialects without tools.
pub(crate) fn tools_lost_to_text(request: &Request) -> Option<&'static str> {
    let has_calls = request
        .messages
        .iter()
        .flat_map(|m| &m.parts)
        .any(|p| matches!(p, Part::ToolCall { .. } | Part::ToolResult { .. }));
    (!request.tools.is_empty() || has_calls).then_some("tools")
}

fn message(path: &str, value: &str, lost: &mut Vec<String>) -> Result<Message, Error> {
    let mut role = None;
    let mut content = None;
    let (mut name, mut call_id, mut thinking, mut refusal) = (None, None, None, None);
    let mut calls = Vec::new();
    for (key, v) in object(path, value)? {
        let at = format!("{path}.{key}");
        match &*key {
            "role" => role = Some(role_of(&at, v)?),
            "content" => content = Some((at, v)),
            "name" => name = some_text(&at, v)?,
            "tool_call_id" => call_id = some_text(&at, v)?,
            "refusal" => refusal = some_text(&at, v)?,
            "reasoning_content" | "reasoning" => thinking = some_text(&at, v)?.or(thinking),
            "tool_calls" if v != "null" => {
                for (i, item) in list(&at, v)?.into_iter().enumerate() {
                    calls.push(tool_call(&format!("{at}[{i}]"), item)?);
                }
            }
            _ if v == "null" => {}
            other => add(lost, format!("messages.{other}")),
        }
    }
    let role = role.ok_or_else(|| Error::missing(format!("{path}.role")))?;
    let mut parts = Vec::new();
    parts.extend(thinking.filter(|t| !t.is_empty()).map(|text| Part::Reasoning { text, signature: None }));
    if let Some((at, v)) = content {
        content_parts(&at, v, &mut parts, lost)?;
    } else if calls.is_empty() && refusal.is_none() && role != Role::Assistant {
        return Err(Error::missing(format!("{path}.content")));
    }
    parts.extend(refusal.map(Part::Refusal));
    parts.extend(calls);
    if role == Role::Tool {
        let id = call_id.ok_or_else(|| Error::missing(format!("{path}.tool_call_id")))?;
        parts = vec![Part::ToolResult { id, parts, is_error: false }];
    }
    Ok(Message { role, parts, name })
}

fn role_of(path: &str, value: &str) -> Result<Role, Error> {
    match &*fields::string(path, value)? {
        "system" | "developer" => Ok(Role::System),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" => Ok(Role::Tool),
        _ => Err(Error::field(path, value, "system, developer, user, assistant or tool")),
    }
}

fn content_parts(
    path: &str,
    value: &str,
    parts: &mut Vec<Part>,
    lost: &mut Vec<String>,
) -> Result<(), Error> {
    match value.as_bytes().first() {
        Some(b'n') => {}
        Some(b'"') => parts.push(Part::Text(text_of(path, value)?)),
        _ => {
            for (i, item) in list(path, value)?.into_iter().enumerate() {
                parts.push(part(&format!("{path}[{i}]"), item, lost)?);
            }
        }
    }
    Ok(())
}

fn part(path: &str, value: &str, lost: &mut Vec<String>) -> Result<Part, Error> {
    let all = object(path, value)?;
    let get = |name: &str| all.iter().find(|(k, _)| k == name).map(|(_, v)| *v);
    let kind = get("type").ok_or_else(|| Error::missing(format!("{path}.type")))?;
    let kind = text_of(&format!("{path}.type"), kind)?;
    let own = match kind.as_str() {
        "text" | "input_text" => "text",
        "refusal" => "refusal",
        "image_url" => "image_url",
        _ => {
            return Err(Error::Untranslatable {
                parameter: format!("{path}.{kind}"),
                target: "canonical",
                because: "only text and images have a form that every dialect shares".into(),
            });
        }
    };
    let at = format!("{path}.{own}");
    let v = get(own).ok_or_else(|| Error::missing(&at))?;
    for (key, _) in all.iter().filter(|(k, v)| k != "type" && k != own && *v != "null") {
        add(lost, format!("messages.content.{key}"));
    }
    match own {
        "text" => text_of(&at, v).map(Part::Text),
        "refusal" => text_of(&at, v).map(Part::Refusal),
        _ => image(&at, v),
    }
}

fn image(path: &str, value: &str) -> Result<Part, Error> {
    let (mut url, mut detail) = (None, None);
    for (key, v) in object(path, value)? {
        match &*key {
            "url" => url = Some(text_of(&format!("{path}.url"), v)?),
            "detail" => detail = some_text(&format!("{path}.detail"), v)?,
            _ => {}
        }
    }
    let url = url.ok_or_else(|| Error::missing(format!("{path}.url")))?;
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    Ok(Part::Image(match inline {
        Some((media_type, data)) => {
            Image::Inline { media_type: media_type.to_string(), data: data.to_string(), detail }
        }
        None if url.starts_with("https://") || url.starts_with("http://") => Image::Url { url, detail },
        None => return Err(Error::field(format!("{path}.url"), &url, "an http(s) or a base64 data URL")),
    }))
}

fn tool_call(path: &str, value: &str) -> Result<Part, Error> {
    let (mut id, mut function) = (None, None);
    for (key, v) in object(path, value)? {
        match &*key {
            "id" => id = Some(text_of(&format!("{path}.id"), v)?),
            "function" => function = Some(v),
            "type" if v != "\"function\"" => {
                return Err(Error::field(format!("{path}.type"), v, "function"));
            }
            _ => {}
        }
    }
    let at = format!("{path}.function");
    let (mut name, mut arguments) = (None, String::from("{}"));
    for (key, v) in object(&at, function.ok_or_else(|| Error::missing(&at))?)? {
        match &*key {
            "name" => name = Some(text_of(&format!("{at}.name"), v)?),
            "arguments" => arguments = text_of(&format!("{at}.arguments"), v)?,
            _ => {}
        }
    }
    Ok(Part::ToolCall {
        id: id.ok_or_else(|| Error::missing(format!("{path}.id")))?,
        name: name.ok_or_else(|| Error::missing(format!("{at}.name")))?,
        arguments,
    })
}

fn tool(path: &str, value: &str, lost: &mut Vec<String>) -> Result<Tool, Error> {
    let mut function = None;
    for (key, v) in object(path, value)? {
        match &*key {
            "function" => function = Some(v),
            "type" if v != "\"function\"" => {
                return Err(Error::Untranslatable {
                    parameter: format!("{path}.type {v}"),
                    target: "canonical",
                    because: "only function tools have a form that every dialect shares".into(),
                });
            }
            "type" => {}
            other => add(lost, format!("tools.{other}")),
        }
    }
    let at = format!("{path}.function");
    let mut tool = Tool { name: String::new(), description: None, parameters: None, strict: None };
    for (key, v) in object(&at, function.ok_or_else(|| Error::missing(&at))?)? {
        let inner = format!("{at}.{key}");
        match &*key {
            "name" => tool.name = text_of(&inner, v)?,
            "description" => tool.description = some_text(&inner, v)?,
            "parameters" if v == "null" => {}
            "parameters" => {
                object(&inner, v)?;
                tool.parameters = Some(v.to_string());
            }
            "strict" => tool.strict = some_bool(&inner, v)?,
            other => add(lost, format!("tools.function.{other}")),
        }
    }
    if tool.name.is_empty() { Err(Error::missing(format!("{at}.name"))) } else { Ok(tool) }
}

fn tool_choice(value: &str) -> Result<ToolChoice, Error> {
    let expected = "auto, none, required, or {\"type\":\"function\",\"function\":{\"name\":..}}";
    match value {
        "\"auto\"" => Ok(ToolChoice::Auto),
        "\"none\"" => Ok(ToolChoice::None),
        "\"required\"" => Ok(ToolChoice::Required),
        v if v.starts_with('{') => {
            let function =
                object("tool_choice", v)?.into_iter().find(|(k, _)| k == "function").map(|(_, v)| v);
            let named = object("tool_choice.function", function.unwrap_or("null"))?;
            match named.into_iter().find(|(k, _)| k == "name") {
                Some((_, name)) => text_of("tool_choice.function.name", name).map(ToolChoice::Named),
                None => Err(Error::missing("tool_choice.function.name")),
            }
        }
        _ => Err(Error::field("tool_choice", value, expected)),
    }
}

fn format_of(value: &str) -> Result<Format, Error> {
    let all = object("response_format", value)?;
    let get = |name: &str| all.iter().find(|(k, _)| k == name).map(|(_, v)| *v);
    match get("type") {
        Some("\"text\"") => Ok(Format::Text),
        Some("\"json_object\"") => Ok(Format::JsonObject),
        Some("\"json_schema\"") => {
            let at = "response_format.json_schema";
            let (mut name, mut schema, mut strict) = (String::from("answer"), None, None);
            for (key, v) in object(at, get("json_schema").ok_or_else(|| Error::missing(at))?)? {
                match &*key {
                    "name" => name = text_of("response_format.json_schema.name", v)?,
                    "schema" => {
                        object("response_format.json_schema.schema", v)?;
                        schema = Some(v.to_string());
                    }
                    "strict" => strict = some_bool("response_format.json_schema.strict", v)?,
                    _ => {}
                }
            }
            let schema = schema.ok_or_else(|| Error::missing("response_format.json_schema.schema"))?;
            Ok(Format::JsonSchema { name, schema, strict })
        }
        Some(other) => Err(Error::field("response_format.type", other, "text, json_object or json_schema")),
        None => Err(Error::missing("response_format.type")),
    }
}

fn effort(word: String) -> Reasoning {
    if word == "none" { Reasoning::Off } else { Reasoning::Effort(word) }
}

/// OpenRouter's object: `effort`, `max_tokens`, or `enabled`.
fn reasoning(value: &str) -> Result<Option<Reasoning>, Error> {
    let mut found = None;
    for (key, v) in object("reasoning", value)? {
        match &*key {
            "effort" if v != "null" => found = Some(effort(text_of("reasoning.effort", v)?)),
            "max_tokens" => found = max_tokens("reasoning.max_tokens", v)?.map(Reasoning::Budget).or(found),
            "enabled" if v == "false" => found = Some(Reasoning::Off),
            _ => {}
        }
    }
    Ok(found)
}
