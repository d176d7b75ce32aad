//! Budgets: money is held before an attempt and settled after it.
//!
//! The counters belong to the accounts (an org, a team, a key), not to the
//! budgets: each account knows what it settled and holds in the running day,
//! the running month and in total, whether or not a budget watches. So a budget
//! that is declared later sees the past and the requests in flight, a changed
//! limit loses nothing, and the whole can be rebuilt from the ledger (TRAPS M6).
//!
//! Invariant: what counts against a limit is settled plus open holds; a hold is
//! taken on all accounts or on none, and leaves them exactly once.

use std::collections::HashMap;

use store::{Budget, BudgetKind, Period, Scope, SpendRow, Team};
use units::{BudgetId, Day, KeyId, Micros, OrgId, RequestId, TeamId, Usd};

use crate::Refusal;

/// A request for money.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub request: RequestId,
    pub org: OrgId,
    pub team: TeamId,
    pub key: KeyId,
    /// The worst case; `None` when the target has no price.
    pub amount: Option<Usd>,
    pub now: Micros,
}

/// Money reserved. It leaves the book by [`Book::settle`] or [`Book::release`];
/// there is no other way to end one, and no way to have it twice.
#[derive(Debug)]
#[must_use = "a hold that is neither settled nor released blocks its budgets"]
pub struct Hold {
    pub request: RequestId,
    pub amount: Usd,
    /// The day of the attempt's start, whose periods it counts in.
    day: Day,
    scopes: [Scope; 3],
}

/// What settling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use]
pub struct Settled {
    /// By how much the cost went beyond the hold: the target overran its limits.
    pub overrun: Option<Usd>,
}

/// A budget and its counters, in the period of the moment asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetStatus {
    pub budget: BudgetId,
    pub name: String,
    pub scope: Scope,
    pub limit: Usd,
    pub settled: Usd,
    pub held: Usd,
    /// When the period ends; `None`: never.
    pub resets: Option<Micros>,
    pub kind: BudgetKind,
}

/// The mutable truth about money. One owner; every method is short.
#[derive(Default)]
pub struct Book {
    accounts: HashMap<Scope, Account>,
    budgets: HashMap<Scope, Vec<Budget>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counter {
    settled_pico: i128,
    held_pico: i128,
    /// How many holds are open, so that their window outlives them.
    open: u32,
}

/// The counters of an account by period. Requests near midnight reach us out
/// of order and settle days later, and each counts in the period it started
/// in: the two newest windows are kept, and every older one with open holds.
#[derive(Default)]
struct Windows(Vec<(Day, Counter)>);

#[derive(Default)]
struct Account {
    day: Windows,
    month: Windows,
    total: Counter,
}

/// A change of a counter.
#[derive(Clone, Copy)]
enum Move {
    Seed { cost_pico: i128 },
    Hold { amount: Usd },
    End { amount: Usd, cost_pico: i128 },
}

impl Book {
    /// Replaces the budgets; every counter stays.
    pub fn configure(&mut self, budgets: &[Budget]) {
        self.budgets.clear();
        for budget in budgets {
            self.budgets.entry(budget.scope).or_default().push(budget.clone());
        }
        for list in self.budgets.values_mut() {
            list.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }

    /// Sets what has been settled to what the ledger says; holds stay. Seeding
    /// twice with the same rows is seeding once.
    ///
    /// `rows` are all of the ledger's daily totals (a budget without a period
    /// needs them all); `teams` say which org each belongs to.
    pub fn seed(&mut self, rows: &[SpendRow], teams: &[Team]) {
        for account in self.accounts.values_mut() {
            account.total.settled_pico = 0;
            for (_, counter) in account.day.0.iter_mut().chain(&mut account.month.0) {
                counter.settled_pico = 0;
            }
        }
        let orgs: HashMap<TeamId, OrgId> = teams.iter().map(|t| (t.id, t.org)).collect();
        let mut by_day: Vec<&SpendRow> = rows.iter().collect();
        by_day.sort_by_key(|r| r.day);
        for row in by_day {
            let org = orgs.get(&row.team).map(|o| Scope::Org(*o));
            for scope in org.into_iter().chain([Scope::Team(row.team), Scope::Key(row.key)]) {
                let account = self.accounts.entry(scope).or_default();
                account.apply(row.day, Move::Seed { cost_pico: row.cost_pico });
            }
        }
    }

    /// Reserves money on the org, the team and the key, or on none of them.
    ///
    /// # Errors
    /// The first hard budget that would be exceeded, or that applies to a
    /// request without a price.
    pub fn hold(&mut self, ask: &Ask) -> Result<Hold, Refusal> {
        let scopes = [Scope::Org(ask.org), Scope::Team(ask.team), Scope::Key(ask.key)];
        let asked = ask.amount.map(|a| a.max(Usd::ZERO));
        for scope in &scopes {
            for budget in self.budgets.get(scope).into_iter().flatten() {
                if budget.kind == BudgetKind::Hard {
                    self.check(budget, asked, ask.now)?;
                }
            }
        }
        let amount = asked.unwrap_or(Usd::ZERO);
        let day = ask.now.day();
        for scope in scopes {
            let account = self.accounts.entry(scope).or_default();
            account.apply(day, Move::Hold { amount });
        }
        Ok(Hold { request: ask.request, amount, day, scopes })
    }

    /// What the tightest hard budget over this org, team and key has not spent
    /// yet; `None`: no hard budget applies. What is held counts as there: it may
    /// still come back.
    pub fn left(&self, org: OrgId, team: TeamId, key: KeyId, now: Micros) -> Option<Usd> {
        let scopes = [Scope::Org(org), Scope::Team(team), Scope::Key(key)];
        let hard = scopes.iter().filter_map(|scope| self.budgets.get(scope)).flatten();
        let hard = hard.filter(|budget| budget.kind == BudgetKind::Hard);
        let left = |b: &Budget| i128::from(b.limit.pico()) - self.counter(b, now).settled_pico;
        hard.map(left).min().map(|pico| Usd::from_wide(pico).unwrap_or(Usd::ZERO))
    }

    /// Ends a hold with what was really spent, in the periods of the attempt's
    /// start. A negative cost counts as nothing: money does not come back this way.
    pub fn settle(&mut self, hold: Hold, cost: Usd) -> Settled {
        let cost = cost.max(Usd::ZERO);
        self.end(&hold, i128::from(cost.pico()));
        let over = cost.checked_sub(hold.amount).filter(|d| *d > Usd::ZERO);
        Settled { overrun: over }
    }

    /// Ends a hold of a request that spent nothing.
    pub fn release(&mut self, hold: Hold) {
        self.end(&hold, 0);
    }

    /// Every budget with its counters in the period of `now`, by name.
    pub fn status(&self, now: Micros) -> Vec<BudgetStatus> {
        let mut all: Vec<BudgetStatus> =
            self.budgets.values().flatten().map(|b| self.status_of(b, now)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name).then(a.budget.cmp(&b.budget)));
        all
    }

    fn check(&self, budget: &Budget, asked: Option<Usd>, now: Micros) -> Result<(), Refusal> {
        let counter = self.counter(budget, now);
        let fits = asked.is_some_and(|a| {
            counter.settled_pico + counter.held_pico + i128::from(a.pico()) <= i128::from(budget.limit.pico())
        });
        if fits {
            return Ok(());
        }
        let status = self.status_of(budget, now);
        Err(Refusal {
            budget: status.name,
            scope: status.scope,
            limit: status.limit,
            settled: status.settled,
            held: status.held,
            asked,
            resets: status.resets,
        })
    }

    fn status_of(&self, budget: &Budget, now: Micros) -> BudgetStatus {
        let counter = self.counter(budget, now);
        let narrow = |pico: i128| Usd::from_wide(pico).unwrap_or(Usd::MAX);
        BudgetStatus {
            budget: budget.id,
            name: budget.name.clone(),
            scope: budget.scope,
            limit: budget.limit,
            settled: narrow(counter.settled_pico),
            held: narrow(counter.held_pico),
            resets: resets(budget.period, now.day()),
            kind: budget.kind,
        }
    }

    fn counter(&self, budget: &Budget, now: Micros) -> Counter {
        let Some(account) = self.accounts.get(&budget.scope) else { return Counter::default() };
        let day = now.day();
        match budget.period {
            Period::Day => account.day.find(day),
            Period::Month => account.month.find(day.month_start()),
            Period::Total => account.total,
        }
    }

    fn end(&mut self, hold: &Hold, cost_pico: i128) {
        for scope in &hold.scopes {
            if let Some(account) = self.accounts.get_mut(scope) {
                account.apply(hold.day, Move::End { amount: hold.amount, cost_pico });
            }
        }
    }
}

impl Account {
    fn apply(&mut self, day: Day, change: Move) {
        self.day.at(day).apply(change);
        self.month.at(day.month_start()).apply(change);
        self.total.apply(change);
    }
}

impl Windows {
    fn find(&self, start: Day) -> Counter {
        self.0.iter().find(|(s, _)| *s == start).map_or(Counter::default(), |(_, c)| *c)
    }

    fn at(&mut self, start: Day) -> &mut Counter {
        let index = match self.0.iter().position(|(s, _)| *s == start) {
            Some(index) => index,
            None => {
                // Newest last. What falls out has no open holds, and is in the ledger.
                self.0.sort_by_key(|(s, _)| *s);
                let keep_from = self.0.len().saturating_sub(1);
                let mut index = 0;
                self.0.retain(|(_, c)| {
                    index += 1;
                    index > keep_from || c.open > 0
                });
                self.0.push((start, Counter::default()));
                self.0.len() - 1
            }
        };
        &mut self.0[index].1
    }
}

impl Counter {
    fn apply(&mut self, change: Move) {
        match change {
            Move::Seed { cost_pico } => self.settled_pico += cost_pico,
            Move::Hold { amount } => {
                self.held_pico += i128::from(amount.pico());
                self.open += 1;
            }
            Move::End { amount, cost_pico } => {
                self.held_pico -= i128::from(amount.pico());
                self.open -= 1;
                self.settled_pico += cost_pico;
            }
        }
    }
}

fn resets(period: Period, day: Day) -> Option<Micros> {
    match period {
        Period::Day => Some(Day(day.0 + 1).start()),
        Period::Month => Some(day.next_month().start()),
        Period::Total => None,
    }
}

#[cfg(test)]
mod tests;
