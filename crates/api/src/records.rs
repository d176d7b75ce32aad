//! The record of a request, as `explain` reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tokens by axis. The axes are disjoint: one token is in one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tokens {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub input_audio: u64,
    pub output: u64,
    pub reasoning: u64,
    pub output_audio: u64,
}

impl Tokens {
    /// Name and count of every axis, in the order of the ledger.
    pub fn axes(&self) -> [(&'static str, u64); 8] {
        [
            ("input", self.input),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("input_audio", self.input_audio),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("output_audio", self.output_audio),
        ]
    }
    /// From counts in the order of the ledger (`chat::Axis::ALL`).
    pub fn from_axes(axes: [u64; 8]) -> Tokens {
        let [input, cache_read, cache_write, cache_write_1h, input_audio, output, reasoning, output_audio] =
            axes;
        Tokens {
            input,
            cache_read,
            cache_write,
            cache_write_1h,
            input_audio,
            output,
            reasoning,
            output_audio,
        }
    }
    pub fn total(&self) -> u64 {
        self.axes().iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }
}

/// One line of a list of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordSummary {
    pub id: String,
    pub at: String,
    pub team: String,
    /// The key's name.
    pub key: String,
    pub model: String,
    pub surface: String,
    pub stream: bool,
    /// `completed`, `refused`, `failed`, `abandoned` or `crashed`.
    pub outcome: String,
    pub error_code: Option<String>,
    pub status: u16,
    pub tokens: Tokens,
    pub cost_usd: String,
    pub duration_us: u64,
}

/// The whole record: every step, decision, rejected alternative, time and cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    pub id: String,
    pub at: String,
    pub team: String,
    /// The key's name.
    pub key: String,
    pub key_id: String,
    /// `openai.chat`, `anthropic.messages`...: the door it came in by.
    pub surface: String,
    pub model: String,
    pub end_user: Option<String>,
    pub stream: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub outcome: String,
    pub error_code: Option<String>,
    pub status: u16,
    /// The generation of the configuration it ran under.
    pub generation: u64,
    /// Why it was admitted or refused, in one line.
    pub decision: String,
    pub held_usd: String,
    pub cost_usd: String,
    pub duration_us: u64,
    pub steps: Vec<Step>,
    pub attempts: Vec<Attempt>,
    pub rejected: Vec<Rejected>,
    pub postings: Vec<Posting>,
    /// What was known of the data: a sensitivity, where it may be, and how far it can be trusted.
    #[serde(default)]
    pub labels: String,
    /// What the policy set said; absent when it was not asked.
    #[serde(default)]
    pub policy: Option<PolicyDecision>,
    /// What its stages asked models for, in requests of their own; not in `cost_usd`.
    #[serde(default)]
    pub spent: Vec<StageSpent>,
    /// `cost_usd` and what its stages spent.
    #[serde(default)]
    pub total_usd: String,
}

/// What a stage asked a model for: a request of its own, with a record of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageSpent {
    /// `embed`, `rerank`.
    pub stage: String,
    pub request_id: String,
    pub tokens: u64,
    pub cost_usd: String,
    /// The legs of that request.
    pub postings: Vec<Posting>,
}

/// A decision of the policy set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyDecision {
    pub allowed: bool,
    /// SHA-256 of the policy set, in hexadecimal.
    pub policy_hash: String,
    /// The policies that decided; empty when nothing permitted it.
    pub determining: Vec<String>,
    /// `invoke`, `embed`...
    pub action: String,
    /// `chat`, `embedding`...
    pub purpose: String,
    pub on_behalf_of: Option<String>,
}

/// One step of the journey, relative to the request's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub name: String,
    pub start_us: u64,
    pub duration_us: u64,
    pub note: String,
}

/// One call to one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    pub id: String,
    /// `chat`, `embedding`, `judge`...
    pub purpose: String,
    pub provider: String,
    pub upstream_model: String,
    pub started: String,
    pub first_byte_us: Option<u64>,
    pub duration_us: u64,
    /// `ok`, `failed` or `cancelled`.
    pub outcome: String,
    pub error_code: Option<String>,
    /// The upstream's HTTP status; 0 when there was none.
    pub status: u16,
    pub tokens: Tokens,
    pub estimated: bool,
    pub unreconciled: bool,
    /// The tier that was served.
    pub tier: String,
    pub lines: Vec<Line>,
    pub cost_usd: String,
    /// When the price used came into force; absent: unpriced, in suspense.
    pub price_from: Option<String>,
    pub price_source: Option<String>,
    pub upstream_id: String,
    pub note: String,
}

/// One priced line of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// An axis's name, or `request`, `machine`, `energy`.
    pub item: String,
    /// Tokens; requests; microseconds of machine; millijoules.
    pub quantity: u64,
    /// USD per unit of `quantity`, exact.
    pub rate_usd: String,
    pub amount_usd: String,
}

/// A target that was considered and not tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    pub target: String,
    pub reason: String,
}

/// One leg of a transaction; the legs of an attempt sum to zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Posting {
    pub attempt: String,
    pub account: String,
    /// Positive debits, negative credits.
    pub amount_usd: String,
}
