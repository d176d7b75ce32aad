//! The rules that an entry must pass before a person is asked to read it.

use std::fmt::Write;

use units::Day;

use super::read::Entry;

/// 200 USD per million tokens, in pico-dollars per token: above it, every entry
/// of the list of 2026-08-01 was a typo by a factor of 1,000 or 100,000.
const INPUT_MAX_PICO: i64 = 200_000_000;
/// The same for output; the dearest real rate of that list is 600 USD.
const OUTPUT_MAX_PICO: i64 = 1_000_000_000;

/// An entry that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub key: String,
    pub rule: &'static str,
    pub detail: String,
}

/// What is wrong with an entry, looked at alone. Chat-like models only have to
/// pass all rules; an embedding is rightly free of output.
pub fn check(entry: &Entry) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |rule, detail: String| findings.push(Finding { key: entry.key.clone(), rule, detail });
    for (field, why) in &entry.unreadable {
        find("not_exact", format!("{field}: {why}"));
    }
    for ((above, tier), rates) in &entry.rates {
        for (axis, pico) in rates {
            if *pico < 0 {
                find("negative", format!("{axis} {tier} above {above}: {}", per_million(*pico)));
            }
        }
    }
    if !["chat", "completion", "responses"].contains(&entry.kind.as_str()) {
        return findings;
    }
    let (input, output) = (entry.rate("input"), entry.rate("output"));
    if let Some(input) = input.filter(|i| *i > INPUT_MAX_PICO) {
        find("input_gt_200_usd_per_M", per_million(input));
    }
    if let Some(output) = output.filter(|o| *o > OUTPUT_MAX_PICO) {
        find("output_gt_1000_usd_per_M", per_million(output));
    }
    match (input, output) {
        (Some(0), Some(0)) => find("zero_priced", "input and output cost nothing".into()),
        (Some(i), Some(o)) if o < i => {
            find("output_below_input", format!("{} < {}", per_million(o), per_million(i)));
        }
        (Some(i), Some(_)) => {
            for (field, pico) in &entry.unmodelled {
                if *pico != i && *pico != 0 {
                    find("unmodelled_axis", format!("{field}: we meter nothing of that kind"));
                }
            }
            if let Some(read) = entry.rate("cache_read").filter(|r| *r > i) {
                find("cache_read_above_input", format!("{} > {}", per_million(read), per_million(i)));
            }
        }
        _ => {}
    }
    findings
}

/// Pico-dollars per token as USD per million tokens, exactly.
pub fn per_million(pico: i64) -> String {
    match pico.checked_mul(1_000_000) {
        Some(scaled) => units::Usd::from_pico(scaled).to_string(),
        None => format!("{pico}e-6"),
    }
}

/// The report, a line per finding.
pub fn csv(date: Day, findings: &[Finding]) -> String {
    let mut text =
        format!("# Entries of the price list of {date} that were not imported, and why.\nkey,rule,detail\n");
    for Finding { key, rule, detail } in findings {
        let quoted = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
        writeln!(text, "{},{rule},{}", quoted(key), quoted(detail)).expect("a String takes every write");
    }
    text
}
