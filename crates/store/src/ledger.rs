//! Money as stored: holds, postings and the totals derived from them.

use std::sync::Arc;

use units::{AttemptId, BudgetId, Day, KeyId, Micros, RequestId, TeamId, Usd};

use crate::{Error, Record, SessionChange, UsageRow};

/// Called once, when an entry is durable or has failed.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// One thing to make durable.
pub enum Entry {
    /// Money reserved before an attempt. A back-end may delay this write by up
    /// to 50 ms and skip it when the request settles before: what it protects
    /// against is a crash in the middle of a long answer.
    Hold(HoldRow),
    /// A request that ended: its record, its postings (each attempt's sum is
    /// zero), its leaf of the audit log, and the closing of its hold, in one
    /// transaction.
    Settle { record: Arc<Record>, postings: Vec<Posting>, leaf: Option<Vec<u8>> },
    /// A leaf without a request: a change of the rules, a login, an approval.
    Leaf(Vec<u8>),
    /// What an agent's session has learnt, or its end.
    Session(SessionChange),
}

#[derive(Clone, Debug, PartialEq)]
pub struct HoldRow {
    pub request: RequestId,
    pub team: TeamId,
    pub key: KeyId,
    pub budgets: Vec<BudgetId>,
    pub model: String,
    pub amount: Usd,
    pub at: Micros,
}

/// One leg of a transaction. The legs of an attempt sum to zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Posting {
    pub attempt: AttemptId,
    /// `expense:<team>/<model>`, `payable:<provider>`, `engine:<pool>`, `energy:<site>`, `suspense:unpriced`.
    pub account: Arc<str>,
    /// Positive debits, negative credits.
    pub amount: Usd,
}

/// A request as it was settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// Grows from one to the next, with gaps perhaps.
    pub number: u64,
    pub record: Record,
    pub postings: Vec<Posting>,
    /// The number of its leaf; `None`: it was settled without one.
    pub leaf: Option<u64>,
}

/// Which part of the books to add up.
#[derive(Clone, Debug, PartialEq)]
pub struct SpendQuery {
    /// Inclusive.
    pub from: Day,
    /// Inclusive.
    pub to: Day,
    pub team: Option<TeamId>,
    pub key: Option<KeyId>,
}

/// The total of one (day, team, key, model, target). The day is that of the
/// request's start. What [`crate::totals`] makes of the records.
#[derive(Clone, Debug, PartialEq)]
pub struct SpendRow {
    pub day: Day,
    pub team: TeamId,
    pub key: KeyId,
    /// The name the client asked for.
    pub model: String,
    /// `provider/upstream-model`; empty for what a record cost beyond its attempts.
    pub target: String,
    pub attempts: u64,
    /// Attempts whose usage was estimated.
    pub estimated: u64,
    /// Attempts without a known price.
    pub unpriced: u64,
    pub usage: UsageRow,
    pub cost_pico: i128,
}

/// What [`crate::Ledger::check`] found.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LedgerCheck {
    pub records: u64,
    pub postings: u64,
    /// Attempts whose postings do not sum to zero.
    pub unbalanced: u64,
    /// Rows of the daily totals that differ from the records.
    pub drifted: u64,
    /// The sum of all postings; zero in sound books.
    pub sum_pico: i128,
}
