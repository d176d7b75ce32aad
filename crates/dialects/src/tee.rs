//! Watching a same-dialect answer go by.

use bytes::Bytes;
use chat::{Tier, Usage};

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
    seen: Sighting,
}

impl Tee {
    /// `strip_usage`: the gateway injected `include_usage`; the usage-only
    /// chunk is not forwarded.
    pub fn new(dialect: Dialect, strip_usage: bool) -> Tee {
        Tee { dialect, strip_usage, seen: Sighting::default() }
    }
    /// Sees a chunk; appends what to forward to `out`, as slices of the chunk.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        let _ = (self.dialect, self.strip_usage);
        out.push(chunk);
    }
    /// At the end of the body: what is still held back, and how it ended.
    pub fn finish(&mut self, _out: &mut Vec<Bytes>) -> Ending {
        Ending::Cut
    }
    pub fn seen(&self) -> &Sighting {
        &self.seen
    }
}

/// The same for a whole answer, without reading all of it.
pub fn usage_of(_dialect: Dialect, _body: &[u8]) -> Sighting {
    Sighting::default()
}
