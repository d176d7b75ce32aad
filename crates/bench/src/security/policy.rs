//! The policy set: what one decision takes.
//!
//! 32 policies (the six built in and 26 that never apply, the worst case: each
//! is evaluated), an org of 1,000 teams with a key each and 200 models, a
//! catalogue of 50 models. A decision is timed as the gateway asks it: context
//! built, evaluated, determining policies named. Wall time of one thread, so an
//! upper bound of its CPU time.

use ::policy::{
    Act, Declared, Effect, Facts, ModelFacts, Object, Place, PlaceKind, PolicySet, Purpose, Subject,
    TeamFacts, World,
};
use anyhow::{Result, anyhow};
use store::{Key, Org, Role, State, Team, User};
use units::{KeyId, Labels, Micros, OrgId, TeamId, Usd, UserId, Uuid7};

use super::Options;
use crate::clock;
use crate::output::Output;
use crate::record::{Row, Target};
use crate::stats::{Summary, quantile};

const TEAMS: u16 = 1_000;
const MODELS: usize = 200;
const CATALOGUE: usize = 50;

pub(crate) fn run(_: &Options, output: &Output, rows: &mut Vec<Row>) -> Result<()> {
    let decisions = if output.quick { 2_000 } else { 50_000 };
    let names: Vec<String> = (0..MODELS).map(|n| format!("model-{n}")).collect();
    let state = state();
    let world = world(&state, &names)?;
    let none = PolicySet::compile(&[]).map_err(|p| anyhow!("{p:?}"))?;
    let ids: Vec<String> =
        (0..::policy::POLICIES_MAX - none.about().len()).map(|n| format!("declared-{n}")).collect();
    let text = "forbid (principal, action == Action::\"invoke\", resource is Model)\nwhen { context.sensitivity >= 3 && resource.external && !(principal in Team::\"team-1\") };";
    let declare = |id| Declared { id, description: "For the bench.", effect: Effect::Forbid, text };
    let declared: Vec<Declared<'_>> = ids.iter().map(|id| declare(id.as_str())).collect();
    let full = PolicySet::compile(&declared).map_err(|p| anyhow!("{p:?}"))?;
    let labels: Labels = "confidential eu user".parse()?;
    let agent = Subject::agent::<&str>("team-7", "key", "agent", None);
    for (name, set, agent, target) in [
        ("6 policies, a key of 1,000 teams", &none, None, Target::AtMost(50.0)),
        ("32 policies, a key of 1,000 teams", &full, None, Target::AtMost(50.0)),
        ("32 policies, an agent and its user", &full, Some(&agent), Target::Shown),
    ] {
        let mut took_us = Vec::with_capacity(decisions);
        for n in 0..decisions + decisions / 10 {
            let key = Subject::key(&format!("team-{}", n % usize::from(TEAMS)), "key");
            let model = Object::model(&names[n % CATALOGUE]);
            let facts = Facts { budget_left: Some(Usd::dollars(7)), ..Facts::of(&labels, Purpose::Chat) };
            let from = clock::now();
            let decision = match agent {
                None => set.decide(&world, &key, Act::Invoke, &model, &facts),
                Some(agent) => {
                    set.decide_both(&world, agent, &Subject::user("alice"), Act::Invoke, &model, &facts)
                }
            };
            let took = from.elapsed();
            anyhow::ensure!(decision.allowed, "{decision:?}");
            // The first tenth warms up.
            if n >= decisions / 10 {
                took_us.push(took.as_secs_f64() * 1e6);
            }
        }
        for (q, what, target) in [(0.5, "p50", Target::Shown), (0.99, "p99", target)] {
            rows.push(Row {
                bench: "security",
                row: format!("policy: a decision, {name}, {what}"),
                unit: "us",
                ours: quantile(&mut took_us, q).and_then(|v| Summary::of(&[v])),
                peer: None,
                peer_name: None,
                target,
                ratios: None,
                n: decisions as u64,
            });
        }
    }
    Ok(())
}

fn id(n: u16) -> Uuid7 {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Uuid7::from_bytes(bytes)
}

fn state() -> State {
    let org = Org { id: OrgId(id(0)), name: "default".into(), created: Micros(0) };
    let team = |n| Team {
        id: TeamId(id(n)),
        org: org.id,
        name: format!("team-{n}"),
        requests_per_minute: None,
        tokens_per_minute: None,
        created: Micros(0),
    };
    let user = User {
        id: UserId(id(1)),
        org: org.id,
        name: "alice".into(),
        role: None,
        subject: None,
        created: Micros(0),
    };
    let key = |n| Key {
        id: KeyId(id(n)),
        team: TeamId(id(n)),
        user: None,
        name: "key".into(),
        role: Role::Inference,
        subject: None,
        versions: Vec::new(),
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: Micros(0),
    };
    State {
        teams: (0..TEAMS).map(team).collect(),
        keys: (0..TEAMS).map(key).collect(),
        users: vec![user],
        orgs: vec![org],
        ..State::default()
    }
}

fn world(state: &State, models: &[String]) -> Result<World> {
    let place = Place { zones: ["eu".parse()?].into(), ..Place::of_kind(PlaceKind::Inside, "local/model") };
    let catalogue = &models[..CATALOGUE];
    let teams: Vec<TeamFacts<'_>> =
        state.teams.iter().map(|t| TeamFacts { name: &t.name, models: catalogue }).collect();
    let facts = |name| ModelFacts { name, providers: vec!["local"], places: vec![&place], digest: None };
    let models: Vec<ModelFacts<'_>> = models.iter().map(|name| facts(name.as_str())).collect();
    World::new(state, &teams, &models).map_err(|why| anyhow!(why))
}
