//! `budget`, `cost`: limits, and what was spent.

use std::process::ExitCode;

use api::{
    Budget, BudgetKind, BudgetScope, CostBy, CostReport, CostRow, CreateBudget, LedgerCheck, List, Period,
};
use report::Report;
use units::{Day, Usd};

use super::show;
use crate::Failure;
use crate::args;
use crate::client::{Server, encode};
use crate::table::{grouped, table};

pub(super) fn budget(server: &Server, command: args::Budget, json: bool) -> Result<(), Failure> {
    match command {
        args::Budget::Create(args) => {
            let limit = args.limit.parse::<Usd>().map_err(|e| {
                Report::new("CL0010", "`--limit` cannot be used").because(e.to_string()).hint("such as 25.00")
            })?;
            let scope = match (args.scope.team, args.scope.key, args.scope.org) {
                (Some(team), ..) => BudgetScope::Team(team),
                (_, Some(key), _) => BudgetScope::Key(key),
                (.., org) => BudgetScope::Org(org.unwrap_or_default()),
            };
            let create = CreateBudget {
                name: args.name,
                scope,
                limit_usd: limit.to_string(),
                period: match args.period {
                    args::Period::Day => Period::Day,
                    args::Period::Month => Period::Month,
                    args::Period::Total => Period::Total,
                },
                kind: if args.soft { BudgetKind::Soft } else { BudgetKind::Hard },
            };
            let budget: Budget = server.post("/api/v1/budgets", &create)?;
            show(json, &budget, |b| format!("budget {}: {} USD {}", b.name, b.limit_usd, per(b.period)));
        }
        args::Budget::List => {
            let budgets: List<Budget> = server.get("/api/v1/budgets")?;
            show(json, &budgets, |budgets| budget_table(&budgets.data));
        }
        args::Budget::Delete { name } => {
            let budget: Budget = server.delete(&format!("/api/v1/budgets/{}", encode(&name)))?;
            show(json, &budget, |b| {
                format!("deleted budget {}; {} USD were spent under it", b.name, b.spent_usd)
            });
        }
    }
    Ok(())
}

fn per(period: Period) -> &'static str {
    match period {
        Period::Day => "per day",
        Period::Month => "per month",
        Period::Total => "in all",
    }
}

fn budget_table(budgets: &[Budget]) -> String {
    let rows: Vec<Vec<String>> = budgets
        .iter()
        .map(|b| {
            let scope = match &b.scope {
                BudgetScope::Org(name) => format!("org {name}"),
                BudgetScope::Team(name) => format!("team {name}"),
                BudgetScope::Key(id) => format!("key {id}"),
            };
            let kind = if b.kind == BudgetKind::Hard { "hard" } else { "soft" };
            vec![
                b.name.clone(),
                scope,
                kind.to_owned(),
                per(b.period).to_owned(),
                b.limit_usd.clone(),
                b.spent_usd.clone(),
                b.held_usd.clone(),
                b.left_usd.clone(),
            ]
        })
        .collect();
    table(&["BUDGET", "SCOPE", "KIND", "PERIOD", ">LIMIT USD", ">SPENT", ">HELD", ">LEFT"], &rows)
}

pub(super) fn cost(server: &Server, command: args::Cost, json: bool) -> Result<ExitCode, Failure> {
    match command {
        args::Cost::Report { by, from, to } => {
            let by = match by {
                args::CostBy::Team => "team",
                args::CostBy::Model => "model",
                args::CostBy::Key => "key",
                args::CostBy::Day => "day",
            };
            let mut path = format!("/api/v1/costs?by={by}");
            for (name, day) in [("from", from), ("to", to)] {
                if let Some(day) = day {
                    let day: Day = day.parse().map_err(|e: units::TimeError| {
                        Report::new("CL0010", format!("`--{name}` cannot be used")).because(e.to_string())
                    })?;
                    path.push_str(&format!("&{name}={day}"));
                }
            }
            let report: CostReport = server.get(&path)?;
            show(json, &report, cost_report);
            Ok(ExitCode::SUCCESS)
        }
        args::Cost::Check => {
            let check: LedgerCheck = server.get("/api/v1/ledger/check")?;
            show(json, &check, |c| {
                format!(
                    "{}: {} records, {} postings, {} unbalanced, {} drifted, sum {} USD",
                    if c.ok { "the books are sound" } else { "THE BOOKS ARE NOT SOUND" },
                    grouped(c.records),
                    grouped(c.postings),
                    c.unbalanced,
                    c.drifted,
                    c.sum_usd
                )
            });
            Ok(if check.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}

pub(crate) fn cost_report(report: &CostReport) -> String {
    let heading = match report.by {
        CostBy::Team => "TEAM",
        CostBy::Model => "MODEL",
        CostBy::Key => "KEY",
        CostBy::Day => "DAY",
    };
    let cells = |row: &CostRow| {
        let t = &row.tokens;
        let output = t.output.saturating_add(t.reasoning).saturating_add(t.output_audio);
        let note = match (row.unpriced, row.estimated) {
            (0, 0) => String::new(),
            (0, e) => format!("{e} estimated"),
            (u, 0) => format!("{u} unpriced"),
            (u, e) => format!("{u} unpriced, {e} estimated"),
        };
        vec![
            row.name.clone(),
            grouped(row.attempts),
            grouped(t.total().saturating_sub(output)),
            grouped(output),
            row.cost_usd.clone(),
            note,
        ]
    };
    let mut rows: Vec<Vec<String>> = report.rows.iter().map(cells).collect();
    rows.push(cells(&report.total));
    format!(
        "{} to {}, UTC\n{}",
        report.from,
        report.to,
        table(&[heading, ">ATTEMPTS", ">TOKENS IN", ">TOKENS OUT", ">COST USD", "NOTE"], &rows)
    )
}
