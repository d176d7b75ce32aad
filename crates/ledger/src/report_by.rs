//! The cost report: the ledger's daily totals, grouped by team, model, key or day.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use store::{SpendRow, UsageRow};
use units::{Day, KeyId, TeamId};

/// What a row of the report stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Team,
    Model,
    Key,
    Day,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CostRow {
    pub name: String,
    pub attempts: u64,
    pub tokens_in: u128,
    pub tokens_out: u128,
    /// The same tokens by axis.
    pub usage: UsageRow,
    /// Attempts whose usage was estimated.
    pub estimated: u64,
    /// Attempts without a known price, whose cost is not in here.
    pub unpriced: u64,
    /// Pico-dollars.
    pub cost_pico: i128,
    /// Thousandths of the whole cost, rounded down; 0 when the whole is 0.
    pub share_permille: u32,
}

/// The groups, dearest first (days: oldest first), and their sum.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CostReport {
    pub rows: Vec<CostRow>,
    pub total: CostRow,
}

/// Why a grouping is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot group by \"{0}\": write team, model, key or day")]
pub struct ByError(String);

impl FromStr for By {
    type Err = ByError;
    fn from_str(text: &str) -> Result<By, ByError> {
        match text {
            "team" => Ok(By::Team),
            "model" => Ok(By::Model),
            "key" => Ok(By::Key),
            "day" => Ok(By::Day),
            _ => Err(ByError(text.chars().take(20).collect())),
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Group<'a> {
    Team(TeamId),
    Model(&'a str),
    Key(KeyId),
    Day(Day),
}

/// Groups `rows`. Ids become names by `team_name` and `key_name`, which answer
/// with the id itself for what no longer exists.
pub fn report(
    rows: &[SpendRow],
    by: By,
    team_name: impl Fn(TeamId) -> String,
    key_name: impl Fn(KeyId) -> String,
) -> CostReport {
    let mut groups: BTreeMap<Group<'_>, CostRow> = BTreeMap::new();
    let mut total = CostRow { name: "total".into(), ..CostRow::default() };
    for row in rows {
        let group = match by {
            By::Team => Group::Team(row.team),
            By::Model => Group::Model(&row.model),
            By::Key => Group::Key(row.key),
            By::Day => Group::Day(row.day),
        };
        groups.entry(group).or_default().add(row);
        total.add(row);
    }
    let mut named: Vec<CostRow> = groups
        .into_iter()
        .map(|(group, row)| {
            let name = match group {
                Group::Team(id) => team_name(id),
                Group::Model(name) => name.to_string(),
                Group::Key(id) => key_name(id),
                Group::Day(day) => day.to_string(),
            };
            CostRow { name, share_permille: share(row.cost_pico, total.cost_pico), ..row }
        })
        .collect();
    if by != By::Day {
        named.sort_by(|a, b| b.cost_pico.cmp(&a.cost_pico).then_with(|| a.name.cmp(&b.name)));
    }
    total.share_permille = share(total.cost_pico, total.cost_pico);
    CostReport { rows: named, total }
}

impl CostRow {
    fn add(&mut self, row: &SpendRow) {
        let (tokens_in, tokens_out) = sides(&row.usage);
        self.attempts = self.attempts.saturating_add(row.attempts);
        self.tokens_in += tokens_in;
        self.tokens_out += tokens_out;
        self.usage.add(&row.usage);
        self.estimated = self.estimated.saturating_add(row.estimated);
        self.unpriced = self.unpriced.saturating_add(row.unpriced);
        self.cost_pico += row.cost_pico;
    }
    /// The cost in dollars, exactly.
    pub fn cost(&self) -> Dollars {
        Dollars(self.cost_pico)
    }
}

fn sides(usage: &UsageRow) -> (u128, u128) {
    chat::Axis::ALL.into_iter().fold((0, 0), |(i, o), axis| {
        let tokens = u128::from(usage.get(axis));
        if axis.is_input() { (i + tokens, o) } else { (i, o + tokens) }
    })
}

fn share(part: i128, whole: i128) -> u32 {
    if whole <= 0 || part <= 0 {
        return 0;
    }
    let permille = part.checked_mul(1000).map_or_else(|| part / (whole / 1000).max(1), |p| p / whole);
    u32::try_from(permille).unwrap_or(1000)
}

/// A sum of money wider than [`units::Usd`]; shown as exact decimal dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dollars(pub i128);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PICO: u128 = 1_000_000_000_000;
        let abs = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:012}", abs % PICO);
        match fraction.trim_end_matches('0') {
            "" => f.pad(&format!("{sign}{}", abs / PICO)),
            digits => f.pad(&format!("{sign}{}.{digits}", abs / PICO)),
        }
    }
}

#[cfg(test)]
mod tests;
