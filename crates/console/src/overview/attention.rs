//! What a person should look at, worst first. Derived from the view alone, so
//! that the page can never call something fine that it shows as broken below.

use api::{Budget, BudgetKind, RecordSummary};

use crate::View;
use crate::format::{grouped, pico};
use crate::html::Html;

/// Notices shown; the rest is counted.
const NOTICES_SHOWN: usize = 8;

/// A budget is worth a look from this share of its limit on, in percent.
const BUDGET_NEAR_PERCENT: i128 = 80;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Bad,
    Warn,
}

struct Notice(Weight, String);

pub(super) fn section(main: &mut Html, view: &View) {
    let mut notices = Vec::new();
    state(&mut notices, view);
    models(&mut notices, view);
    view.budgets.iter().for_each(|b| budget(&mut notices, b));
    requests(&mut notices, &view.records);
    prices(&mut notices, view);
    notices.sort_by_key(|n| n.0);
    main.raw("<section aria-label=\"Needs attention\">\n");
    if notices.is_empty() {
        main.raw("<p class=\"notice fine\">Nothing needs attention.</p>\n</section>\n");
        return;
    }
    main.raw("<ul class=\"notices\">\n");
    for Notice(weight, text) in notices.iter().take(NOTICES_SHOWN) {
        main.raw(match weight {
            Weight::Bad => "<li class=\"notice bad\">",
            Weight::Warn => "<li class=\"notice warn\">",
        });
        main.put("{}</li>\n", &[text]);
    }
    if notices.len() > NOTICES_SHOWN {
        main.put("<li class=\"notice\">and {} more</li>\n", &[&(notices.len() - NOTICES_SHOWN).to_string()]);
    }
    main.raw("</ul>\n</section>\n");
}

fn state(notices: &mut Vec<Notice>, view: &View) {
    let (weight, text) = match view.status.state.as_str() {
        "ready" => return,
        "draining" => (
            Weight::Bad,
            "The server is shutting down: requests under way finish, new ones are refused.".into(),
        ),
        "starting" | "loading" => (Weight::Warn, "The server is starting: models are being loaded.".into()),
        "broken" => (
            Weight::Bad,
            "The server is not ready: a preloaded model cannot be loaded, or an engine is stuck. GET /readyz says which."
                .into(),
        ),
        other => (Weight::Bad, format!("The server is {other}.")),
    };
    notices.push(Notice(weight, text));
}

fn models(notices: &mut Vec<Notice>, view: &View) {
    for model in &view.models {
        let not: Vec<String> = model
            .targets
            .iter()
            .filter(|t| !t.ready)
            .map(|t| {
                format!("{}/{}: {}", t.provider, t.upstream_model, t.reason.as_deref().unwrap_or("not ready"))
            })
            .collect();
        if model.targets.is_empty() {
            notices.push(Notice(Weight::Bad, format!("Model {} has no target.", model.name)));
        } else if not.len() == model.targets.len() {
            let text = format!("Model {} cannot answer: {}.", model.name, not.join("; "));
            notices.push(Notice(Weight::Bad, text));
        } else if !not.is_empty() {
            let text = format!("Model {} runs on fewer targets: {}.", model.name, not.join("; "));
            notices.push(Notice(Weight::Warn, text));
        }
    }
}

fn budget(notices: &mut Vec<Notice>, budget: &Budget) {
    let (Some(limit), Some(spent), Some(held)) =
        (pico(&budget.limit_usd), pico(&budget.spent_usd), pico(&budget.held_usd))
    else {
        return;
    };
    let name = &budget.name;
    let notice = match budget.kind {
        BudgetKind::Hard if spent >= limit => Notice(
            Weight::Bad,
            format!("Budget {name} is spent: its requests are refused with 402 (LG0201)."),
        ),
        BudgetKind::Soft if spent >= limit => {
            Notice(Weight::Warn, format!("Budget {name} is spent; it is soft and refuses nothing."))
        }
        _ if (spent + held) * 100 >= limit * BUDGET_NEAR_PERCENT => {
            let percent = (spent + held) * 100 / limit.max(1);
            Notice(
                Weight::Warn,
                format!("Budget {name} is at {percent} % of its limit, open holds included."),
            )
        }
        _ => return,
    };
    notices.push(notice);
}

fn requests(notices: &mut Vec<Notice>, records: &[RecordSummary]) {
    let of = records.len();
    for (outcomes, verb, weight) in [
        (&["failed", "crashed"][..], "failed", Weight::Bad),
        (&["refused"][..], "were refused", Weight::Warn),
    ] {
        let hit: Vec<&RecordSummary> =
            records.iter().filter(|r| outcomes.contains(&r.outcome.as_str())).collect();
        // A refusal or two are a misspelt model, not a finding.
        if hit.is_empty() || (weight == Weight::Warn && (hit.len() < 3 || hit.len() * 10 < of)) {
            continue;
        }
        let most = match most_frequent(&hit) {
            Some((code, n)) if n == hit.len() => format!(", with {code}"),
            Some((code, n)) => format!(", {n} of them with {code}"),
            None => String::new(),
        };
        notices.push(Notice(weight, format!("{} of the last {of} requests {verb}{most}.", hit.len())));
    }
}

fn most_frequent<'r>(records: &[&'r RecordSummary]) -> Option<(&'r str, usize)> {
    let mut codes: Vec<(&str, usize)> = Vec::new();
    for code in records.iter().filter_map(|r| r.error_code.as_deref()) {
        match codes.iter_mut().find(|(c, _)| *c == code) {
            Some((_, n)) => *n += 1,
            None => codes.push((code, 1)),
        }
    }
    codes.into_iter().max_by_key(|(_, n)| *n)
}

fn prices(notices: &mut Vec<Notice>, view: &View) {
    let unpriced = view.costs_by_model.total.unpriced;
    if unpriced == 0 {
        return;
    }
    let names: Vec<&str> =
        view.costs_by_model.rows.iter().filter(|r| r.unpriced > 0).map(|r| r.name.as_str()).take(5).collect();
    let text = format!(
        "{} attempts of this month have no known price ({}): their cost is in suspense, not in the sums below.",
        grouped(unpriced),
        names.join(", ")
    );
    notices.push(Notice(Weight::Warn, text));
}
