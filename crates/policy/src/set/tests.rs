use proptest::prelude::*;
use store::{Key, KeyVersion, Org, Role, State, Team, User};
use units::{KeyId, Labels, Micros, OrgId, Sensitivity, TeamId, Usd, UserId, Uuid7};

use super::*;
use crate::{Place, PlaceKind, Purpose};

fn id(n: u8) -> Uuid7 {
    Uuid7::from_bytes([n; 16])
}

fn key(n: u8, team: u8, name: &str, role: Role, user: Option<u8>, models: Option<&[&str]>) -> Key {
    Key {
        id: KeyId(id(n)),
        team: TeamId(id(team)),
        user: user.map(|n| UserId(id(n))),
        name: name.into(),
        role,
        subject: None,
        versions: Vec::<KeyVersion>::new(),
        models: models.map(|m| m.iter().map(|m| (*m).to_owned()).collect()),
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: Micros(0),
    }
}

/// Teams `search` (with a catalogue) and `security`; a key of alice, an agent's
/// key, and an admin's.
fn state() -> State {
    let org = Org { id: OrgId(id(1)), name: "default".into(), created: Micros(0) };
    let team = |n, name: &str| Team {
        id: TeamId(id(n)),
        org: org.id,
        name: name.into(),
        requests_per_minute: None,
        tokens_per_minute: None,
        created: Micros(0),
    };
    let user = |n, name: &str| User {
        id: UserId(id(n)),
        org: org.id,
        name: name.into(),
        role: None,
        subject: None,
        created: Micros(0),
    };
    State {
        teams: vec![team(2, "search"), team(3, "security")],
        users: vec![user(4, "alice"), user(5, "bob")],
        keys: vec![
            key(6, 2, "app", Role::Inference, None, None),
            key(7, 2, "alice", Role::Inference, Some(4), Some(&["small"])),
            key(9, 2, "robot", Role::Agent, Some(4), None),
            key(8, 3, "officer", Role::Admin, None, None),
        ],
        orgs: vec![org],
        ..State::default()
    }
}

fn world() -> World {
    let outside = Place::of_kind(PlaceKind::External, "openai/small");
    let inside = Place {
        zones: ["eu".parse().expect("a zone")].into(),
        ..Place::of_kind(PlaceKind::Inside, "local/big")
    };
    let model =
        |name, places: Vec<&'static Place>| ModelFacts { name, providers: vec!["p"], places, digest: None };
    let models = [
        model("small", vec![Box::leak(Box::new(outside.clone()))]),
        model("big", vec![Box::leak(Box::new(inside))]),
        model("secret", vec![Box::leak(Box::new(outside))]),
    ];
    let catalogue = ["small".to_owned(), "big".to_owned()];
    World::new(&state(), &[TeamFacts { name: "search", models: &catalogue }], &models).expect("a world")
}

fn forbid<'a>(id: &'a str, text: &'a str) -> Declared<'a> {
    Declared { id, description: "For a test.", effect: Effect::Forbid, text }
}

fn labels(text: &str) -> Labels {
    text.parse().expect("labels")
}

fn ask(set: &PolicySet, subject: &Subject, model: &str, data: &Labels) -> Decision {
    set.decide(&world(), subject, Act::Invoke, &Object::model(model), &Facts::of(data, Purpose::Chat))
}

fn compile(declared: &[Declared<'_>]) -> PolicySet {
    PolicySet::compile(declared).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_built_in_policies_and_every_entity_fit_the_schema() {
    let set = compile(&[]);
    assert_eq!(set.about().len(), BUILTIN.len());
    world().check().expect("entities as the schema has them");
    let known: std::collections::BTreeSet<String> =
        compile::SCHEMA.actions().map(|a| a.id().unescaped().to_owned()).collect();
    for act in Act::ALL {
        assert!(known.contains(act.name()), "{} is no action of the schema", act.name());
    }
    let all = "forbid (principal, action == Action::\"invoke\", resource) when { context has attestation && context.attestation.tee == \"x\" && context.region == \"eu\" };";
    assert!(
        PolicySet::compile(&[forbid("x", all)]).is_err(),
        "region is optional and must be asked for with `has`"
    );
}

#[test]
fn every_context_fits_the_schema() {
    let data = labels("restricted de+eu untrusted");
    let facts = Facts {
        region: Some("eu"),
        budget_left: Some(Usd::dollars(1)),
        injection_score: Some(90),
        pii_types: &["email".to_owned()],
        attestation: Some(("snp", "up-to-date", 60)),
        on_behalf_of: Some("alice"),
        ..Facts::of(&data, Purpose::Chat)
    };
    for facts in [facts, Facts::of_an_admin()] {
        let context = facts.context().expect("a context");
        for act in Act::ALL {
            context.validate(&compile::SCHEMA, act.uid()).unwrap_or_else(|e| panic!("{}: {e}", act.name()));
        }
    }
}

#[test]
fn a_model_is_used_by_whom_it_was_granted_to() {
    let set = compile(&[]);
    let (app, alice) = (Subject::key("search", "app"), Subject::key("search", "alice"));
    let public = Labels::default();
    let allowed = ask(&set, &app, "big", &public);
    assert!(allowed.allowed && allowed.is_by("bedplate-grant"), "{allowed:?}");
    for (who, model) in [(&app, "secret"), (&alice, "big"), (&alice, "secret")] {
        let denied = ask(&set, who, model, &public);
        assert!(!denied.allowed && denied.determining.is_empty(), "{model}: {denied:?}");
    }
    assert!(
        ask(&set, &Subject::key("security", "officer"), "secret", &public).allowed,
        "no catalogue, no list"
    );
    let report = set.report(&ask(&set, &app, "secret", &public), Act::Invoke, "model \"secret\"");
    assert_eq!(report.code.0, "PO0001");
}

#[test]
fn labels_that_no_target_may_have_and_a_spent_budget_are_forbidden() {
    let set = compile(&[]);
    let app = Subject::key("search", "app");
    assert!(ask(&set, &app, "small", &labels("confidential anywhere user")).is_by("bedplate-sensitivity"));
    assert!(ask(&set, &app, "small", &labels("public eu user")).is_by("bedplate-residency"));
    assert!(ask(&set, &app, "big", &labels("restricted eu user")).allowed);
    assert!(!ask(&set, &app, "big", &labels("public nowhere user")).allowed);
    let public = Labels::default();
    let spent = |left| {
        let facts = Facts { budget_left: Some(left), ..Facts::of(&public, Purpose::Chat) };
        set.decide(&world(), &app, Act::Invoke, &Object::model("big"), &facts)
    };
    assert!(
        spent(Usd::ZERO).is_by("bedplate-budget") && spent(Usd::from_pico(999_999)).is_by("bedplate-budget")
    );
    assert!(spent(Usd::dollars(1)).allowed);
}

#[test]
fn an_agent_may_do_what_both_it_and_its_user_may() {
    let set = compile(&[]);
    let (world, public) = (world(), Labels::default());
    let agent = |models: Option<&[&str]>| Subject::agent("search", "bot", "inference", models);
    let both = |agent: &Subject, user: &str, model: &str| {
        let facts = Facts { on_behalf_of: Some("alice"), ..Facts::of(&public, Purpose::Chat) };
        set.decide_both(&world, agent, &Subject::user(user), Act::Invoke, &Object::model(model), &facts)
    };
    assert!(both(&agent(None), "alice", "small").allowed);
    assert!(!both(&agent(None), "alice", "big").allowed, "the user may not");
    assert!(!both(&agent(Some(&["big"])), "alice", "small").allowed, "the agent may not");
    assert!(both(&agent(None), "bob", "big").allowed, "a user without a key has no list");
    let key = world.key("search", "robot").expect("a key of an agent");
    assert!(both(&key, "alice", "small").allowed && !both(&key, "alice", "big").allowed);
    assert!(!both(&agent(None), "nobody", "small").allowed, "an unknown user may nothing");
    let no_agents = compile(&[forbid(
        "no-agents",
        "forbid (principal is Agent, action == Action::\"invoke\", resource == Model::\"small\");",
    )]);
    let facts = Facts::of(&public, Purpose::Chat);
    let decided = no_agents.decide_both(
        &world,
        &agent(None),
        &Subject::user("alice"),
        Act::Invoke,
        &Object::model("small"),
        &facts,
    );
    assert!(decided.is_by("no-agents"), "{decided:?}");
}

#[test]
fn a_policy_that_fails_denies() {
    // Overflow is the one error that the schema cannot rule out.
    let set = compile(&[forbid(
        "overflow",
        "forbid (principal, action == Action::\"invoke\", resource) when { context.sensitivity + 9223372036854775807 > 9223372036854775806 && context.purpose == \"never\" };",
    )]);
    let app = Subject::key("search", "app");
    let failed = ask(&set, &app, "big", &labels("internal anywhere user"));
    assert!(!failed.allowed && failed.failed.is_some(), "Cedar alone would have allowed it: {failed:?}");
    assert_eq!(set.report(&failed, Act::Invoke, "model \"big\"").code.0, "PO0002");
    assert!(ask(&set, &app, "big", &Labels::default()).allowed, "without overflow it decides");
    // Nobody and nothing that the world does not know is permitted anything.
    assert!(!ask(&compile(&[]), &Subject::key("search", "ghost"), "big", &Labels::default()).allowed);
    assert!(!ask(&compile(&[]), &app, "ghost", &Labels::default()).allowed);
}

#[test]
fn declared_policies_name_teams_users_and_models_by_their_names() {
    let set = compile(&[forbid(
        "not-alice",
        "forbid (principal in User::\"alice\", action, resource == Model::\"small\");",
    )]);
    assert!(ask(&set, &Subject::key("search", "alice"), "small", &Labels::default()).is_by("not-alice"));
    assert!(ask(&set, &Subject::key("search", "app"), "small", &Labels::default()).allowed);
    let set = compile(&[forbid(
        "only-security",
        "forbid (principal, action in Action::\"admin\", resource) unless { principal in Team::\"security\" };",
    )]);
    let may = |who: Subject| {
        set.decide(&world(), &who, Act::AdminWrite, &Object::deployment(), &Facts::of_an_admin()).allowed
    };
    assert!(may(Subject::key("security", "officer")) && !may(Subject::key("search", "app")));
    let stranger = Subject::service::<&str>("security", "token", "admin", None);
    assert!(may(stranger), "a principal without a key is in its team");
}

#[test]
fn things_that_the_world_does_not_hold_are_decided_on() {
    let set = compile(&[forbid(
        "no-tainted-tools",
        "forbid (principal, action == Action::\"call_tool\", resource is Tool) when { context.integrity == 2 && (resource.egress || resource.sideEffect) };",
    )]);
    let (world, app) = (world(), Subject::key("search", "app"));
    let may = |act, object: Object, data: &str| {
        set.decide(&world, &app, act, &object, &Facts::of(&labels(data), Purpose::Tool)).allowed
    };
    assert!(may(Act::CallTool, Object::tool("mail", true, true, ""), "public anywhere user"));
    assert!(!may(Act::CallTool, Object::tool("mail", true, true, ""), "public anywhere untrusted"));
    assert!(may(Act::CallTool, Object::tool("clock", false, false, ""), "public anywhere untrusted"));
    let of = |readers: &[&str]| Object::collection("papers", readers, Sensitivity::Public);
    assert!(may(Act::Retrieve, of(&["search"]), "public anywhere user"));
    assert!(!may(Act::Retrieve, of(&["security"]), "public anywhere user"));
}

#[test]
fn a_set_under_which_nobody_could_change_policies_is_noticed() {
    let world = world();
    let admins = [Subject::key("security", "officer")];
    assert!(compile(&[]).can_be_changed(&world, &admins));
    let closed = compile(&[forbid("closed", "forbid (principal, action in Action::\"admin\", resource);")]);
    assert!(!closed.can_be_changed(&world, &admins));
    let unless = "forbid (principal, action, resource) unless { principal in Team::\"security\" };";
    assert!(compile(&[forbid("open", unless)]).can_be_changed(&world, &admins));
    assert!(!compile(&[forbid("open", unless)]).can_be_changed(&world, &[Subject::key("search", "app")]));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let problems = |declared: &[Declared<'_>]| {
        let found = PolicySet::compile(declared).err().expect("refused");
        found.into_iter().map(|p| (p.policy, p.line, p.what)).collect::<Vec<_>>()
    };
    let found =
        problems(&[forbid("a", "forbid (principal, action, resource)\nwhen {\n  context.colour == 1\n};")]);
    assert!(!found.is_empty() && found.iter().all(|(p, line, _)| p == "a" && *line == 3), "{found:?}");
    let found = problems(&[forbid("b", "forbid (principal, action, resource)\nwhen { 1 + };")]);
    assert_eq!((found[0].0.as_str(), found[0].1), ("b", 2), "{found:?}");
    let found = problems(&[forbid("c", "permit (principal, action, resource);")]);
    assert!(found[0].2.contains("declared to forbid"), "{found:?}");
    let found = problems(&[forbid("d", "forbid (principal == ?principal, action, resource);")]);
    assert!(!found.is_empty(), "a template is no policy");
    let found = problems(&[forbid("e", "forbid (principal is Model, action, resource);")]);
    assert!(!found.is_empty(), "it can never apply");
    let long = format!("forbid (principal, action, resource) when {{ {} }};", "!".repeat(60) + "true");
    assert!(problems(&[forbid("f", &long)])[0].2.contains("nested"));
    let names: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let many: Vec<Declared<'_>> =
        names.iter().map(|name| forbid(name, "forbid (principal, action, resource);")).collect();
    assert!(problems(&many)[0].2.contains("40 policies"));
    let twice = [forbid("g", "forbid (principal, action, resource);"); 2];
    assert!(!problems(&twice).is_empty());
    assert!(
        !problems(&[forbid("bedplate-grant", "forbid (principal, action, resource);")]).is_empty(),
        "no id of ours"
    );
}

#[test]
fn a_closed_set_allows_administration_alone() {
    let problem = Problem { policy: "a".into(), line: 1, what: "broken".into(), help: None };
    let set = PolicySet::closed_by(&[problem]);
    let refused = ask(&set, &Subject::key("search", "app"), "big", &Labels::default());
    assert!(!refused.allowed && set.closed().is_some_and(|why| why.contains("broken")), "{refused:?}");
    assert!(set.can_be_changed(&world(), &[Subject::key("security", "officer")]));
}

#[test]
fn lists_of_models_say_what_the_grant_says() {
    let (set, world) = (compile(&[]), world());
    for team in ["search", "security"] {
        for model in ["small", "big", "secret"] {
            let who = Subject::service::<&str>(team, "x", "inference", None);
            assert_eq!(
                world.in_catalogue(team, model),
                ask(&set, &who, model, &Labels::default()).allowed,
                "{team} {model}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_hash_is_of_what_is_said_not_of_where(
        order in prop::sample::subsequence(vec![0usize, 1, 2], 3), spaces in 0usize..4,
    ) {
        let texts = ["forbid (principal, action, resource);", "permit (principal, action, resource);", "forbid (principal, action, resource) when { true };"];
        let padded: Vec<String> = texts.iter().map(|t| format!("{}{t}\n", " ".repeat(spaces))).collect();
        let of = |n: usize, text: &'static str| Declared { text, ..forbid(["a", "b", "c"][n], "") };
        let plain: Vec<Declared<'_>> = (0..3).map(|n| of(n, texts[n])).collect();
        let mut other: Vec<Declared<'_>> = order.iter().map(|n| Declared { text: &padded[*n], ..plain[*n] }).collect();
        other.rotate_left(spaces % 3);
        prop_assert_eq!(PolicySet::hash_of(&plain), PolicySet::hash_of(&other));
        let changed = Declared { text: texts[1], ..plain[0] };
        prop_assert_ne!(PolicySet::hash_of(&plain), PolicySet::hash_of(&[changed, plain[1], plain[2]]));
        prop_assert_ne!(PolicySet::hash_of(&plain), PolicySet::hash_of(&plain[1..]));
    }

    #[test]
    fn no_text_panics(text in "[ -~\n]{0,200}") {
        let _ = PolicySet::compile(&[forbid("x", &text)]);
    }
}
