//! A whole chat answer, read from a target and written for a client.

use bytes::Bytes;
use chat::{Choice, Finish, Part, Response, TokenLogprob, TopLogprob};

use crate::fields::Lenient;
use crate::json::{self, Writer};
use crate::{Error, usage};

/// Reads a target's chat completion.
///
/// # Errors
/// UP0004 when it is no JSON object or has neither `choices` nor `error`.
pub fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let top = read_top(body)?;
    let mut response = head(&top);
    for (position, c) in top.objects("choices").into_iter().enumerate() {
        let index = c.u64("index").unwrap_or(position as u64) as usize;
        let message = c.object("message");
        let mut parts = Vec::new();
        let thinking = message.str("reasoning_content").or_else(|| message.str("reasoning"));
        if let Some(text) = thinking.filter(|t| !t.is_empty()) {
            parts.push(Part::Reasoning { text: text.into_owned(), signature: None });
        }
        push_content(&message, &mut parts);
        if let Some(text) = message.str("refusal").filter(|t| !t.is_empty()) {
            parts.push(Part::Refusal(text.into_owned()));
        }
        for call in message.objects("tool_calls") {
            let function = call.object("function");
            parts.push(Part::ToolCall {
                id: call.text("id"),
                name: function.text("name"),
                arguments: function.text("arguments"),
            });
        }
        let choice = Choice {
            parts,
            logprobs: read_logprobs(&c.object("logprobs")),
            finish: c.str("finish_reason").map(|word| finish_from(&word)),
            stop: c.str("stop_reason").map(|s| s.into_owned()),
        };
        place(&mut response, index, choice);
    }
    Ok(response)
}

/// A string, or (Mistral) a list of text and thinking parts.
fn push_content(message: &Lenient<'_>, parts: &mut Vec<Part>) {
    if let Some(text) = message.str("content").filter(|t| !t.is_empty()) {
        parts.push(Part::Text(text.into_owned()));
    }
    for item in message.objects("content") {
        if let Some(text) = item.str("text") {
            parts.push(Part::Text(text.into_owned()));
        }
        for thought in item.objects("thinking") {
            parts.push(Part::Reasoning { text: thought.text("text"), signature: None });
        }
    }
}

pub(crate) fn read_top(body: &[u8]) -> Result<Lenient<'_>, Error> {
    let top =
        Lenient::body(body).ok_or_else(|| Error::Upstream { because: "it is not a JSON object".into() })?;
    if top.has("choices") || top.has("error") {
        return Ok(top);
    }
    Err(Error::Upstream { because: "it has no `choices`".into() })
}

/// What stands beside the choices.
pub(crate) fn head(top: &Lenient<'_>) -> Response {
    Response {
        id: top.text("id"),
        model: top.text("model"),
        created: top.i64("created").unwrap_or(0),
        choices: Vec::new(),
        usage: usage::from_openai(&top.object("usage")),
        tier: top.str("service_tier").map(|word| usage::tier(&word)),
        failed: top.has("error").then(|| crate::stream::failure_words(top)),
    }
}

/// Choices may come in any order; a gap is an empty choice.
pub(crate) fn place(response: &mut Response, index: usize, choice: Choice) {
    if index >= crate::scan::CHOICES_MAX as usize {
        return;
    }
    if response.choices.len() <= index {
        response.choices.resize_with(index + 1, Choice::default);
    }
    response.choices[index] = choice;
}

pub(crate) fn finish_from(word: &str) -> Finish {
    match word {
        "stop" | "eos" | "end_turn" => Finish::Stop,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::Filtered,
        other => Finish::Other(other.to_string()),
    }
}

pub(crate) fn finish_word(finish: &Finish) -> &str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Filtered => "content_filter",
        Finish::Other(word) => word,
    }
}

pub(crate) fn read_logprobs(logprobs: &Lenient<'_>) -> Vec<TokenLogprob> {
    let one = |t: &Lenient<'_>| {
        let bytes = t
            .has("bytes")
            .then(|| t.list("bytes").into_iter().filter_map(|b| b.parse::<u8>().ok()).collect::<Vec<u8>>());
        (t.text("token"), bytes, t.f32("logprob").unwrap_or(0.0))
    };
    let tokens = logprobs.objects("content").into_iter().map(|t| {
        let (token, bytes, logprob) = one(&t);
        let top = t.objects("top_logprobs").into_iter().map(|t| {
            let (token, bytes, logprob) = one(&t);
            TopLogprob { token, bytes, logprob }
        });
        TokenLogprob { token, bytes, logprob, top: top.collect() }
    });
    tokens.collect()
}

pub(crate) fn write_logprobs(w: &mut Writer<'_>, tokens: &[TokenLogprob]) {
    let one = |w: &mut Writer<'_>, token: &str, bytes: &Option<Vec<u8>>, logprob: f32| {
        w.field_str("token", token);
        w.key("logprob").float(logprob);
        match bytes {
            Some(bytes) => w.key("bytes").list(bytes, |w, b| w.num(b)),
            None => w.key("bytes").null(),
        }
    };
    w.object(|w| {
        w.key("content").list(tokens, |w, t| {
            w.object(|w| {
                one(w, &t.token, &t.bytes, t.logprob);
                w.key("top_logprobs").list(&t.top, |w, t| {
                    w.object(|w| one(w, &t.token, &t.bytes, t.logprob));
                });
            });
        });
        w.key("refusal").null();
    });
}

/// Writes a chat completion for a client.
pub fn encode_response(response: &Response) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("id", &response.id);
            w.field_str("object", "chat.completion");
            w.field_num("created", response.created);
            w.field_str("model", &response.model);
            w.key("choices").list((0u32..).zip(&response.choices), |w, (index, choice)| {
                w.object(|w| {
                    w.field_num("index", index);
                    w.field_object("message", |w| write_message(w, choice));
                    w.key("logprobs");
                    if choice.logprobs.is_empty() {
                        w.null()
                    } else {
                        write_logprobs(w, &choice.logprobs)
                    }
                    match &choice.finish {
                        Some(finish) => w.field_str("finish_reason", finish_word(finish)),
                        None => w.key("finish_reason").null(),
                    }
                });
            });
            if let Some(u) = &response.usage {
                w.key("usage");
                usage::write_openai(w, u);
            }
            if let Some(tier) = &response.tier {
                w.field_str("service_tier", usage::openai_tier(tier));
            }
        });
    })
}

fn write_message(w: &mut Writer<'_>, choice: &Choice) {
    let (mut text, mut thinking, mut refusal) = (None::<String>, None::<String>, None::<String>);
    let join = |whole: &mut Option<String>, part: &str| whole.get_or_insert_default().push_str(part);
    for part in &choice.parts {
        match part {
            Part::Text(t) => join(&mut text, t),
            Part::Reasoning { text: t, .. } => join(&mut thinking, t),
            Part::Refusal(t) => join(&mut refusal, t),
            _ => {}
        }
    }
    let calls = || choice.parts.iter().filter(|p| matches!(p, Part::ToolCall { .. }));
    let has_calls = calls().next().is_some();
    w.field_str("role", "assistant");
    match text {
        Some(text) => w.field_str("content", &text),
        None if has_calls || refusal.is_some() => w.key("content").null(),
        None => w.field_str("content", ""),
    }
    w.some_str("reasoning_content", thinking.as_deref().filter(|t| !t.is_empty()));
    match refusal {
        Some(text) => w.field_str("refusal", &text),
        None => w.key("refusal").null(),
    }
    if has_calls {
        w.key("tool_calls").list(calls(), super::encode::write_call);
    }
}
