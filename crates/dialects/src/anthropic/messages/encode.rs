//! A request written for an Anthropic target.

use chat::{Format, Image, Message, Part, Reasoning, Request, Role, Tier, ToolChoice};

use super::REDACTED;
use crate::fields::add;
use crate::json::{self, Writer};
use crate::openai::chat::write_rest;
use crate::{Decoded, Dialect, Encoded, Error, Quirks};

/// The smallest thinking budget the provider takes.
const BUDGET_MIN: u32 = 1_024;
const BUDGET_MEDIUM: u32 = 4_096;
const BUDGET_HIGH: u32 = 16_384;

/// Writes a messages request.
///
/// # Errors
/// DI0006 for what changes the answer and cannot be said: several choices,
/// logprobs, `echo`, `suffix`.
pub fn encode(quirks: &Quirks, model: &str, decoded: &Decoded) -> Result<Encoded, Error> {
    let r = &decoded.request;
    for (asked, name, because) in [
        (r.n > 1, "n", "it answers once: send the request several times"),
        (r.logprobs.is_some(), "logprobs", "it tells no probabilities"),
        (r.echo, "echo", "a chat answer does not continue a text"),
        (r.suffix.is_some(), "suffix", "a chat answer does not continue a text"),
        (
            matches!(r.format, Format::Regex(_) | Format::Grammar(_)),
            "structured_outputs",
            "it holds an answer to a JSON schema, and to nothing else",
        ),
    ] {
        if asked {
            return Err(Error::Untranslatable {
                parameter: name.into(),
                target: Dialect::AnthropicMessages.name(),
                because: because.into(),
            });
        }
    }
    let mut dropped = decoded.lost.clone();
    let max_tokens = r.max_tokens.unwrap_or(quirks.max_tokens_default);
    let budget = thinking_budget(r, max_tokens, &mut dropped);
    let body = json::text(|w| {
        w.object(|w| {
            w.field_str("model", model);
            w.field_num("max_tokens", max_tokens);
            write_system(w, r, &mut dropped);
            write_turns(w, &r.messages, &mut dropped);
            write_tools(w, r);
            write_sampling(w, decoded, budget.is_some(), &mut dropped);
            match (budget, &r.reasoning) {
                (Some(budget), _) => w.field_object("thinking", |w| {
                    w.field_str("type", "enabled");
                    w.field_num("budget_tokens", budget);
                }),
                (None, Some(Reasoning::Off)) => w.field_raw("thinking", "{\"type\":\"disabled\"}"),
                _ => {}
            }
            match &r.format {
                Format::Text | Format::Regex(_) | Format::Grammar(_) => {}
                Format::JsonObject => add(&mut dropped, "response_format"),
                Format::JsonSchema { schema, .. } => w.field_object("output_config", |w| {
                    w.field_object("format", |w| {
                        w.field_str("type", "json_schema");
                        w.field_raw("schema", schema);
                    });
                }),
            }
            if let Some(user) = &r.user {
                w.field_object("metadata", |w| w.field_str("user_id", user));
            }
            match r.tier {
                Tier::Standard => {}
                Tier::Auto | Tier::Priority => w.field_str("service_tier", "auto"),
                _ => add(&mut dropped, "service_tier"),
            }
            if r.stream {
                w.field_raw("stream", "true");
            }
            write_rest(w, decoded, Dialect::AnthropicMessages, &mut dropped);
        });
    });
    Ok(Encoded { body, dropped })
}

/// Thinking must fit under `max_tokens`, and excludes a forced tool.
fn thinking_budget(r: &Request, max_tokens: u32, dropped: &mut Vec<String>) -> Option<u32> {
    let wanted = match r.reasoning.as_ref()? {
        Reasoning::Off => return None,
        Reasoning::Budget(tokens) => *tokens,
        Reasoning::Effort(word) => match word.as_str() {
            "minimal" | "low" => BUDGET_MIN,
            "medium" => BUDGET_MEDIUM,
            _ => BUDGET_HIGH,
        },
    };
    let fits = wanted.max(BUDGET_MIN).min(max_tokens.saturating_sub(1));
    let forced = matches!(r.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
    if fits < BUDGET_MIN || forced {
        add(dropped, "reasoning_effort");
        return None;
    }
    Some(fits)
}

fn write_sampling(w: &mut Writer<'_>, decoded: &Decoded, is_thinking: bool, dropped: &mut Vec<String>) {
    let r = &decoded.request;
    let s = &r.sampling;
    // Models since 4.1 refuse both; clients of other dialects often send both.
    let is_foreign = decoded.dialect != Dialect::AnthropicMessages;
    let both = is_foreign && s.temperature.is_some() && s.top_p.is_some();
    if both && s.top_p != Some(1.0) {
        add(dropped, "top_p");
    }
    match s.temperature {
        // Thinking allows only the default.
        Some(t) if is_thinking && t != 1.0 => add(dropped, "temperature"),
        Some(t) if t > 1.0 => {
            add(dropped, "temperature above 1");
            w.field_num("temperature", 1);
        }
        t => w.some_num("temperature", t),
    }
    if is_thinking {
        for (asked, name) in [(s.top_p.is_some_and(|p| p < 0.95), "top_p"), (s.top_k.is_some(), "top_k")] {
            if asked {
                add(dropped, name);
            }
        }
    }
    w.some_num("top_p", s.top_p.filter(|p| !both && (!is_thinking || *p >= 0.95)));
    w.some_num("top_k", s.top_k.filter(|_| !is_thinking));
    if !r.stop.is_empty() {
        w.key("stop_sequences").list(&r.stop, |w, stop| w.str(stop));
    }
    for (asked, name) in [
        (s.min_p.is_some(), "min_p"),
        (s.presence_penalty.is_some_and(|p| p != 0.0), "presence_penalty"),
        (s.frequency_penalty.is_some_and(|p| p != 0.0), "frequency_penalty"),
        (s.repetition_penalty.is_some_and(|p| p != 1.0), "repetition_penalty"),
        (s.seed.is_some(), "seed"),
        (!s.logit_bias.is_empty(), "logit_bias"),
    ] {
        if asked {
            add(dropped, name);
        }
    }
}

/// System turns, wherever they stood, go to the top in their order.
fn write_system(w: &mut Writer<'_>, r: &Request, dropped: &mut Vec<String>) {
    let system = || r.messages.iter().filter(|m| m.role == Role::System).flat_map(|m| &m.parts);
    let mut parts = system();
    match (parts.next(), parts.next()) {
        (None, _) => {}
        (Some(Part::Text(text)), None) => w.field_str("system", text),
        _ => w.key("system").list(system(), |w, part| write_block(w, part, dropped)),
    }
}

/// Tool results and user turns that follow each other are one user turn here.
fn write_turns(w: &mut Writer<'_>, messages: &[Message], dropped: &mut Vec<String>) {
    let turns: Vec<&Message> = messages.iter().filter(|m| m.role != Role::System).collect();
    let speaker = |m: &Message| if m.role == Role::Assistant { "assistant" } else { "user" };
    let merged = turns.chunk_by(|a, b| speaker(a) == "user" && speaker(b) == "user");
    w.key("messages").list(merged, |w, turn| {
        if turn.iter().any(|m| m.name.is_some()) {
            add(dropped, "messages.name");
        }
        w.object(|w| {
            w.field_str("role", speaker(turn[0]));
            let parts = || turn.iter().flat_map(|m| &m.parts);
            let mut all = parts();
            match (all.next(), all.next()) {
                (Some(Part::Text(text)), None) => w.field_str("content", text),
                _ => w.key("content").list(parts(), |w, part| write_block(w, part, dropped)),
            }
        });
    });
}

fn write_block(w: &mut Writer<'_>, part: &Part, dropped: &mut Vec<String>) {
    match part {
        // The provider refuses empty text blocks.
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => {}
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            w.field_str("type", "text");
            w.field_str("text", text);
        }),
        Part::Image(image) => w.object(|w| {
            w.field_str("type", "image");
            w.field_object("source", |w| write_source(w, image, dropped));
        }),
        Part::ToolCall { id, name, arguments } => w.object(|w| {
            w.field_str("type", "tool_use");
            w.field_str("id", id);
            w.field_str("name", name);
            w.field_raw("input", json::object_or_empty(arguments));
        }),
        Part::ToolResult { id, parts, is_error } => w.object(|w| {
            w.field_str("type", "tool_result");
            w.field_str("tool_use_id", id);
            match &parts[..] {
                [Part::Text(text)] => w.field_str("content", text),
                _ => w.key("content").list(parts, |w, part| write_block(w, part, dropped)),
            }
            if *is_error {
                w.field_raw("is_error", "true");
            }
        }),
        Part::Reasoning { text, signature: Some(seal) } => w.object(|w| match seal.strip_prefix(REDACTED) {
            Some(data) if text.is_empty() => {
                w.field_str("type", "redacted_thinking");
                w.field_str("data", data);
            }
            _ => {
                w.field_str("type", "thinking");
                w.field_str("thinking", text);
                w.field_str("signature", seal);
            }
        }),
        // Without its seal the provider refuses it.
        Part::Reasoning { signature: None, .. } => add(dropped, "messages.reasoning"),
    }
}

fn write_source(w: &mut Writer<'_>, image: &Image, dropped: &mut Vec<String>) {
    let detail = match image {
        Image::Url { url, detail } => {
            w.field_str("type", "url");
            w.field_str("url", url);
            detail
        }
        Image::Inline { media_type, data, detail } => {
            w.field_str("type", "base64");
            w.field_str("media_type", media_type);
            w.field_str("data", data);
            detail
        }
    };
    if detail.as_ref().is_some_and(|d| d != "auto") {
        add(dropped, "messages.content.image_url.detail");
    }
}

fn write_tools(w: &mut Writer<'_>, r: &Request) {
    if r.tools.is_empty() {
        return;
    }
    w.key("tools").list(&r.tools, |w, tool| {
        w.object(|w| {
            w.field_str("name", &tool.name);
            w.some_str("description", tool.description.as_deref());
            let schema = tool.parameters.as_deref().unwrap_or("{\"type\":\"object\",\"properties\":{}}");
            w.field_raw("input_schema", schema);
            w.some_num("strict", tool.strict);
        });
    });
    let (kind, name) = match &r.tool_choice {
        ToolChoice::Auto if r.parallel_tool_calls.is_none() => return,
        ToolChoice::Auto => ("auto", None),
        ToolChoice::None => ("none", None),
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    w.field_object("tool_choice", |w| {
        w.field_str("type", kind);
        w.some_str("name", name);
        if let Some(parallel) = r.parallel_tool_calls.filter(|_| kind != "none") {
            w.field_num("disable_parallel_tool_use", !parallel);
        }
    });
}
