use super::*;
use expect_test::expect;

#[test]
fn the_text_is_exact_sorted_and_escaped() {
    let registry = Registry::new();
    let cost = registry.counters("bedplate_cost_usd_total", "Money spent.", PICO, &["team", "model"]);
    cost.with(&["search", "gpt \"5\"\n"]).add(1_250_000_000);
    cost.with(&["ads", "m"]).add(3 * PICO);
    registry.gauge("bedplate_requests_in_flight", "Requests now.").set(-2);
    let wait = registry.histograms("wait_seconds", "Waits.", MICROS, &[10_000, 20_000], &["model"]);
    for us in [1, 10_000, 10_001, 5_000_000] {
        wait.with(&["m"]).observe(us);
    }
    registry.read("up", "Always one.", || 1.0);
    expect![[r#"
        # HELP bedplate_cost_usd_total Money spent.
        # TYPE bedplate_cost_usd_total counter
        bedplate_cost_usd_total{team="ads",model="m"} 3
        bedplate_cost_usd_total{team="search",model="gpt \"5\"\n"} 0.00125
        # HELP bedplate_requests_in_flight Requests now.
        # TYPE bedplate_requests_in_flight gauge
        bedplate_requests_in_flight -2
        # HELP wait_seconds Waits.
        # TYPE wait_seconds histogram
        wait_seconds_bucket{model="m",le="0.01"} 2
        wait_seconds_bucket{model="m",le="0.02"} 3
        wait_seconds_bucket{model="m",le="+Inf"} 4
        wait_seconds_sum{model="m"} 5.020002
        wait_seconds_count{model="m"} 4
        # HELP up Always one.
        # TYPE up gauge
        up 1
    "#]]
    .assert_eq(&registry.render());
}

#[test]
fn trap_r6_a_label_that_never_ends_folds_into_other() {
    let registry = Registry::new();
    let family = registry.counters("x_total", "X.", 1, &["model"]);
    for i in 0..MAX_SERIES + 500 {
        family.with(&[&i.to_string()]).one();
    }
    assert_eq!(family.len(), MAX_SERIES + 1);
    assert_eq!(family.with(&["other"]).value(), 500);
    assert_eq!(family.with(&["7"]).value(), 1);
}

#[test]
fn series_that_are_told_anew_leave_none_of_the_old_ones() {
    let registry = Registry::new();
    let family = registry.gauges("queue", "Queued.", 1, &["model", "team"]);
    family.replace([(vec!["m", "a"], 3), (vec!["m", "b"], 1)]);
    family.replace([(vec!["m", "b"], 2)]);
    assert_eq!((family.len(), family.with(&["m", "b"]).value()), (1, 2));
    assert!(!registry.render().contains("\"a\""));
    family.replace((0..MAX_SERIES + 7).map(|_| (vec!["m", "c"], 1)));
    assert_eq!(family.len(), MAX_SERIES);
}

#[test]
fn threads_add_to_one_counter() {
    let registry = Registry::new();
    let counter = registry.counter("x_total", "X.");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..1000).for_each(|_| counter.one()));
        }
    });
    assert_eq!(counter.value(), 16_000);
}

#[test]
fn what_is_in_flight_is_counted_until_it_is_dropped() {
    let gauge = Gauge::default();
    let held = (gauge.hold(), gauge.hold());
    assert_eq!(gauge.value(), 2);
    drop(held);
    assert_eq!(gauge.value(), 0);
}
