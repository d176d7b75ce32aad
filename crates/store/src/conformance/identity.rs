//! The declared state.

use chat::Axis;
use units::{BudgetId, ElevationId, KeyId, OrgId, PicoRate, TeamId, Usd, UserId};

use super::sample;
use crate::{
    Approval, Budget, BudgetKind, Change, Elevation, Error, Key, KeyVersion, ManifestRow, Period, PriceRow,
    Role, Scope, State, Store, User,
};

fn key(n: u64) -> Key {
    Key {
        id: KeyId(sample::id(n)),
        team: sample::team(2).id,
        user: Some(UserId(sample::id(3))),
        name: format!("key-{n}"),
        role: Role::Viewer,
        subject: Some(format!("spiffe://acme/web-{n}")),
        versions: vec![
            KeyVersion { hash: [7; 32], hint: "bp-live-ab".into(), created: sample::at(n), expires: None },
            KeyVersion {
                hash: [8; 32],
                hint: "bp-live-cd".into(),
                created: sample::at(n + 1),
                expires: Some(sample::at(n + 2)),
            },
        ],
        models: Some(vec!["small".into(), "große".into()]),
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u64::MAX),
        expires: Some(sample::at(900)),
        revoked: None,
        created_by: Some(KeyId(sample::id(77))),
        created: sample::at(n),
    }
}

fn user() -> User {
    User {
        id: UserId(sample::id(3)),
        org: sample::org().id,
        name: "ada".into(),
        role: Some(Role::SecurityOfficer),
        subject: Some("https://login.example#ada".into()),
        created: sample::START,
    }
}

fn elevation(n: u64) -> Elevation {
    Elevation {
        id: ElevationId(sample::id(n)),
        key: key(6).id,
        role: Role::Viewer,
        reason: "the invoice of \"Große\" is wrong".into(),
        lasts_us: i64::MAX,
        requested: sample::at(n),
        approvals: Vec::new(),
        ends: None,
        ended_by: None,
    }
}

fn budget(n: u64, scope: Scope) -> Budget {
    Budget {
        id: BudgetId(sample::id(n)),
        name: format!("budget-{n}"),
        scope,
        limit: Usd::from_pico(i64::MAX),
        period: Period::Month,
        kind: BudgetKind::Hard,
        created: sample::at(n),
    }
}

fn price(sku: &str, ms: u64) -> PriceRow {
    PriceRow {
        sku: sku.into(),
        effective_from: sample::at(ms),
        rates: vec![(Axis::Output, PicoRate::from_pico(600_000)), (Axis::Input, PicoRate::ZERO)],
        per_request: PicoRate::from_pico(-3),
        source: "https://example.com/prices".into(),
    }
}

fn manifest(kind: &str, name: &str, text: &str) -> ManifestRow {
    ManifestRow { kind: kind.into(), name: name.into(), text: text.into(), applied: sample::START }
}

fn people() -> Vec<Change> {
    vec![Change::PutOrg(sample::org()), Change::PutTeam(sample::team(2)), Change::PutUser(user())]
}

/// Applies to the store and to a plain state; both must agree.
fn change(store: &dyn Store, expected: &mut State, changes: Vec<Change>) {
    for change in &changes {
        expected.apply(change).expect("the change is sound");
    }
    expected.generation += 1;
    assert_eq!(store.change(&changes).expect("the changes are sound"), expected.generation);
    assert_eq!(store.load().expect("it reads"), *expected);
}

pub fn a_change_bumps_the_generation_by_one(store: &dyn Store) {
    assert_eq!(store.load().expect("it reads"), State::default());
    assert_eq!(store.change(&people()).expect("sound"), 1);
    assert_eq!(store.change(&[]).expect("nothing to do"), 1);
    assert_eq!(store.change(&[Change::PutTeam(sample::team(4))]).expect("sound"), 2);
    assert_eq!(store.load().expect("it reads").generation, 2);
}

pub fn every_kind_of_change_loads_as_written(store: &dyn Store) {
    let mut state = State::default();
    change(store, &mut state, people());
    let mut bare = key(5);
    (bare.user, bare.models, bare.expires, bare.created_by) = (None, None, None, None);
    (bare.requests_per_minute, bare.tokens_per_minute) = (None, None);
    (bare.role, bare.name) = (Role::Inference, "bare".into());
    (bare.subject, bare.versions) = (None, key(5).versions[..1].to_vec());
    let mut none = key(7);
    (none.models, none.role, none.name) = (Some(vec![]), Role::Admin, "none".into());
    none.versions.clear();
    change(
        store,
        &mut state,
        vec![
            Change::PutKey(key(6)),
            Change::PutKey(bare),
            Change::PutKey(none),
            Change::PutTeam(sample::team(4)),
        ],
    );
    let mut soft = budget(9, Scope::Key(key(6).id));
    (soft.kind, soft.period) = (BudgetKind::Soft, Period::Day);
    let mut total = budget(10, Scope::Org(sample::org().id));
    total.period = Period::Total;
    change(
        store,
        &mut state,
        vec![
            Change::PutBudget(budget(8, Scope::Team(sample::team(2).id))),
            Change::PutBudget(soft),
            Change::PutBudget(total),
        ],
    );
    let mut approved = elevation(12);
    approved.approvals = [(5, 3), (7, 4)]
        .map(|(key, user)| Approval {
            key: KeyId(sample::id(key)),
            user: UserId(sample::id(user)),
            at: sample::at(20),
        })
        .into();
    approved.ends = Some(sample::at(30));
    let mut plain = user();
    (plain.id, plain.name, plain.role, plain.subject) = (UserId(sample::id(4)), "bob".into(), None, None);
    change(
        store,
        &mut state,
        vec![
            Change::PutElevation(elevation(11)),
            Change::PutElevation(elevation(12)),
            Change::PutUser(plain),
        ],
    );
    let mut ended = approved.clone();
    (ended.ends, ended.ended_by) = (Some(sample::at(25)), Some(KeyId(sample::id(7))));
    change(store, &mut state, vec![Change::PutElevation(approved)]);
    change(store, &mut state, vec![Change::PutElevation(ended)]);
    // Every role comes back as itself.
    let roles = (0u64..).zip(Role::ALL).map(|(n, role)| {
        let mut user = user();
        (user.id, user.name, user.role, user.subject) =
            (UserId(sample::id(100 + n)), role.name().into(), Some(role), None);
        Change::PutUser(user)
    });
    change(store, &mut state, roles.collect());
    // Replacements: fewer versions, a revocation, another limit.
    let mut revoked = key(6);
    revoked.versions.remove(0);
    revoked.models = Some(vec!["large".into()]);
    revoked.revoked = Some(sample::at(500));
    let mut team = sample::team(2);
    (team.requests_per_minute, team.tokens_per_minute) = (None, Some(1));
    change(
        store,
        &mut state,
        vec![
            Change::PutKey(revoked),
            Change::PutTeam(team),
            Change::RemoveBudget(BudgetId(sample::id(8))),
            Change::AddPrice(price("openai/a", 1)),
        ],
    );
}

pub fn a_batch_of_changes_is_atomic(store: &dyn Store) {
    store.change(&people()).expect("sound");
    let before = store.load().expect("it reads");
    let bad = [Change::PutTeam(sample::team(4)), Change::RemoveBudget(BudgetId(sample::id(99)))];
    assert!(matches!(store.change(&bad), Err(Error::Missing { kind: "budget", .. })));
    assert_eq!(store.load().expect("it reads"), before);
    assert_eq!(store.change(&bad[..1]).expect("sound"), 2);
}

pub fn names_are_unique_where_said(store: &dyn Store) {
    store.change(&people()).expect("sound");
    let scope = Scope::Org(sample::org().id);
    store
        .change(&[
            Change::PutKey(key(5)),
            Change::PutTeam(sample::team(4)),
            Change::PutBudget(budget(8, scope)),
        ])
        .expect("sound");
    let mut team = sample::team(9);
    team.name = sample::team(4).name;
    let mut twin = key(6);
    twin.name = key(5).name;
    let mut other = budget(10, scope);
    other.name = budget(8, scope).name;
    let mut same_subject = key(6);
    (same_subject.name, same_subject.subject) = ("another".into(), key(5).subject);
    let mut same_person = user();
    (same_person.id, same_person.name) = (UserId(sample::id(30)), "eve".into());
    for bad in [
        Change::PutTeam(team),
        Change::PutKey(twin.clone()),
        Change::PutKey(same_subject),
        Change::PutUser(same_person),
        Change::PutBudget(other),
    ] {
        let result = store.change(std::slice::from_ref(&bad));
        assert!(matches!(result, Err(Error::Exists { .. })), "{bad:?}: {result:?}");
    }
    // A key's name is unique in its team only.
    twin.team = sample::team(4).id;
    store.change(&[Change::PutKey(twin)]).expect("another team");
}

pub fn what_is_referred_to_must_exist(store: &dyn Store) {
    store.change(&people()).expect("sound");
    let mut team = sample::team(4);
    team.org = OrgId(sample::id(99));
    let mut user = user();
    user.org = OrgId(sample::id(99));
    let mut key = key(5);
    key.team = TeamId(sample::id(99));
    let budget = budget(8, Scope::Key(KeyId(sample::id(99))));
    let gone = Change::RemoveManifest { kind: "Model".into(), name: "gone".into() };
    for bad in [
        Change::PutTeam(team),
        Change::PutUser(user),
        Change::PutKey(key),
        Change::PutElevation(elevation(11)),
        Change::PutBudget(budget),
        gone,
    ] {
        let result = store.change(std::slice::from_ref(&bad));
        assert!(matches!(result, Err(Error::Missing { .. })), "{bad:?}: {result:?}");
    }
    assert_eq!(store.load().expect("it reads").generation, 1);
}

pub fn prices_are_dated_and_never_changed(store: &dyn Store) {
    let mut state = State::default();
    change(store, &mut state, vec![Change::AddPrice(price("z/1", 2)), Change::AddPrice(price("a/1", 2))]);
    change(store, &mut state, vec![Change::AddPrice(price("z/1", 1))]);
    change(store, &mut state, vec![Change::AddPrice(price("z/1", 1))]);
    assert_eq!(store.load().expect("it reads").prices.len(), 3, "the same row again adds none");
    let mut other = price("z/1", 2);
    other.rates.pop();
    assert!(matches!(store.change(&[Change::AddPrice(other)]), Err(Error::Exists { kind: "price", .. })));
}

pub fn manifests_are_put_replaced_and_removed(store: &dyn Store) {
    let mut state = State::default();
    let put = |kind: &str, name: &str, text: &str| Change::PutManifest(manifest(kind, name, text));
    change(store, &mut state, vec![put("Team", "red", "a: 1\n"), put("Model", "small", "b: 2\n")]);
    change(store, &mut state, vec![put("Team", "red", "a: 3\n# comment é\n"), put("Model", "red", "")]);
    let remove = Change::RemoveManifest { kind: "Model".into(), name: "red".into() };
    change(store, &mut state, vec![remove]);
}
