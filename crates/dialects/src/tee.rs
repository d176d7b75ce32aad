//! Watching a same-dialect answer go by.
//!
//! A passthrough stream is forwarded as the very bytes that came, at once: the
//! tee only looks. Ordinary chunks meet four substring searches and no parser;
//! an event is read only when it carries usage, a finish or an error. When the
//! gateway asked for usage on behalf of a client that did not, the usage-only
//! event is left out, and then an event is held until it is complete.

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use chat::{Tier, Usage};
use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use crate::fields::Lenient;
use crate::sse::{EVENT_BYTES_MAX, Frames};
use crate::usage::{self, AnthropicCounts};
use crate::{Dialect, Ending};

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
    counts: AnthropicCounts,
    seen: Sighting,
}

struct Finders {
    usage: Finder<'static>,
    finish: Finder<'static>,
    error: Finder<'static>,
    message: Finder<'static>,
    delta: Finder<'static>,
    text: Finder<'static>,
}

static FIND: LazyLock<Finders> = LazyLock::new(|| Finders {
    usage: Finder::new(b"\"usage\""),
    finish: Finder::new(b"\"finish_reason\""),
    error: Finder::new(b"\"error\""),
    message: Finder::new(b"message_"),
    delta: Finder::new(b"\"delta\""),
    text: Finder::new(b"\"text\""),
});

impl Tee {
    /// `strip_usage`: the gateway injected `include_usage`; the usage-only
    /// chunk is not forwarded.
    pub fn new(dialect: Dialect, strip_usage: bool) -> Tee {
        Tee {
            dialect,
            strip_usage: strip_usage && !dialect.is_anthropic(),
            partial: BytesMut::new(),
            frames: Frames::default(),
            counts: AnthropicCounts::default(),
            seen: Sighting::default(),
        }
    }

    /// Sees a chunk; appends what to forward to `out`, as slices of the chunk.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
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
        if !rest.is_empty() {
            let mut closed = rest.to_vec();
            closed.extend_from_slice(b"\n\n");
            let is_usage_only = self.look(&closed);
            if self.strip_usage && !is_usage_only {
                out.push(rest);
            }
        }
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
        let is_interesting = if self.dialect.is_anthropic() {
            find.message.find(frame).is_some() || find.error.find(frame).is_some()
        } else {
            if frame.len() < 32 && memchr(b'[', frame).is_some_and(|at| frame[at..].starts_with(b"[DONE]")) {
                self.seen.ended = true;
                return false;
            }
            (self.seen.id.is_none() && self.seen.frames <= 3)
                || value_after(&find.usage, frame) == Some(b'{')
                || value_after(&find.finish, frame) == Some(b'"')
                || find.error.find(frame).is_some()
        };
        self.seen.output_bytes += text_bytes(frame);
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
}

fn forward(chunk: &Bytes, range: std::ops::Range<usize>, out: &mut Vec<Bytes>) {
    if !range.is_empty() {
        out.push(chunk.slice(range));
    }
}

/// Where the first event ends, its blank line included. A CR as the last byte
/// may be half of a CRLF, so it decides nothing before the next byte is there.
fn frame_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'\n', b'\r', &bytes[at..])?;
        at += line_end(&bytes[at..])?;
        match bytes.get(at)? {
            b'\n' => return Some(at + 1),
            // Its LF, if one follows later, is a blank line of its own: harmless.
            b'\r' => return Some(at + 1 + usize::from(bytes.get(at + 1) == Some(&b'\n'))),
            _ => {}
        }
    }
}

/// A LF before an event belongs to the CR that ended the one before.
fn leftover(frame: &[u8]) -> usize {
    usize::from(frame.first() == Some(&b'\n'))
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    match (bytes.first()?, bytes.get(1)) {
        (b'\r', None) => None,
        (b'\r', Some(b'\n')) => Some(2),
        _ => Some(1),
    }
}

/// The first byte of the value of the last such key (`"usage" : {`).
fn value_after(key: &Finder<'_>, frame: &[u8]) -> Option<u8> {
    let mut from = 0;
    let mut found = None;
    while let Some(at) = key.find(&frame[from..]) {
        from += at + key.needle().len();
        let rest = frame[from..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b":") {
            match value.trim_ascii_start().first().copied() {
                hit @ Some(b'{' | b'"') => return hit,
                other => found = other.or(found),
            }
        }
    }
    found
}

/// Bytes of the produced strings inside `"delta":{...}` or a legacy `"text":"..."`.
fn text_bytes(frame: &[u8]) -> u64 {
    let find = &*FIND;
    let (mut at, mut total) = match find.delta.find(frame) {
        Some(at) => (at + 7, 0u64),
        None => match find.text.find(frame) {
            Some(at) => (at, 0),
            None => return 0,
        },
    };
    let mut key: &[u8] = b"";
    while let Some((start, end)) = next_string(frame, at) {
        let content = &frame[start..end];
        at = end + 1;
        let is_key = frame[at..].trim_ascii_start().first() == Some(&b':');
        if is_key {
            key = content;
            if matches!(key, b"finish_reason" | b"logprobs") {
                break;
            }
        } else if matches!(
            key,
            b"content"
                | b"text"
                | b"reasoning_content"
                | b"reasoning"
                | b"refusal"
                | b"arguments"
                | b"partial_json"
                | b"thinking"
        ) {
            total += content.len() as u64;
        }
    }
    total
}

/// The next JSON string at or after `at`: its content's start and end.
fn next_string(frame: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + memchr(b'"', frame.get(at..)?)? + 1;
    let mut end = start;
    loop {
        end += memchr2(b'"', b'\\', frame.get(end..)?)?;
        if frame[end] == b'"' {
            return Some((start, end));
        }
        end += 2;
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
    }
    seen.ended = seen.finished;
    seen
}

#[cfg(test)]
mod tests;
