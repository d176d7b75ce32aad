//! Reads a LiteLLM-shaped price list: an object of models, each an object whose
//! price fields follow a grammar of `{axis}[_above_{n}k_tokens][_{tier}]`.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use units::{Day, PicoRate};

/// The price fields we know, and the axis that each is; longer names first where
/// one begins with another.
const AXES: &[(&str, &str)] = &[
    ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("cache_read_input_token_cost", "cache_read"),
    ("input_cost_per_audio_token", "input_audio"),
    ("input_cost_per_request", "per_request"),
    ("input_cost_per_token_cache_hit", "cache_read"),
    ("input_cost_per_token", "input"),
    ("output_cost_per_audio_token", "output_audio"),
    ("output_cost_per_reasoning_token", "reasoning"),
    ("output_cost_per_token", "output"),
];

const TIERS: &[(&str, &str)] = &[("_batches", "batch"), ("_flex", "flex"), ("_priority", "priority")];

/// Which rates: the context border in tokens (0: none), then the tier (empty: standard).
pub type Set = (u64, String);
/// Pico-dollars per token by axis.
pub type Rates = BTreeMap<String, i64>;

/// One model of the list.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub key: String,
    pub provider: String,
    pub kind: String,
    pub context_tokens: Option<u64>,
    pub output_tokens_max: Option<u64>,
    pub deprecated: Option<Day>,
    pub per_request: i64,
    pub rates: BTreeMap<Set, Rates>,
    /// Price fields whose value is no exact amount, and why.
    pub unreadable: Vec<(String, String)>,
    /// Token prices on axes that we do not meter, in pico-dollars; -1 for a
    /// structure of its own.
    pub unmodelled: Vec<(String, i64)>,
}

impl Entry {
    pub fn rate(&self, axis: &str) -> Option<i64> {
        self.rates.get(&(0, String::new()))?.get(axis).copied()
    }
    /// Whether it is a model for text that is sold by the token.
    pub fn has_token_price(&self) -> bool {
        ["chat", "completion", "embedding", "responses"].contains(&self.kind.as_str())
            && self.rate("input").is_some()
    }
}

/// Every model of the list, by its key; the list's own `sample_spec` is left out.
pub fn entries(text: &str) -> anyhow::Result<Vec<Entry>> {
    let list: BTreeMap<String, BTreeMap<String, Box<RawValue>>> = serde_json::from_str(text)?;
    Ok(list.into_iter().filter(|(key, _)| key != "sample_spec").map(|(key, f)| entry(key, &f)).collect())
}

fn entry(key: String, fields: &BTreeMap<String, Box<RawValue>>) -> Entry {
    let text = |name: &str| {
        fields.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()).unwrap_or_default()
    };
    let whole = |name: &str| fields.get(name).and_then(|raw| raw.get().parse::<u64>().ok());
    let mut entry = Entry {
        key,
        provider: text("litellm_provider"),
        kind: text("mode"),
        context_tokens: whole("max_input_tokens").or_else(|| whole("max_tokens")),
        output_tokens_max: whole("max_output_tokens"),
        deprecated: text("deprecation_date").parse().ok(),
        ..Entry::default()
    };
    for (name, raw) in fields {
        if name == "tiered_pricing" || name == "search_context_cost_per_query" && always_searches(&entry) {
            entry.unmodelled.push((name.clone(), -1));
        }
        if raw.get() == "null"
            || !name.contains("cost")
            || !name.contains("token") && !name.contains("request")
        {
            continue;
        }
        let Some((axis, set)) = grammar(name) else {
            if let Ok(rate) = raw.get().parse::<PicoRate>() {
                entry.unmodelled.push((name.clone(), rate.pico()));
            }
            continue;
        };
        match raw.get().parse::<PicoRate>() {
            Err(why) => entry.unreadable.push((name.clone(), why.to_string())),
            Ok(rate) if axis == "per_request" => entry.per_request = rate.pico(),
            Ok(rate) => {
                let rates = entry.rates.entry(set).or_default();
                // `.._cache_hit` is an older name of the cache read rate, which wins over it.
                if axis != "cache_read" || !name.ends_with("_cache_hit") || !rates.contains_key(axis) {
                    rates.insert(axis.into(), rate.pico());
                }
            }
        }
    }
    entry
}

/// Whether each request pays the search fee, which we do not meter. Models that
/// search only when a tool asks for it keep their token prices.
fn always_searches(entry: &Entry) -> bool {
    entry.provider == "perplexity" || entry.key.contains("search")
}

/// The axis and the set of a price field; `None` when it is not of the grammar.
fn grammar(name: &str) -> Option<(&'static str, Set)> {
    let (field, axis) = AXES.iter().find(|(field, _)| name.starts_with(field))?;
    let mut rest = &name[field.len()..];
    let mut tier = "";
    for (suffix, of) in TIERS {
        if let Some(before) = rest.strip_suffix(suffix) {
            (rest, tier) = (before, of);
        }
    }
    let above = match rest {
        "" => 0,
        _ => {
            rest.strip_prefix("_above_")?.strip_suffix("k_tokens")?.parse::<u64>().ok()?.checked_mul(1000)?
        }
    };
    Some((axis, (above, tier.into())))
}
