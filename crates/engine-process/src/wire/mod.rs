//! What the server and an engine's process say to each other.
//!
//! Version 1 of a format of its own: the types of `chat` and `engine` are
//! deliberately not `Serialize` (DESIGN 7). A message is a frame of
//! [`crate::frame`]: a byte that says which, then its fields. Both ends are the
//! same binary, so there is one version and no negotiation; the first message
//! says it, and another one is refused.
//!
//! `id` names a request of the server's; the child answers under it, and what
//! it says under an id that nobody waits for any more is dropped.

pub(crate) mod bytes;
mod values;

use std::path::PathBuf;
use std::sync::Arc;

use chat::{Event, Request};
use engine::{BannedTexts, Caller, Error, Health, ModelInfo, Scores, Stats, Vectors};
use scheduler::{BlockKey, Standing, Tenant};

use bytes::Damaged;
use bytes::{Blob, Reader, Wire, choice, record};

/// To be raised with every change of a message or of a type in one.
pub(crate) const VERSION: u32 = 3;

/// How the child runs its model: the parts of [`engine::Options`] that can cross.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub n_ctx: Option<u32>,
    pub n_seq_max: u32,
    pub threads: u32,
    pub memory_max_bytes: Option<u64>,
    pub queue_max: usize,
    pub token_gap_us: u64,
    pub kv_memory_bytes: usize,
    pub flash: Option<bool>,
}

/// From the server to the child.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Down {
    /// The first message, and the only one of its kind. `blocks`: what the disk
    /// tier has of this model; `None` for no disk tier.
    Open {
        version: u32,
        path: PathBuf,
        settings: Settings,
        blocks: Option<Vec<(BlockKey, u64)>>,
    },
    /// Answered by `Accepted` or `Failed`, then `Events`, then `End`. `banned` names
    /// what a `Ban` before it told.
    Submit {
        id: u64,
        raw: bool,
        caller: Caller,
        banned: Option<u128>,
        request: Request,
    },
    /// What answers must not say, for requests that will name it by its id.
    Ban {
        texts: Arc<BannedTexts>,
    },
    /// No request will name it any more.
    Unban {
        id: u128,
    },
    /// Nobody reads it any more.
    Cancel {
        id: u64,
    },
    /// So many more events may be sent.
    Credit {
        id: u64,
        events: u32,
    },
    /// Answered by `Vectors` or `Failed`.
    Embed {
        id: u64,
        texts: Vec<String>,
    },
    /// Answered by `Scores` or `Failed`.
    Rerank {
        id: u64,
        query: String,
        documents: Vec<String>,
    },
    /// Answered by `Number` or `Failed`, as the next two.
    Count {
        id: u64,
        request: Request,
    },
    CountText {
        id: u64,
        text: String,
    },
    Adapter {
        id: u64,
        path: PathBuf,
        scale: f32,
    },
    /// What the disk had; answers `Load`.
    Loaded {
        block: Option<Blob>,
    },
    /// Blocks the disk does not have any more; answers `Save`.
    Saved {
        dropped: Vec<BlockKey>,
    },
    /// Put away what is worth keeping and end.
    Close {},
}

/// From the child to the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Up {
    /// Of the load, 0 to 1.
    Progress {
        done: f32,
    },
    /// It is loaded.
    Opened {
        info: ModelInfo,
    },
    /// A request failed; id 0: the load did.
    Failed {
        id: u64,
        error: Error,
    },
    Accepted {
        id: u64,
        prompt_tokens: u32,
    },
    /// Engine time so far, tokens withheld so far, and what has come since.
    Events {
        id: u64,
        busy_us: u64,
        withheld: u64,
        events: Vec<Event>,
    },
    End {
        id: u64,
        busy_us: u64,
    },
    Vectors {
        id: u64,
        vectors: Vectors,
    },
    Scores {
        id: u64,
        scores: Scores,
    },
    Number {
        id: u64,
        number: u32,
    },
    /// Where the engine stands: when that has changed, and each second.
    Board {
        board: Board,
    },
    /// Asks the disk tier for a block; one at a time.
    Load {
        key: BlockKey,
    },
    /// Hands it a block; one at a time.
    Save {
        key: BlockKey,
        block: Blob,
    },
}

/// What can be seen of an engine without asking it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Board {
    pub stats: Stats,
    pub health: Health,
    pub tenants: Vec<(Tenant, Standing)>,
}

record!(Settings {
    n_ctx,
    n_seq_max,
    threads,
    memory_max_bytes,
    queue_max,
    token_gap_us,
    kv_memory_bytes,
    flash,
});
record!(Board { stats, health, tenants });
choice!(Down {
    1 => Open { version: version, path: path, settings: settings, blocks: blocks },
    2 => Submit { id: id, raw: raw, caller: caller, banned: banned, request: request },
    3 => Cancel { id: id },
    4 => Credit { id: id, events: events },
    5 => Embed { id: id, texts: texts },
    6 => Count { id: id, request: request },
    7 => CountText { id: id, text: text },
    8 => Adapter { id: id, path: path, scale: scale },
    9 => Ban { texts: texts },
    10 => Loaded { block: block },
    11 => Saved { dropped: dropped },
    12 => Close {},
    13 => Rerank { id: id, query: query, documents: documents },
    14 => Unban { id: id },
});
choice!(Up {
    1 => Progress { done: done },
    2 => Opened { info: info },
    3 => Failed { id: id, error: error },
    4 => Accepted { id: id, prompt_tokens: prompt_tokens },
    5 => Events { id: id, busy_us: busy_us, withheld: withheld, events: events },
    6 => End { id: id, busy_us: busy_us },
    7 => Vectors { id: id, vectors: vectors },
    8 => Number { id: id, number: number },
    10 => Board { board: board },
    11 => Load { key: key },
    12 => Save { key: key, block: block },
    13 => Scores { id: id, scores: scores },
});

/// A message as the contents of a frame.
pub(crate) fn encode(message: &impl Wire) -> Vec<u8> {
    let mut out = Vec::new();
    message.put(&mut out);
    out
}

/// The message of a frame, all of it.
pub(crate) fn decode<M: Wire>(frame: &[u8]) -> Result<M, Damaged> {
    let mut reader = Reader::new(frame);
    let message = M::get(&mut reader)?;
    reader.end()?;
    Ok(message)
}

/// Whatever is read without an error is written and read as the same. Driven by the property
/// tests; a target of `cargo xtask fuzz` would have to build llama.cpp with its own flags.
#[cfg(test)]
fn fuzz(frame: &[u8]) {
    // Compared as bytes: not-a-number is not equal to itself.
    fn again<M: Wire>(frame: &[u8]) {
        if let Ok(message) = decode::<M>(frame) {
            let written = encode(&message);
            let read: M = decode(&written).expect("what was written is read");
            assert_eq!(encode(&read), written);
        }
    }
    again::<Up>(frame);
    again::<Down>(frame);
}

#[cfg(test)]
mod tests;
