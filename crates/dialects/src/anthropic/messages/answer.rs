//! A whole message, read from a target and written for a client.

use bytes::Bytes;
use chat::{Choice, Finish, Part, Response};

use super::REDACTED;
use crate::fields::Lenient;
use crate::json::{self, Writer};
use crate::{Error, usage};

/// Reads a target's message.
///
/// # Errors
/// UP0004 when it is no JSON object or has neither `content` nor `error`.
pub fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let broken = |because: &str| Error::Upstream { because: because.into() };
    let top = Lenient::body(body).ok_or_else(|| broken("it is not a JSON object"))?;
    if !top.has("content") && !top.has("error") {
        return Err(broken("it has no `content`"));
    }
    let usage_object = top.object("usage");
    let parts = top.objects("content").iter().filter_map(block).collect();
    let choice = Choice {
        parts,
        logprobs: Vec::new(),
        finish: top.str("stop_reason").map(|word| finish_from(&word)),
        stop: top.str("stop_sequence").map(|s| s.into_owned()),
    };
    Ok(Response {
        id: top.text("id"),
        model: top.text("model"),
        created: 0,
        choices: vec![choice],
        usage: usage::from_anthropic(&usage_object),
        tier: usage_object.str("service_tier").map(|word| usage::tier(&word)),
        failed: top.has("error").then(|| crate::stream::failure_words(&top)),
    })
}

/// Blocks of server tools and the like are skipped: no client asked for them here.
fn block(b: &Lenient<'_>) -> Option<Part> {
    match &*b.str("type")? {
        "text" => Some(Part::Text(b.text("text"))),
        "tool_use" => Some(Part::ToolCall {
            id: b.text("id"),
            name: b.text("name"),
            arguments: b.raw("input").unwrap_or("{}").to_string(),
        }),
        "thinking" => Some(Part::Reasoning {
            text: b.text("thinking"),
            signature: b.str("signature").map(|s| s.into_owned()).filter(|s| !s.is_empty()),
        }),
        "redacted_thinking" => Some(Part::Reasoning {
            text: String::new(),
            signature: Some(format!("{REDACTED}{}", b.text("data"))),
        }),
        _ => None,
    }
}

pub(crate) fn finish_from(word: &str) -> Finish {
    match word {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Filtered,
        other => Finish::Other(other.to_string()),
    }
}

pub(crate) fn finish_word<'f>(finish: &'f Finish, stop: Option<&str>) -> &'f str {
    match finish {
        Finish::Stop if stop.is_some() => "stop_sequence",
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Filtered => "refusal",
        Finish::Other(word) => word,
    }
}

/// Writes a message for a client: the first choice.
pub fn encode_response(response: &Response) -> Bytes {
    let empty = Choice::default();
    let choice = response.choices.first().unwrap_or(&empty);
    json::text(|w| {
        w.object(|w| {
            w.field_str("id", &response.id);
            w.field_str("type", "message");
            w.field_str("role", "assistant");
            w.field_str("model", &response.model);
            w.key("content").list(&choice.parts, write_block);
            match &choice.finish {
                Some(finish) => w.field_str("stop_reason", finish_word(finish, choice.stop.as_deref())),
                None => w.key("stop_reason").null(),
            }
            match &choice.stop {
                Some(stop) => w.field_str("stop_sequence", stop),
                None => w.key("stop_sequence").null(),
            }
            w.key("usage");
            usage::write_anthropic(w, &response.usage.clone().unwrap_or_default(), response.tier.as_ref());
        });
    })
}

fn write_block(w: &mut Writer<'_>, part: &Part) {
    match part {
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => {}
        Part::Text(text) | Part::Refusal(text) => w.object(|w| {
            w.field_str("type", "text");
            w.field_str("text", text);
        }),
        Part::ToolCall { id, name, arguments } => w.object(|w| {
            w.field_str("type", "tool_use");
            w.field_str("id", id);
            w.field_str("name", name);
            w.field_raw("input", json::object_or_empty(arguments));
        }),
        Part::Reasoning { text, signature } => w.object(|w| {
            let seal = signature.as_deref().unwrap_or("");
            match seal.strip_prefix(REDACTED) {
                Some(data) if text.is_empty() => {
                    w.field_str("type", "redacted_thinking");
                    w.field_str("data", data);
                }
                _ => {
                    w.field_str("type", "thinking");
                    w.field_str("thinking", text);
                    w.field_str("signature", seal);
                }
            }
        }),
        Part::Image(_) | Part::ToolResult { .. } => {}
    }
}
