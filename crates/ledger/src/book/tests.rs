//! The invariants of holding and settling, as properties.

use proptest::prelude::*;
use report::Retry;
use store::UsageRow;
use units::Uuid7;

use super::*;

const NOON: Micros = Micros(1_795_435_200_000_000);
const DAY_US: i64 = 86_400_000_000;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn budget(n: u8, scope: Scope, limit: &str, period: Period, kind: BudgetKind) -> Budget {
    Budget {
        id: BudgetId(id(n)),
        name: format!("budget {n}"),
        scope,
        limit: usd(limit),
        period,
        kind,
        created: Micros(0),
    }
}

fn ask(team: u8, key: u8, amount: Option<Usd>, now: Micros) -> Ask {
    Ask {
        request: RequestId(id(9)),
        org: OrgId(id(1)),
        team: TeamId(id(team)),
        key: KeyId(id(key)),
        amount,
        now,
    }
}

fn team_scope(n: u8) -> Scope {
    Scope::Team(TeamId(id(n)))
}

fn hard_day(limit: &str) -> Book {
    let mut book = Book::default();
    book.configure(&[budget(1, team_scope(2), limit, Period::Day, BudgetKind::Hard)]);
    book
}

/// (settled, held) of every budget, as text.
fn counters(book: &Book, now: Micros) -> Vec<String> {
    book.status(now).iter().map(|s| format!("{} {}+{}", s.name, s.settled, s.held)).collect()
}

fn code(refused: Result<Hold, Refusal>) -> (&'static str, Retry) {
    let report = refused.unwrap_err().report();
    (report.code.0, report.retry)
}

#[test]
fn a_hold_counts_until_it_is_settled_and_then_only_its_cost_counts() {
    let mut book = hard_day("10");
    let hold = book.hold(&ask(2, 3, Some(usd("4")), NOON)).unwrap();
    assert_eq!(counters(&book, NOON), ["budget 1 0+4"]);
    assert_eq!(book.settle(hold, usd("1.5")), Settled { overrun: None });
    assert_eq!(counters(&book, NOON), ["budget 1 1.5+0"]);
    let hold = book.hold(&ask(2, 3, Some(usd("8.5")), NOON)).unwrap();
    book.release(hold);
    assert_eq!(counters(&book, NOON), ["budget 1 1.5+0"]);
}

#[test]
fn the_three_refusals_say_their_numbers() {
    let mut book = hard_day("10");
    let open = book.hold(&ask(2, 3, Some(usd("6")), NOON)).unwrap();
    let refusal = book.hold(&ask(2, 3, Some(usd("5")), NOON)).unwrap_err();
    expect_test::expect![[r#"
        error[LG0202]: the request could cost 5 USD and the budget "budget 1" has 4 left
          because: of 10 USD, 0 are spent and 6 held by requests in flight
        hint: try again when the requests in flight have settled"#]]
    .assert_eq(&refusal.report().to_string());
    assert_eq!(refusal.report().retry, Retry::Yes);
    let _ = book.settle(open, usd("7"));
    let refusal = book.hold(&ask(2, 3, Some(usd("5")), NOON)).unwrap_err();
    expect_test::expect![[r#"
        error[LG0202]: the request could cost 5 USD and the budget "budget 1" has 3 left
          because: of 10 USD, 7 are spent and 0 held by requests in flight
        hint: ask for fewer tokens (`max_tokens`); the budget starts afresh at 2026-11-24T00:00:00.000Z"#]]
    .assert_eq(&refusal.report().to_string());
    let open = book.hold(&ask(2, 3, Some(usd("3")), NOON)).unwrap();
    let _ = book.settle(open, usd("3"));
    let refusal = book.hold(&ask(2, 3, Some(usd("0.01")), NOON)).unwrap_err();
    expect_test::expect![[r#"
        error[LG0201]: the budget "budget 1" is spent
          because: of 10 USD, 10 are spent and 0 held by requests in flight
        hint: the budget starts afresh at 2026-11-24T00:00:00.000Z"#]]
    .assert_eq(&refusal.report().to_string());
    assert_eq!(refusal.report().status(), 402);
    let refusal = hard_day("10").hold(&ask(2, 3, None, NOON)).unwrap_err();
    expect_test::expect![[r#"
        error[LG0203]: the model has no known price and the hard budget "budget 1" applies
          because: a cost that cannot be bounded cannot be kept within a limit; of 10 USD, 0 are spent and 0 held by requests in flight
        hint: declare a price for the model's target, or make the budget soft"#]]
    .assert_eq(&refusal.report().to_string());
}

#[test]
fn without_a_hard_budget_a_request_without_a_price_goes_on() {
    let mut book = Book::default();
    book.configure(&[budget(1, team_scope(2), "1", Period::Day, BudgetKind::Soft)]);
    let hold = book.hold(&ask(2, 3, None, NOON)).unwrap();
    assert_eq!(book.settle(hold, usd("5")), Settled { overrun: Some(usd("5")) });
    assert_eq!(counters(&book, NOON), ["budget 1 5+0"], "soft: reported, never refused");
    assert!(book.hold(&ask(2, 3, Some(usd("5")), NOON)).is_ok());
}

#[test]
fn a_refusal_by_one_scope_leaves_nothing_held_in_the_others() {
    let mut book = Book::default();
    book.configure(&[
        budget(1, Scope::Org(OrgId(id(1))), "100", Period::Month, BudgetKind::Hard),
        budget(2, team_scope(2), "50", Period::Total, BudgetKind::Hard),
        budget(3, Scope::Key(KeyId(id(3))), "1", Period::Day, BudgetKind::Hard),
    ]);
    assert_eq!(code(book.hold(&ask(2, 3, Some(usd("2")), NOON))), ("LG0202", Retry::Never));
    assert_eq!(counters(&book, NOON), ["budget 1 0+0", "budget 2 0+0", "budget 3 0+0"]);
    let _held = book.hold(&ask(2, 4, Some(usd("2")), NOON)).unwrap();
    assert_eq!(counters(&book, NOON), ["budget 1 0+2", "budget 2 0+2", "budget 3 0+0"]);
}

#[test]
fn trap_m6_a_budget_declared_later_sees_the_past_and_what_is_in_flight() {
    let mut book = Book::default();
    let first = book.hold(&ask(2, 3, Some(usd("3")), NOON)).unwrap();
    let _open = book.hold(&ask(2, 3, Some(usd("4")), NOON)).unwrap();
    let _ = book.settle(first, usd("2"));
    book.configure(&[budget(1, team_scope(2), "6", Period::Day, BudgetKind::Hard)]);
    assert_eq!(counters(&book, NOON), ["budget 1 2+4"]);
    assert_eq!(code(book.hold(&ask(2, 3, Some(usd("1")), NOON))).0, "LG0202");
    book.configure(&[budget(1, team_scope(2), "7", Period::Day, BudgetKind::Hard)]);
    assert!(book.hold(&ask(2, 3, Some(usd("1")), NOON)).is_ok());
}

#[test]
fn an_attempt_settles_into_the_period_it_started_in() {
    let mut book = Book::default();
    book.configure(&[
        budget(1, team_scope(2), "10", Period::Day, BudgetKind::Hard),
        budget(2, team_scope(2), "100", Period::Total, BudgetKind::Hard),
    ]);
    let late = book.hold(&ask(2, 3, Some(usd("9")), NOON)).unwrap();
    let days_later = |days: i64| NOON.plus_us(days * DAY_US);
    let mut others = Vec::new();
    for day in 1..5 {
        others.push(book.hold(&ask(2, 3, Some(usd("10")), days_later(day))).unwrap());
    }
    let _ = book.settle(late, usd("8"));
    assert_eq!(counters(&book, NOON), ["budget 1 8+0", "budget 2 8+40"]);
    assert_eq!(counters(&book, days_later(4)), ["budget 1 0+10", "budget 2 8+40"]);
    others.into_iter().for_each(|hold| book.release(hold));
    assert_eq!(counters(&book, days_later(4)), ["budget 1 0+0", "budget 2 8+0"]);
    assert_eq!(book.status(days_later(4))[0].resets, Some(days_later(5).day().start()));
}

#[test]
fn a_month_ends_with_the_month() {
    let mut book = Book::default();
    book.configure(&[budget(1, team_scope(2), "10", Period::Month, BudgetKind::Hard)]);
    let _november = book.hold(&ask(2, 3, Some(usd("10")), NOON)).unwrap();
    assert!(book.hold(&ask(2, 3, Some(usd("1")), NOON.plus_us(7 * DAY_US))).is_err(), "30 November");
    assert!(book.hold(&ask(2, 3, Some(usd("1")), NOON.plus_us(8 * DAY_US))).is_ok(), "1 December");
}

#[test]
fn absurd_amounts_neither_pass_nor_overflow() {
    let mut book = hard_day("10");
    assert!(book.hold(&ask(2, 3, Some(Usd::MAX), NOON)).is_err());
    let free = book.hold(&ask(2, 3, Some(usd("-5")), NOON)).unwrap();
    assert_eq!(free.amount, Usd::ZERO);
    let _ = book.settle(free, usd("-5"));
    assert_eq!(counters(&book, NOON), ["budget 1 0+0"], "no cost gives money back");
    let mut unbounded = Book::default();
    let holds: Vec<Hold> =
        (0..4).map(|_| unbounded.hold(&ask(2, 3, Some(Usd::MAX), NOON)).unwrap()).collect();
    unbounded.configure(&[budget(1, team_scope(2), "1", Period::Total, BudgetKind::Hard)]);
    assert_eq!(unbounded.status(NOON)[0].held, Usd::MAX, "shown at the end of the range");
    holds.into_iter().for_each(|hold| unbounded.release(hold));
    assert_eq!(unbounded.status(NOON)[0].held, Usd::ZERO, "counted exactly");
}

fn spend(day: Day, team: u8, key: u8, cost: &str) -> SpendRow {
    SpendRow {
        day,
        team: TeamId(id(team)),
        key: KeyId(id(key)),
        model: "m".into(),
        target: "p/m".into(),
        attempts: 1,
        estimated: 0,
        unpriced: 0,
        usage: UsageRow::default(),
        cost_pico: usd(cost).pico().into(),
    }
}

fn team(n: u8) -> Team {
    Team {
        id: TeamId(id(n)),
        org: OrgId(id(1)),
        name: format!("team {n}"),
        requests_per_minute: None,
        tokens_per_minute: None,
        created: Micros(0),
    }
}

#[test]
fn trap_m6_counters_are_derived_from_the_ledger_and_seeding_is_idempotent() {
    let today = NOON.day();
    let rows = [
        spend(Day(today.0 - 40), 2, 3, "1"),
        spend(today, 2, 3, "2"),
        spend(Day(today.0 - 1), 2, 4, "4"),
        spend(today, 5, 6, "8"),
    ];
    let mut book = Book::default();
    book.configure(&[
        budget(1, Scope::Org(OrgId(id(1))), "100", Period::Day, BudgetKind::Hard),
        budget(2, team_scope(2), "100", Period::Month, BudgetKind::Hard),
        budget(3, team_scope(2), "100", Period::Total, BudgetKind::Hard),
        budget(4, Scope::Key(KeyId(id(3))), "100", Period::Day, BudgetKind::Soft),
    ]);
    let open = book.hold(&ask(2, 3, Some(usd("0.5")), NOON)).unwrap();
    for _ in 0..3 {
        book.seed(&rows, &[team(2), team(5)]);
        assert_eq!(
            counters(&book, NOON),
            ["budget 1 10+0.5", "budget 2 6+0.5", "budget 3 7+0.5", "budget 4 2+0.5"]
        );
    }
    book.release(open);
}

#[test]
fn trap_m6_256_threads_cannot_overspend_a_budget_for_100() {
    let book = std::sync::Mutex::new(hard_day("1"));
    let one = usd("0.01");
    let admitted: usize = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..256)
            .map(|_| {
                scope.spawn(|| {
                    let held = book.lock().unwrap().hold(&ask(2, 3, Some(one), NOON));
                    held.map(|hold| book.lock().unwrap().settle(hold, one)).is_ok()
                })
            })
            .collect();
        asks.into_iter().filter_map(|asked| asked.join().ok()).filter(|ok| *ok).count()
    });
    assert_eq!(admitted, 100);
    assert_eq!(counters(&book.into_inner().unwrap(), NOON), ["budget 1 1+0"]);
}

/// What a random history does, in order.
#[derive(Clone, Debug)]
enum Step {
    Hold { team: u8, key: u8, pico: i64, day: i64 },
    Settle { which: usize, pico: i64 },
    Release { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (2u8..4, 4u8..7, 0i64..5_000, -1i64..3)
            .prop_map(|(team, key, pico, day)| Step::Hold { team, key, pico, day }),
        2 => (any::<usize>(), 0i64..5_000).prop_map(|(which, pico)| Step::Settle { which, pico }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn trap_m6_counter_is_settled_plus_open_holds_always(steps in steps()) {
        let mut book = Book::default();
        book.configure(&[
            budget(1, team_scope(2), "0.00000002", Period::Total, BudgetKind::Hard),
            budget(2, Scope::Org(OrgId(id(1))), "1", Period::Total, BudgetKind::Hard),
            budget(3, Scope::Key(KeyId(id(5))), "0.00000001", Period::Day, BudgetKind::Hard),
        ]);
        // The model: open holds and settled costs, by team, day and key.
        let mut open: Vec<(Hold, u8, u8, i64)> = Vec::new();
        let mut settled: Vec<(u8, u8, i64, i128)> = Vec::new();
        for step in steps {
            match step {
                Step::Hold { team, key, pico, day } => {
                    let now = NOON.plus_us(day * DAY_US);
                    if let Ok(hold) = book.hold(&ask(team, key, Some(Usd::from_pico(pico)), now)) {
                        open.push((hold, team, key, day));
                    }
                }
                Step::Settle { which, pico } if !open.is_empty() => {
                    let (hold, team, key, day) = open.swap_remove(which % open.len());
                    let _ = book.settle(hold, Usd::from_pico(pico));
                    settled.push((team, key, day, pico.into()));
                }
                Step::Release { which } if !open.is_empty() => {
                    book.release(open.swap_remove(which % open.len()).0);
                }
                _ => {}
            }
            let held = |only: &dyn Fn(u8, u8, i64) -> bool| -> i128 {
                open.iter().filter(|o| only(o.1, o.2, o.3)).map(|o| i128::from(o.0.amount.pico())).sum()
            };
            let status = book.status(NOON);
            let narrow = |u: Usd| i128::from(u.pico());
            prop_assert_eq!(narrow(status[0].held), held(&|team, _, _| team == 2));
            prop_assert_eq!(narrow(status[1].held), held(&|_, _, _| true));
            prop_assert_eq!(narrow(status[1].settled), settled.iter().map(|s| s.3).sum::<i128>());
            let team_two: i128 = settled.iter().filter(|s| s.0 == 2).map(|s| s.3).sum();
            prop_assert_eq!(narrow(status[0].settled), team_two);
            let open_today = book.status(NOON.plus_us(DAY_US))[2].held;
            prop_assert_eq!(narrow(open_today), held(&|_, key, day| key == 5 && day == 1));
        }
    }

    #[test]
    fn trap_m6_256_interleaved_asks_never_exceed_a_hard_budget(
        amounts in prop::collection::vec((1i64..1_000, 0i64..1_000, any::<bool>()), 256),
        order in prop::collection::vec(any::<usize>(), 512),
        limit in 1i64..20_000,
    ) {
        let mut book = Book::default();
        let limited = Budget {
            limit: Usd::from_pico(limit),
            ..budget(1, team_scope(2), "0", Period::Total, BudgetKind::Hard)
        };
        book.configure(&[limited]);
        let mut waiting: Vec<_> = amounts.iter().collect();
        let mut open = Vec::new();
        for pick in order {
            // Either the next asks, or one in flight ends with at most what it held.
            if pick % 2 == 0 && let Some((pico, cost, ends)) = waiting.pop() {
                if let Ok(hold) = book.hold(&ask(2, 3, Some(Usd::from_pico(*pico)), NOON)) {
                    open.push((hold, (*cost).min(*pico), *ends));
                }
            } else if !open.is_empty() {
                let (hold, cost, ends) = open.swap_remove(pick % open.len());
                if ends {
                    prop_assert_eq!(book.settle(hold, Usd::from_pico(cost)), Settled::default());
                } else {
                    book.release(hold);
                }
            }
            let status = &book.status(NOON)[0];
            prop_assert!(status.settled.pico() + status.held.pico() <= limit);
        }
    }

    #[test]
    fn the_order_of_settling_does_not_matter(
        costs in prop::collection::vec((0i64..1_000, -1i64..3), 1..40),
        order in prop::collection::vec(any::<usize>(), 40),
    ) {
        let run = |shuffle: bool| {
            let mut book = Book::default();
            book.configure(&[
                budget(1, team_scope(2), "1", Period::Day, BudgetKind::Hard),
                budget(2, team_scope(2), "1", Period::Month, BudgetKind::Hard),
            ]);
            let mut open: Vec<_> = costs
                .iter()
                .map(|(pico, day)| {
                    let now = NOON.plus_us(day * DAY_US);
                    (book.hold(&ask(2, 3, Some(Usd::from_pico(1_000)), now)).unwrap(), *pico)
                })
                .collect();
            let mut picks = order.iter();
            while !open.is_empty() {
                let at = if shuffle { picks.next().unwrap() % open.len() } else { 0 };
                let (hold, pico) = open.swap_remove(at);
                let _ = book.settle(hold, Usd::from_pico(pico));
            }
            (-1..3).map(|day| counters(&book, NOON.plus_us(day * DAY_US))).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(false), run(true));
    }
}
