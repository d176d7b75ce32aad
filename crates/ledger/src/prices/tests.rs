//! Prices by (sku, tier, band, axis, date), declared and built in.

use proptest::prelude::*;
use units::Day;

use super::*;

fn day(text: &str) -> Micros {
    text.parse::<Day>().unwrap().start()
}

fn row(sku: &str, from: &str, rates: &[(Axis, i64)]) -> PriceRow {
    PriceRow {
        sku: sku.into(),
        effective_from: day(from),
        rates: rates.iter().map(|(a, p)| (*a, PicoRate::from_pico(*p))).collect(),
        per_request: PicoRate::ZERO,
        source: "declared".into(),
    }
}

fn usage(axes: &[(Axis, u64)]) -> Usage {
    axes.iter().fold(Usage::default(), |u, (a, t)| u.with(*a, *t))
}

/// One line of text per priced line, then the total.
fn shown(priced: &Priced) -> String {
    let lines: Vec<String> =
        priced.lines.iter().map(|l| format!("{} {}x{}={}", l.item, l.quantity, l.rate, l.amount)).collect();
    let verdict = if priced.unpriced { " unpriced" } else { "" };
    format!("{} total {}{verdict}", lines.join(", "), priced.total)
}

const IN: (Axis, i64) = (Axis::Input, 2_000_000);
const OUT: (Axis, i64) = (Axis::Output, 8_000_000);

fn banded() -> Prices {
    Prices::new(&[
        row("p/m", "2026-01-01", &[IN, OUT, (Axis::CacheRead, 500_000)]),
        row("p/m;above=200000", "2026-01-01", &[(Axis::Input, 4_000_000), (Axis::Output, 16_000_000)]),
        row("p/m;tier=batch", "2026-01-01", &[(Axis::Input, 1_000_000), (Axis::Output, 4_000_000)]),
        row("p/m;tier=priority", "2026-01-01", &[(Axis::Input, 3_000_000), (Axis::Output, 12_000_000)]),
        row(
            "p/m;above=200000;tier=priority",
            "2026-01-01",
            &[(Axis::Input, 6_000_000), (Axis::Output, 24_000_000)],
        ),
    ])
}

#[test]
fn trap_m1_each_axis_is_priced_once_and_the_sum_is_exact() {
    let spent =
        usage(&[(Axis::Input, 100), (Axis::CacheRead, 900), (Axis::Output, 10), (Axis::Reasoning, 5)]);
    let priced = banded().price("p/m", &Tier::Standard, day("2026-02-01"), &spent);
    assert_eq!(
        shown(&priced),
        "input 100x0.000002=0.0002, cache_read 900x0.0000005=0.00045, output 10x0.000008=0.00008, \
         reasoning 5x0.000008=0.00004 total 0.00077"
    );
    assert_eq!(priced.price, Some((day("2026-01-01"), "declared".into())));
}

#[test]
fn trap_m2_a_context_band_reprices_the_whole_request() {
    let prices = banded();
    let at = |tokens: u64| {
        let spent = usage(&[(Axis::Input, tokens), (Axis::Output, 1000)]);
        prices.price("p/m", &Tier::Standard, day("2026-02-01"), &spent).total.to_string()
    };
    assert_eq!(at(200_000), "0.408", "the border itself is in the lower band");
    assert_eq!(at(200_001), "0.816004");
}

#[test]
fn trap_m2_cached_tokens_count_towards_the_band() {
    let spent = usage(&[(Axis::Input, 1), (Axis::CacheRead, 200_000)]);
    let priced = banded().price("p/m", &Tier::Standard, day("2026-02-01"), &spent);
    assert!(priced.unpriced, "the band has no cache_read rate: {}", shown(&priced));
}

#[test]
fn trap_m2_what_was_not_published_goes_to_suspense_and_is_not_guessed() {
    let prices = banded();
    let february = day("2026-02-01");
    let cheap = usage(&[(Axis::Input, 1000), (Axis::Output, 100)]);
    let long = usage(&[(Axis::Input, 300_000), (Axis::Output, 100)]);
    let is_unpriced = |sku: &str, tier: Tier, at: Micros, spent: &Usage| {
        let priced = prices.price(sku, &tier, at, spent);
        assert_eq!(priced.price.is_none(), priced.unpriced);
        priced.unpriced
    };
    assert!(!is_unpriced("p/m", Tier::Batch, february, &cheap));
    assert!(is_unpriced("p/m", Tier::Batch, february, &long), "batch beyond the border");
    assert!(!is_unpriced("p/m", Tier::Priority, february, &long));
    assert!(is_unpriced("p/m", Tier::Flex, february, &cheap));
    assert!(is_unpriced("p/m", Tier::Other("scale".into()), february, &cheap));
    assert!(!is_unpriced("p/m", Tier::Other("default".into()), february, &cheap));
    assert!(is_unpriced("p/m", Tier::Auto, february, &cheap), "auto says nothing where tiers differ");
    assert!(is_unpriced("p/m", Tier::Standard, day("2025-12-31"), &cheap), "before the first price");
    assert!(is_unpriced("p/none", Tier::Standard, february, &cheap));
    let written = usage(&[(Axis::CacheWrite1h, 10), (Axis::Input, 10)]);
    assert!(is_unpriced("p/m", Tier::Standard, february, &written));
    assert_eq!(
        shown(&prices.price("p/m", &Tier::Standard, february, &written)),
        "input 10x0.000002=0.00002, cache_write_1h 10x0=0 total 0.00002 unpriced",
        "what is known is the lower bound"
    );
}

#[test]
fn trap_m7_a_price_change_does_not_rewrite_history() {
    let old = row("p/m", "2026-01-01", &[IN, OUT]);
    let new = row("p/m", "2026-03-01", &[(Axis::Input, 1_000_000), OUT]);
    let spent = usage(&[(Axis::Input, 1000)]);
    let prices = Prices::new(&[old, new]);
    let cost = |at: Micros| prices.price("p/m", &Tier::Standard, at, &spent).total.to_string();
    assert_eq!(cost(day("2026-02-28")), "0.002");
    assert_eq!(cost(Micros(day("2026-03-01").0 - 1)), "0.002");
    assert_eq!(cost(day("2026-03-01")), "0.001", "inclusive");
}

#[test]
fn trap_m8_twenty_tokens_of_embedding_cost_something() {
    let prices = Prices::builtin();
    let spent = usage(&[(Axis::Input, 20)]);
    let priced = prices.price("openai/text-embedding-3-small", &Tier::Standard, day("2026-11-23"), &spent);
    assert_eq!(shown(&priced), "input 20x0.00000002=0.0000004 total 0.0000004");
}

#[test]
fn a_declared_price_wins_over_the_catalogue_from_its_date_on() {
    let spent = usage(&[(Axis::Input, 1_000_000)]);
    let sku = "openai/gpt-4o";
    let listed = Prices::builtin().price(sku, &Tier::Standard, day("2026-11-23"), &spent);
    assert_eq!(listed.total.to_string(), "2.5");
    let prices = Prices::new(&[row(sku, "2026-10-01", &[IN, OUT])]);
    let cost = |at: &str| prices.price(sku, &Tier::Standard, day(at), &spent).total.to_string();
    assert_eq!((cost("2026-09-30"), cost("2026-10-01")), ("2.5".into(), "2".into()));
}

#[test]
fn a_provider_has_the_catalogues_prices_of_its_kind_under_any_name() {
    let prices = Prices::builtin().with_provider("search-groq", "groq").with_provider("openai", "vllm");
    let spent = usage(&[(Axis::Input, 1_000_000)]);
    let cost = |prices: &Prices, sku: &str| {
        let priced = prices.price(sku, &Tier::Standard, day("2026-11-23"), &spent);
        if priced.unpriced { "unpriced".into() } else { priced.total.to_string() }
    };
    assert_eq!(cost(&prices, "search-groq/llama-3.3-70b-versatile"), "0.59");
    assert_eq!(cost(&prices, "openai/gpt-4o"), "unpriced", "a vLLM cluster that was named openai");
    assert_eq!(cost(&prices, "azure-openai-v1/gpt-4o"), "2.5");
}

#[test]
fn a_price_per_request_is_charged_once_and_not_for_nothing() {
    let mut with_fee = row("p/m", "2026-01-01", &[IN]);
    with_fee.per_request = PicoRate::from_pico(5_000_000_000);
    let prices = Prices::new(&[with_fee]);
    let at = day("2026-02-01");
    let spent = usage(&[(Axis::Input, 100)]);
    assert_eq!(
        shown(&prices.price("p/m", &Tier::Standard, at, &spent)),
        "input 100x0.000002=0.0002, request 1x0.005=0.005 total 0.0052"
    );
    assert_eq!(prices.price("p/m", &Tier::Standard, at, &Usage::default()).total, Usd::ZERO);
    assert_eq!(prices.worst_case("p/m", &Tier::Standard, at, 100, 0, 1).unwrap().to_string(), "0.0052");
}

#[test]
fn of_two_rows_of_one_date_the_later_added_wins_and_bad_rows_price_nothing() {
    let spent = usage(&[(Axis::Input, 1000)]);
    let cost = |rows: &[PriceRow]| {
        let priced = Prices::new(rows).price("p/m", &Tier::Standard, day("2026-02-01"), &spent);
        if priced.unpriced { "unpriced".into() } else { priced.total.to_string() }
    };
    let first = row("p/m", "2026-01-01", &[IN]);
    assert_eq!(cost(&[first.clone(), row("p/m", "2026-01-01", &[(Axis::Input, 7)])]), "0.000000007");
    assert_eq!(cost(&[row("p/m;tier=fast", "2026-01-01", &[IN])]), "unpriced");
    assert_eq!(cost(&[row("p/m", "2026-01-01", &[(Axis::Input, -5)])]), "unpriced");
}

#[test]
fn the_providers_own_figure_wins_unless_it_is_absurd() {
    let mut spent = usage(&[(Axis::Input, 1000), (Axis::Output, 10)]);
    spent.claimed_pico_usd = Some(123_000_000);
    let prices = banded();
    let priced = prices.price("p/m", &Tier::Standard, day("2026-02-01"), &spent);
    assert_eq!(shown(&priced), "input 1000x0=0, output 10x0=0, claimed 1x0.000123=0.000123 total 0.000123");
    spent.claimed_pico_usd = Some(i64::MAX);
    assert!(prices.price("p/m", &Tier::Standard, day("2026-02-01"), &spent).unpriced);
    spent.claimed_pico_usd = Some(0);
    let ours = prices.price("p/m", &Tier::Standard, day("2026-02-01"), &spent);
    assert_eq!(ours.total.to_string(), "0.00208", "a reported zero is absent, not free");
}

#[test]
fn absurd_numbers_are_unpriced_and_do_not_panic() {
    let prices = banded();
    let spent = usage(&[(Axis::Input, u64::MAX), (Axis::Output, u64::MAX)]);
    let priced = prices.price("p/m", &Tier::Priority, day("2026-02-01"), &spent);
    assert!(priced.unpriced && priced.price.is_none());
    let february = day("2026-02-01");
    assert_eq!(prices.worst_case("p/m", &Tier::Standard, february, u64::MAX, u64::MAX, u32::MAX), None);
    assert_eq!(prices.worst_case("", &Tier::Standard, february, 1, 1, 1), None);
}

#[test]
fn the_worst_case_asks_for_every_answer_at_full_length() {
    let prices = banded();
    let bound = |tier: Tier, input, output, n| {
        prices.worst_case("p/m", &tier, day("2026-02-01"), input, output, n).map(|u| u.to_string())
    };
    assert_eq!(bound(Tier::Standard, 1000, 100, 1), Some("0.0028".into()));
    assert_eq!(bound(Tier::Standard, 1000, 100, 3), Some("0.0044".into()));
    assert_eq!(bound(Tier::Batch, 1000, 100, 1), Some("0.0028".into()), "batch may be served as standard");
    assert_eq!(bound(Tier::Priority, 1000, 100, 1), Some("0.0042".into()));
    assert_eq!(bound(Tier::Auto, 1000, 100, 1), Some("0.0042".into()), "any tier may be served");
    assert_eq!(bound(Tier::Flex, 1000, 100, 1), None);
    assert_eq!(bound(Tier::Batch, 300_000, 100, 1), None);
}

fn tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Standard), Just(Tier::Priority), Just(Tier::Batch)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn trap_m6_no_served_attempt_costs_more_than_its_worst_case(
        asked in tier(), falls_back in any::<bool>(),
        input in 0u64..400_000, cached in 0u64..400_000, output in 0u64..50_000, reasoning in 0u64..50_000,
    ) {
        let prices = banded();
        let at = day("2026-02-01");
        let served = if falls_back { Tier::Standard } else { asked.clone() };
        let spent = usage(&[
            (Axis::Input, input), (Axis::CacheRead, cached), (Axis::Output, output), (Axis::Reasoning, reasoning),
        ]);
        let bound = prices.worst_case("p/m", &asked, at, input + cached, output + reasoning, 1);
        let priced = prices.price("p/m", &served, at, &spent);
        if let Some(bound) = bound {
            prop_assert!(priced.total <= bound, "{} > {bound}", shown(&priced));
        }
        prop_assert_eq!(i128::from(priced.total.pico()), Usd::sum(priced.lines.iter().map(|l| l.amount)));
        for line in &priced.lines {
            prop_assert_eq!(line.rate.times(line.quantity), Some(line.amount));
        }
    }

    #[test]
    fn no_sku_panics(sku in "\\PC{0,40}", tokens in any::<u64>()) {
        let _ = Prices::builtin().price(&sku, &Tier::Auto, Micros(0), &usage(&[(Axis::Input, tokens)]));
        let _ = Prices::new(&[row(&sku, "2026-01-01", &[IN])]);
    }
}
