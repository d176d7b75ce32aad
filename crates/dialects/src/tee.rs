//! Watching a same-dialect answer go by.
//!
//! A passthrough stream is forwarded as the very bytes that came, at once: the
//! tee only looks. Ordinary chunks meet four substring searches and no parser;
//! an event is read only when it carries usage, a finish or an error. When the
//! gateway asked for usage on behalf of a client that did not, the usage-only
//! event is left out, and then an event is held until it is complete.

mod marks;

use bytes::{Bytes, BytesMut};
use chat::{Tier, Usage};
use memchr::memchr;

use crate::fields::Lenient;
use crate::sse::{EVENT_BYTES_MAX, Frames};
use crate::usage::{self, AnthropicCounts};
use crate::{Dialect, Ending};
use marks::{FIND, frame_end, leftover, text_bytes, value_after};

/// What was seen of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    pub usage: Option<Usage>,
    /// The tier that was really served.
    pub tier: Option<Tier>,
    /// The target's id for its answer.
    pub id: Option<String>,
    pub model: Option<String>,
    /// A finish reason (or `stop_reason`) was seen.
    pub finished: bool,
    /// The dialect's end marker was seen (`[DONE]`, `message_stop`).
    pub ended: bool,
    /// Kind and message of an in-band error.
    pub failed: Option<(String, String)>,
    /// Bytes of produced text, reasoning and tool arguments, for an estimate
    /// when no usage came (about 4 to a token).
    pub output_bytes: u64,
    /// SSE events with data.
    pub frames: u64,
}

/// A passthrough stream's meter.
pub struct Tee {
    dialect: Dialect,
    strip_usage: bool,
    /// The event whose end has not come.
    partial: BytesMut,
    frames: Frames,
    /// What stood before `"choices"` in the last chunk: the same in the next
    /// one, as a rule, and then it need not be searched again.
    head: Vec<u8>,
    counts: AnthropicCounts,
    seen: Sighting,
}

impl Tee {
    /// `strip_usage`: the gateway injected `include_usage`; the usage-only
    /// chunk is not forwarded.
    pub fn new(dialect: Dialect, strip_usage: bool) -> Tee {
        Tee {
            dialect,
            strip_usage: strip_usage && !dialect.is_anthropic(),
            partial: BytesMut::new(),
            frames: Frames::default(),
            head: Vec::new(),
            counts: AnthropicCounts::default(),
            seen: Sighting::default(),
        }
    }

    /// Sees a chunk; appends what to forward to `out`, as slices of the chunk.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let (before, failed) = (out.len(), self.seen.failed.is_some());
        self.pass(chunk, out);
        self.clean(failed, &mut out[before..]);
    }

    /// Providers repeat the key that they were sent in their errors (TRAPS X4):
    /// what is forwarded together with the news of a failure is cleaned of it.
    fn clean(&self, had_failed: bool, parts: &mut [Bytes]) {
        for part in parts.iter_mut().filter(|_| self.seen.failed.is_some() && !had_failed) {
            if let Ok(text) = std::str::from_utf8(part) {
                *part = crate::upstream::without_keys(text).into();
            }
        }
    }

    fn pass(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        if !self.strip_usage {
            out.push(chunk.clone());
        }
        let mut at = 0;
        if !self.partial.is_empty() {
            at = self.complete(&chunk, out);
        }
        // `from` is where the bytes begin that are still to be forwarded.
        let mut from = at;
        while let Some(len) = frame_end(&chunk[at..]) {
            let is_usage_only = self.look(&chunk[at..at + len]);
            if self.strip_usage && is_usage_only {
                forward(&chunk, from..at + leftover(&chunk[at..]), out);
                from = at + len;
            }
            at += len;
        }
        if self.strip_usage {
            forward(&chunk, from..at, out);
        }
        self.hold(&chunk[at..], out);
    }

    /// At the end of the body: what is still held back, and how it ended.
    pub fn finish(&mut self, out: &mut Vec<Bytes>) -> Ending {
        let rest = self.partial.split().freeze();
        let (before, failed) = (out.len(), self.seen.failed.is_some());
        if !rest.is_empty() {
            let mut closed = rest.to_vec();
            closed.extend_from_slice(b"\n\n");
            let is_usage_only = self.look(&closed);
            if self.strip_usage && !is_usage_only {
                out.push(rest);
            }
        }
        self.clean(failed, &mut out[before..]);
        if self.seen.failed.is_some() {
            Ending::Failed
        } else if self.seen.finished {
            Ending::Complete
        } else {
            Ending::Cut
        }
    }

    pub fn seen(&self) -> &Sighting {
        &self.seen
    }

    /// Completes the held event with the head of a chunk; returns where the rest begins.
    fn complete(&mut self, chunk: &Bytes, out: &mut Vec<Bytes>) -> usize {
        let held = self.partial.len();
        // The end may straddle: search from the last bytes that can begin it.
        let from = held.saturating_sub(3);
        let window = chunk.len().min(EVENT_BYTES_MAX);
        self.partial.extend_from_slice(&chunk[..window]);
        let Some(len) = frame_end(&self.partial[from..]) else {
            self.partial.truncate(held);
            return 0;
        };
        let mut end = from + len;
        if end <= held {
            // A boundary inside the held bytes cannot be, but must not loop.
            end = held + 1.min(window);
        }
        self.partial.truncate(end);
        let frame = self.partial.split().freeze();
        let is_usage_only = self.look(&frame);
        let keep = if is_usage_only { leftover(&frame) } else { frame.len() };
        if self.strip_usage {
            forward(&frame, 0..keep, out);
        }
        end - held
    }

    /// Keeps an incomplete event; one over the bound is let go unread.
    fn hold(&mut self, tail: &[u8], out: &mut Vec<Bytes>) {
        if self.partial.len() + tail.len() > EVENT_BYTES_MAX {
            let held = self.partial.split().freeze();
            if self.strip_usage {
                out.extend([held, Bytes::copy_from_slice(tail)].into_iter().filter(|b| !b.is_empty()));
            }
            return;
        }
        self.partial.extend_from_slice(tail);
    }

    /// Reads one whole event as far as it matters. Returns whether it is a
    /// chunk with usage and no choices.
    fn look(&mut self, frame: &[u8]) -> bool {
        let find = &*FIND;
        if frame.trim_ascii().is_empty() {
            return false;
        }
        self.seen.frames += 1;
        let tail = self.tail(frame);
        let is_interesting = if self.dialect.is_anthropic() {
            find.message.find(frame).is_some() || find.error.find(frame).is_some()
        } else {
            if frame.len() < 32 && memchr(b'[', frame).is_some_and(|at| frame[at..].starts_with(b"[DONE]")) {
                self.seen.ended = true;
                return false;
            }
            (self.seen.id.is_none() && self.seen.frames <= 3)
                || value_after(&find.usage, tail) == Some(b'{')
                || value_after(&find.finish, tail) == Some(b'"')
                || find.error.find(tail).is_some()
        };
        self.seen.output_bytes += text_bytes(tail);
        if !is_interesting {
            return false;
        }
        let (dialect, counts, seen) = (self.dialect, &mut self.counts, &mut self.seen);
        let mut is_usage_only = false;
        self.frames.push(frame, |f| {
            if let Some(chunk) = Lenient::body(f.data) {
                if dialect.is_anthropic() {
                    note_anthropic(seen, counts, &chunk);
                } else {
                    is_usage_only = note_openai(seen, f.event, &chunk);
                }
            }
        });
        is_usage_only
    }

    /// The part of an event that may differ from the one before.
    fn tail<'f>(&mut self, frame: &'f [u8]) -> &'f [u8] {
        if self.dialect.is_anthropic() || frame.len() > HEAD_SEARCHED {
            return frame;
        }
        if !self.head.is_empty() && frame.starts_with(&self.head) {
            return &frame[self.head.len()..];
        }
        self.head.clear();
        if let Some(at) = FIND.choices.find(frame) {
            // A head that holds any of the marks would hide them.
            let head = &frame[..at];
            if FIND.usage.find(head).is_none() && FIND.error.find(head).is_none() {
                self.head.extend_from_slice(head);
            }
        }
        frame
    }
}

/// Larger events are searched whole: their head is not what costs.
const HEAD_SEARCHED: usize = 4096;

fn forward(chunk: &Bytes, range: std::ops::Range<usize>, out: &mut Vec<Bytes>) {
    if !range.is_empty() {
        out.push(chunk.slice(range));
    }
}

fn note_openai(seen: &mut Sighting, event: &str, chunk: &Lenient<'_>) -> bool {
    if chunk.has("error") || event == "error" {
        note_failure(seen, chunk);
        return false;
    }
    note_head(seen, chunk);
    let choices = chunk.objects("choices");
    let own = usage::from_openai(&chunk.object("usage"));
    let groq = usage::from_openai(&chunk.object("x_groq").object("usage"));
    let inner = choices.iter().find_map(|c| usage::from_openai(&c.object("usage")));
    let has_usage = own.is_some();
    seen.usage = own.or(groq).or(inner).or(seen.usage.take());
    seen.finished |= choices.iter().any(|c| c.str("finish_reason").is_some_and(|w| !w.is_empty()));
    has_usage && choices.is_empty()
}

fn note_head(seen: &mut Sighting, chunk: &Lenient<'_>) {
    let text = |key| chunk.str(key).map(|s| s.into_owned()).filter(|s| !s.is_empty());
    if seen.id.is_none() {
        seen.id = text("id");
    }
    if seen.model.is_none() {
        seen.model = text("model");
    }
    if let Some(word) = chunk.str("service_tier") {
        seen.tier = Some(usage::tier(&word));
    }
}

fn note_failure(seen: &mut Sighting, chunk: &Lenient<'_>) {
    if let chat::Event::Failed { kind, message, .. } = crate::stream::failure(chunk) {
        seen.failed = Some((kind, message));
    }
}

fn note_anthropic(seen: &mut Sighting, counts: &mut AnthropicCounts, e: &Lenient<'_>) {
    let message = match &*e.str("type").unwrap_or_default() {
        "message_start" => e.object("message"),
        "message_delta" => {
            seen.finished |= e.object("delta").str("stop_reason").is_some();
            Lenient::default()
        }
        "message_stop" => {
            seen.ended = true;
            return;
        }
        "error" => return note_failure(seen, e),
        _ => return,
    };
    note_head(seen, &message);
    for object in [message.object("usage"), e.object("usage")] {
        counts.merge(&object);
        if let Some(word) = object.str("service_tier") {
            seen.tier = Some(usage::tier(&word));
        }
    }
    seen.usage = counts.usage();
}

/// The same for a whole answer, in one pass and without a tree.
pub fn usage_of(dialect: Dialect, body: &[u8]) -> Sighting {
    let mut seen = Sighting::default();
    let Some(top) = Lenient::body(body) else { return seen };
    if top.has("error") {
        note_failure(&mut seen, &top);
        return seen;
    }
    note_head(&mut seen, &top);
    let object = top.object("usage");
    if dialect.is_anthropic() {
        seen.usage = usage::from_anthropic(&object);
        seen.tier = object.str("service_tier").map(|word| usage::tier(&word));
        seen.finished = top.has("stop_reason");
        seen.output_bytes = top.raw("content").map_or(0, |c| c.len() as u64);
    } else {
        seen.usage = usage::from_openai(&object);
        for choice in top.objects("choices") {
            seen.finished |= choice.has("finish_reason");
            let message = choice.object("message");
            let said = ["content", "reasoning_content", "reasoning", "refusal", "tool_calls"];
            let bytes = said.iter().filter_map(|key| message.raw(key)).chain(choice.raw("text"));
            seen.output_bytes += bytes.map(|raw| raw.len() as u64).sum::<u64>();
        }
        seen.finished |= dialect == Dialect::OpenaiEmbeddings && top.has("data");
        if dialect == Dialect::Rerank {
            seen.finished |= top.has("results");
            seen.usage = seen.usage.or_else(|| usage::of_rerank(&top));
        }
    }
    seen.ended = seen.finished;
    seen
}

#[cfg(test)]
mod tests;
