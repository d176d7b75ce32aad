//! Roles against actions, and what a key may hand on.

use std::sync::Arc;

use proptest::prelude::*;
use units::{KeyId, Uuid7};

use crate::Rates;

use super::*;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn principal(role: Role) -> Principal {
    Principal {
        key: KeyId(id(1)),
        key_name: "k".into(),
        team: TeamId(id(2)),
        team_name: "t".into(),
        org: OrgId(id(3)),
        user: None,
        user_name: None,
        groups: Default::default(),
        acting_for: None,
        role,
        actions: Actions::of(role),
        elevated: None,
        models: None,
        rates: Rates::default(),
        expires: None,
    }
}

fn child<'a>() -> NewKey<'a> {
    NewKey {
        team: TeamId(id(5)),
        org: OrgId(id(3)),
        user: None,
        role: Role::Inference,
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
    }
}

fn granted(names: &[&str]) -> Option<Arc<[Box<str>]>> {
    Some(names.iter().map(|n| Box::from(*n)).collect())
}

/// The matrix of roles and actions, as one reads it aloud.
#[test]
fn every_role_may_do_what_its_name_says_and_nothing_else() {
    let mut table = String::new();
    for action in Action::ALL {
        let marks: String =
            Role::ALL.map(|role| if allows(&principal(role), action).is_ok() { " x" } else { " ." }).concat();
        table.push_str(&format!("{:17}{marks}\n", format!("{action:?}")));
    }
    let heads: String = Role::ALL.map(|role| format!(" {}", &role.name()[..1])).concat();
    expect_test::expect![[r"
                          i v a s a o d a
        Infer             x x x x . . x x
        ReadModels        x x x x x x x x
        Retrieve          x x x x . . x x
        ReadOwnRecords    . x x x . . x .
        ReadRecords       . x x . . . . .
        ReadAllRecords    . . x . . . . .
        ReadCosts         . x x x x x . .
        ReadAllCosts      . . x x x x . .
        ReadStatus        . x x x x x . .
        ReadAudit         . . x x x . . .
        ReadAccess        . . x x x . . .
        ReadDeclared      . . x x x x . .
        ManageAccess      . . x x . . . .
        ManagePolicy      . . x x . . . .
        Deploy            . . x . . x . .
        ManageBudgets     . . x . . . . .
        WriteDocuments    . x x x . . x .
        AskElevation      . x x x x x x .
        ApproveElevation  . . x x . . . .
    "]]
    .assert_eq(&format!("{:17}{heads}\n{table}", ""));
    let report = allows(&principal(Role::Inference), Action::Deploy).unwrap_err().report();
    assert_eq!(
        report.to_string(),
        "error[ID0006]: the key may not manage providers and models\nhint: that takes a key with the role admin or operator"
    );
}

#[test]
fn records_are_seen_by_oneself_by_ones_team_or_by_admins() {
    let (own_team, other_team) = (TeamId(id(2)), TeamId(id(9)));
    let (own, other) = (KeyId(id(1)), KeyId(id(8)));
    let ada = UserId(id(6));
    let sees = |role| {
        let who = Principal { user: Some(ada), ..principal(role) };
        [
            may_see(&who, own_team, own, Some(ada)),
            may_see(&who, other_team, other, Some(ada)),
            may_see(&who, own_team, other, None),
            may_see(&who, other_team, other, None),
        ]
    };
    assert_eq!(sees(Role::Inference), [false; 4]);
    assert_eq!(sees(Role::Developer), [true, true, false, false], "its key's and its user's");
    assert_eq!(sees(Role::SecurityOfficer), [true, true, false, false]);
    assert_eq!(sees(Role::Viewer), [true, true, true, false]);
    assert_eq!(sees(Role::Admin), [true; 4]);
    for blind in [Role::Auditor, Role::Operator, Role::Agent] {
        assert_eq!(sees(blind), [false; 4], "{blind:?}");
    }
    let nobody = principal(Role::Developer);
    assert!(!may_see(&nobody, own_team, other, None), "two keys without a user are not one person");
    let costs = |role, team| may_see_costs(&principal(role), team);
    assert!(costs(Role::Viewer, own_team) && !costs(Role::Viewer, other_team));
    assert!(costs(Role::Auditor, other_team) && !costs(Role::Developer, own_team));
}

#[test]
fn trap_x3_an_officer_hands_out_no_sight_of_what_it_must_not_see() {
    let officer = principal(Role::SecurityOfficer);
    let makes = |child: NewKey<'_>| can_create(&officer, &child).is_ok();
    for role in [Role::Inference, Role::Developer, Role::Auditor, Role::SecurityOfficer] {
        assert!(makes(NewKey { role, ..child() }), "{role:?}");
        assert!(can_appoint(&officer, role).is_ok(), "{role:?}");
    }
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        assert!(!makes(NewKey { role, ..child() }), "{role:?}");
        assert!(can_appoint(&officer, role).is_err(), "{role:?}");
    }
    let ada = Some(UserId(id(6)));
    assert!(!makes(NewKey { role: Role::Developer, user: ada, ..child() }), "it would read ada's records");
    assert!(makes(NewKey { role: Role::Agent, user: ada, ..child() }));
    assert!(!makes(NewKey { role: Role::Agent, ..child() }), "an agent acts for somebody");
    // Elevated to its team's records, it does not hand out another team's.
    let elevated = Principal {
        actions: officer.actions.and(Actions::of(Role::Viewer)),
        expires: Some(Micros(100)),
        ..officer.clone()
    };
    let viewer = NewKey { role: Role::Viewer, expires: Some(Micros(100)), ..child() };
    assert!(can_create(&elevated, &NewKey { team: officer.team, ..viewer.clone() }).is_ok());
    assert!(can_create(&elevated, &viewer).is_err());
    let outliving = NewKey { team: officer.team, expires: None, ..viewer };
    assert!(can_create(&elevated, &outliving).is_err(), "nor anything that outlives the elevation");
    assert!(can_appoint(&elevated, Role::Viewer).is_err());
}

#[test]
fn trap_x3_a_key_grants_nothing_it_has_not() {
    let maker = Principal {
        models: granted(&["small", "large"]),
        rates: Rates { key_requests: Some(60), key_tokens: Some(1000), ..Rates::default() },
        expires: Some(Micros(100)),
        ..principal(Role::Admin)
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
    for role in Role::ALL.into_iter().filter(|r| !matches!(r, Role::Admin | Role::SecurityOfficer)) {
        let denied = can_create(&principal(role), &child());
        assert_eq!(denied, Err(Denied::Action { action: Action::ManageAccess }), "{role:?} makes no keys");
    }
    let admin = NewKey { role: Role::Admin, ..child() };
    assert_eq!(can_create(&principal(Role::Admin), &admin), Ok(()), "an unbounded admin makes its like");
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
        maker_role in prop::sample::select(&Role::ALL[..]), child_role in prop::sample::select(&Role::ALL[..]),
    ) {
        let maker = Principal {
            models: maker_models.map(|m| m.iter().map(|n| Box::from(n.as_str())).collect()),
            rates: Rates { key_requests: maker_rate, ..Rates::default() },
            expires: maker_life.map(Micros),
            ..principal(maker_role)
        };
        let new = NewKey {
            role: child_role,
            models: child_models.as_deref(),
            requests_per_minute: child_rate,
            expires: child_life.map(Micros),
            ..child()
        };
        if can_create(&maker, &new).is_ok() {
            prop_assert!(Actions::of(new.role).beyond(maker.actions).is_none());
            for model in ["a", "b", "c", "d", "e"] {
                let child_may = new.models.is_none_or(|m| m.iter().any(|n| n == model));
                prop_assert!(!child_may || may_use(&maker, model).is_ok());
            }
            prop_assert!(child_rate.unwrap_or(u32::MAX) <= maker_rate.unwrap_or(u32::MAX));
            prop_assert!(child_life.unwrap_or(i64::MAX) <= maker_life.unwrap_or(i64::MAX));
        }
    }
}
