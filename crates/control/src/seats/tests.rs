//! Who gets which key on their first visit, and on the next.

use policy::Pepper;
use store::{Org, Team};
use units::OrgId;

use super::*;

const NOW: Micros = Micros(1_000_000);

fn state() -> State {
    let org = Org { id: OrgId(runtime::new_id()), name: "acme".into(), created: NOW };
    let team = |name: &str| {
        let (id, org, name) = (TeamId(runtime::new_id()), org.id, name.into());
        Change::PutTeam(Team {
            id,
            org,
            name,
            requests_per_minute: None,
            tokens_per_minute: None,
            created: NOW,
        })
    };
    let mut state = State::default();
    for change in [team("search"), team("other")] {
        state.apply(&Change::PutOrg(org.clone())).and_then(|()| state.apply(&change)).expect("sound");
    }
    state
}

fn seat(state: &mut State, visitor: &Visitor<'_>) -> Result<KeyId, Report> {
    let (key, changes) = seating(state, visitor, NOW)?;
    for change in &changes {
        state.apply(change).expect("sound");
    }
    Ok(key)
}

fn visitor<'v>(subject: &'v str, name: Option<&'v str>, team: &'v str) -> Visitor<'v> {
    Visitor { subject, name, team, role: Role::Developer }
}

#[test]
fn a_visitor_gets_one_key_in_each_team_and_is_one_person() {
    let mut state = state();
    let ada = "https://a#1";
    let first = seat(&mut state, &visitor(ada, Some("ada@acme.example"), "search")).expect("a key");
    assert_eq!(seat(&mut state, &visitor(ada, Some("ada@acme.example"), "search")).expect("the same"), first);
    let other = seat(&mut state, &visitor(ada, Some("renamed@acme.example"), "other")).expect("a key");
    assert_ne!(first, other);
    assert_eq!((state.users.len(), state.keys.len()), (1, 2));
    assert_eq!(state.users[0].name, "ada@acme.example", "a name stays");
    assert!(state.keys.iter().all(|k| k.versions.is_empty() && k.user == Some(state.users[0].id)));
    let promoted = Visitor { role: Role::Operator, ..visitor(ada, None, "search") };
    seat(&mut state, &promoted).expect("the same");
    assert_eq!(state.keys.iter().find(|k| k.id == first).map(|k| k.role), Some(Role::Operator));
    let report = seat(&mut state, &visitor(ada, None, "nowhere")).expect_err("no such team");
    assert!(report.to_string().contains("ID0009") && report.to_string().contains("nowhere"), "{report}");
}

#[test]
fn nobody_takes_the_name_of_somebody_else() {
    let mut state = state();
    let made = User {
        id: UserId(runtime::new_id()),
        org: state.orgs[0].id,
        name: "ada@acme.example".into(),
        role: Some(Role::SecurityOfficer),
        subject: None,
        created: NOW,
    };
    state.apply(&Change::PutUser(made.clone())).expect("sound");
    // Without a checked name one is a new person, whatever one's subject looks like.
    seat(&mut state, &visitor("https://a#ada@acme.example", None, "search")).expect("a key");
    assert_eq!(state.users.len(), 2);
    assert!(state.users.iter().any(|u| u.id == made.id && u.subject.is_none()));
    // With it, one is the person whom the admin has made, and from then on nobody else is.
    seat(&mut state, &visitor("https://a#1", Some("ada@acme.example"), "search")).expect("a key");
    let ada = state.users.iter().find(|u| u.id == made.id).cloned();
    assert_eq!(ada.and_then(|u| u.subject).as_deref(), Some("https://a#1"));
    let report = seat(&mut state, &visitor("https://b#1", Some("ada@acme.example"), "search"));
    assert!(report.expect_err("taken").to_string().contains("somebody who signs in as another"));
}

#[test]
fn any_name_becomes_one_that_labels_can_carry() {
    let mut state = state();
    for (n, name) in
        ["Ada Lovelace", "a@b@c", "", "ÅÅÅ", &"x".repeat(300), "ada\nrole=admin"].iter().enumerate()
    {
        seat(&mut state, &visitor(&format!("https://a#{n}"), Some(name), "search")).expect("a key");
    }
    for user in state.users {
        assert!(check_user_name(&user.name).is_ok(), "{}", user.name);
    }
}

#[test]
fn a_sign_in_is_a_secret_for_a_while_and_ends_when_it_is_told() {
    let mut state = state();
    seat(&mut state, &visitor("https://a#1", None, "search")).expect("a key");
    let pepper = Pepper::new([7; 32]);
    let until = Micros(61_000_000);
    let secret = || policy::mint(&pepper, runtime::random::bytes(), NOW, Some(until));
    let (first, version) = secret();
    let mut key = signed_in(&state.keys[0], version, NOW);
    assert_eq!(key.versions[0].expires, Some(until));
    for _ in 0..20 {
        key = signed_in(&key, secret().1, NOW);
    }
    assert_eq!(key.versions.len(), SIGN_INS_MAX, "the oldest goes");
    assert!(signed_out(&key, pepper.hash(&first)).is_none(), "it is gone already");
    let (text, version) = secret();
    let key = signed_in(&key, version, NOW);
    let key = signed_out(&key, pepper.hash(&text)).expect("it was there");
    assert_eq!(key.versions.len(), SIGN_INS_MAX - 1);
    assert_eq!(signed_in(&key, secret().1, until).versions.len(), 1, "what has ended is not kept");
    let made = Key { subject: None, ..key.clone() };
    assert!(
        signed_out(&made, key.versions[0].hash).is_none(),
        "a key that somebody made is revoked, not left"
    );
}
