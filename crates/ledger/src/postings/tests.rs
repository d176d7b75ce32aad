//! Every attempt's postings sum to zero, and name who is owed.

use proptest::prelude::*;
use store::Line;
use units::{KeyId, PicoRate, RequestId, TeamId, Uuid7};

use super::*;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn attempt(lines: &[(&str, i64)], priced: bool) -> Attempt {
    let lines: Vec<Line> = lines
        .iter()
        .map(|(item, pico)| Line {
            item: (*item).into(),
            quantity: 1,
            rate: PicoRate::from_pico(*pico),
            amount: Usd::from_pico(*pico),
        })
        .collect();
    Attempt {
        id: AttemptId(id(1)),
        purpose: "chat".into(),
        provider: "groq".into(),
        upstream_model: "m".into(),
        started: Micros(5),
        first_byte_us: None,
        duration_us: 1,
        outcome: AttemptOutcome::Ok,
        status: 200,
        usage: UsageRow([1; Axis::ALL.len()]),
        estimated: false,
        unreconciled: false,
        tier: String::new(),
        cost: Usd::from_wide(Usd::sum(lines.iter().map(|l| l.amount))).unwrap(),
        lines,
        price: priced.then(|| (Micros(0), "declared".into())),
        upstream_id: String::new(),
        note: String::new(),
    }
}

fn shown(postings: &[Posting]) -> Vec<String> {
    postings.iter().map(|p| format!("{} {}", p.account, p.amount.pico())).collect()
}

#[test]
fn a_provider_is_owed_the_whole_of_its_attempt() {
    let legs = postings("search", "fast", &attempt(&[("input", 7), ("output", 5), ("request", 1)], true));
    assert_eq!(shown(&legs), ["expense:search/fast 13", "payable:groq -13"]);
}

#[test]
fn our_own_machine_is_paid_for_its_time_and_the_meter_for_its_power() {
    let legs = postings("search", "fast", &attempt(&[("machine", 7), ("energy", 2)], true));
    assert_eq!(shown(&legs), ["expense:search/fast 9", "engine:groq -7", "energy:groq -2"]);
}

#[test]
fn trap_m2_an_unpriced_attempt_is_in_suspense_even_with_nothing_known() {
    let legs = postings("search", "fast", &attempt(&[("input", 7), ("cache_read", 0)], false));
    assert_eq!(shown(&legs), ["expense:search/fast 7", "suspense:unpriced -7"]);
    let legs = postings("search", "fast", &attempt(&[("input", 0)], false));
    assert_eq!(shown(&legs), ["expense:search/fast 0", "suspense:unpriced 0"]);
}

#[test]
fn an_attempt_that_used_nothing_has_no_postings() {
    let idle = Attempt { usage: UsageRow::default(), ..attempt(&[], false) };
    assert!(postings("search", "fast", &idle).is_empty());
    assert!(postings("search", "fast", &attempt(&[], true)).is_empty());
}

#[test]
fn a_hold_left_by_a_crash_is_charged_whole_and_parked() {
    let hold = HoldRow {
        request: RequestId(id(2)),
        team: TeamId(id(3)),
        key: KeyId(id(4)),
        budgets: Vec::new(),
        model: "fast".into(),
        amount: Usd::from_pico(42),
        at: Micros(1_000),
    };
    let (record, legs) = crash_postings(&hold, "search", AttemptId(id(5)), Micros(3_000), 7);
    assert_eq!(shown(&legs), ["expense:search/fast 42", "suspense:crashed -42"]);
    assert_eq!(
        (record.outcome, record.cost, record.duration_us),
        (Outcome::Crashed, Usd::from_pico(42), 2_000)
    );
    assert_eq!((record.id, record.at, record.generation), (hold.request, hold.at, 7));
    assert_eq!(record.attempts[0].id, AttemptId(id(5)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn postings_sum_to_zero(
        lines in prop::collection::vec((0usize..5, 0i64..i64::MAX / 16), 0..8),
        priced in any::<bool>(),
        other_cost in prop::option::of(any::<i64>()),
    ) {
        let items = ["input", "output", "machine", "energy", "claimed"];
        let lines: Vec<_> = lines.iter().map(|(i, pico)| (items[*i], *pico)).collect();
        let mut attempt = attempt(&lines, priced);
        attempt.cost = other_cost.map_or(attempt.cost, Usd::from_pico);
        let legs = postings("t", "m", &attempt);
        prop_assert_eq!(Usd::sum(legs.iter().map(|p| p.amount)), 0);
    }
}
