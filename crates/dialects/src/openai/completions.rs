//! Legacy completions: a text and its continuation.

use bytes::Bytes;
use chat::{Choice, Message, Part, Response, Role, TokenLogprob, TopLogprob};

use super::chat::{Common, finish_from, finish_word, tools_lost_to_text, write_sampling};
use crate::fields::{self, Lenient, boolean, list, some_text, text_of, whole};
use crate::json::{self, Writer};
use crate::{Decoded, Dialect, Encoded, Error, Quirks, usage};

/// Reads a completions request: the prompt becomes one user turn.
///
/// # Errors
/// DI0001-DI0005; DI0006 for several prompts or a prompt of token ids, which
/// only a target of this dialect understands (they pass it unread).
pub fn decode(body: &Bytes) -> Result<Decoded, Error> {
    let mut common = Common::new(Dialect::OpenaiCompletions);
    let mut prompt = None;
    let all = fields::body(body)?;
    let text = fields::text(body);
    for (key, span) in all {
        let value = &text[span.clone()];
        let request = &mut common.decoded.request;
        match key.as_str() {
            "prompt" => prompt = Some(prompt_of(value)?),
            "echo" => request.echo = boolean(&key, value)?,
            "suffix" => request.suffix = some_text(&key, value)?,
            "logprobs" => request.logprobs = whole(&key, value, 0, 5)?.map(|k| k as u8),
            // `best_of` equal to one is the default and says nothing.
            "best_of" if matches!(value, "1" | "null") => {}
            _ => common.take(body, key, value, span)?,
        }
    }
    let prompt = prompt.ok_or_else(|| Error::missing("prompt"))?;
    common.decoded.request.messages = vec![Message::text(Role::User, prompt)];
    common.done()
}

fn prompt_of(value: &str) -> Result<String, Error> {
    let refuse = |because: &str| Error::Untranslatable {
        parameter: "prompt".into(),
        target: "canonical",
        because: because.into(),
    };
    if value.starts_with('"') {
        return text_of("prompt", value);
    }
    match list("prompt", value)?[..] {
        [one] if one.starts_with('"') => text_of("prompt[0]", one),
        [] => Err(Error::field("prompt", value, "a text")),
        [first, ..] if first.starts_with('"') => {
            Err(refuse("several prompts are several requests: send one each"))
        }
        _ => Err(refuse("token ids mean something only to the model that made them: send text")),
    }
}

/// Writes a completions request for a target.
///
/// # Errors
/// DI0006 for a conversation, tools, images, or a response format.
pub fn encode(quirks: &Quirks, model: &str, decoded: &Decoded) -> Result<Encoded, Error> {
    let request = &decoded.request;
    let refuse = |parameter: &str, because: &str| {
        Err(Error::Untranslatable {
            parameter: parameter.into(),
            target: Dialect::OpenaiCompletions.name(),
            because: because.into(),
        })
    };
    if let Some(name) = tools_lost_to_text(request) {
        return refuse(name, "legacy completions have no tools");
    }
    if request.format != chat::Format::Text && decoded.dialect != Dialect::OpenaiCompletions {
        return refuse("response_format", "legacy completions have no response format");
    }
    let prompt = match &request.messages[..] {
        [Message { role: Role::User, parts, .. }] => match &parts[..] {
            [Part::Text(text)] => text,
            _ => return refuse("messages", "legacy completions take one text"),
        },
        _ => return refuse("messages", "legacy completions take one text, not a conversation"),
    };
    let mut dropped = decoded.lost.clone();
    if request.reasoning.is_some() {
        fields::add(&mut dropped, "reasoning_effort");
    }
    let body = json::text(|w| {
        w.object(|w| {
            w.field_str("model", model);
            w.field_str("prompt", prompt);
            w.some_str("suffix", request.suffix.as_deref());
            if request.echo {
                w.field_raw("echo", "true");
            }
            w.some_num("logprobs", request.logprobs);
            super::structured::write(w, &request.format);
            // `max_completion_tokens` never reached this dialect.
            let quirks = Quirks { max_tokens_field: None, ..quirks.clone() };
            write_sampling(w, &quirks, request, &mut dropped);
            super::chat::write_rest(w, decoded, Dialect::OpenaiCompletions, &mut dropped);
        });
    });
    Ok(Encoded { body, dropped })
}

/// Reads a target's completion.
///
/// # Errors
/// UP0004 as for chat.
pub fn decode_response(body: &[u8]) -> Result<Response, Error> {
    let top = super::chat::read_top(body)?;
    let mut response = super::chat::head(&top);
    for (position, c) in top.objects("choices").into_iter().enumerate() {
        let index = c.u64("index").unwrap_or(position as u64) as usize;
        let choice = Choice {
            parts: c.str("text").map(|t| Part::Text(t.into_owned())).into_iter().collect(),
            logprobs: read_logprobs(&c.object("logprobs")),
            finish: c.str("finish_reason").map(|word| finish_from(&word)),
            stop: c.str("stop_reason").map(|s| s.into_owned()),
        };
        super::chat::place(&mut response, index, choice);
    }
    Ok(response)
}

/// Writes a completion for a client; only text can be said.
pub fn encode_response(response: &Response) -> Bytes {
    json::text(|w| {
        w.object(|w| {
            w.field_str("id", &response.id);
            w.field_str("object", "text_completion");
            w.field_num("created", response.created);
            w.field_str("model", &response.model);
            w.key("choices").list((0u32..).zip(&response.choices), |w, (index, choice)| {
                let mut text = String::new();
                for part in &choice.parts {
                    if let Part::Text(t) | Part::Refusal(t) = part {
                        text.push_str(t);
                    }
                }
                w.object(|w| {
                    w.field_num("index", index);
                    w.field_str("text", &text);
                    w.key("logprobs");
                    if choice.logprobs.is_empty() {
                        w.null()
                    } else {
                        write_logprobs(w, &choice.logprobs, &mut 0)
                    }
                    match &choice.finish {
                        Some(finish) => w.field_str("finish_reason", legacy_word(finish)),
                        None => w.key("finish_reason").null(),
                    }
                });
            });
            if let Some(u) = &response.usage {
                w.key("usage");
                usage::write_openai(w, u);
            }
        });
    })
}

/// The SDK's type knows `stop`, `length` and `content_filter` only.
pub(crate) fn legacy_word(finish: &chat::Finish) -> &str {
    match finish {
        chat::Finish::ToolCalls => "stop",
        other => finish_word(other),
    }
}

/// Four parallel lists.
pub(crate) fn read_logprobs(logprobs: &Lenient<'_>) -> Vec<TokenLogprob> {
    let (tokens, values) = (logprobs.list("tokens"), logprobs.list("token_logprobs"));
    let tops = logprobs.list("top_logprobs");
    let mut read = Vec::with_capacity(tokens.len());
    for (i, token) in tokens.iter().enumerate() {
        let top = tops.get(i).and_then(|t| fields::object("top_logprobs", t).ok()).unwrap_or_default();
        let top = top.into_iter().map(|(token, v)| TopLogprob {
            token: token.into_owned(),
            bytes: None,
            logprob: v.parse().unwrap_or(0.0),
        });
        read.push(TokenLogprob {
            token: text_of("tokens", token).unwrap_or_default(),
            bytes: None,
            logprob: values.get(i).and_then(|v| v.parse().ok()).unwrap_or(0.0),
            top: top.collect(),
        });
    }
    read
}

/// `offset` counts characters of the text so far, over the chunks of a stream.
pub(crate) fn write_logprobs(w: &mut Writer<'_>, tokens: &[TokenLogprob], offset: &mut usize) {
    w.object(|w| {
        w.key("tokens").list(tokens, |w, t| w.str(&t.token));
        w.key("token_logprobs").list(tokens, |w, t| w.float(t.logprob));
        w.key("top_logprobs").list(tokens, |w, t| {
            w.object(|w| {
                for top in &t.top {
                    w.key(&top.token).float(top.logprob);
                }
            });
        });
        w.key("text_offset").list(tokens, |w, t| {
            w.num(*offset);
            *offset += t.token.chars().count();
        });
    });
}
