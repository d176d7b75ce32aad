//! Money: what budgets have left, and where the month's spend went.

use api::{Budget, BudgetKind, BudgetScope, CostReport, Period};

use crate::format::{decimals, dollars, grouped, percent, pico};
use crate::html::Html;
use crate::layout::bar;

/// Rows of a report; the rest is one line.
const ROWS_SHOWN: usize = 8;

/// Budgets listed.
const BUDGETS_SHOWN: usize = 20;

pub(super) fn budgets(main: &mut Html, budgets: &[Budget]) {
    main.put("<section class=\"panel\"><h2>Budgets <small>{}</small></h2>\n", &[&budgets.len().to_string()]);
    if budgets.is_empty() {
        main.raw("<p class=\"soft\">No budget limits anybody. <code>bedplate budget create monthly --team TEAM --limit 25.00</code> sets one.</p>\n</section>\n");
        return;
    }
    // The fullest first: the question is who is about to be refused.
    let mut listed: Vec<&Budget> = budgets.iter().collect();
    listed.sort_by_key(|b| std::cmp::Reverse(permille(b)));
    main.raw("<ul class=\"list\">\n");
    for budget in listed.iter().take(BUDGETS_SHOWN) {
        one(main, budget);
    }
    main.raw("</ul>\n");
    if listed.len() > BUDGETS_SHOWN {
        let more = (listed.len() - BUDGETS_SHOWN).to_string();
        main.put("<p class=\"soft\">and {} more: <code>bedplate budget list</code></p>\n", &[&more]);
    }
    main.raw("</section>\n");
}

fn permille(budget: &Budget) -> i128 {
    let amount = |text: &str| pico(text).unwrap_or(0);
    let used = amount(&budget.spent_usd) + amount(&budget.held_usd);
    used.saturating_mul(1000) / amount(&budget.limit_usd).max(1)
}

fn one(main: &mut Html, budget: &Budget) {
    let amounts = [&budget.limit_usd, &budget.spent_usd, &budget.held_usd, &budget.left_usd];
    let [limit, spent, held, left] = amounts.map(|text| pico(text).unwrap_or(0));
    let places = decimals([budget.limit_usd.as_str()].into_iter());
    let scope = match &budget.scope {
        BudgetScope::Org(name) => format!("org {name}"),
        BudgetScope::Team(name) => format!("team {name}"),
        BudgetScope::Key(id) => format!("key {id}"),
    };
    let period = match budget.period {
        Period::Day => "a day",
        Period::Month => "a month",
        Period::Total => "in all",
    };
    main.raw(match (budget.kind, left) {
        (BudgetKind::Hard, 0) => "<li class=\"full\">",
        _ if (spent + held) * 5 >= limit * 4 => "<li class=\"near\">",
        _ => "<li>",
    });
    main.put(
        "<div class=\"row\"><b class=\"name\">{}</b><span class=\"num\" title=\"{} USD left\">{} left</span></div>\n",
        &[&budget.name, &budget.left_usd, &dollars(&budget.left_usd, places)],
    );
    let whole = limit.max(spent + held);
    main.add(bar(&percent(spent, whole), &percent(held, whole)));
    let held_text =
        if held > 0 { format!(" + {} held", dollars(&budget.held_usd, places)) } else { String::new() };
    main.put("<p class=\"soft\"><span title=\"{} USD spent, {} USD held\">{} spent{} of {} {}</span> · {}{}</p></li>\n", &[
        &budget.spent_usd,
        &budget.held_usd,
        &dollars(&budget.spent_usd, places),
        &held_text,
        &dollars(&budget.limit_usd, places),
        period,
        &scope,
        if budget.kind == BudgetKind::Soft { " · soft" } else { "" },
    ]);
}

pub(super) fn costs(main: &mut Html, title: &str, report: &CostReport) {
    main.put(
        "<section class=\"panel\"><h2>{} <small>{} to {}</small></h2>\n",
        &[title, &report.from, &report.to],
    );
    if report.rows.is_empty() {
        main.raw("<p class=\"soft\">Nothing was spent in this period.</p>\n</section>\n");
        return;
    }
    let places = decimals(report.rows.iter().map(|r| r.cost_usd.as_str()));
    // Relative to the dearest row, so that the comparison uses the whole width.
    let greatest = report.rows.iter().filter_map(|r| pico(&r.cost_usd)).max().unwrap_or(0);
    main.raw("<ul class=\"list\">\n");
    for row in report.rows.iter().take(ROWS_SHOWN) {
        main.put(
            "<li><div class=\"row\"><b class=\"name\">{}</b><span class=\"num\" title=\"{} USD\">{}</span></div>\n",
            &[&row.name, &row.cost_usd, &dollars(&row.cost_usd, places)],
        );
        main.add(bar(&percent(pico(&row.cost_usd).unwrap_or(0), greatest), "0"));
        let mut about =
            format!("{} attempts · {} tokens", grouped(row.attempts), grouped(row.tokens.total()));
        if row.estimated > 0 {
            about.push_str(&format!(" · {} estimated", grouped(row.estimated)));
        }
        if row.unpriced > 0 {
            about.push_str(&format!(" · {} without a price", grouped(row.unpriced)));
        }
        main.put("<p class=\"soft\">{}</p></li>\n", &[&about]);
    }
    let total = &report.total;
    let rest = report.rows.len().saturating_sub(ROWS_SHOWN);
    let label = if rest > 0 { format!("Total, with {rest} more") } else { "Total".into() };
    main.put(
        "<li class=\"total\"><div class=\"row\"><span>{}</span><b class=\"num\" title=\"{} USD\">{}</b></div></li>\n</ul>\n</section>\n",
        &[&label, &total.cost_usd, &dollars(&total.cost_usd, places)],
    );
}
