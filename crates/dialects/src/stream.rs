//! Streams as canonical events, in both directions.

use bytes::BytesMut;
use chat::Event;

use crate::Dialect;

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The dialect's own end: a finish, and its end marker where it has one.
    Complete,
    /// The bytes stopped before a finish: an upstream failure (TRAPS S4).
    Cut,
    /// The target reported an error in band.
    Failed,
}

/// Reads a target's stream. Bytes may be split anywhere.
pub struct StreamDecoder {
    dialect: Dialect,
}

impl StreamDecoder {
    pub fn new(dialect: Dialect) -> StreamDecoder {
        StreamDecoder { dialect }
    }
    /// The events these bytes complete.
    pub fn push(&mut self, _bytes: &[u8]) -> Vec<Event> {
        let _ = self.dialect;
        Vec::new()
    }
    /// The last events (held usage), and how it ended. Call once, at end of body.
    pub fn finish(&mut self) -> (Vec<Event>, Ending) {
        (Vec::new(), Ending::Cut)
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
    dialect: Dialect,
    options: StreamOptions,
}

impl StreamEncoder {
    pub fn new(dialect: Dialect, options: StreamOptions) -> StreamEncoder {
        StreamEncoder { dialect, options }
    }
    /// Appends what the event says to `out`; some events only say something at the end.
    pub fn push(&mut self, _event: &Event, _out: &mut BytesMut) {
        let _ = (self.dialect, &self.options);
    }
    /// Appends the end: held usage, and the dialect's end marker unless the
    /// stream failed or no choice finished.
    pub fn finish(&mut self, _out: &mut BytesMut) {}
}
