//! The price of an attempt: (sku, tier served, context band, axis, date) → rate.
//!
//! The lookup is total. What it does not find is unpriced and goes to suspense:
//! a batch request beyond the long-context border whose batch rate for that band
//! nobody published has no price, not the price of something similar (TRAPS M2).
//! Two rules of the trade are applied, because every provider states them:
//! reasoning tokens without a rate of their own are billed as output, and a
//! context band reprices the whole request, not the excess.

use std::collections::HashMap;
use std::sync::Arc;

use chat::{Axis, Tier, Usage};
use store::{Line, PriceRow};
use units::{Micros, PicoRate, Usd};

use crate::catalog;

/// A provider's own figure for one call above this is not believed: the
/// attempt goes to suspense for a person to look at. The dearest call of the
/// catalogue (1M tokens in and 128K out at 600 USD per million) costs 180 USD.
const CLAIM_MAX: Usd = Usd::dollars(1_000);

/// What an attempt costs.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Priced {
    pub lines: Vec<Line>,
    /// The sum of the lines; when `unpriced`, of those whose rate is known.
    pub total: Usd,
    /// When the price came into force, and its source; `None` when unpriced.
    pub price: Option<(Micros, String)>,
    /// Something has no known price: the whole attempt is posted to suspense.
    pub unpriced: bool,
}

/// Every price that is known: declared rows over the built-in catalogue. Immutable.
#[derive(Clone, Default)]
pub struct Prices {
    declared: Arc<HashMap<Box<str>, Vec<Version>>>,
    /// The catalogue's name of each provider that was declared under its own.
    kinds: HashMap<Box<str>, Box<str>>,
}

/// The tiers that have prices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Served {
    Standard,
    Flex,
    Priority,
    Batch,
}

/// The rates of one (tier, context band).
#[derive(Clone, Debug)]
pub(crate) struct RateSet {
    pub tier: Served,
    /// In force when the prompt has more tokens than this.
    pub above: u64,
    pub rates: [Option<PicoRate>; Axis::ALL.len()],
}

/// One dated price of a sku.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub from: Micros,
    source: Arc<str>,
    per_request: PicoRate,
    sets: Vec<RateSet>,
    /// Some set gives reasoning a rate of its own, so none may borrow output's.
    own_reasoning: bool,
}

impl Prices {
    /// Declared rows win over the catalogue from their own date on; of two rows
    /// of one sku and date the later added wins.
    ///
    /// A row's sku may carry `;tier=batch` and `;above=200000` to declare the
    /// rates of another tier or context band of the same sku and date.
    pub fn new(rows: &[PriceRow]) -> Prices {
        let mut declared: HashMap<Box<str>, Vec<Version>> = HashMap::new();
        for row in rows {
            let Some((sku, set)) = declared_set(row) else { continue };
            let versions = declared.entry(sku.into()).or_default();
            match versions.iter_mut().find(|v| v.from == row.effective_from) {
                Some(version) => version.put(set, row),
                None => {
                    versions.push(Version::new(row.effective_from, &row.source, row.per_request, vec![set]))
                }
            }
        }
        for versions in declared.values_mut() {
            versions.sort_by_key(|v| v.from);
        }
        Prices { declared: Arc::new(declared), kinds: HashMap::new() }
    }

    /// Says that the provider declared as `name` is of `kind`, a name of
    /// `providers.toml`: the catalogue's prices of that kind are its own. Declare
    /// all of them, so that a vLLM cluster that someone named `openai` is not
    /// billed like it.
    pub fn with_provider(mut self, name: &str, kind: &str) -> Prices {
        self.kinds.insert(name.into(), kind.into());
        self
    }

    /// The built-in catalogue alone.
    pub fn builtin() -> Prices {
        Prices::default()
    }

    /// Whether a price of this sku is in force.
    pub fn knows(&self, sku: &str, at: Micros) -> bool {
        self.version(sku, at).is_some()
    }

    /// What `usage` costs at `at` (the attempt's start).
    ///
    /// `tier` is the tier that the target said it served, [`Tier::Standard`]
    /// when it said nothing; never the one that was asked for. A price that the
    /// target itself reported wins over ours, because it is the one it bills.
    pub fn price(&self, sku: &str, tier: &Tier, at: Micros, usage: &Usage) -> Priced {
        if let Some(pico) = usage.claimed_pico_usd.filter(|p| *p > 0) {
            return claimed(Usd::from_pico(pico), at, usage);
        }
        let version = self.version(sku, at);
        let set = version.and_then(|v| v.served(tier, usage.input_total()));
        let mut priced = Priced { lines: Vec::with_capacity(4), ..Priced::default() };
        let mut total = Some(Usd::ZERO);
        for (axis, quantity) in usage.iter() {
            let rate = version.zip(set).and_then(|(v, s)| v.rate(s, axis));
            let amount = rate.and_then(|r| r.times(quantity));
            priced.push(axis.name(), quantity, rate, amount, &mut total);
        }
        // An attempt that used nothing failed before anybody would bill it.
        if let Some(version) = version.filter(|v| v.per_request != PicoRate::ZERO && !priced.lines.is_empty())
        {
            let rate = version.per_request;
            priced.push("request", 1, Some(rate), rate.times(1), &mut total);
        }
        priced.unpriced |= total.is_none();
        priced.total = total.unwrap_or(Usd::ZERO);
        if !priced.unpriced {
            priced.price = version.map(|v| (v.from, v.source.to_string()));
        }
        priced
    }

    /// The most that a request can cost: its prompt at the dearest input rate
    /// that may apply to it and `n` answers of full length at the dearest output
    /// rate. Here `tier` is the one that was asked for; the target may serve it or fall back
    /// to standard ([`Tier::Auto`]: any). `None` when something of that has no
    /// price, or the amount leaves the range of money.
    pub fn worst_case(
        &self,
        sku: &str,
        tier: &Tier,
        at: Micros,
        input_tokens: u64,
        output_tokens_max: u64,
        n: u32,
    ) -> Option<Usd> {
        let version = self.version(sku, at)?;
        let asked = Served::from_tier(tier)?;
        let may_serve = |served: Served| *tier == Tier::Auto || served == asked || served == Served::Standard;
        let band = version.band(input_tokens);
        if !version.sets.iter().any(|s| s.tier == asked && s.above == band) {
            return None;
        }
        // A prompt that was over-counted may land in a lower band; its rates bound nothing less.
        let sets = || version.sets.iter().filter(|s| may_serve(s.tier) && s.above <= band);
        let output_tokens = output_tokens_max.checked_mul(u64::from(n.max(1)))?;
        let mut total = version.per_request.times(1)?;
        for (is_input, tokens) in [(true, input_tokens), (false, output_tokens)] {
            if tokens == 0 {
                continue;
            }
            let side = || Axis::ALL.into_iter().filter(|a| a.is_input() == is_input);
            let dearest = sets().flat_map(|s| side().filter_map(|a| s.rates[a as usize])).max();
            total = total.checked_add(dearest?.times(tokens)?)?;
        }
        Some(total)
    }

    fn version(&self, sku: &str, at: Micros) -> Option<&Version> {
        let in_force = |versions: &'_ [Version]| versions.iter().rposition(|v| v.from <= at);
        if let Some(own) = self.declared.get(sku)
            && let Some(i) = in_force(own)
        {
            return Some(&own[i]);
        }
        let (name, model) = sku.split_once('/')?;
        let kind = self.kinds.get(name).map_or(name, |kind| kind);
        let listed = catalog::find(kind, model)?;
        in_force(&listed.versions).map(|i| &listed.versions[i])
    }
}

impl Priced {
    fn push(
        &mut self,
        item: &str,
        quantity: u64,
        rate: Option<PicoRate>,
        amount: Option<Usd>,
        total: &mut Option<Usd>,
    ) {
        match amount {
            Some(amount) => *total = total.and_then(|t| t.checked_add(amount)),
            None => self.unpriced = true,
        }
        self.lines.push(Line {
            item: item.into(),
            quantity,
            rate: rate.unwrap_or(PicoRate::ZERO),
            amount: amount.unwrap_or(Usd::ZERO),
        });
    }
}

impl Version {
    pub(crate) fn new(from: Micros, source: &str, per_request: PicoRate, sets: Vec<RateSet>) -> Version {
        let own_reasoning = sets.iter().any(|s| s.rates[Axis::Reasoning as usize].is_some());
        Version { from, source: source.into(), per_request, sets, own_reasoning }
    }

    fn put(&mut self, set: RateSet, row: &PriceRow) {
        self.sets.retain(|s| s.tier != set.tier || s.above != set.above);
        self.sets.push(set);
        let sets = std::mem::take(&mut self.sets);
        *self = Version::new(self.from, &row.source, row.per_request, sets);
    }

    /// The band of a prompt: the highest border of any tier that it is beyond.
    /// Borders are shared by all tiers, so that a tier without rates beyond a
    /// border has no price there instead of its short-context price.
    fn band(&self, input_tokens: u64) -> u64 {
        self.sets.iter().map(|s| s.above).filter(|above| input_tokens > *above).max().unwrap_or(0)
    }

    fn served(&self, tier: &Tier, input_tokens: u64) -> Option<&RateSet> {
        let served = Served::from_tier(tier)?;
        // "auto" as an answer says nothing; it is only clear where there is one tier.
        if *tier == Tier::Auto && self.sets.iter().any(|s| s.tier != served) {
            return None;
        }
        let band = self.band(input_tokens);
        self.sets.iter().find(|s| s.tier == served && s.above == band)
    }

    fn rate(&self, set: &RateSet, axis: Axis) -> Option<PicoRate> {
        let own = set.rates[axis as usize];
        match axis {
            Axis::Reasoning if !self.own_reasoning => set.rates[Axis::Output as usize],
            _ => own,
        }
    }
}

fn claimed(total: Usd, at: Micros, usage: &Usage) -> Priced {
    let mut lines: Vec<Line> = usage
        .iter()
        .map(|(axis, quantity)| Line {
            item: axis.name().into(),
            quantity,
            rate: PicoRate::ZERO,
            amount: Usd::ZERO,
        })
        .collect();
    if total > CLAIM_MAX {
        return Priced { lines, unpriced: true, ..Priced::default() };
    }
    lines.push(Line {
        item: "claimed".into(),
        quantity: 1,
        rate: PicoRate::from_pico(total.pico()),
        amount: total,
    });
    Priced { lines, total, price: Some((at, "reported by the provider".into())), unpriced: false }
}

/// The plain sku of a declared row and the rates it declares; `None` when its
/// suffix cannot be read, so that a mistyped tier never becomes the standard one.
fn declared_set(row: &PriceRow) -> Option<(&str, RateSet)> {
    let mut parts = row.sku.split(';');
    let sku = parts.next()?;
    let mut set = RateSet { tier: Served::Standard, above: 0, rates: [None; Axis::ALL.len()] };
    for part in parts {
        match part.split_once('=')? {
            ("tier", name) => set.tier = Served::from_name(name)?,
            ("above", tokens) => set.above = tokens.parse().ok()?,
            _ => return None,
        }
    }
    for (axis, rate) in &row.rates {
        // A negative rate would pay the caller; it is no price.
        set.rates[*axis as usize] = (rate.pico() >= 0).then_some(*rate);
    }
    Some((sku, set))
}

#[cfg(test)]
mod tests;
