//! Identification against a small state: every way a key can fail.

use store::{Elevation, Key, KeyVersion, User};
use units::Uuid7;

use crate::mint;

use super::*;

const NOW: Micros = Micros(1_000_000);

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn pepper() -> Pepper {
    Pepper::new([7; 32])
}

fn key(n: u8, version: KeyVersion) -> Key {
    Key {
        id: KeyId(id(n)),
        team: TeamId(id(2)),
        user: None,
        name: format!("key {n}"),
        role: Role::Inference,
        subject: None,
        versions: vec![version],
        models: Some(vec!["small".into()]),
        requests_per_minute: Some(5),
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: Micros(0),
    }
}

fn state(keys: Vec<Key>) -> State {
    let team = Team {
        id: TeamId(id(2)),
        org: OrgId(id(1)),
        name: "search".into(),
        requests_per_minute: None,
        tokens_per_minute: Some(900),
        created: Micros(0),
    };
    State { teams: vec![team], keys, ..State::default() }
}

fn minted(n: u8) -> (String, KeyVersion) {
    mint(&pepper(), [n; 32], Micros(0), None)
}

#[test]
fn a_known_key_is_who_it_says() {
    let (text, version) = minted(1);
    let directory = Directory::new(&state(vec![key(3, version)]), &pepper());
    let principal = directory.identify(&text, NOW).unwrap();
    assert_eq!((principal.key, principal.team, principal.org), (KeyId(id(3)), TeamId(id(2)), OrgId(id(1))));
    assert_eq!((&*principal.key_name, &*principal.team_name), ("key 3", "search"));
    let rates = Rates { key_requests: Some(5), team_tokens: Some(900), ..Rates::default() };
    assert_eq!(principal.rates, rates);
    assert_eq!(crate::may_use(&principal, "small"), Ok(()));
    assert_eq!(crate::may_use(&principal, "large"), Err(Denied::Model { model: "large".into() }));
}

#[test]
fn what_is_not_a_live_key_is_refused_with_its_own_code() {
    let (text, version) = minted(1);
    let (revoked_text, revoked_version) = minted(2);
    let (expired_text, expired_version) = minted(3);
    let revoked = Key { revoked: Some(Micros(5)), ..key(4, revoked_version) };
    let expired = Key { expires: Some(NOW), ..key(5, expired_version) };
    let directory = Directory::new(&state(vec![key(3, version), revoked, expired]), &pepper());
    let code = |presented: &str| directory.identify(presented, NOW).unwrap_err().report().code.0;
    assert_eq!(code(""), "ID0001");
    assert_eq!(code("sk-1234"), "ID0002");
    assert_eq!(code(&text[..51]), "ID0002");
    assert_eq!(code(&format!("{text}x")), "ID0002");
    assert_eq!(code(&"bp-".repeat(1 << 20)), "ID0002");
    assert_eq!(code(&minted(9).0), "ID0002");
    assert_eq!(code(&revoked_text), "ID0004");
    assert_eq!(code(&expired_text), "ID0003");
    assert!(directory.identify(&expired_text, Micros(NOW.0 - 1)).is_ok(), "until the instant of its expiry");
}

#[test]
fn two_versions_live_side_by_side_until_the_old_one_expires() {
    let (old_text, mut old) = minted(1);
    let (new_text, new) = minted(2);
    old.expires = Some(Micros(NOW.0 + 10));
    let rotating = Key { versions: vec![old, new], ..key(3, minted(3).1) };
    let directory = Directory::new(&state(vec![rotating]), &pepper());
    assert_eq!(directory.identify(&old_text, NOW).unwrap().key, KeyId(id(3)));
    assert_eq!(directory.identify(&new_text, NOW).unwrap().key, KeyId(id(3)));
    let later = Micros(NOW.0 + 10);
    assert!(matches!(directory.identify(&old_text, later), Err(Denied::Expired { .. })));
    assert!(directory.identify(&new_text, later).is_ok());
}

#[test]
fn another_pepper_knows_nobody_and_a_key_without_a_team_is_nobody() {
    let (text, version) = minted(1);
    let keys = vec![key(3, version.clone())];
    let other = Directory::new(&state(keys), &Pepper::new([8; 32]));
    assert_eq!(other.identify(&text, NOW), Err(Denied::UnknownKey));
    let stray = Key { team: TeamId(id(99)), ..key(3, version) };
    assert_eq!(Directory::new(&state(vec![stray]), &pepper()).identify(&text, NOW), Err(Denied::UnknownKey));
}

#[test]
fn trap_x4_no_refusal_repeats_what_was_presented() {
    let (text, _) = minted(1);
    let directory = Directory::new(&state(Vec::new()), &pepper());
    for presented in [text.as_str(), &text[..40], "sk-canary-0123456789", &format!(" {text}")] {
        let denied = directory.identify(presented, NOW).unwrap_err();
        let shown = format!("{denied:?} {} {}", denied.report(), denied.report().sentence());
        assert!(!shown.contains(&presented[3..20]), "{shown}");
    }
}

#[test]
fn a_subject_is_the_key_it_stands_for_and_two_teams_are_told_apart() {
    let state = {
        let (_, version) = minted(1);
        let subject = |n| Key { subject: Some("spiffe://acme/web".into()), ..key(n, version.clone()) };
        let mut state = state(vec![Key { versions: Vec::new(), ..subject(3) }]);
        state.teams.push(Team { id: TeamId(id(9)), name: "other".into(), ..state.teams[0].clone() });
        state.keys.push(Key { team: TeamId(id(9)), revoked: Some(Micros(7)), ..subject(4) });
        state
    };
    let directory = Directory::new(&state, &pepper());
    let who = |team| directory.subject("spiffe://acme/web", team, NOW);
    assert_eq!(who(Some(TeamId(id(2)))).map(|p| p.key), Ok(KeyId(id(3))));
    assert_eq!(who(Some(TeamId(id(9)))).map(|p| p.key), Err(Denied::Revoked { at: Micros(7) }));
    assert_eq!(who(None), Err(Denied::NoSeat { many: true }));
    for other in ["spiffe://acme/web/", "spiffe://acme/we", "SPIFFE://acme/web", ""] {
        assert_eq!(directory.subject(other, None, NOW), Err(Denied::NoSeat { many: false }), "{other}");
    }
    assert_eq!(directory.key(KeyId(id(3)), NOW).map(|p| p.team), Ok(TeamId(id(2))));
    assert_eq!(directory.key(KeyId(id(8)), NOW), Err(Denied::UnknownKey));
}

#[test]
fn an_agent_may_do_what_both_it_and_its_user_may() {
    let (text, version) = minted(1);
    let user = |role| User {
        id: UserId(id(6)),
        org: OrgId(id(1)),
        name: "ada".into(),
        role,
        subject: None,
        created: Micros(0),
    };
    let agent = Key { role: Role::Agent, user: Some(UserId(id(6))), ..key(3, version) };
    let actions = |role| {
        let state = State { users: vec![user(role)], ..state(vec![agent.clone()]) };
        let who = Directory::new(&state, &pepper()).identify(&text, NOW).unwrap();
        assert_eq!(who.acting_for, Some(UserId(id(6))));
        who.actions
    };
    assert_eq!(actions(None), Actions::of(Role::Agent), "a user without a role bounds nothing");
    assert_eq!(actions(Some(Role::Admin)), Actions::of(Role::Agent), "an agent of an admin is no admin");
    let auditors = actions(Some(Role::Auditor));
    assert!(!auditors.has(crate::Action::Infer), "an auditor runs no models, nor does its agent");
}

#[test]
fn an_elevation_adds_rights_until_it_ends_by_itself() {
    let (text, version) = minted(1);
    let mut state = state(vec![key(3, version)]);
    let elevation = Elevation {
        id: ElevationId(id(5)),
        key: KeyId(id(3)),
        role: Role::Viewer,
        reason: "why".into(),
        lasts_us: 10,
        requested: Micros(0),
        approvals: Vec::new(),
        ends: None,
        ended_by: None,
    };
    state.elevations = vec![elevation.clone()];
    let at = |state: &State, now| Directory::new(state, &pepper()).identify(&text, now).unwrap();
    assert_eq!(at(&state, NOW).actions, Actions::of(Role::Inference), "asked for is not approved");
    state.elevations[0].ends = Some(Micros(NOW.0 + 10));
    let elevated = at(&state, NOW);
    assert_eq!(elevated.actions, Actions::of(Role::Viewer));
    assert_eq!((elevated.role, elevated.elevated), (Role::Inference, Some(ElevationId(id(5)))));
    assert_eq!(elevated.expires, Some(Micros(NOW.0 + 10)), "what it makes ends with it (TRAPS X3)");
    let later = at(&state, Micros(NOW.0 + 10));
    assert_eq!((later.actions, later.elevated), (Actions::of(Role::Inference), None));
    assert_eq!(later.expires, None, "the key itself goes on");
}

#[test]
fn whom_a_token_lets_act_for_somebody_may_do_what_both_may() {
    let (agent_text, agent) = minted(1);
    let (ada_text, ada) = minted(2);
    let (other_text, other) = minted(3);
    let user = |n: u8| User {
        id: UserId(id(n)),
        org: OrgId(id(1)),
        name: format!("user {n}"),
        role: None,
        subject: None,
        created: Micros(0),
    };
    let models = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
    let agent = Key { models: models(&["small", "large"]), role: Role::Viewer, ..key(3, agent) };
    let ada = Key {
        models: models(&["large", "huge"]),
        role: Role::Developer,
        user: Some(UserId(id(6))),
        expires: Some(Micros(NOW.0 + 5)),
        ..key(4, ada)
    };
    let bound = Key { role: Role::Agent, user: Some(UserId(id(7))), ..key(5, other) };
    let state = State { users: vec![user(6), user(7)], ..state(vec![agent, ada, bound]) };
    let directory = Directory::new(&state, &pepper());
    let who = |text: &str| directory.identify(text, NOW).unwrap();
    let both = who(&agent_text).on_behalf_of(&who(&ada_text)).unwrap();
    assert_eq!(
        (both.key, both.acting_for, both.user),
        (KeyId(id(3)), Some(UserId(id(6))), Some(UserId(id(6))))
    );
    assert_eq!(both.actions, Actions::of(Role::Viewer).both(Actions::of(Role::Developer)));
    assert!(!both.actions.has(crate::Action::ReadRecords), "ada may not");
    assert_eq!(both.expires, Some(Micros(NOW.0 + 5)));
    let may = |model: &str| crate::may_use(&both, model).is_ok();
    assert_eq!((may("small"), may("large"), may("huge")), (false, true, false));
    // Another's agent, nobody's key, and an agent's agent.
    for (actor, user) in [(&other_text, &ada_text), (&ada_text, &agent_text), (&agent_text, &other_text)] {
        let refused = who(actor).on_behalf_of(&who(user));
        assert_eq!(refused.map_err(|d| d.report().code.0), Err("PO0005"));
    }
}
