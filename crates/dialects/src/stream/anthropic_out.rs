//! Events as an Anthropic stream.
//!
//! Blocks stand one after another, while tool calls of other dialects may grow
//! side by side: one call streams, those that begin while it is open wait for
//! the choice to finish. Usage comes after the finish in other dialects, so
//! `message_delta` waits for the end of the stream.

use bytes::BytesMut;
use chat::{Event, Finish, Tier, Usage};

use super::StreamOptions;
use crate::anthropic::messages::{REDACTED, finish_word};
use crate::json::Writer as Json;
use crate::usage;

#[derive(Clone, Copy, PartialEq)]
enum Open {
    None,
    Text,
    Thinking,
    /// The call of this index.
    Tool(u32),
}

/// A call that waits for its block.
struct Waiting {
    index: u32,
    id: String,
    name: String,
    arguments: String,
}

pub(super) struct Writer {
    options: StreamOptions,
    has_started: bool,
    has_failed: bool,
    open: Open,
    block: u32,
    waiting: Vec<Waiting>,
    finish: Option<(Finish, Option<String>)>,
    usage: Option<Usage>,
    tier: Option<Tier>,
}

impl Writer {
    pub(super) fn new(options: StreamOptions) -> Writer {
        Writer {
            options,
            has_started: false,
            has_failed: false,
            open: Open::None,
            block: 0,
            waiting: Vec::new(),
            finish: None,
            usage: None,
            tier: None,
        }
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Start { id, model, .. } => self.start(id, model, out),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Failed { kind, message, .. } => self.fail(kind, message, out),
            Event::Text { choice: 0, text } | Event::Refusal { choice: 0, text } if !text.is_empty() => {
                self.enter(Open::Text, out);
                self.delta(out, "text_delta", "text", text);
            }
            // An empty stretch only parts two seals; the next seal opens its own block.
            Event::Reasoning { choice: 0, text } if !text.is_empty() => {
                self.enter(Open::Thinking, out);
                self.delta(out, "thinking_delta", "thinking", text);
            }
            Event::Signature { choice: 0, signature } => self.seal(signature, out),
            Event::ToolStart { choice: 0, index, id, name } => self.tool_start(*index, id, name, out),
            Event::ToolArguments { choice: 0, index, fragment } => self.tool_arguments(*index, fragment, out),
            Event::Finish { choice: 0, reason, stop } => {
                self.start("", "", out);
                self.leave(out);
                self.flush_waiting(out);
                self.finish = Some((reason.clone(), stop.clone()));
            }
            // One choice, no probabilities in this dialect.
            _ => {}
        }
    }

    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        if self.has_failed {
            return;
        }
        let Some((reason, stop)) = self.finish.take() else { return };
        let usage = self.usage.take().unwrap_or_default();
        let tier = self.tier.take();
        event(out, "message_delta", |w| {
            w.field_object("delta", |w| {
                w.field_str("stop_reason", finish_word(&reason, stop.as_deref()));
                match &stop {
                    Some(stop) => w.field_str("stop_sequence", stop),
                    None => w.key("stop_sequence").null(),
                }
            });
            w.key("usage");
            usage::write_anthropic(w, &usage, tier.as_ref());
        });
        event(out, "message_stop", |_| {});
    }

    fn start(&mut self, id: &str, model: &str, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        let o = &self.options;
        event(out, "message_start", |w| {
            w.field_object("message", |w| {
                w.field_str("id", if o.id.is_empty() { id } else { &o.id });
                w.field_str("type", "message");
                w.field_str("role", "assistant");
                w.field_str("model", if o.model.is_empty() { model } else { &o.model });
                w.field_raw("content", "[]");
                w.key("stop_reason").null();
                w.key("stop_sequence").null();
                w.key("usage");
                let known = Usage::default().with(chat::Axis::Input, o.input_tokens);
                usage::write_anthropic(w, &known, None);
            });
        });
    }

    /// Opens a block of that kind unless it is open already.
    fn enter(&mut self, kind: Open, out: &mut BytesMut) {
        self.start("", "", out);
        if self.open == kind {
            return;
        }
        self.leave(out);
        self.flush_waiting(out);
        self.open = kind;
        self.block_start(out, |w| match kind {
            Open::Thinking => {
                w.field_str("type", "thinking");
                w.field_str("thinking", "");
                w.field_str("signature", "");
            }
            _ => {
                w.field_str("type", "text");
                w.field_str("text", "");
            }
        });
    }

    fn leave(&mut self, out: &mut BytesMut) {
        if self.open != Open::None {
            self.open = Open::None;
            let index = self.block;
            self.block += 1;
            event(out, "content_block_stop", |w| w.field_num("index", index));
        }
    }

    fn block_start(&self, out: &mut BytesMut, fields: impl FnOnce(&mut Json<'_>)) {
        event(out, "content_block_start", |w| {
            w.field_num("index", self.block);
            w.field_object("content_block", fields);
        });
    }

    fn delta(&self, out: &mut BytesMut, kind: &str, field: &str, text: &str) {
        event(out, "content_block_delta", |w| {
            w.field_num("index", self.block);
            w.field_object("delta", |w| {
                w.field_str("type", kind);
                w.field_str(field, text);
            });
        });
    }

    fn seal(&mut self, signature: &str, out: &mut BytesMut) {
        let Some(data) = signature.strip_prefix(REDACTED) else {
            self.enter(Open::Thinking, out);
            self.delta(out, "signature_delta", "signature", signature);
            // The seal ends the stretch: what follows is a new block.
            return self.leave(out);
        };
        self.start("", "", out);
        self.leave(out);
        self.flush_waiting(out);
        self.open = Open::Thinking;
        self.block_start(out, |w| {
            w.field_str("type", "redacted_thinking");
            w.field_str("data", data);
        });
        self.leave(out);
    }

    fn tool_start(&mut self, index: u32, id: &str, name: &str, out: &mut BytesMut) {
        self.start("", "", out);
        if let Some(waiting) = self.waiting.iter_mut().find(|w| w.index == index) {
            waiting.id.push_str(id);
            waiting.name.push_str(name);
            return;
        }
        match self.open {
            Open::Tool(_) => self.waiting.push(Waiting {
                index,
                id: id.into(),
                name: name.into(),
                arguments: String::new(),
            }),
            _ => {
                self.leave(out);
                self.open_tool(index, id, name, out);
            }
        }
    }

    fn open_tool(&mut self, index: u32, id: &str, name: &str, out: &mut BytesMut) {
        self.open = Open::Tool(index);
        self.block_start(out, |w| {
            w.field_str("type", "tool_use");
            w.field_str("id", id);
            w.field_str("name", name);
            w.field_raw("input", "{}");
        });
    }

    fn tool_arguments(&mut self, index: u32, fragment: &str, out: &mut BytesMut) {
        if self.open == Open::Tool(index) {
            self.delta(out, "input_json_delta", "partial_json", fragment);
        } else if let Some(waiting) = self.waiting.iter_mut().find(|w| w.index == index) {
            waiting.arguments.push_str(fragment);
        } else {
            // Its block is closed: half of a call's arguments must not look whole.
            self.fail("api_error", "the arguments of a tool call came out of order", out);
        }
    }

    fn flush_waiting(&mut self, out: &mut BytesMut) {
        for call in std::mem::take(&mut self.waiting) {
            self.open_tool(call.index, &call.id, &call.name, out);
            if !call.arguments.is_empty() {
                self.delta(out, "input_json_delta", "partial_json", &call.arguments);
            }
            self.leave(out);
        }
    }

    fn fail(&mut self, kind: &str, message: &str, out: &mut BytesMut) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        let kind = if KINDS.contains(&kind) { kind } else { "api_error" };
        event(out, "error", |w| {
            w.field_object("error", |w| {
                w.field_str("type", kind);
                w.field_str("message", message);
            });
        });
    }
}

/// The words that clients of this dialect choose an exception by.
const KINDS: [&str; 9] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
];

/// One event: its name, and its JSON with the name again as `type`.
fn event(out: &mut BytesMut, name: &str, fields: impl FnOnce(&mut Json<'_>)) {
    for piece in ["event: ", name, "\ndata: "] {
        out.extend_from_slice(piece.as_bytes());
    }
    Json::on(out).object(|w| {
        w.field_str("type", name);
        fields(w);
    });
    out.extend_from_slice(b"\n\n");
}
