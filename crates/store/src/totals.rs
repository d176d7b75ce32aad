//! What a record adds to the books, and whether postings balance: the one
//! definition that every back-end shares, so that totals cannot differ by engine.

use std::collections::BTreeMap;

use units::{AttemptId, Day, KeyId, TeamId};

use crate::{Error, Posting, Record, SpendQuery, SpendRow, UsageRow};

/// Legs of one request. Routing plans a handful of attempts of two to six legs;
/// the bound keeps one row small.
pub const POSTINGS_MAX: usize = 1_000;

/// Tokens of one axis of one attempt that totals count. A provider that claims
/// more is not believed, and 16,384 such claims a day still fit in a total.
pub const TOKENS_MAX: u64 = 1 << 48;

/// The largest total of tokens: sums stop there instead of overflowing, and two
/// of them still fit in a signed column.
pub const TOKENS_TOTAL_MAX: u64 = (1 << 62) - 1;

/// Refuses too many postings, and those whose attempts do not each sum to zero.
pub fn check_balance(postings: &[Posting]) -> Result<(), Error> {
    if postings.len() > POSTINGS_MAX {
        return Err(Error::Damaged(format!("{} postings, the limit is {POSTINGS_MAX}", postings.len())));
    }
    match sums(postings).find(|(_, sum)| *sum != 0) {
        None => Ok(()),
        Some((attempt, sum)) => Err(Error::Damaged(format!(
            "the postings of attempt {attempt} sum to {sum} pico-dollars, not to zero"
        ))),
    }
}

/// How many attempts do not sum to zero.
pub fn count_unbalanced(postings: &[Posting]) -> u64 {
    sums(postings).filter(|(_, sum)| *sum != 0).count() as u64
}

/// Each attempt once, with its sum. Quadratic in the number of attempts, which
/// is a handful: nothing is allocated on the hot path.
fn sums(postings: &[Posting]) -> impl Iterator<Item = (AttemptId, i128)> + '_ {
    postings.iter().enumerate().filter_map(|(at, posting)| {
        let attempt = posting.attempt;
        let seen = postings[..at].iter().any(|p| p.attempt == attempt);
        let legs = postings[at..].iter().filter(|p| p.attempt == attempt);
        (!seen).then(|| (attempt, legs.map(|p| i128::from(p.amount.pico())).sum()))
    })
}

/// What a total is about. Ordered by day first, as reports read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TotalKey {
    /// The day the request began, like the hold it was admitted with: budgets
    /// are counted by these totals, and must not split a request in two.
    pub day: Day,
    pub team: TeamId,
    pub key: KeyId,
    pub model: String,
    pub target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Total {
    pub attempts: u64,
    pub estimated: u64,
    pub unpriced: u64,
    pub usage: UsageRow,
    pub cost_pico: i128,
}

/// The totals of some records.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Totals(pub BTreeMap<TotalKey, Total>);

impl Totals {
    /// Adds each attempt, and under an empty target what the record cost beyond
    /// its attempts (a crashed request charged from its hold). A record that
    /// neither dispatched nor cost adds nothing: a refused client chooses the
    /// model's name, and must not choose how many rows there are.
    pub fn add(&mut self, record: &Record) {
        let mut beyond = i128::from(record.cost.pico());
        for attempt in &record.attempts {
            let cost_pico = i128::from(attempt.cost.pico());
            beyond -= cost_pico;
            let target = format!("{}/{}", attempt.provider, attempt.upstream_model);
            self.entry(record, target).add(&Total {
                attempts: 1,
                estimated: u64::from(attempt.estimated),
                unpriced: u64::from(attempt.price.is_none()),
                usage: UsageRow(attempt.usage.0.map(|tokens| tokens.min(TOKENS_MAX))),
                cost_pico,
            });
        }
        if beyond != 0 {
            self.entry(record, String::new()).cost_pico += beyond;
        }
    }
    fn entry(&mut self, record: &Record, target: String) -> &mut Total {
        let key = TotalKey {
            day: record.at.day(),
            team: record.team,
            key: record.key,
            model: record.model.clone(),
            target,
        };
        self.0.entry(key).or_default()
    }
    /// How many rows differ from `other`'s.
    pub fn drift(&self, other: &Totals) -> u64 {
        let differs = |key: &&TotalKey| self.0.get(*key) != other.0.get(*key);
        let extra = other.0.keys().filter(|key| !self.0.contains_key(*key)).count();
        (self.0.keys().filter(differs).count() + extra) as u64
    }
    /// The rows of a query, in the order of their keys.
    pub fn select<'a>(&'a self, query: &'a SpendQuery) -> impl Iterator<Item = SpendRow> + 'a {
        self.0
            .iter()
            .filter(|(key, _)| {
                (query.from..=query.to).contains(&key.day)
                    && query.team.is_none_or(|team| team == key.team)
                    && query.key.is_none_or(|id| id == key.key)
            })
            .map(|(key, total)| total.row(key))
    }
}

impl Total {
    pub fn add(&mut self, other: &Total) {
        self.attempts += other.attempts;
        self.estimated += other.estimated;
        self.unpriced += other.unpriced;
        self.usage.add(&other.usage);
        self.usage.0 = self.usage.0.map(|tokens| tokens.min(TOKENS_TOTAL_MAX));
        self.cost_pico += other.cost_pico;
    }
    pub fn row(&self, key: &TotalKey) -> SpendRow {
        SpendRow {
            day: key.day,
            team: key.team,
            key: key.key,
            model: key.model.clone(),
            target: key.target.clone(),
            attempts: self.attempts,
            estimated: self.estimated,
            unpriced: self.unpriced,
            usage: self.usage,
            cost_pico: self.cost_pico,
        }
    }
}
