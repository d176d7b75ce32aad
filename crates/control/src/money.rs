//! Budgets, what was spent, and whether the books are sound.

use ledger::report_by::{self, By, Dollars};
use policy::{Action, Principal};
use report::Report;
use store::{Budget, BudgetKind, Change, Period, Scope, SpendQuery, State};
use units::{BudgetId, Day, Micros, Usd};

use crate::access::{check_name, find_key, key_name, team_name};
use crate::call::{Call, Outcome, json};
use crate::{Plane, missing};

pub(crate) fn list_budgets(plane: &Plane, call: &Call) -> Outcome {
    json(&api::List::from(budgets(plane, &call.principal, call.now)?))
}

/// The budgets that the principal may see, with their counters.
pub(crate) fn budgets(plane: &Plane, who: &Principal, now: Micros) -> Result<Vec<api::Budget>, Report> {
    let state = plane.state()?;
    let status = plane.host.budgets(now);
    let shown = state.budgets.iter().filter(|b| may_see(who, &state, b.scope));
    Ok(shown.map(|b| show(&state, b, &status)).collect())
}

fn may_see(who: &Principal, state: &State, scope: Scope) -> bool {
    let team = match scope {
        Scope::Team(id) => Some(id),
        Scope::Key(id) => state.keys.iter().find(|k| k.id == id).map(|k| k.team),
        Scope::Org(_) => None,
    };
    who.actions.has(Action::ReadAllCosts) || team.is_some_and(|t| policy::may_see_costs(who, t))
}

pub(crate) fn create_budget(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::CreateBudget = call.read()?;
    check_name("budget", &wanted.name)?;
    let state = plane.state()?;
    if state.budgets.iter().any(|b| b.name == wanted.name) {
        return Err(Report::new("CT0004", format!("there is a budget \"{}\" already", wanted.name)).into());
    }
    let limit: Usd = wanted.limit_usd.parse().map_err(|e: units::MoneyError| {
        Report::new("CT0002", format!("limit_usd: {e}")).hint("write decimal dollars, such as \"25.00\"")
    })?;
    if limit.is_negative() {
        return Err(Report::new("CT0002", format!("a budget of {limit} USD is negative")).into());
    }
    let budget = Budget {
        id: BudgetId(runtime::new_id()),
        name: wanted.name,
        scope: scope_of(&state, &wanted.scope)?,
        limit,
        period: match wanted.period {
            api::Period::Day => Period::Day,
            api::Period::Month => Period::Month,
            api::Period::Total => Period::Total,
        },
        kind: match wanted.kind {
            api::BudgetKind::Hard => BudgetKind::Hard,
            api::BudgetKind::Soft => BudgetKind::Soft,
        },
        created: call.now,
    };
    plane.change(&[Change::PutBudget(budget.clone())])?;
    json(&show(&state, &budget, &plane.host.budgets(call.now)))
}

fn scope_of(state: &State, scope: &api::BudgetScope) -> Result<Scope, Report> {
    match scope {
        api::BudgetScope::Org(name) => {
            let org = state.orgs.iter().find(|o| o.name == *name || o.id.to_string() == *name);
            org.map(|o| Scope::Org(o.id))
                .ok_or_else(|| missing("org", name, "the first org is named \"default\""))
        }
        api::BudgetScope::Team(name) => {
            let team = state.teams.iter().find(|t| t.name == *name);
            team.map(|t| Scope::Team(t.id))
                .ok_or_else(|| missing("team", name, "`bedplate team list` shows them"))
        }
        api::BudgetScope::Key(name) => find_key(state, name).map(|k| Scope::Key(k.id)),
    }
}

pub(crate) fn delete_budget(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let name = call.param(0);
    let budget = state.budgets.iter().find(|b| b.name == name || b.id.to_string() == name);
    let budget = budget.ok_or_else(|| missing("budget", name, "`bedplate budget list` shows them"))?;
    let shown = show(&state, budget, &plane.host.budgets(call.now));
    plane.change(&[Change::RemoveBudget(budget.id)])?;
    json(&shown)
}

fn show(state: &State, budget: &Budget, status: &[ledger::BudgetStatus]) -> api::Budget {
    let now = status.iter().find(|s| s.budget == budget.id);
    let (settled, held) = now.map_or((Usd::ZERO, Usd::ZERO), |s| (s.settled, s.held));
    let left = i128::from(budget.limit.pico()) - i128::from(settled.pico()) - i128::from(held.pico());
    api::Budget {
        id: budget.id.to_string(),
        name: budget.name.clone(),
        scope: match budget.scope {
            Scope::Org(id) => api::BudgetScope::Org(
                state.orgs.iter().find(|o| o.id == id).map_or_else(|| id.to_string(), |o| o.name.clone()),
            ),
            Scope::Team(id) => api::BudgetScope::Team(team_name(state, id)),
            Scope::Key(id) => api::BudgetScope::Key(key_name(state, id)),
        },
        limit_usd: budget.limit.to_string(),
        period: match budget.period {
            Period::Day => api::Period::Day,
            Period::Month => api::Period::Month,
            Period::Total => api::Period::Total,
        },
        kind: match budget.kind {
            BudgetKind::Hard => api::BudgetKind::Hard,
            BudgetKind::Soft => api::BudgetKind::Soft,
        },
        spent_usd: settled.to_string(),
        held_usd: held.to_string(),
        left_usd: Dollars(left.max(0)).to_string(),
        created: budget.created.to_string(),
    }
}

pub(crate) fn report_costs(plane: &Plane, call: &Call) -> Outcome {
    let by: By = call
        .query("by")
        .unwrap_or("team")
        .parse()
        .map_err(|e: report_by::ByError| Report::new("CT0002", e.to_string()))?;
    let day = |name: &str, or: Day| match call.query(name) {
        None => Ok(or),
        Some(text) => {
            text.parse().map_err(|e: units::TimeError| Report::new("CT0002", format!("{name}: {e}")))
        }
    };
    let today = call.now.day();
    let (from, to) = (day("from", today.month_start())?, day("to", today)?);
    if from > to {
        return Err(Report::new("CT0002", format!("from {from} is after to {to}")).into());
    }
    json(&costs(plane, &call.principal, by, from, to)?)
}

/// What was spent from the first to the last day, as far as the principal may see it.
pub(crate) fn costs(
    plane: &Plane,
    who: &Principal,
    by: By,
    from: Day,
    to: Day,
) -> Result<api::CostReport, Report> {
    let team = (!who.actions.has(Action::ReadAllCosts)).then_some(who.team);
    let rows = plane.store.spend(&SpendQuery { from, to, team, key: None }).map_err(|e| e.report())?;
    let state = plane.state()?;
    let report = report_by::report(&rows, by, |t| team_name(&state, t), |k| key_name(&state, k));
    Ok(api::CostReport {
        by: match by {
            By::Team => api::CostBy::Team,
            By::Model => api::CostBy::Model,
            By::Key => api::CostBy::Key,
            By::Day => api::CostBy::Day,
        },
        from: from.to_string(),
        to: to.to_string(),
        rows: report.rows.iter().map(cost_row).collect(),
        total: cost_row(&report.total),
    })
}

fn cost_row(row: &report_by::CostRow) -> api::CostRow {
    api::CostRow {
        name: row.name.clone(),
        attempts: row.attempts,
        estimated: row.estimated,
        unpriced: row.unpriced,
        tokens: api::Tokens::from_axes(row.usage.0),
        cost_usd: row.cost().to_string(),
    }
}

pub(crate) fn check_ledger(plane: &Plane, _call: &Call) -> Outcome {
    let check = plane.store.check().map_err(|e| e.report())?;
    json(&api::LedgerCheck {
        ok: check.unbalanced == 0 && check.drifted == 0 && check.sum_pico == 0,
        records: check.records,
        postings: check.postings,
        unbalanced: check.unbalanced,
        drifted: check.drifted,
        sum_usd: Dollars(check.sum_pico).to_string(),
    })
}
