//! `explain`: the record of a request, as a person reads it.
//!
//! The order is that of the questions people ask: what became of it, what did
//! it cost, why did it go there, where did the time go, and where is the money.

use api::{Attempt, Record};

use crate::duration::show_us;
use crate::table::{grouped, table};

pub(crate) fn render(record: &Record) -> String {
    let mut text = head(record);
    text.push_str(&decisions(record));
    text.push_str(&steps(record));
    for (index, attempt) in record.attempts.iter().enumerate() {
        text.push_str(&attempt_text(index + 1, attempt));
    }
    if record.attempts.is_empty() {
        text.push_str("\nno target was called\n");
    }
    text.push_str(&spent(record));
    text.push_str(&postings(record));
    text
}

/// What stages asked models for beside the attempts, and what all of it comes to.
fn spent(record: &Record) -> String {
    if record.spent.is_empty() {
        return String::new();
    }
    let mut rows: Vec<Vec<String>> = record
        .spent
        .iter()
        .map(|s| vec![format!("  {}", s.stage), grouped(s.tokens), s.cost_usd.clone(), s.request_id.clone()])
        .collect();
    rows.push(vec!["  with the attempts".to_owned(), String::new(), record.total_usd.clone(), String::new()]);
    format!("\nspent by its stages\n{}", table(&["  stage", ">tokens", ">USD", "request"], &rows))
}

fn head(record: &Record) -> String {
    let outcome = match &record.error_code {
        Some(code) => format!("{} with {code} (docs/errors/{code}.md)", record.outcome),
        None => record.outcome.clone(),
    };
    let mut text = format!(
        "request {}\n  {} | {} | status {} | {} | {} USD\n",
        record.id,
        record.at,
        outcome,
        record.status,
        show_us(record.duration_us),
        record.cost_usd
    );
    text.push_str(&format!(
        "  team {}, key {} ({}){}\n",
        record.team,
        record.key,
        record.key_id,
        record.end_user.as_ref().map(|u| format!(", end user {u}")).unwrap_or_default()
    ));
    text.push_str(&format!(
        "  asked for {} by {}{}, {} bytes in, {} bytes out, configuration {}\n",
        record.model,
        record.surface,
        if record.stream { " (stream)" } else { "" },
        grouped(record.request_bytes),
        grouped(record.response_bytes),
        record.generation
    ));
    text
}

fn decisions(record: &Record) -> String {
    let mut text = String::from("\ndecisions\n");
    text.push_str(&format!("  admission  {}\n", or(&record.decision, "none was made")));
    if let Some(policy) = &record.policy {
        text.push_str(&format!(
            "  policy     {} {} by {}{}, set {:.12}\n",
            if policy.allowed { "allowed" } else { "denied" },
            policy.action,
            if policy.determining.is_empty() { "no policy".into() } else { policy.determining.join(", ") },
            policy.on_behalf_of.as_ref().map(|user| format!(" (for {user})")).unwrap_or_default(),
            policy.policy_hash
        ));
    }
    if !record.labels.is_empty() {
        text.push_str(&format!("  labels     {}\n", record.labels));
    }
    text.push_str(&format!(
        "  held       {} USD at most, settled at {} USD\n",
        record.held_usd, record.cost_usd
    ));
    for attempt in &record.attempts {
        text.push_str(&format!(
            "  tried      {}/{}: {}\n",
            attempt.provider,
            attempt.upstream_model,
            outcome(attempt)
        ));
    }
    for rejected in &record.rejected {
        text.push_str(&format!("  not tried  {}: {}\n", rejected.target, rejected.reason));
    }
    text
}

fn or<'t>(text: &'t str, otherwise: &'t str) -> &'t str {
    if text.is_empty() { otherwise } else { text }
}

/// A bar of forty places for where each step lies in the whole.
fn steps(record: &Record) -> String {
    if record.steps.is_empty() {
        return String::new();
    }
    const PLACES: u64 = 40;
    let total = record.duration_us.max(1);
    let place = |us: u64| (u128::from(us.min(total)) * u128::from(PLACES) / u128::from(total)) as usize;
    let rows: Vec<Vec<String>> = record
        .steps
        .iter()
        .map(|step| {
            let from = place(step.start_us).min(PLACES as usize - 1);
            let to = place(step.start_us.saturating_add(step.duration_us)).clamp(from + 1, PLACES as usize);
            let bar: String =
                (0..PLACES as usize).map(|i| if (from..to).contains(&i) { '#' } else { '.' }).collect();
            vec![
                format!("  {}", step.name),
                show_us(step.start_us),
                show_us(step.duration_us),
                bar,
                step.note.clone(),
            ]
        })
        .collect();
    format!("\n{}", table(&["  step", ">at", ">took", "", ""], &rows))
}

fn outcome(attempt: &Attempt) -> String {
    match &attempt.error_code {
        Some(code) => format!("{} with {code}", attempt.outcome),
        None => attempt.outcome.clone(),
    }
}

fn attempt_text(number: usize, attempt: &Attempt) -> String {
    let mut text = format!(
        "\nattempt {number}: {}/{} for {} | {}{} | {}\n",
        attempt.provider,
        attempt.upstream_model,
        attempt.purpose,
        outcome(attempt),
        if attempt.status > 0 { format!(", status {}", attempt.status) } else { String::new() },
        show_us(attempt.duration_us)
    );
    if let Some(first) = attempt.first_byte_us {
        let written = attempt.tokens.output.saturating_add(attempt.tokens.reasoning);
        let after = attempt.duration_us.saturating_sub(first);
        let rate = if written > 1 && after > 0 {
            format!(", then {:.0} tokens/s", (written - 1) as f64 * 1e6 / after as f64)
        } else {
            String::new()
        };
        text.push_str(&format!("  first byte after {}{rate}\n", show_us(first)));
    }
    let tokens: Vec<String> = attempt
        .tokens
        .axes()
        .iter()
        .filter(|(_, n)| *n > 0)
        .map(|(a, n)| format!("{} {a}", grouped(*n)))
        .collect();
    let mut usage = if tokens.is_empty() { "none".to_owned() } else { tokens.join(", ") };
    if attempt.estimated {
        usage.push_str(" (estimated: the target reported none)");
    }
    if attempt.unreconciled {
        usage.push_str(" (the target's own totals disagree)");
    }
    text.push_str(&format!("  tokens: {usage}\n"));
    text.push_str(&match (&attempt.price_from, &attempt.price_source) {
        (Some(from), Some(source)) => format!("  price: in force since {from}, from {source}\n"),
        (Some(from), None) => format!("  price: in force since {from}\n"),
        _ if attempt.lines.is_empty() => "  price: none is known; the cost is in suspense\n".to_owned(),
        _ => String::new(),
    });
    if !attempt.lines.is_empty() {
        let mut rows: Vec<Vec<String>> = attempt
            .lines
            .iter()
            .map(|line| {
                vec![
                    format!("  {}", line.item),
                    grouped(line.quantity),
                    line.rate_usd.clone(),
                    line.amount_usd.clone(),
                ]
            })
            .collect();
        rows.push(vec!["  total".to_owned(), String::new(), String::new(), attempt.cost_usd.clone()]);
        text.push_str(&table(&["  line", ">quantity", ">USD each", ">USD"], &rows));
    }
    for (label, value) in
        [("tier", &attempt.tier), ("upstream id", &attempt.upstream_id), ("note", &attempt.note)]
    {
        if !value.is_empty() {
            text.push_str(&format!("  {label}: {value}\n"));
        }
    }
    text
}

fn postings(record: &Record) -> String {
    let all = || record.postings.iter().chain(record.spent.iter().flat_map(|spent| &spent.postings));
    if all().next().is_none() {
        return String::from("\nledger: nothing was posted\n");
    }
    let rows: Vec<Vec<String>> =
        all().map(|p| vec![format!("  {}", p.account), p.amount_usd.clone(), p.attempt.clone()]).collect();
    format!("\nledger\n{}", table(&["  account", ">USD", "attempt"], &rows))
}
