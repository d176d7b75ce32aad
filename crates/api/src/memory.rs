//! What a caller said before, and what is known from it. Every call is about the
//! caller's own memory: their person's, or their key's where it has none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversation {
    /// As requests named it in `bedplate.conversation`.
    pub name: String,
    pub turns: u64,
    /// Of its first turn.
    pub began: String,
    /// Of its last.
    pub last: String,
}

/// One message as it was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RememberedTurn {
    pub id: String,
    pub conversation: String,
    /// `user` or `assistant`.
    pub speaker: String,
    pub text: String,
    /// They join whatever it is brought back into.
    pub labels: String,
    pub at: String,
    /// How well it fits, where it was searched for; comparable within one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchMemory {
    /// Words, in any form. Without any, the newest turns of the conversation.
    pub query: String,
    /// Only in this conversation.
    #[serde(default)]
    pub conversation: Option<String>,
    /// Turns at most; 20 unless told, 1,000 at most.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Something that the caller said of the world, with its two times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RememberedFact {
    pub id: String,
    pub about: String,
    pub relation: String,
    pub value: String,
    pub conversation: String,
    /// The turn that says so, and which of its bytes.
    pub turn: String,
    pub start: u64,
    pub end: u64,
    /// Those bytes, where they are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Since when it is true.
    pub valid_from: String,
    /// Until when; absent: it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<String>,
    /// When it became known.
    pub recorded: String,
    /// The fact that took its place, and when that became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<ReplacedFact>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplacedFact {
    pub by: String,
    /// From when on the other one is true.
    pub at: String,
    pub recorded: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateFact {
    /// The turn in which the caller says so; an assistant's does not count.
    pub turn: String,
    /// `user` unless told.
    #[serde(default)]
    pub about: Option<String>,
    /// Such as `lives in`.
    pub relation: String,
    /// In the turn's own words.
    pub value: String,
    /// Which bytes of the turn say so; all of them unless told.
    #[serde(default)]
    pub start: Option<u64>,
    #[serde(default)]
    pub end: Option<u64>,
    /// RFC 3339 or a day; the turn's time unless told.
    #[serde(default)]
    pub valid_from: Option<String>,
    #[serde(default)]
    pub valid_to: Option<String>,
    /// There is one at a time, so that the one before ends (where somebody lives).
    #[serde(default)]
    pub single: bool,
}

/// What became of a fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatedFact {
    pub id: String,
    /// `recorded`, or `known`: it was there already.
    pub outcome: String,
    /// Facts that end where this one begins.
    #[serde(default)]
    pub replaces: Vec<String>,
    /// Facts that say something else about the very same time.
    #[serde(default)]
    pub contradicts: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetMemory {
    /// One conversation.
    #[serde(default)]
    pub conversation: Option<String>,
    /// Everything, where no conversation is named.
    #[serde(default)]
    pub everything: bool,
}

/// What is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forgotten {
    pub turns: u64,
    pub facts: u64,
    /// Cached answers that rested on a turn.
    pub answers: u64,
}
