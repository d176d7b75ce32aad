//! Streams as canonical events, in both directions.
//!
//! Codecs are push-style: bytes or events go in, what they complete comes out.
//! A decoder reads what strangers send, so everything is optional and a bad
//! event is skipped and counted (TRAPS S1); usage may come in any event and
//! twice, and is told once, last. An encoder writes what official SDKs read.

mod anthropic_in;
mod anthropic_out;
mod openai_in;
mod openai_out;

use bytes::BytesMut;
use chat::Event;

use crate::Dialect;
use crate::fields::Lenient;
use crate::sse::{Frame, Frames};

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every choice that spoke has finished.
    Complete,
    /// The bytes stopped before a finish: an upstream failure (TRAPS S4).
    Cut,
    /// The target reported an error in band.
    Failed,
}

/// Reads a target's stream. Bytes may be split anywhere.
pub struct StreamDecoder {
    frames: Frames,
    state: Reader,
    skipped: u64,
}

enum Reader {
    Openai(openai_in::Reader),
    Anthropic(anthropic_in::Reader),
}

impl StreamDecoder {
    pub fn new(dialect: Dialect) -> StreamDecoder {
        let state = match dialect {
            Dialect::AnthropicMessages => Reader::Anthropic(anthropic_in::Reader::default()),
            _ => Reader::Openai(openai_in::Reader::default()),
        };
        StreamDecoder { frames: Frames::default(), state, skipped: 0 }
    }

    /// The events these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let (state, skipped) = (&mut self.state, &mut self.skipped);
        self.frames.push(bytes, |frame| state.take(frame, &mut events, skipped));
        events
    }

    /// The last events (usage, if [`push`](Self::push) has not told it), and how
    /// it ended. Call once, at the end of the body.
    pub fn finish(&mut self) -> (Vec<Event>, Ending) {
        let mut events = Vec::new();
        let (state, skipped) = (&mut self.state, &mut self.skipped);
        self.frames.finish(|frame| state.take(frame, &mut events, skipped));
        let ending = match state {
            Reader::Openai(reader) => reader.finish(&mut events),
            Reader::Anthropic(reader) => reader.finish(&mut events),
        };
        (events, ending)
    }

    /// Events that were no JSON object or too large, skipped.
    pub fn skipped(&self) -> u64 {
        self.skipped + self.frames.dropped()
    }
}

impl Reader {
    fn take(&mut self, frame: Frame<'_>, events: &mut Vec<Event>, skipped: &mut u64) {
        if frame.data.trim_ascii() == b"[DONE]" {
            if let Reader::Openai(reader) = self {
                reader.end(events);
            }
            return;
        }
        match (Lenient::body(frame.data), self) {
            (None, _) => *skipped += 1,
            (Some(chunk), Reader::Openai(reader)) => reader.take(frame.event, &chunk, events),
            (Some(chunk), Reader::Anthropic(reader)) => reader.take(&chunk, events),
        }
    }
}

/// What a client's stream says beside its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamOptions {
    /// Replaces the target's id; empty keeps it.
    pub id: String,
    /// The model's name as the client knows it; empty keeps the target's.
    pub model: String,
    /// Unix seconds; 0 keeps the target's.
    pub created: i64,
    /// The client asked for a usage chunk (OpenAI dialects).
    pub include_usage: bool,
    /// Prompt tokens known before the first event (Anthropic's `message_start`).
    pub input_tokens: u64,
}

/// Writes a client's stream.
pub struct StreamEncoder {
    state: Writer,
}

enum Writer {
    Openai(openai_out::Writer),
    Anthropic(anthropic_out::Writer),
}

impl StreamEncoder {
    pub fn new(dialect: Dialect, options: StreamOptions) -> StreamEncoder {
        StreamEncoder {
            state: match dialect {
                Dialect::AnthropicMessages => Writer::Anthropic(anthropic_out::Writer::new(options)),
                Dialect::OpenaiCompletions => Writer::Openai(openai_out::Writer::new(options, true)),
                _ => Writer::Openai(openai_out::Writer::new(options, false)),
            },
        }
    }

    /// Appends what the event says to `out`; some events only say something at the end.
    pub fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match &mut self.state {
            Writer::Openai(w) => w.push(event, out),
            Writer::Anthropic(w) => w.push(event, out),
        }
    }

    /// Appends the end: held usage, and the dialect's end marker unless the
    /// stream failed or no choice finished (so that a cut never looks whole).
    pub fn finish(&mut self, out: &mut BytesMut) {
        match &mut self.state {
            Writer::Openai(w) => w.finish(out),
            Writer::Anthropic(w) => w.finish(out),
        }
    }
}

/// In-band error kinds after which the same request may succeed.
pub(crate) fn is_retriable(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    [
        "overload",
        "rate_limit",
        "server",
        "timeout",
        "unavailable",
        "api_error",
        "internal",
        "429",
        "500",
        "502",
        "503",
        "529",
    ]
    .iter()
    .any(|word| kind.contains(word))
}

/// An `error` field: an object of either family, or a bare text.
pub(crate) fn failure(chunk: &Lenient<'_>) -> Event {
    let (kind, message) = failure_words(chunk);
    Event::Failed { retriable: is_retriable(&kind), kind, message }
}

/// Its kind and message, without what looks like a key.
pub(crate) fn failure_words(chunk: &Lenient<'_>) -> (String, String) {
    let error = chunk.object("error");
    let (kind, message) = if error.is_empty() {
        let text = chunk.str("error").or_else(|| chunk.str("message")).unwrap_or_default();
        (chunk.text("type"), text.into_owned())
    } else {
        let kind =
            error.str("type").or_else(|| error.str("code")).or_else(|| error.raw("code").map(Into::into));
        (kind.unwrap_or_default().into_owned(), error.text("message"))
    };
    (crate::upstream::redact(&kind), crate::upstream::redact(&message))
}

#[cfg(test)]
mod tests;
