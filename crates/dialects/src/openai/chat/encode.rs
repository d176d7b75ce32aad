//! A chat request written for an OpenAI-compatible target.

use chat::{Format, Image, Message, Part, Reasoning, Request, Role, Tier, ToolChoice};

use crate::fields::add;
use crate::json::{self, Writer};
use crate::openai::structured;
use crate::{Decoded, Dialect, Encoded, Error, Quirks, usage};

/// Writes a chat completions request. Nothing is refused: this dialect can say
/// all that a canonical request can, but `echo` and `suffix`.
///
/// # Errors
/// DI0006 for legacy `echo` and `suffix`.
pub fn encode(quirks: &Quirks, model: &str, decoded: &Decoded) -> Result<Encoded, Error> {
    let request = &decoded.request;
    let mut dropped = decoded.lost.clone();
    for (asked, name) in [(request.echo, "echo"), (request.suffix.is_some(), "suffix")] {
        if asked {
            return Err(Error::Untranslatable {
                parameter: name.into(),
                target: Dialect::OpenaiChat.name(),
                because: "a chat answer does not continue a text".into(),
            });
        }
    }
    let body = json::text(|w| {
        w.object(|w| {
            w.field_str("model", model);
            w.key("messages").list(&request.messages, |w, m| write_message(w, m, quirks, &mut dropped));
            write_tools(w, request);
            write_sampling(w, quirks, request, &mut dropped);
            if let Some(top) = request.logprobs {
                w.field_raw("logprobs", "true");
                w.field_num("top_logprobs", top);
            }
            write_format(w, &request.format);
            write_reasoning(w, quirks, request, &mut dropped);
            write_rest(w, decoded, Dialect::OpenaiChat, &mut dropped);
        });
    });
    Ok(Encoded { body, dropped })
}

/// The fields that chat and legacy completions share.
pub(crate) fn write_sampling(
    w: &mut Writer<'_>,
    quirks: &Quirks,
    request: &Request,
    dropped: &mut Vec<String>,
) {
    let s = &request.sampling;
    w.some_num(quirks.max_tokens_field.as_deref().unwrap_or("max_tokens"), request.max_tokens);
    w.some_num("temperature", s.temperature);
    w.some_num("top_p", s.top_p);
    w.some_num("presence_penalty", s.presence_penalty);
    w.some_num("frequency_penalty", s.frequency_penalty);
    w.some_num("seed", s.seed);
    if quirks.extended_sampling {
        w.some_num("top_k", s.top_k);
        w.some_num("min_p", s.min_p);
        w.some_num("repetition_penalty", s.repetition_penalty);
    } else {
        for (asked, name) in [
            (s.top_k.is_some(), "top_k"),
            (s.min_p.is_some(), "min_p"),
            (s.repetition_penalty.is_some(), "repetition_penalty"),
        ] {
            if asked {
                add(dropped, name);
            }
        }
    }
    if !s.logit_bias.is_empty() {
        w.field_object("logit_bias", |w| {
            for (token, bias) in &s.logit_bias {
                w.field_num(&token.to_string(), bias);
            }
        });
    }
    if !request.stop.is_empty() {
        w.key("stop").list(&request.stop, |w, stop| w.str(stop));
    }
    if request.n > 1 {
        w.field_num("n", request.n);
    }
    w.some_str("user", request.user.as_deref());
    if request.tier != Tier::Standard {
        w.field_str("service_tier", usage::openai_tier(&request.tier));
    }
    if request.stream {
        w.field_raw("stream", "true");
        // Always asked: without it a stream has no cost (TRAPS M3).
        if quirks.stream_options {
            w.field_raw("stream_options", "{\"include_usage\":true}");
        }
    }
}

/// Unknown fields go back to the dialect they came in, and only there.
pub(crate) fn write_rest(w: &mut Writer<'_>, decoded: &Decoded, target: Dialect, dropped: &mut Vec<String>) {
    for (name, value) in &decoded.rest {
        if decoded.dialect == target {
            w.field_raw(name, value);
        } else {
            add(dropped, name.as_str());
        }
    }
}

fn write_message(w: &mut Writer<'_>, message: &Message, quirks: &Quirks, dropped: &mut Vec<String>) {
    let mut results = 0;
    for part in &message.parts {
        if let Part::ToolResult { id, parts, is_error } = part {
            results += 1;
            if *is_error {
                add(dropped, "messages.content.is_error");
            }
            // A tool answers in text in this dialect.
            if parts.iter().any(|p| matches!(p, Part::Image(_))) {
                add(dropped, "messages.tool_result.image");
            }
            w.object(|w| {
                w.field_str("role", "tool");
                w.field_str("tool_call_id", id);
                write_content(w, parts.iter().filter(|p| matches!(p, Part::Text(_))));
            });
        }
    }
    if results > 0 && results == message.parts.len() {
        return;
    }
    w.object(|w| {
        w.field_str("role", role_word(message.role));
        w.some_str("name", message.name.as_deref());
        let thinking = reasoning_text(&message.parts, quirks, dropped);
        w.some_str("reasoning_content", thinking.as_deref());
        let said = || message.parts.iter().filter(|p| matches!(p, Part::Text(_) | Part::Image(_)));
        let calls = || message.parts.iter().filter(|p| matches!(p, Part::ToolCall { .. }));
        let refusal = message.parts.iter().find_map(|p| match p {
            Part::Refusal(text) => Some(text),
            _ => None,
        });
        if said().next().is_some() {
            write_content(w, said());
        } else if calls().next().is_some() || refusal.is_some() {
            w.key("content").null();
        } else {
            w.field_str("content", "");
        }
        w.some_str("refusal", refusal.map(String::as_str));
        if calls().next().is_some() {
            w.key("tool_calls").list(calls(), write_call);
        }
    });
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn reasoning_text(parts: &[Part], quirks: &Quirks, dropped: &mut Vec<String>) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        if let Part::Reasoning { text: t, .. } = part {
            text.push_str(t);
            if !quirks.reasoning_content {
                add(dropped, "messages.reasoning");
            }
        }
    }
    (quirks.reasoning_content && !text.is_empty()).then_some(text)
}

/// One text is a string; anything else is a list of parts.
fn write_content<'p>(w: &mut Writer<'_>, parts: impl Iterator<Item = &'p Part> + Clone) {
    let mut all = parts.clone();
    match (all.next(), all.next()) {
        (None, _) => w.field_str("content", ""),
        (Some(Part::Text(text)), None) => w.field_str("content", text),
        _ => w.key("content").list(parts, |w, part| match part {
            Part::Image(image) => write_image(w, image),
            Part::Text(text) => w.object(|w| {
                w.field_str("type", "text");
                w.field_str("text", text);
            }),
            _ => {}
        }),
    }
}

fn write_image(w: &mut Writer<'_>, image: &Image) {
    let (url, detail) = match image {
        Image::Url { url, detail } => (url.clone(), detail),
        Image::Inline { media_type, data, detail } => (format!("data:{media_type};base64,{data}"), detail),
    };
    w.object(|w| {
        w.field_str("type", "image_url");
        w.field_object("image_url", |w| {
            w.field_str("url", &url);
            w.some_str("detail", detail.as_deref());
        });
    });
}

pub(super) fn write_call(w: &mut Writer<'_>, call: &Part) {
    let Part::ToolCall { id, name, arguments } = call else { return };
    w.object(|w| {
        w.field_str("id", id);
        w.field_str("type", "function");
        w.field_object("function", |w| {
            w.field_str("name", name);
            w.field_str("arguments", arguments);
        });
    });
}

fn write_tools(w: &mut Writer<'_>, request: &Request) {
    if request.tools.is_empty() {
        return;
    }
    w.key("tools").list(&request.tools, |w, tool| {
        w.object(|w| {
            w.field_str("type", "function");
            w.field_object("function", |w| {
                w.field_str("name", &tool.name);
                w.some_str("description", tool.description.as_deref());
                if let Some(schema) = &tool.parameters {
                    w.field_raw("parameters", schema);
                }
                w.some_num("strict", tool.strict);
            });
        });
    });
    match &request.tool_choice {
        ToolChoice::Auto => {}
        ToolChoice::None => w.field_str("tool_choice", "none"),
        ToolChoice::Required => w.field_str("tool_choice", "required"),
        ToolChoice::Named(name) => w.field_object("tool_choice", |w| {
            w.field_str("type", "function");
            w.field_object("function", |w| w.field_str("name", name));
        }),
    }
    w.some_num("parallel_tool_calls", request.parallel_tool_calls);
}

fn write_format(w: &mut Writer<'_>, format: &Format) {
    match format {
        Format::Text => {}
        Format::JsonObject => w.field_raw("response_format", "{\"type\":\"json_object\"}"),
        Format::JsonSchema { name, schema, strict } => w.field_object("response_format", |w| {
            w.field_str("type", "json_schema");
            w.field_object("json_schema", |w| {
                w.field_str("name", name);
                w.field_raw("schema", schema);
                w.some_num("strict", *strict);
            });
        }),
        Format::Regex(_) | Format::Grammar(_) => structured::write(w, format),
    }
}

/// Thinking tokens at which a budget reads as the next effort.
const MEDIUM_FROM: u32 = 2_048;
const HIGH_FROM: u32 = 8_192;

fn write_reasoning(w: &mut Writer<'_>, quirks: &Quirks, request: &Request, dropped: &mut Vec<String>) {
    let word = match &request.reasoning {
        None => return,
        Some(_) if !quirks.reasoning_effort => return add(dropped, "reasoning_effort"),
        Some(Reasoning::Effort(word)) => word.as_str(),
        Some(Reasoning::Budget(tokens)) if *tokens < MEDIUM_FROM => "low",
        Some(Reasoning::Budget(tokens)) if *tokens < HIGH_FROM => "medium",
        Some(Reasoning::Budget(_)) => "high",
        Some(Reasoning::Off) => "none",
    };
    w.field_str("reasoning_effort", word);
}
