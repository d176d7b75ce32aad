//! The catalogue against the public price lists of three dates that it was made
//! from: the same usage, priced at each date, is what that day's list says.
//! Skipped where `shared/data/finops` is absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use chat::{Axis, Tier, Usage};
use ledger::Prices;
use serde_json::value::RawValue;
use units::{Day, PicoRate, Usd};

const LISTS: [(&str, &str); 3] = [
    ("2025-07-05", "model_prices_and_context_window.2025-07-05.json.gz"),
    ("2026-07-05", "model_prices_and_context_window.2026-07-05.json.gz"),
    ("2026-08-01", "model_prices_and_context_window.json"),
];

type List = BTreeMap<String, BTreeMap<String, Box<RawValue>>>;

#[test]
fn trap_m7_the_same_usage_costs_at_each_date_what_that_days_list_said() {
    let Some(finops) = finops() else {
        eprintln!("skipped: no shared/data/finops above this checkout, and BEDPLATE_SHARED is not set");
        return;
    };
    let usage = Usage::default().with(Axis::Input, 1_000).with(Axis::CacheRead, 300).with(Axis::Output, 500);
    let prices = Prices::builtin();
    let skus = ledger::skus();
    let mut checked = [0; 3];
    let mut costs: BTreeMap<&String, Vec<Usd>> = BTreeMap::new();
    for (at, (date, file)) in LISTS.into_iter().enumerate() {
        let list: List = serde_json::from_str(&text(&finops.join(file))).unwrap();
        let day: Day = date.parse().unwrap();
        for sku in &skus {
            let Some(fields) = entry(&list, sku) else { continue };
            let Some(expected) = believable(fields, day) else { continue };
            let priced = prices.price(sku, &Tier::Standard, day.start(), &usage);
            match rate(fields, "cache_read_input_token_cost")
                .or(rate(fields, "input_cost_per_token_cache_hit"))
            {
                Some(cached) => {
                    let expected = expected.checked_add(cached.times(300).unwrap()).unwrap();
                    assert_eq!(priced.total, expected, "{sku} on {date}");
                    assert!(!priced.unpriced, "{sku} on {date}");
                    costs.entry(sku).or_default().push(priced.total);
                }
                None => {
                    assert_eq!(priced.total, expected, "{sku} on {date}");
                    assert!(priced.unpriced, "{sku} on {date}: no rate for cached tokens is known");
                }
            }
            checked[at] += 1;
        }
    }
    assert!(checked[0] > 200 && checked[1] > 900 && checked[2] > 900, "{checked:?}");
    let changed = costs.values().filter(|c| c.windows(2).any(|w| w[0] != w[1])).count();
    assert!(changed >= 3, "{changed} models changed their price between the dates");
}

/// What 1,000 tokens in and 500 out cost by the list's own text; `None` for what
/// the import rightly left out.
fn believable(fields: &BTreeMap<String, Box<RawValue>>, day: Day) -> Option<Usd> {
    let input = rate(fields, "input_cost_per_token")?;
    let output = rate(fields, "output_cost_per_token").unwrap_or(PicoRate::ZERO);
    let deprecated = fields
        .get("deprecation_date")
        .and_then(|raw| raw.get().trim_matches('"').parse::<Day>().ok())
        .is_some_and(|on| on <= day);
    let odd =
        output < input && kind(fields) != "embedding" || input == PicoRate::ZERO && output == PicoRate::ZERO;
    let unmodelled = fields.keys().any(|f| {
        f.contains("cost")
            && (f.contains("image_token") || f.contains("video_token") || f.contains("audio_token"))
    });
    let sold_by_token = ["chat", "completion", "embedding", "responses"].contains(&kind(fields));
    if deprecated
        || odd
        || unmodelled
        || !sold_by_token
        || ["tiered_pricing", "search_context_cost_per_query"].iter().any(|f| fields.contains_key(*f))
    {
        return None;
    }
    // Without a published output rate, the 500 output tokens have no known price.
    let fee = rate(fields, "input_cost_per_request").unwrap_or(PicoRate::ZERO);
    input.times(1_000)?.checked_add(output.times(500)?)?.checked_add(fee.times(1)?)
}

fn kind(fields: &BTreeMap<String, Box<RawValue>>) -> &str {
    fields.get("mode").map_or("", |raw| raw.get().trim_matches('"'))
}

fn rate(fields: &BTreeMap<String, Box<RawValue>>, name: &str) -> Option<PicoRate> {
    fields.get(name)?.get().parse().ok()
}

/// The list's entry for one of our skus.
fn entry<'a>(list: &'a List, sku: &str) -> Option<&'a BTreeMap<String, Box<RawValue>>> {
    let (provider, model) = sku.split_once('/')?;
    let theirs = match provider {
        "azure-openai" => "azure",
        "fireworks" => "fireworks_ai",
        "together" => "together_ai",
        other => other,
    };
    let own = |fields: &&BTreeMap<String, Box<RawValue>>| {
        fields.get("litellm_provider").is_some_and(|raw| {
            let name = raw.get().trim_matches('"');
            name == theirs
                || name == "text-completion-openai" && theirs == "openai"
                || name.starts_with(theirs)
        })
    };
    list.get(&format!("{theirs}/{model}")).or_else(|| list.get(model)).filter(own)
}

#[expect(clippy::disallowed_methods, reason = "a test finds its data by BEDPLATE_SHARED")]
fn finops() -> Option<PathBuf> {
    let declared = std::env::var_os("BEDPLATE_SHARED").map(PathBuf::from);
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    declared
        .map(|shared| shared.join("data/finops"))
        .or_else(|| here.ancestors().map(|a| a.join("shared/data/finops")).find(|p| p.is_dir()))
}

fn text(file: &Path) -> String {
    if file.extension().is_some_and(|e| e == "gz") {
        let out = Command::new("gzip").arg("-dc").arg(file).output().unwrap();
        return String::from_utf8(out.stdout).unwrap();
    }
    std::fs::read_to_string(file).unwrap()
}
