//! The events of an Anthropic stream.

use chat::{Event, Tier};

use super::{Ending, failure};
use crate::anthropic::messages::{REDACTED, finish_from};
use crate::fields::Lenient;
use crate::usage::{self, AnthropicCounts};

/// Content blocks of one message; beyond, they are skipped.
const BLOCKS_MAX: u64 = 4096;

#[derive(Default)]
pub(super) struct Reader {
    has_started: bool,
    has_finished: bool,
    has_failed: bool,
    has_told_usage: bool,
    counts: AnthropicCounts,
    tier: Option<Tier>,
    /// Open tool blocks: (block index, call index, arguments seen).
    tools: Vec<(u64, u32, bool)>,
    calls: u32,
    /// The last thing said was a seal: another one belongs to a new stretch.
    after_seal: bool,
}

impl Reader {
    pub(super) fn take(&mut self, e: &Lenient<'_>, out: &mut Vec<Event>) {
        let index = e.u64("index").unwrap_or(0);
        match &*e.str("type").unwrap_or_default() {
            "message_start" => {
                let message = e.object("message");
                if !self.has_started {
                    self.has_started = true;
                    let (id, model) = (message.text("id"), message.text("model"));
                    out.push(Event::Start { id, model, created: 0 });
                }
                self.note_usage(&message.object("usage"), out);
            }
            "content_block_start" if index < BLOCKS_MAX => self.open(index, &e.object("content_block"), out),
            "content_block_delta" => self.delta(index, &e.object("delta"), out),
            "content_block_stop" => {
                if let Some(at) = self.tools.iter().position(|(block, ..)| *block == index) {
                    let (_, call, has_arguments) = self.tools.swap_remove(at);
                    if !has_arguments {
                        out.push(Event::ToolArguments { choice: 0, index: call, fragment: "{}".into() });
                    }
                }
            }
            "message_delta" => {
                self.note_usage(&e.object("usage"), out);
                let delta = e.object("delta");
                if let Some(word) = delta.str("stop_reason").filter(|_| !self.has_finished) {
                    self.has_finished = true;
                    let stop = delta.str("stop_sequence").map(|s| s.into_owned());
                    out.push(Event::Finish { choice: 0, reason: finish_from(&word), stop });
                }
            }
            "message_stop" => self.tell_usage(out),
            "error" => {
                self.has_failed = true;
                out.push(failure(e));
            }
            _ => {}
        }
    }

    fn open(&mut self, index: u64, block: &Lenient<'_>, out: &mut Vec<Event>) {
        match &*block.str("type").unwrap_or_default() {
            "text" => self.text(block.text("text"), out),
            "thinking" => self.thinking(block.text("thinking"), out),
            "redacted_thinking" => {
                // Its seal is not that of the thinking before it.
                self.after_seal = true;
                self.seal(format!("{REDACTED}{}", block.text("data")), out);
            }
            "tool_use" => {
                let call = self.calls;
                self.calls += 1;
                out.push(Event::ToolStart {
                    choice: 0,
                    index: call,
                    id: block.text("id"),
                    name: block.text("name"),
                });
                let input = block.raw("input").filter(|i| i.starts_with('{') && i.len() > 2);
                if let Some(input) = input {
                    out.push(Event::ToolArguments { choice: 0, index: call, fragment: input.to_string() });
                }
                self.tools.push((index, call, input.is_some()));
            }
            _ => {}
        }
    }

    fn delta(&mut self, index: u64, delta: &Lenient<'_>, out: &mut Vec<Event>) {
        match &*delta.str("type").unwrap_or_default() {
            "text_delta" => self.text(delta.text("text"), out),
            "thinking_delta" => self.thinking(delta.text("thinking"), out),
            "signature_delta" => {
                let signature = delta.text("signature");
                if !signature.is_empty() {
                    self.seal(signature, out);
                }
            }
            "input_json_delta" => {
                let fragment = delta.text("partial_json");
                let open = self.tools.iter_mut().find(|(block, ..)| *block == index);
                if let Some((_, call, has_arguments)) = open.filter(|_| !fragment.is_empty()) {
                    *has_arguments = true;
                    out.push(Event::ToolArguments { choice: 0, index: *call, fragment });
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: String, out: &mut Vec<Event>) {
        if !text.is_empty() {
            out.push(Event::Text { choice: 0, text });
        }
    }
    fn thinking(&mut self, text: String, out: &mut Vec<Event>) {
        if !text.is_empty() {
            self.after_seal = false;
            out.push(Event::Reasoning { choice: 0, text });
        }
    }

    /// An empty stretch of thinking keeps a seal apart from the one before.
    fn seal(&mut self, signature: String, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.after_seal, true) {
            out.push(Event::Reasoning { choice: 0, text: String::new() });
        }
        out.push(Event::Signature { choice: 0, signature });
    }

    fn note_usage(&mut self, object: &Lenient<'_>, out: &mut Vec<Event>) {
        self.counts.merge(object);
        let tier = object.str("service_tier").map(|word| usage::tier(&word));
        if tier.is_some() && tier != self.tier {
            self.tier = tier.clone();
            out.extend(tier.map(Event::Tier));
        }
    }

    fn tell_usage(&mut self, out: &mut Vec<Event>) {
        if !self.has_told_usage {
            let usage = self.counts.usage();
            self.has_told_usage = usage.is_some();
            out.extend(usage.map(Event::Usage));
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Event>) -> Ending {
        self.tell_usage(out);
        match (self.has_failed, self.has_finished) {
            (true, _) => Ending::Failed,
            (false, true) => Ending::Complete,
            (false, false) => Ending::Cut,
        }
    }
}
