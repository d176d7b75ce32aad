//! Two other people, a time box, and no way around either.

use units::{OrgId, TeamId, UserId, Uuid7};

use crate::Rates;

use super::*;

const NOW: Micros = Micros(1_000_000_000_000);
const MINUTE: i64 = 60_000_000;

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

/// The key of person `n`; 0 is nobody.
fn who(n: u8, role: Role) -> Principal {
    Principal {
        key: KeyId(id(n + 100)),
        key_name: "k".into(),
        team: TeamId(id(2)),
        team_name: "t".into(),
        org: OrgId(id(3)),
        user: (n > 0).then(|| UserId(id(n))),
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

fn key(of: &Principal) -> Key {
    Key {
        id: of.key,
        team: of.team,
        user: of.user,
        name: "k".into(),
        role: of.role,
        subject: None,
        versions: Vec::new(),
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: Micros(0),
    }
}

fn asked() -> (Principal, Elevation) {
    let asker = who(1, Role::Operator);
    let elevation = ask(&asker, ElevationId(id(9)), Role::Viewer, "an invoice is wrong", 30, NOW);
    (asker, elevation.expect("it is asked for"))
}

fn yes(by: &Principal, elevation: &Elevation, now: Micros) -> Result<Elevation, Denied> {
    approve(by, &key(by), &key(&who(1, Role::Operator)), elevation, now)
}

#[test]
fn two_other_people_begin_it_and_time_ends_it() {
    let (_, elevation) = asked();
    assert_eq!((stage(&elevation, NOW), elevation.ends), (Stage::Requested, None));
    let once = yes(&who(2, Role::SecurityOfficer), &elevation, NOW).expect("the first");
    assert_eq!((stage(&once, NOW), once.ends), (Stage::Requested, None), "one is not two");
    let later = NOW.plus_us(MINUTE);
    let twice = yes(&who(3, Role::Admin), &once, later).expect("the second");
    assert_eq!(twice.ends, Some(later.plus_us(30 * MINUTE)), "from the second yes on");
    assert_eq!(stage(&twice, later.plus_us(30 * MINUTE - 1)), Stage::Active);
    assert_eq!(stage(&twice, later.plus_us(30 * MINUTE)), Stage::Over, "by itself");
    assert!(yes(&who(4, Role::Admin), &twice, later).is_err(), "it is not prolonged");
}

#[test]
fn nobody_is_two_people() {
    let (asker, elevation) = asked();
    let why = |result: Result<Elevation, Denied>| match result {
        Err(Denied::Elevation { why }) => why,
        other => panic!("{other:?}"),
    };
    // The one who asked, by the same key or by another of theirs.
    let as_admin = Principal { role: Role::Admin, actions: Actions::of(Role::Admin), ..asker.clone() };
    assert_eq!(why(yes(&as_admin, &elevation, NOW)), "nobody approves their own");
    let other_key = Principal { key: KeyId(id(77)), ..as_admin };
    assert_eq!(why(yes(&other_key, &elevation, NOW)), "nobody approves their own");
    // The same person twice, by two keys.
    let officer = who(2, Role::SecurityOfficer);
    let once = yes(&officer, &elevation, NOW).expect("the first");
    let second_key = Principal { key: KeyId(id(78)), ..officer.clone() };
    assert_eq!(why(yes(&second_key, &once, NOW)), "the same person has approved it already");
    // Nobody in particular.
    assert!(why(yes(&who(0, Role::Admin), &elevation, NOW)).contains("no user"));
    // A person made for the purpose.
    let puppet = who(5, Role::Admin);
    let made = |created, created_by| Key { created, created_by, ..key(&puppet) };
    let approve_by = |key: &Key| approve(&puppet, key, &super::tests::key(&asker), &elevation, NOW);
    assert!(why(approve_by(&made(NOW, None))).contains("after the request"));
    assert!(why(approve_by(&made(Micros(0), Some(asker.key)))).contains("made by the one who asks"));
    // Who may not, and who only may because of an elevation.
    assert!(matches!(yes(&who(3, Role::Auditor), &elevation, NOW), Err(Denied::Action { .. })));
    let elevated = Principal {
        actions: Actions::of(Role::Admin),
        elevated: Some(ElevationId(id(8))),
        ..who(3, Role::Auditor)
    };
    assert_eq!(why(yes(&elevated, &elevation, NOW)), "who is elevated approves nothing");
}

#[test]
fn what_is_asked_for_has_a_reason_a_bound_and_a_use() {
    let operator = who(1, Role::Operator);
    let try_ask = |by: &Principal, role, reason: &str, minutes| {
        ask(by, ElevationId(id(9)), role, reason, minutes, NOW).map(|_| ())
    };
    assert_eq!(try_ask(&operator, Role::Admin, "why", 480), Ok(()));
    for (role, reason, minutes) in [
        (Role::Operator, "why", 5),
        (Role::Viewer, "  ", 5),
        (Role::Viewer, &"x".repeat(501), 5),
        (Role::Viewer, "why", 0),
        (Role::Viewer, "why", 481),
    ] {
        assert!(matches!(try_ask(&operator, role, reason, minutes), Err(Denied::Elevation { .. })));
    }
    let agent = who(1, Role::Agent);
    assert!(
        matches!(try_ask(&agent, Role::Admin, "why", 5), Err(Denied::Action { .. })),
        "software asks for nothing"
    );
    let elevated = Principal { elevated: Some(ElevationId(id(8))), ..operator };
    assert!(try_ask(&elevated, Role::Admin, "why", 5).is_err(), "no chain of elevations");
}

#[test]
fn it_is_ended_by_who_has_it_or_who_could_have_refused_it() {
    let (asker, elevation) = asked();
    let ended = end(&asker, &elevation, NOW).expect("one's own");
    assert_eq!((stage(&ended, NOW), ended.ended_by), (Stage::Ended, Some(asker.key)));
    assert!(end(&who(2, Role::SecurityOfficer), &elevation, NOW).is_ok());
    assert!(end(&who(3, Role::Viewer), &elevation, NOW).is_err());
    assert!(end(&asker, &ended, NOW).is_err(), "once");
    assert!(yes(&who(2, Role::Admin), &ended, NOW).is_err(), "and for good");
    let day = NOW.plus_us(24 * 60 * MINUTE);
    assert_eq!(stage(&elevation, day), Stage::Over, "a request does not wait for ever");
    assert!(yes(&who(2, Role::Admin), &elevation, day).is_err());
}
