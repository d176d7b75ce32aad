//! In no minute is more admitted than the limit, whatever the order and the clock.

use proptest::prelude::*;
use report::Retry;
use store::Role;
use units::{OrgId, Uuid7};

use crate::Rates;

use super::*;

const START: Micros = Micros(1_795_449_609_125_000);
const SECOND: i64 = 1_000_000;

fn id(n: u16) -> Uuid7 {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Uuid7::from_bytes(bytes)
}

fn principal(key: u16, rates: Rates) -> Principal {
    Principal {
        key: KeyId(id(key)),
        key_name: "k".into(),
        team: TeamId(id(1)),
        team_name: "t".into(),
        org: OrgId(id(1)),
        user: None,
        user_name: None,
        groups: Default::default(),
        acting_for: None,
        role: Role::Inference,
        actions: crate::Actions::of(Role::Inference),
        elevated: None,
        models: None,
        rates,
        expires: None,
    }
}

fn requests(limit: u32) -> Principal {
    principal(1, Rates { key_requests: Some(limit), ..Rates::default() })
}

fn tokens(limit: u64) -> Principal {
    principal(1, Rates { key_tokens: Some(limit), ..Rates::default() })
}

fn after(seconds: i64) -> Micros {
    START.plus_us(seconds * SECOND)
}

fn refused(result: Result<Ticket, Denied>) -> String {
    let report = result.unwrap_err().report();
    format!("{report} {:?}", report.retry)
}

#[test]
fn the_request_after_the_limit_waits_for_the_minute() {
    let (mut limits, who) = (Limits::default(), requests(3));
    for _ in 0..3 {
        let _ticket = limits.admit(&who, 10, START).unwrap();
    }
    let report = limits.admit(&who, 10, after(20)).unwrap_err().report();
    assert_eq!(report.status(), 429);
    let Retry::After(wait) = report.retry else { panic!("{report}") };
    assert!((40..=43).contains(&wait), "{wait}");
    assert!(limits.admit(&who, 10, after(20 + i64::from(wait) - 3)).is_err());
    assert!(limits.admit(&who, 10, after(20 + i64::from(wait))).is_ok(), "the wait it named is enough");
}

#[test]
fn trap_m6_five_parallel_calls_do_not_use_663_of_100_tokens() {
    let (mut limits, who) = (Limits::default(), tokens(100));
    let held: Vec<_> = (0..5).filter_map(|_| limits.admit(&who, 60, START).ok()).collect();
    assert_eq!(held.len(), 1);
    expect_in(
        &refused(limits.admit(&who, 60, START)),
        &["ID0007", "60 are taken", "asks for 60", "100 tokens"],
    );
    for ticket in held {
        limits.true_up(ticket, 20);
    }
    let second = limits.admit(&who, 80, START).unwrap();
    assert!(limits.admit(&who, 1, START).is_err());
    limits.cancel(second);
    let _third = limits.admit(&who, 80, START).unwrap();
}

fn expect_in(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn more_tokens_than_a_minute_holds_are_refused_without_a_wait() {
    let mut limits = Limits::default();
    expect_in(
        &refused(limits.admit(&tokens(100), 101, START)),
        &["ID0007", "101 tokens", "100 per minute", "Never"],
    );
    expect_in(&refused(limits.admit(&requests(0), 1, START)), &["ID0007", "After(60)"]);
}

#[test]
fn a_refusal_by_the_team_takes_nothing_from_the_key() {
    let mut limits = Limits::default();
    let rates = Rates { key_requests: Some(2), team_requests: Some(3), ..Rates::default() };
    let (one, two) = (principal(1, rates), principal(2, rates));
    let _a = limits.admit(&one, 1, START).unwrap();
    let _b = limits.admit(&one, 1, START).unwrap();
    expect_in(&refused(limits.admit(&one, 1, START)), &["the key is over"]);
    let c = limits.admit(&two, 1, START).unwrap();
    expect_in(&refused(limits.admit(&two, 1, START)), &["the team is over"]);
    limits.cancel(c);
    assert!(limits.admit(&two, 1, START).is_ok(), "the second key still has both of its own");
}

#[test]
fn a_correction_after_the_minute_changes_nothing() {
    let (mut limits, who) = (Limits::default(), tokens(100));
    let late = limits.admit(&who, 100, START).unwrap();
    let _ticket = limits.admit(&who, 100, after(70)).unwrap();
    limits.true_up(late, 0);
    assert!(limits.admit(&who, 1, after(70)).is_err());
}

#[test]
fn a_clock_that_was_in_the_future_blocks_nobody_for_longer_than_a_minute() {
    let (mut limits, who) = (Limits::default(), requests(2));
    let ahead = limits.admit(&who, 1, after(3600)).unwrap();
    let _back = limits.admit(&who, 1, START).unwrap();
    assert!(limits.admit(&who, 1, START).is_err(), "what was taken still counts");
    limits.true_up(ahead, 5);
    assert!(limits.admit(&who, 1, after(63)).is_ok());
}

#[test]
fn idle_windows_are_swept_and_busy_ones_are_not() {
    let mut limits = Limits::default();
    let rates = Rates { key_requests: Some(1), ..Rates::default() };
    for key in 0..SWEEP_AT as u16 {
        let _ticket = limits.admit(&principal(key, rates), 1, START).unwrap();
    }
    let _busy = limits.admit(&principal(9_999, rates), 1, after(50)).unwrap();
    for key in 10_000..10_000 + 2 * SWEEP_AT as u16 {
        let _ticket = limits.admit(&principal(key, rates), 1, after(100)).unwrap();
    }
    assert!(limits.windows.len() <= 2 * SWEEP_AT + 1, "{}", limits.windows.len());
    assert!(limits.admit(&principal(9_999, rates), 1, after(101)).is_err());
    assert!(limits.admit(&principal(3, rates), 1, after(101)).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rate_limits_never_over_admit(
        steps in prop::collection::vec((0i64..7_000, 1u64..50, prop::option::of(0u64..50)), 1..300),
        request_limit in 1u32..20,
        token_limit in 1u64..200,
    ) {
        let mut limits = Limits::default();
        let rates = Rates {
            key_requests: Some(request_limit),
            team_tokens: Some(token_limit),
            ..Rates::default()
        };
        let who = principal(1, rates);
        let mut now = START;
        let mut admitted: Vec<(Micros, u64)> = Vec::new();
        for (wait_ms, asked, actual) in steps {
            now = now.plus_us(wait_ms * 1000);
            if let Ok(ticket) = limits.admit(&who, asked, now) {
                // The truth is at most the estimate: that is what an estimate is for.
                let used = actual.map_or(asked, |a| a.min(asked));
                limits.true_up(ticket, used);
                admitted.push((now, used));
            }
            let minute = admitted.iter().filter(|(at, _)| now.0 - at.0 < 60 * SECOND);
            prop_assert!(minute.clone().count() <= request_limit as usize);
            prop_assert!(minute.map(|(_, t)| t).sum::<u64>() <= token_limit);
        }
    }

    #[test]
    fn the_wait_that_is_named_is_enough(
        steps in prop::collection::vec((0i64..9_000, 1u64..40), 1..60),
    ) {
        let (mut limits, who) = (Limits::default(), tokens(100));
        let mut now = START;
        for (wait_ms, asked) in steps {
            now = now.plus_us(wait_ms * 1000);
            if let Err(denied) = limits.admit(&who, asked, now) {
                let Retry::After(wait) = denied.report().retry else { panic!("{denied:?}") };
                prop_assert!((1..=62).contains(&wait));
                now = now.plus_us(i64::from(wait) * SECOND);
                prop_assert!(limits.admit(&who, asked, now).is_ok());
            }
        }
    }

    #[test]
    fn no_clock_panics_or_over_admits(
        times in prop::collection::vec(prop_oneof![any::<i64>(), -200_000_000i64..200_000_000], 1..60),
    ) {
        let (mut limits, who) = (Limits::default(), requests(5));
        for time in times {
            let ticket = limits.admit(&who, 1, Micros(time));
            let window = limits.windows.values().next().unwrap();
            prop_assert!(window.sum.requests <= 5);
            prop_assert_eq!(window.sum.requests, window.slots.iter().map(|s| s.requests).sum::<u64>());
            if let Ok(ticket) = ticket {
                limits.true_up(ticket, 1);
            }
        }
    }
}
