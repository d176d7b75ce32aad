//! Roles against actions, and what a key may hand on.

use std::sync::Arc;

use proptest::prelude::*;
use units::{KeyId, Uuid7};

use crate::Rates;

use super::*;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn principal(role: KeyRole) -> Principal {
    Principal {
        key: KeyId(id(1)),
        key_name: "k".into(),
        team: TeamId(id(2)),
        team_name: "t".into(),
        org: OrgId(id(3)),
        user: None,
        role,
        models: None,
        rates: Rates::default(),
        expires: None,
    }
}

fn child<'a>() -> NewKey<'a> {
    NewKey {
        team: TeamId(id(5)),
        org: OrgId(id(3)),
        role: KeyRole::Inference,
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
    }
}

fn granted(names: &[&str]) -> Option<Arc<[Box<str>]>> {
    Some(names.iter().map(|n| Box::from(*n)).collect())
}

const ACTIONS: [Action; 6] = [
    Action::Infer,
    Action::ReadModels,
    Action::ReadRecords,
    Action::ReadCosts,
    Action::ReadStatus,
    Action::Manage,
];

#[test]
fn each_role_may_do_what_the_lower_ones_may_and_no_more() {
    let count = |role| ACTIONS.iter().filter(|a| allows(&principal(role), **a).is_ok()).count();
    assert_eq!((count(KeyRole::Inference), count(KeyRole::Viewer), count(KeyRole::Admin)), (2, 5, 6));
    let report = allows(&principal(KeyRole::Inference), Action::Manage).unwrap_err().report();
    assert_eq!(
        report.to_string(),
        "error[ID0006]: the key may not manage this deployment\nhint: that takes a key with the role admin"
    );
}

#[test]
fn a_viewer_sees_its_own_team_and_an_admin_all() {
    let (own, other) = (TeamId(id(2)), TeamId(id(9)));
    let sees = |role| (may_see(&principal(role), own), may_see(&principal(role), other));
    assert_eq!(sees(KeyRole::Inference), (false, false));
    assert_eq!(sees(KeyRole::Viewer), (true, false));
    assert_eq!(sees(KeyRole::Admin), (true, true));
}

#[test]
fn trap_x3_a_key_grants_nothing_it_has_not() {
    let maker = Principal {
        models: granted(&["small", "large"]),
        rates: Rates { key_requests: Some(60), key_tokens: Some(1000), ..Rates::default() },
        expires: Some(Micros(100)),
        ..principal(KeyRole::Admin)
    };
    let small = ["small".to_string()];
    let huge = ["small".to_string(), "huge".to_string()];
    let fitting = NewKey {
        models: Some(&small),
        requests_per_minute: Some(60),
        tokens_per_minute: Some(10),
        expires: Some(Micros(100)),
        ..child()
    };
    assert_eq!(can_create(&maker, &fitting), Ok(()));
    for (what, beyond) in [
        ("every model", NewKey { models: None, ..fitting.clone() }),
        ("another model", NewKey { models: Some(&huge), ..fitting.clone() }),
        ("no request limit", NewKey { requests_per_minute: None, ..fitting.clone() }),
        ("more requests", NewKey { requests_per_minute: Some(61), ..fitting.clone() }),
        ("no token limit", NewKey { tokens_per_minute: None, ..fitting.clone() }),
        ("more tokens", NewKey { tokens_per_minute: Some(1001), ..fitting.clone() }),
        ("no expiry", NewKey { expires: None, ..fitting.clone() }),
        ("a longer life", NewKey { expires: Some(Micros(101)), ..fitting.clone() }),
        ("another org", NewKey { org: OrgId(id(4)), ..fitting.clone() }),
    ] {
        assert!(matches!(can_create(&maker, &beyond), Err(Denied::Escalation { .. })), "{what}");
    }
    for role in [KeyRole::Inference, KeyRole::Viewer] {
        let denied = can_create(&principal(role), &child());
        assert_eq!(denied, Err(Denied::Action { action: Action::Manage }), "only an admin makes keys");
    }
    let admin = NewKey { role: KeyRole::Admin, ..child() };
    assert_eq!(can_create(&principal(KeyRole::Admin), &admin), Ok(()), "an unbounded admin makes its like");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is created can use no model and no rate that its maker could not.
    #[test]
    fn trap_x3_child_rights_are_a_subset(
        maker_models in prop::option::of(prop::collection::vec("[a-d]", 0..4)),
        child_models in prop::option::of(prop::collection::vec("[a-d]", 0..4)),
        maker_rate in prop::option::of(0u32..4), child_rate in prop::option::of(0u32..4),
        maker_life in prop::option::of(0i64..4), child_life in prop::option::of(0i64..4),
    ) {
        let maker = Principal {
            models: maker_models.map(|m| m.iter().map(|n| Box::from(n.as_str())).collect()),
            rates: Rates { key_requests: maker_rate, ..Rates::default() },
            expires: maker_life.map(Micros),
            ..principal(KeyRole::Admin)
        };
        let new = NewKey {
            models: child_models.as_deref(),
            requests_per_minute: child_rate,
            expires: child_life.map(Micros),
            ..child()
        };
        if can_create(&maker, &new).is_ok() {
            for model in ["a", "b", "c", "d", "e"] {
                let child_may = new.models.is_none_or(|m| m.iter().any(|n| n == model));
                prop_assert!(!child_may || may_use(&maker, model).is_ok());
            }
            prop_assert!(child_rate.unwrap_or(u32::MAX) <= maker_rate.unwrap_or(u32::MAX));
            prop_assert!(child_life.unwrap_or(i64::MAX) <= maker_life.unwrap_or(i64::MAX));
        }
    }
}
