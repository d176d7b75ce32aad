//! One request, explained: what became of it, why, where the time and the
//! money went. The same order as `bedplate explain`.

use api::{Attempt, Posting, Record, Step};

use crate::format::{bytes, day_and_time, duration, grouped, longest_fraction, padding, pico};
use crate::html::Html;
use crate::layout::{Page, document, mark};
use crate::path;

/// Rows of any one table: a journey has ten steps and at most a few attempts.
const ROWS_SHOWN: usize = 100;

/// The record of a request as a document.
pub fn record_page(record: &Record) -> String {
    let mut main = Html::new();
    main.put("<p><a href=\"{}\">← Overview</a></p>\n", &[path::OVERVIEW]);
    heading(&mut main, record);
    facts(&mut main, record);
    timeline(&mut main, record);
    if record.attempts.is_empty() {
        main.raw("<section class=\"panel\"><h2>Attempts</h2><p class=\"soft\">No target was called, so nothing was charged.</p></section>\n");
    }
    for (index, one) in record.attempts.iter().take(ROWS_SHOWN).enumerate() {
        attempt(&mut main, index + 1, one);
    }
    rejected(&mut main, record);
    postings(&mut main, &record.postings);
    main.put(
        "<footer class=\"soft\">The same in a terminal: <code>bedplate explain {}</code></footer>\n",
        &[&record.id],
    );
    let title = format!("{} {}", record.outcome, record.id);
    document(&Page { title: &title, refresh: None, to: None, signed_in: true }, main)
}

fn heading(main: &mut Html, record: &Record) {
    main.raw("<div class=\"title\"><h1>Request</h1> ");
    mark(main, &record.outcome);
    main.put("<p class=\"id\">{}</p></div>\n", &[&record.id]);
    let weight = if record.outcome == "completed" { "notice fine" } else { "notice warn" };
    main.put("<p class=\"{}\">{}", &[weight, or(&record.decision, "No decision was recorded.")]);
    if let Some(code) = &record.error_code {
        main.put(" <span class=\"code\">{}: see docs/errors/{}.md</span>", &[code, code]);
    }
    main.raw("</p>\n");
}

fn or<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

fn fact(main: &mut Html, label: &str, value: &str, beside: &str) {
    main.put(
        "<div class=\"tile\"><dt>{}</dt><dd><b>{}</b> <span>{}</span></dd></div>\n",
        &[label, value, beside],
    );
}

fn facts(main: &mut Html, record: &Record) {
    main.raw("<dl class=\"tiles\">\n");
    fact(main, "Cost", &format!("${}", record.cost_usd), &format!("held ${} at most", record.held_usd));
    fact(main, "Took", &duration(record.duration_us), &format!("status {}", record.status));
    let door = if record.stream { format!("{}, streamed", record.surface) } else { record.surface.clone() };
    fact(main, "Model", &record.model, &door);
    let end_user = record.end_user.as_ref().map(|u| format!(", end user {u}")).unwrap_or_default();
    fact(main, "Asked by", &record.team, &format!("key {}{end_user}", record.key));
    let (day, time) = day_and_time(&record.at);
    fact(main, "When", time, &format!("{day} UTC, configuration {}", record.generation));
    let sent = format!("{} in", bytes(record.request_bytes));
    fact(main, "Bytes", &sent, &format!("{} out", bytes(record.response_bytes)));
    main.raw("</dl>\n");
}

fn timeline(main: &mut Html, record: &Record) {
    main.raw("<section class=\"panel\"><h2>Where the time went</h2>\n");
    if record.steps.is_empty() {
        main.raw("<p class=\"soft\">No step was recorded.</p></section>\n");
        return;
    }
    main.raw("<div class=\"scroll\"><table class=\"steps\"><caption class=\"hidden\">Steps of the journey in order</caption>\n<thead><tr><th scope=\"col\">Step</th><th scope=\"col\" class=\"num\">At</th><th scope=\"col\" class=\"num\">Took</th><th scope=\"col\" class=\"track\">");
    main.put("<span class=\"ends\"><span>0</span><span>{}</span></span></th><th scope=\"col\">Note</th></tr></thead>\n<tbody>\n", &[
        &duration(record.duration_us),
    ]);
    for step in record.steps.iter().take(ROWS_SHOWN) {
        step_row(main, step, record.duration_us.max(1));
    }
    main.raw("</tbody></table></div></section>\n");
}

fn step_row(main: &mut Html, step: &Step, total: u64) {
    let share = |us: u64| us.min(total) as f64 / total as f64 * 100.0;
    // A step of microseconds in an answer of seconds still gets a mark.
    let width = share(step.duration_us).max(0.4);
    let start = share(step.start_us).min(100.0 - width);
    main.put(
        "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td class=\"num\">{}</td>",
        &[&step.name, &duration(step.start_us), &duration(step.duration_us)],
    );
    main.put(
        "<td class=\"track\"><svg aria-hidden=\"true\" width=\"100%\" height=\"12\"><rect class=\"rail\" width=\"100%\" height=\"12\"/><rect class=\"fill\" x=\"{}%\" width=\"{}%\" height=\"12\"/></svg></td><td>{}</td></tr>\n",
        &[&format!("{start:.2}"), &format!("{width:.2}"), &step.note],
    );
}

fn attempt(main: &mut Html, number: usize, attempt: &Attempt) {
    main.put(
        "<section class=\"panel\"><h2>Attempt {} <small>{}/{} for {}</small> ",
        &[&number.to_string(), &attempt.provider, &attempt.upstream_model, &attempt.purpose],
    );
    mark(main, &attempt.outcome);
    main.put("</h2>\n<p class=\"soft\">{}</p>\n", &[&summary(attempt)]);
    if !attempt.note.is_empty() {
        main.put("<p class=\"notice warn\">{}</p>\n", &[&attempt.note]);
    }
    lines(main, attempt);
    main.raw("</section>\n");
}

/// What an attempt's heading does not say, on one line.
fn summary(attempt: &Attempt) -> String {
    let mut parts = vec![format!("took {}", duration(attempt.duration_us))];
    if let Some(first) = attempt.first_byte_us {
        parts.push(format!("first byte after {}", duration(first)));
        let written = attempt.tokens.output.saturating_add(attempt.tokens.reasoning);
        let after = attempt.duration_us.saturating_sub(first);
        if written > 1 && after > 0 {
            parts.push(format!("then {:.0} tokens/s", (written - 1) as f64 * 1e6 / after as f64));
        }
    }
    if attempt.status > 0 {
        parts.push(format!("status {}", attempt.status));
    }
    parts.extend(attempt.error_code.clone());
    if attempt.estimated {
        parts.push("tokens estimated: the target reported none".into());
    }
    if attempt.unreconciled {
        parts.push("unreconciled: the target's own totals disagree".into());
    }
    parts.push(match (&attempt.price_from, &attempt.price_source) {
        (Some(from), Some(source)) => format!("price in force since {from}, from {source}"),
        (Some(from), None) => format!("price in force since {from}"),
        _ if attempt.tokens.total() == 0 && attempt.lines.is_empty() => "nothing was charged".into(),
        _ if attempt.lines.is_empty() => "no known price: the cost is in suspense".into(),
        _ => format!("tier {}", or(&attempt.tier, "standard")),
    });
    if !attempt.upstream_id.is_empty() {
        parts.push(format!("upstream id {}", attempt.upstream_id));
    }
    parts.join(" · ")
}

/// A right-aligned amount whose point lies under that of its neighbours.
fn amount(main: &mut Html, text: &str, places: usize) {
    main.put(
        "<td class=\"num\">{}<span class=\"pad\" aria-hidden=\"true\">{}</span></td>",
        &[text, &padding(text, places)],
    );
}

fn lines(main: &mut Html, attempt: &Attempt) {
    if attempt.lines.is_empty() {
        let used: Vec<String> = attempt
            .tokens
            .axes()
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(axis, n)| format!("{} {axis}", grouped(*n)))
            .collect();
        if !used.is_empty() {
            main.put("<p>Tokens: {}</p>\n", &[&used.join(", ")]);
        }
        return;
    }
    main.raw("<div class=\"scroll\"><table class=\"money\"><caption class=\"hidden\">Priced lines</caption>\n<thead><tr><th scope=\"col\">Line</th><th scope=\"col\" class=\"num\">Quantity</th><th scope=\"col\" class=\"num\">USD each</th><th scope=\"col\" class=\"num\">USD</th></tr></thead>\n<tbody>\n");
    let rates = longest_fraction(attempt.lines.iter().map(|l| l.rate_usd.as_str()));
    let amounts = attempt.lines.iter().map(|l| l.amount_usd.as_str());
    let places = longest_fraction(amounts.chain([attempt.cost_usd.as_str()]));
    for line in attempt.lines.iter().take(ROWS_SHOWN) {
        let unit = match line.item.as_str() {
            "machine" => " µs",
            "energy" => " mJ",
            _ => "",
        };
        main.put(
            "<tr><th scope=\"row\">{}</th><td class=\"num\">{}{}</td>",
            &[&line.item, &grouped(line.quantity), unit],
        );
        amount(main, &line.rate_usd, rates);
        amount(main, &line.amount_usd, places);
        main.raw("</tr>\n");
    }
    main.raw("</tbody><tfoot><tr><th scope=\"row\">total</th><td></td><td></td>");
    amount(main, &attempt.cost_usd, places);
    main.raw("</tr></tfoot></table></div>\n");
}

fn rejected(main: &mut Html, record: &Record) {
    if record.rejected.is_empty() {
        return;
    }
    main.raw("<section class=\"panel\"><h2>Not tried</h2>\n<table><caption class=\"hidden\">Targets that were considered and not tried</caption><thead><tr><th scope=\"col\">Target</th><th scope=\"col\">Why not</th></tr></thead>\n<tbody>\n");
    for one in record.rejected.iter().take(ROWS_SHOWN) {
        main.put("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", &[&one.target, &one.reason]);
    }
    main.raw("</tbody></table></section>\n");
}

fn postings(main: &mut Html, postings: &[Posting]) {
    main.raw("<section class=\"panel\"><h2>Ledger</h2>\n");
    if postings.is_empty() {
        main.raw("<p class=\"soft\">Nothing was posted.</p></section>\n");
        return;
    }
    main.raw("<div class=\"scroll\"><table class=\"money\"><caption class=\"hidden\">Postings; debits are positive</caption>\n<thead><tr><th scope=\"col\">Account</th><th scope=\"col\">Attempt</th><th scope=\"col\" class=\"num\">USD</th></tr></thead>\n<tbody>\n");
    let places = longest_fraction(postings.iter().map(|p| p.amount_usd.as_str()));
    for posting in postings.iter().take(ROWS_SHOWN) {
        main.put(
            "<tr><th scope=\"row\">{}</th><td class=\"id\">{}</td>",
            &[&posting.account, &posting.attempt],
        );
        amount(main, &posting.amount_usd, places);
        main.raw("</tr>\n");
    }
    // Recomputed here from what is shown, so that the page proves itself.
    let sum = postings.iter().try_fold(0i128, |sum, p| Some(sum + pico(&p.amount_usd)?));
    main.raw("</tbody><tfoot><tr><th scope=\"row\" colspan=\"2\">");
    let (label, shown) = match sum {
        Some(0) => ("sum: the books balance", "0"),
        _ => ("sum: NOT ZERO, run `bedplate cost check`", "≠ 0"),
    };
    main.put("{}</th>", &[label]);
    amount(main, shown, places);
    main.raw("</tr></tfoot></table></div></section>\n");
}
