//! The record: one immutable row per request, which everything else reads.

use chat::Axis;
use units::{AttemptId, KeyId, Labels, Micros, PicoRate, RequestId, TeamId, Usd};

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: RequestId,
    pub at: Micros,
    pub team: TeamId,
    pub key: KeyId,
    /// `openai.chat`, `anthropic.messages`...: the door it came in by.
    pub surface: String,
    /// The name the client asked for.
    pub model: String,
    /// The client's own name for its end user.
    pub end_user: Option<String>,
    pub stream: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub outcome: Outcome,
    pub status: u16,
    /// The generation of the configuration it ran under.
    pub generation: u64,
    /// Why it was admitted or refused, in one line.
    pub decision: String,
    pub held: Usd,
    pub cost: Usd,
    pub duration_us: u64,
    pub steps: Vec<Step>,
    pub attempts: Vec<Attempt>,
    /// Targets that were considered and not tried.
    pub rejected: Vec<Rejected>,
    /// What was known of the data when it was sent, or when the request ended before.
    pub labels: Labels,
    /// What was asked of the policy set and what it said; `None`: the request
    /// was refused before it was asked, or the record is older than policies.
    pub judged: Option<Judged>,
    /// What its stages asked models for beside the attempts; not in `cost`.
    pub spent: Vec<Spent>,
}

/// What a stage asked a model for: a request of its own, with a record and postings of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// `embed`, `rerank`.
    pub stage: String,
    pub request: RequestId,
    pub tokens: u64,
    pub cost: Usd,
}

/// A decision of the policy set, with everything that it was made on and the
/// record does not say elsewhere: enough to make it again under other policies.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Judged {
    pub allowed: bool,
    /// SHA-256 of the policy set.
    pub hash: [u8; 32],
    /// The ids of the policies that decided, sorted. Empty: nothing permitted it.
    pub determining: Vec<String>,
    /// The action: `invoke`, `embed`...
    pub action: String,
    /// `chat`, `embedding`...
    pub purpose: String,
    /// The user that an agent said it acts for.
    pub on_behalf_of: Option<String>,
    /// Of the tightest hard budget, at that moment; `None`: no hard budget applied.
    pub budget_left: Option<Usd>,
    /// 0 to 100, of the injection sensor; `None`: it did not look.
    pub injection_score: Option<u16>,
    /// Kinds of personal data that were found, sorted.
    pub pii_types: Vec<String>,
    /// Where the caller says it is, when it does.
    pub region: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// Refused before dispatch, with the error's code.
    Refused(String),
    /// Failed after dispatch, with the error's code.
    Failed(String),
    /// The client left; what was produced is billed.
    Abandoned,
    /// The process died in the middle; posted from the hold at the next start.
    Crashed,
}

/// One step of the journey: when it began after the request's start, and how long it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub name: String,
    pub start_us: u64,
    pub duration_us: u64,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub id: AttemptId,
    /// `chat`, `embedding`, `judge`...
    pub purpose: String,
    pub provider: String,
    pub upstream_model: String,
    pub started: Micros,
    pub first_byte_us: Option<u64>,
    pub duration_us: u64,
    pub outcome: AttemptOutcome,
    /// The upstream's HTTP status; 0 when there was none.
    pub status: u16,
    pub usage: UsageRow,
    /// The usage was estimated because the target reported none.
    pub estimated: bool,
    /// The target's own totals disagree with the axes.
    pub unreconciled: bool,
    /// The tier that was served.
    pub tier: String,
    pub lines: Vec<Line>,
    pub cost: Usd,
    /// When the price used came into force, and from where; `None`: unpriced, in suspense.
    pub price: Option<(Micros, String)>,
    /// The target's own id for its answer.
    pub upstream_id: String,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    Ok,
    /// With the error's code.
    Failed(String),
    Cancelled,
}

/// One priced line of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// An axis's name, or `request`, `machine`, `energy`.
    pub item: String,
    /// Tokens; requests; microseconds of machine; millijoules.
    pub quantity: u64,
    pub rate: PicoRate,
    pub amount: Usd,
}

/// Tokens by axis, in the order of [`Axis::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UsageRow(pub [u64; Axis::ALL.len()]);

/// A target that was not tried, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub target: String,
    pub reason: String,
}

impl UsageRow {
    pub fn get(&self, axis: Axis) -> u64 {
        self.0[axis as usize]
    }
    pub fn add(&mut self, other: &UsageRow) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

impl From<&chat::Usage> for UsageRow {
    fn from(usage: &chat::Usage) -> UsageRow {
        UsageRow(Axis::ALL.map(|a| usage.get(a)))
    }
}
