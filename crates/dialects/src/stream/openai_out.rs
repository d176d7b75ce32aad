//! Events as OpenAI chunks, chat and legacy.

use bytes::{BufMut, BytesMut};
use chat::{Event, Tier, Usage};

use super::StreamOptions;
use crate::json::{self, Writer as Json};
use crate::openai::chat::{finish_word, write_logprobs};
use crate::openai::completions;
use crate::usage;

pub(super) struct Writer {
    options: StreamOptions,
    is_legacy: bool,
    /// `{"id":..,"object":..,"created":..,"model":..`, the same in every chunk.
    head: BytesMut,
    tier: Option<Tier>,
    usage: Option<Usage>,
    /// Choices whose role chunk is out.
    spoken: Vec<u32>,
    /// Characters so far of each choice, for legacy `text_offset`.
    offsets: Vec<(u32, usize)>,
    has_finished: bool,
    has_failed: bool,
}

impl Writer {
    pub(super) fn new(options: StreamOptions, is_legacy: bool) -> Writer {
        let mut writer = Writer {
            options,
            is_legacy,
            head: BytesMut::new(),
            tier: None,
            usage: None,
            spoken: Vec::new(),
            offsets: Vec::new(),
            has_finished: false,
            has_failed: false,
        };
        writer.start("", "", 0);
        writer
    }

    fn start(&mut self, id: &str, model: &str, created: i64) {
        let o = &self.options;
        let id = if o.id.is_empty() { id } else { &o.id };
        let model = if o.model.is_empty() { model } else { &o.model };
        let object = if self.is_legacy { "text_completion" } else { "chat.completion.chunk" };
        let created = if o.created == 0 { created } else { o.created };
        self.head.clear();
        Json::on(&mut self.head).object(|w| {
            w.field_str("id", id);
            w.field_str("object", object);
            w.field_num("created", created);
            w.field_str("model", model);
        });
        // Left open: every chunk goes on from here.
        self.head.truncate(self.head.len() - 1);
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Start { id, model, created } => self.start(id, model, *created),
            Event::Tier(tier) => self.tier = Some(tier.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Failed { kind, message, .. } => {
                self.has_failed = true;
                let kind = if kind.is_empty() { "server_error" } else { kind };
                let body = json::text(|w| {
                    w.object(|w| {
                        w.field_object("error", |w| {
                            w.field_str("message", message);
                            w.field_str("type", kind);
                            w.key("param").null();
                            w.key("code").null();
                        });
                    });
                });
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&body);
                out.extend_from_slice(b"\n\n");
            }
            Event::Finish { choice, reason, .. } => {
                self.has_finished = true;
                if self.is_legacy {
                    self.legacy(*choice, "", &[], Some(completions::legacy_word(reason)), out);
                } else {
                    self.role(*choice, out);
                    self.chunk(*choice, |_| {}, &[], Some(finish_word(reason)), out);
                }
            }
            Event::Text { choice, text } if self.is_legacy => self.legacy(*choice, text, &[], None, out),
            Event::Logprobs { choice, tokens } if self.is_legacy => {
                self.legacy(*choice, "", tokens, None, out)
            }
            _ if self.is_legacy => {}
            Event::Text { choice, text } => self.delta(*choice, |w| w.field_str("content", text), out),
            Event::Reasoning { text, .. } if text.is_empty() => {}
            Event::Reasoning { choice, text } => {
                self.delta(*choice, |w| w.field_str("reasoning_content", text), out);
            }
            Event::Refusal { choice, text } => self.delta(*choice, |w| w.field_str("refusal", text), out),
            // No place for it in this dialect.
            Event::Signature { .. } => {}
            Event::ToolStart { choice, index, id, name } => self.call(*choice, *index, out, |w| {
                if !id.is_empty() {
                    w.field_str("id", id);
                }
                w.field_str("type", "function");
                w.field_object("function", |w| {
                    w.field_str("name", name);
                    w.field_str("arguments", "");
                });
            }),
            Event::ToolArguments { choice, index, fragment } => self.call(*choice, *index, out, |w| {
                w.field_object("function", |w| w.field_str("arguments", fragment));
            }),
            Event::Logprobs { choice, tokens } => {
                self.role(*choice, out);
                self.chunk(*choice, |_| {}, tokens, None, out);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        if self.has_failed || !self.has_finished {
            return;
        }
        if let Some(u) = self.usage.take().filter(|_| self.options.include_usage) {
            self.open(out);
            let mut w = Json::on(out);
            w.field_raw("choices", "[]");
            w.key("usage");
            usage::write_openai(&mut w, &u);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn delta(&mut self, choice: u32, delta: impl FnOnce(&mut Json<'_>), out: &mut BytesMut) {
        self.role(choice, out);
        self.chunk(choice, delta, &[], None, out);
    }

    fn call(&mut self, choice: u32, index: u32, out: &mut BytesMut, fields: impl FnOnce(&mut Json<'_>)) {
        let call = |w: &mut Json<'_>| {
            w.key("tool_calls").list([fields], |w, fields| {
                w.object(|w| {
                    w.field_num("index", index);
                    fields(w);
                });
            });
        };
        self.delta(choice, call, out);
    }

    /// Each choice begins with a chunk that names its role.
    fn role(&mut self, choice: u32, out: &mut BytesMut) {
        if !self.spoken.contains(&choice) {
            self.spoken.push(choice);
            let role = |w: &mut Json<'_>| {
                w.field_str("role", "assistant");
                w.field_str("content", "");
            };
            self.chunk(choice, role, &[], None, out);
        }
    }

    fn open(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        if let Some(tier) = self.tier.as_ref().filter(|_| !self.is_legacy) {
            Json::on(out).field_str("service_tier", usage::openai_tier(tier));
        }
    }

    fn close(&self, out: &mut BytesMut) {
        if self.options.include_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.put_slice(b"}\n\n");
    }

    fn chunk(
        &self,
        choice: u32,
        delta: impl FnOnce(&mut Json<'_>),
        logprobs: &[chat::TokenLogprob],
        finish: Option<&str>,
        out: &mut BytesMut,
    ) {
        self.open(out);
        Json::on(out).key("choices").list([delta], |w, delta| {
            w.object(|w| {
                w.field_num("index", choice);
                w.field_object("delta", delta);
                w.key("logprobs");
                if logprobs.is_empty() {
                    w.null()
                } else {
                    write_logprobs(w, logprobs)
                }
                w.key("finish_reason");
                match finish {
                    Some(word) => w.str(word),
                    None => w.null(),
                }
            });
        });
        self.close(out);
    }

    fn legacy(
        &mut self,
        choice: u32,
        text: &str,
        logprobs: &[chat::TokenLogprob],
        finish: Option<&str>,
        out: &mut BytesMut,
    ) {
        self.open(out);
        let at = match self.offsets.iter().position(|(c, _)| *c == choice) {
            Some(at) => at,
            None => {
                self.offsets.push((choice, 0));
                self.offsets.len() - 1
            }
        };
        let offset = &mut self.offsets[at].1;
        Json::on(out).key("choices").list([()], |w, ()| {
            w.object(|w| {
                w.field_num("index", choice);
                w.field_str("text", text);
                w.key("logprobs");
                if logprobs.is_empty() {
                    w.null()
                } else {
                    completions::write_logprobs(w, logprobs, offset)
                }
                w.key("finish_reason");
                match finish {
                    Some(word) => w.str(word),
                    None => w.null(),
                }
            });
        });
        self.close(out);
    }
}
