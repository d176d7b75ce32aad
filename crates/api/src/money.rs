//! Budgets, cost reports and the books.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Tokens;

/// Whose spending a budget limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// The org's name.
    Org(String),
    /// The team's name.
    Team(String),
    /// The key's id.
    Key(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Civil day, UTC.
    Day,
    /// Civil month, UTC.
    Month,
    /// For ever.
    Total,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// Reserved before dispatch; nothing passes beyond it.
    #[default]
    Hard,
    /// Reported, never refused.
    Soft,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateBudget {
    /// Unique in the deployment.
    pub name: String,
    pub scope: BudgetScope,
    /// Exact decimal USD: `"25.00"`.
    pub limit_usd: String,
    pub period: Period,
    #[serde(default)]
    pub kind: BudgetKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    pub id: String,
    pub name: String,
    pub scope: BudgetScope,
    pub limit_usd: String,
    pub period: Period,
    pub kind: BudgetKind,
    /// Settled in the current period.
    pub spent_usd: String,
    /// Reserved by requests under way.
    pub held_usd: String,
    /// Limit less spent and held, at least zero.
    pub left_usd: String,
    pub created: String,
}

/// How a cost report is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostBy {
    Team,
    Model,
    Key,
    Day,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostReport {
    pub by: CostBy,
    /// Inclusive, `YYYY-MM-DD`, UTC.
    pub from: String,
    /// Inclusive.
    pub to: String,
    /// The dearest first; by day, the oldest first.
    pub rows: Vec<CostRow>,
    pub total: CostRow,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostRow {
    /// The team, model, key or day; `total` in the total.
    pub name: String,
    pub attempts: u64,
    /// Attempts whose usage was estimated.
    pub estimated: u64,
    /// Attempts without a known price: their cost is in suspense, not in `cost_usd`.
    pub unpriced: u64,
    pub tokens: Tokens,
    pub cost_usd: String,
}

/// The books recomputed: every transaction sums to zero, the totals equal the records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerCheck {
    pub ok: bool,
    pub records: u64,
    pub postings: u64,
    /// Attempts whose postings do not sum to zero.
    pub unbalanced: u64,
    /// Daily totals that differ from the records.
    pub drifted: u64,
    /// The sum of all postings; `0` in sound books.
    pub sum_usd: String,
}
