//! Roles that come and go, and the admin who stays.

use store::{Org, Team};
use units::{KeyId, OrgId, TeamId, Uuid7};

use super::*;

const NOW: Micros = Micros(1_000_000);

fn id(n: u8) -> Uuid7 {
    Uuid7::new(NOW, [n; 10])
}

fn key(n: u8, role: Role, user: Option<&User>) -> Key {
    Key {
        id: KeyId(id(n)),
        team: TeamId(id(2)),
        user: user.map(|u| u.id),
        name: format!("key-{n}"),
        role,
        subject: user.and_then(|u| u.subject.clone()),
        versions: Vec::new(),
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: NOW,
    }
}

fn ada(role: Option<Role>) -> User {
    User {
        id: UserId(id(9)),
        org: OrgId(id(1)),
        name: "ada".into(),
        role,
        subject: Some("https://a#1".into()),
        created: NOW,
    }
}

fn state(changes: impl IntoIterator<Item = Change>) -> State {
    let org = Org { id: OrgId(id(1)), name: "acme".into(), created: NOW };
    let team = Team {
        id: TeamId(id(2)),
        org: org.id,
        name: "admin".into(),
        requests_per_minute: None,
        tokens_per_minute: None,
        created: NOW,
    };
    let mut state = State::default();
    for change in [Change::PutOrg(org), Change::PutTeam(team)].into_iter().chain(changes) {
        state.apply(&change).expect("it is sound");
    }
    state
}

fn refused(state: &State, change: &Change) -> bool {
    keeps_an_admin(state, change, NOW).is_err_and(|report| report.code.0 == "CT0004")
}

#[test]
fn the_last_admin_is_never_taken_away() {
    let admin = ada(Some(Role::Admin));
    // Her groups make her a developer; the appointment makes her the only admin.
    let only = state([
        Change::PutUser(admin.clone()),
        Change::PutKey(key(3, Role::Developer, Some(&admin))),
        Change::PutKey(key(4, Role::SecurityOfficer, None)),
    ]);
    let demoted = |role| Change::PutUser(ada(role));
    assert!(refused(&only, &demoted(Some(Role::Auditor))) && refused(&only, &demoted(None)));
    assert!(!refused(&only, &demoted(Some(Role::Admin))), "nothing changes");
    let revoked = Key { revoked: Some(NOW), ..key(3, Role::Developer, Some(&admin)) };
    assert!(refused(&only, &Change::PutKey(revoked)));
    // Another admin's key makes her replaceable, unless it is over.
    let over = Key { expires: Some(NOW), ..key(5, Role::Admin, None) };
    for (other, stays) in [(key(5, Role::Admin, None), false), (over, true)] {
        let mut two = only.clone();
        two.apply(&Change::PutKey(other)).expect("it is sound");
        assert_eq!(refused(&two, &demoted(None)), stays);
    }
    // Where the groups make her one, an admin's word is not needed for it.
    let by_groups =
        state([Change::PutUser(ada(None)), Change::PutKey(key(3, Role::Admin, Some(&ada(None))))]);
    assert!(!refused(&by_groups, &demoted(None)) && refused(&by_groups, &demoted(Some(Role::Developer))));
}

#[test]
fn whoever_changes_a_role_could_give_the_one_that_goes_and_the_one_that_comes() {
    let ada = ada(Some(Role::Auditor));
    let all = state([Change::PutUser(ada.clone()), Change::PutKey(key(3, Role::Admin, Some(&ada)))]);
    assert_eq!(touched(&all, &ada, Some(Role::Developer)), [Role::Auditor, Role::Developer]);
    // Without a word of ours she would be what her groups have made her: an officer may not bring that about.
    assert_eq!(touched(&all, &ada, None), [Role::Auditor, Role::Admin]);
}
