//! The report's groups add up to its total, in any grouping.

use proptest::prelude::*;
use units::Uuid7;

use super::*;

fn row(day: i32, team: u8, key: u8, model: &str, tokens: u64, cost_pico: i128) -> SpendRow {
    let mut usage = UsageRow::default();
    usage.0[chat::Axis::Input as usize] = tokens;
    usage.0[chat::Axis::Reasoning as usize] = tokens / 2;
    SpendRow {
        day: Day(day),
        team: TeamId(Uuid7::from_bytes([team; 16])),
        key: KeyId(Uuid7::from_bytes([key; 16])),
        model: model.into(),
        target: "p/m".into(),
        attempts: 2,
        estimated: 1,
        unpriced: 0,
        usage,
        cost_pico,
    }
}

fn name(bytes: &[u8; 16]) -> String {
    format!("n{}", bytes[0])
}

fn shown(rows: &[SpendRow], by: By) -> String {
    let report = report(rows, by, |t| name(t.0.as_bytes()), |k| name(k.0.as_bytes()));
    report
        .rows
        .iter()
        .chain([&report.total])
        .map(|r| format!("{} {}/{} {} {}\n", r.name, r.tokens_in, r.tokens_out, r.cost(), r.share_permille))
        .collect()
}

#[test]
fn the_dearest_group_comes_first_and_days_come_in_order() {
    let rows = [
        row(20_000, 1, 1, "small", 100, 1_000_000_000_000),
        row(20_001, 1, 2, "large", 10, 2_500_000_000_000),
        row(20_001, 2, 3, "small", 50, 500_000_000_000),
    ];
    expect_test::expect![[r#"
        n1 110/55 3.5 875
        n2 50/25 0.5 125
        total 160/80 4 1000
    "#]]
    .assert_eq(&shown(&rows, By::Team));
    expect_test::expect![[r#"
        large 10/5 2.5 625
        small 150/75 1.5 375
        total 160/80 4 1000
    "#]]
    .assert_eq(&shown(&rows, By::Model));
    expect_test::expect![[r#"
        2024-10-04 100/50 1 250
        2024-10-05 60/30 3 750
        total 160/80 4 1000
    "#]]
    .assert_eq(&shown(&rows, By::Day));
    assert_eq!(shown(&[], By::Key), "total 0/0 0 0\n");
}

#[test]
fn sums_beyond_the_range_of_one_amount_are_exact() {
    let rows = vec![row(0, 1, 1, "m", u64::MAX, i128::from(i64::MAX)); 3];
    let report = report(&rows, By::Model, |_| String::new(), |_| String::new());
    assert_eq!(report.total.cost().to_string(), "27670116.110564327421");
    assert_eq!(Dollars(-1_500_000_000_000).to_string(), "-1.5");
    assert_eq!(report.total.tokens_in, 3 * u128::from(u64::MAX));
}

#[test]
fn an_unknown_grouping_is_refused_with_the_known_ones() {
    assert_eq!("model".parse(), Ok(By::Model));
    let error = "tag".parse::<By>().unwrap_err().to_string();
    assert_eq!(error, "cannot group by \"tag\": write team, model, key or day");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn groups_add_up_to_the_total(
        rows in prop::collection::vec((0i32..5, 0u8..4, 0u8..4, 0i64..1 << 50), 0..40),
    ) {
        let rows: Vec<_> =
            rows.iter().map(|(d, t, k, c)| row(*d, *t, *k, "m", 3, i128::from(*c))).collect();
        let whole: i128 = rows.iter().map(|r| r.cost_pico).sum();
        for by in [By::Team, By::Model, By::Key, By::Day] {
            let report = report(&rows, by, |_| String::new(), |_| String::new());
            prop_assert_eq!(report.total.cost_pico, whole);
            prop_assert_eq!(report.rows.iter().map(|r| r.cost_pico).sum::<i128>(), whole);
            prop_assert!(report.rows.iter().map(|r| r.share_permille).sum::<u32>() <= 1000);
        }
    }
}
