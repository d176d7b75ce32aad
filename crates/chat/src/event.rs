//! An answer as it arrives: one canonical stream, whatever the dialect.
//!
//! The order is `Start`, then deltas of any choice interleaved, one `Finish`
//! per choice, at most one `Usage` (anywhere), and the end of the stream. A
//! stream without a `Finish` was cut: an upstream failure, not a success.

use crate::{Finish, Tier, Usage};

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Start {
        /// The target's own id for its answer; empty when it gives none.
        id: String,
        /// The model the target says it ran.
        model: String,
        /// Unix seconds; 0 when unknown.
        created: i64,
    },
    Text {
        choice: u32,
        text: String,
    },
    Reasoning {
        choice: u32,
        text: String,
    },
    /// The provider's seal over the reasoning before it.
    Signature {
        choice: u32,
        signature: String,
    },
    Refusal {
        choice: u32,
        text: String,
    },
    /// A tool call begins; `index` numbers the calls of a choice from 0.
    ToolStart {
        choice: u32,
        index: u32,
        id: String,
        name: String,
    },
    /// A fragment of the call's JSON arguments.
    ToolArguments {
        choice: u32,
        index: u32,
        fragment: String,
    },
    Logprobs {
        choice: u32,
        tokens: Vec<TokenLogprob>,
    },
    Finish {
        choice: u32,
        reason: Finish,
        /// The stop text that ended it, where the dialect tells.
        stop: Option<String>,
    },
    Usage(Usage),
    /// The tier that was really served.
    Tier(Tier),
    /// The target failed in band, after its headers said success.
    Failed {
        kind: String,
        message: String,
        retriable: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    pub token: String,
    pub bytes: Option<Vec<u8>>,
    /// Natural logarithm.
    pub logprob: f32,
    pub top: Vec<TopLogprob>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TopLogprob {
    pub token: String,
    pub bytes: Option<Vec<u8>>,
    pub logprob: f32,
}
