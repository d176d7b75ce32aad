//! Policies: which are in force, what they decide, whether a candidate set
//! passes its cases, and what it would have decided about the last requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use manifest::{Document, PolicyEffect, Question, Spec};
use policy::{
    Act, Action, Actions, Declared, Denied, Effect, Facts, Object, PolicySet, Principal, Problem, Subject,
    World,
};
use report::Report;
use store::{Judged, Record, State};
use units::Labels;

use crate::access::{key_name, team_name};
use crate::call::{Call, Outcome, json};
use crate::{Plane, declare, tools};

/// Requests that a replay shows one by one.
const SHOWN_MAX: usize = 50;

/// The declared policies, in the form that the set takes.
pub fn declared(documents: &[Document]) -> Vec<Declared<'_>> {
    let policies = documents.iter().filter_map(|document| match &document.spec {
        Spec::Policy(policy) => Some(Declared {
            id: &document.name,
            description: &policy.description,
            effect: match policy.effect {
                PolicyEffect::Permit => Effect::Permit,
                PolicyEffect::Forbid => Effect::Forbid,
            },
            text: &policy.cedar,
        }),
        _ => None,
    });
    policies.collect()
}

/// What is wrong with them, each with its file and line.
pub fn reports(documents: &[Document], problems: &[Problem]) -> Vec<Report> {
    let report = |problem: &Problem| {
        let what = if problem.policy.is_empty() {
            format!("the policies are not accepted: {}", problem.what)
        } else {
            format!("policy \"{}\" is not accepted: {}", problem.policy, problem.what)
        };
        let mut report = Report::new("PO0006", what);
        let document =
            documents.iter().find(|d| matches!(d.spec, Spec::Policy(_)) && d.name == problem.policy);
        if let Some(document) = document {
            report = report.at(document.place_in("spec.cedar", problem.line));
        }
        match &problem.help {
            Some(help) => report.hint(help.clone()),
            None => report.hint("`bedplate policy list --schema` shows what a policy can speak about"),
        }
    };
    problems.iter().map(report).collect()
}

/// Refuses a set that does not compile, or under which nobody could mend it.
pub(crate) fn check(plane: &Plane, state: &State, documents: &[Document]) -> Result<PolicySet, Vec<Report>> {
    let set = PolicySet::compile(&declared(documents)).map_err(|found| reports(documents, &found))?;
    // `serve --config` applies before anything is in force.
    let world = match plane.host.policies() {
        Some((_, world)) => world,
        None => World::new(state, &[], &[]).map(Arc::new).map_err(|why| vec![undecided(why)])?,
    };
    if set.can_be_changed(&world, &admins(state)) {
        return Ok(set);
    }
    Err(vec![
        Report::new("PO0007", "under these policies no admin could change a policy any more")
            .because("each admin key would be denied the action admin_policies")
            .hint("leave one admin out of the `forbid`, such as `unless { principal in Team::\"security\" }`; nothing was changed"),
    ])
}

fn undecided(why: String) -> Report {
    Report::new("PO0002", "what policies decide on could not be built").because(why)
}

/// The set and the world that are in force.
fn in_force(plane: &Plane) -> Result<(Arc<PolicySet>, Arc<World>), Report> {
    plane.host.policies().ok_or_else(|| undecided("nothing is in force yet".into()))
}

/// Every live key whose role may change policies; somebody who could, where there is none.
fn admins(state: &State) -> Vec<Subject> {
    let may = |role| Actions::of(role).has(Action::ManagePolicy);
    let live = state.keys.iter().filter(|k| may(k.role) && k.revoked.is_none());
    let subjects: Vec<Subject> = live.map(|k| Subject::key(&team_name(state, k.team), &k.name)).collect();
    if !subjects.is_empty() {
        return subjects;
    }
    let team = state.teams.first().map_or("admin", |t| t.name.as_str());
    vec![Subject::service::<&str>(team, "nobody yet", "admin", None)]
}

/// Whether the policy set lets a principal administrate.
pub(crate) fn allows(plane: &Plane, principal: &Principal, act: Act) -> Result<(), Report> {
    allows_on(plane, principal, act, &Object::deployment(), &Facts::of_an_admin(), "this deployment")
}

/// Whether it lets a principal act on something.
pub(crate) fn allows_on(
    plane: &Plane,
    principal: &Principal,
    act: Act,
    object: &Object,
    facts: &Facts<'_>,
    called: &str,
) -> Result<(), Report> {
    let (policies, world) = in_force(plane)?;
    let (team, key) = (&*principal.team_name, &*principal.key_name);
    let stranger = || Subject::service(team, key, principal.role.name(), principal.models.as_deref());
    let subject = world.key(team, key).unwrap_or_else(stranger);
    // An agent may what both it and the user it acts for may.
    let decision = match principal.acting_for {
        None => policies.decide(&world, &subject, act, object, facts),
        Some(user) => {
            let unknown = || Denied::Actor { why: "policies know no such user" }.report();
            let user = Subject::user(world.user_name(user).ok_or_else(unknown)?);
            policies.decide_both(&world, &subject, &user, act, object, facts)
        }
    };
    if decision.allowed { Ok(()) } else { Err(policies.report(&decision, act, called)) }
}

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let (set, _) = in_force(plane)?;
    let schema = match call.query("schema") {
        Some("true") => Some(policy::SCHEMA_TEXT.to_owned()),
        _ => None,
    };
    json(&api::Policies {
        hash: hex(set.hash()),
        closed: set.closed().map(str::to_owned),
        policies: set
            .about()
            .iter()
            .map(|(id, about)| api::PolicySummary {
                id: id.to_string(),
                builtin: id.starts_with("bedplate-"),
                description: about.to_string(),
            })
            .collect(),
        schema,
    })
}

/// Candidate policies: what is declared, with the request's documents in their place.
struct Candidate {
    documents: Vec<Document>,
    given: Vec<Document>,
    set: PolicySet,
    world: Arc<World>,
    state: State,
}

fn candidate(plane: &Plane, call: &Call) -> Result<Candidate, Vec<Report>> {
    let state = plane.state().map_err(|r| vec![r])?;
    let given: Vec<Document> = manifest::parse(call.text().map_err(|r| vec![r])?, "the request")?
        .into_iter()
        .filter(|d| matches!(d.spec, Spec::Policy(_)))
        .collect();
    let current = declare::current(&state).map_err(|refusal| refusal.0)?;
    let replaced = |d: &Document| given.iter().any(|g| g.kind == d.kind && g.name == d.name);
    let mut documents: Vec<Document> =
        current.into_iter().filter(|d| matches!(d.spec, Spec::Policy(_)) && !replaced(d)).collect();
    documents.extend(given.iter().cloned());
    let set = check(plane, &state, &documents)?;
    let (_, world) = in_force(plane).map_err(|r| vec![r])?;
    Ok(Candidate { documents, given, set, world, state })
}

/// Runs the cases that stand beside the policies.
pub(crate) fn test(plane: &Plane, call: &Call) -> Outcome {
    let candidate = candidate(plane, call)?;
    let mut cases = Vec::new();
    // Those of the policies in force too: a new policy may break what an old one promised.
    for document in &candidate.documents {
        let Spec::Policy(policy) = &document.spec else { continue };
        for (index, test) in policy.tests.iter().enumerate() {
            let at = document.place(&format!("spec.tests[{index}]"));
            let answer =
                ask(&candidate.set, &candidate.world, &test.question).map_err(|r| r.at(at.clone()))?;
            let by = test.by.as_ref().is_none_or(|by| answer.determining.contains(by));
            cases.push(api::PolicyCase {
                policy: document.name.clone(),
                name: test.name.clone(),
                at,
                expected: word(test.allowed).into(),
                expected_by: test.by.clone(),
                passed: answer.allowed == test.allowed && by,
                answer,
            });
        }
    }
    json(&api::PolicyTestReport { hash: hex(candidate.set.hash()), declared: candidate.given.len(), cases })
}

/// One question to the set in force.
pub(crate) fn explain(plane: &Plane, call: &Call) -> Outcome {
    let asked: api::PolicyQuestion = call.read()?;
    let (set, world) = in_force(plane)?;
    let state = plane.state()?;
    let labels = match &asked.labels {
        None => Labels::default(),
        Some(text) => policy::raised(text)
            .map_err(|why| Report::new("PO0004", "the labels cannot be read").because(why))?,
    };
    let mut question = Question {
        action: asked.action.clone().unwrap_or_else(|| "invoke".into()),
        model: asked.model.as_deref().map(|name| model_name(plane, name)),
        on_behalf_of: asked.on_behalf_of.clone(),
        labels,
        injection_score: asked.injection_score,
        pii_types: asked.pii_types.clone(),
        role: "inference".into(),
        ..Question::default()
    };
    let name = asked.key.as_deref().unwrap_or_default();
    if name.is_empty() {
        question.team = asked.team.clone().ok_or_else(|| {
            Report::new("CT0002", "nobody is named").hint("name a `key`, or a `team` whose key would ask")
        })?;
    } else {
        let key = crate::access::find_key(&state, name)?;
        question.team = team_name(&state, key.team);
        question.models = key.models.clone();
        question.role = key.role.name().into();
    }
    json(&ask(&set, &world, &question)?)
}

/// What the candidate would have decided about the last requests.
pub(crate) fn replay(plane: &Plane, call: &Call) -> Outcome {
    let last = match call.query("last") {
        None => store::RECENT_MAX,
        Some(text) => text.parse().ok().filter(|n| (1..=store::RECENT_MAX).contains(n)).ok_or_else(|| {
            Report::new("CT0002", format!("last is \"{text:.20}\"; write 1 to {}", store::RECENT_MAX))
        })?,
    };
    let candidate = candidate(plane, call)?;
    let (present, _) = in_force(plane)?;
    let names = model_names(plane);
    let documents = declare::current(&candidate.state).map_err(|refusal| refusal.0)?;
    let tools = tools::objects(plane, &documents)?;
    let mut report = api::PolicyReplay { hash: hex(candidate.set.hash()), ..api::PolicyReplay::default() };
    for record in plane.store.recent(last).map_err(|e| e.report())? {
        report.records += 1;
        let Some(judged) = &record.judged else {
            report.not_judged += 1;
            continue;
        };
        let Some((subject, user)) = subjects(&candidate, &record, judged) else {
            report.not_known += 1;
            continue;
        };
        let called = match Act::from_name(&judged.action) {
            Some(Act::CallTool) => tools.get(&record.model).cloned(),
            Some(_) => {
                let model = names.get(&record.model).unwrap_or(&record.model);
                candidate.world.knows_model(model).then(|| Object::model(model))
            }
            None => None,
        };
        let Some(object) = called else {
            report.not_known += 1;
            continue;
        };
        let decide = |set: &PolicySet| {
            decide_again(set, &candidate.world, &subject, user.as_ref(), &object, &record, judged)
        };
        let (Some(now), Some(then)) = (decide(&present), decide(&candidate.set)) else {
            report.not_known += 1;
            continue;
        };
        report.replayed += 1;
        if now.allowed != judged.allowed {
            report.drifted += 1;
        }
        if now.allowed == then.allowed {
            continue;
        }
        if then.allowed {
            report.newly_allowed += 1;
        } else {
            report.newly_denied += 1;
        }
        if report.changes.len() < SHOWN_MAX {
            report.changes.push(api::PolicyChange {
                request: record.id.to_string(),
                at: record.at.to_string(),
                key: key_name(&candidate.state, record.key),
                model: record.model.clone(),
                labels: record.labels.to_string(),
                from: word(now.allowed).into(),
                to: word(then.allowed).into(),
                determining: then.determining.iter().map(ToString::to_string).collect(),
            });
        }
    }
    json(&report)
}

fn subjects(candidate: &Candidate, record: &Record, judged: &Judged) -> Option<(Subject, Option<Subject>)> {
    let key = candidate.state.keys.iter().find(|k| k.id == record.key)?;
    let team = candidate.state.teams.iter().find(|t| t.id == key.team)?;
    let models = key.models.as_deref();
    let role = key.role.name();
    let own = candidate.world.key(&team.name, &key.name);
    match &judged.on_behalf_of {
        None => Some((own.unwrap_or_else(|| Subject::service(&team.name, &key.name, role, models)), None)),
        Some(user) => {
            let agent = own
                .filter(|_| key.role == store::Role::Agent)
                .unwrap_or_else(|| Subject::agent(&team.name, &key.name, role, models));
            candidate.world.knows_user(user).then(|| (agent, Some(Subject::user(user))))
        }
    }
}

fn decide_again(
    set: &PolicySet,
    world: &World,
    subject: &Subject,
    user: Option<&Subject>,
    object: &Object,
    record: &Record,
    judged: &Judged,
) -> Option<policy::Decision> {
    let act = Act::from_name(&judged.action)?;
    let facts = Facts {
        region: judged.region.as_deref(),
        budget_left: judged.budget_left,
        injection_score: judged.injection_score,
        pii_types: &judged.pii_types,
        on_behalf_of: judged.on_behalf_of.as_deref(),
        ..Facts::new(&record.labels, &judged.purpose)
    };
    Some(match user {
        None => set.decide(world, subject, act, object, &facts),
        Some(user) => set.decide_both(world, subject, user, act, object, &facts),
    })
}

/// A question by names, answered by a set.
fn ask(set: &PolicySet, world: &World, question: &Question) -> Result<api::PolicyAnswer, Report> {
    let act = Act::from_name(&question.action).ok_or_else(|| {
        let names: Vec<&str> = Act::ALL.iter().map(|act| act.name()).collect();
        Report::new("CT0002", format!("\"{:.40}\" is no action", question.action))
            .hint(format!("actions: {}", names.join(", ")))
    })?;
    let object = match (&question.model, act) {
        (_, act) if act.is_admin() || act == Act::Export => Object::deployment(),
        (Some(model), Act::Invoke | Act::Embed) if world.knows_model(model) => Object::model(model),
        (Some(model), Act::Invoke | Act::Embed) => {
            return Err(crate::missing("model", model, "`bedplate model list` shows all"));
        }
        (None, Act::Invoke | Act::Embed) => {
            return Err(Report::new("CT0002", format!("{} needs a model", act.name()))
                .hint("name one: `model: NAME`"));
        }
        (name, Act::CallTool) => Object::tool(name.as_deref().unwrap_or("tool"), true, true, ""),
        (name, Act::Retrieve) => Object::collection(
            name.as_deref().unwrap_or("collection"),
            &[&question.team],
            question.labels.sensitivity,
        ),
        (name, Act::UsePrompt) => Object::prompt(name.as_deref().unwrap_or("prompt")),
        (name, _) => Object::space(name.as_deref().unwrap_or("space")),
    };
    if !world.knows_team(&question.team) {
        return Err(crate::missing("team", &question.team, "`bedplate team list` shows all"));
    }
    let purpose = question.purpose.clone().unwrap_or_else(|| match act {
        Act::Embed => "embedding".into(),
        act if act.is_admin() => "admin".into(),
        _ => "chat".into(),
    });
    let facts = Facts {
        region: question.region.as_deref(),
        budget_left: question.budget_left,
        injection_score: question.injection_score,
        pii_types: &question.pii_types,
        on_behalf_of: question.on_behalf_of.as_deref(),
        ..Facts::new(&question.labels, &purpose)
    };
    let (team, models) = (question.team.as_str(), question.models.as_deref());
    let decision = match &question.on_behalf_of {
        None => {
            set.decide(world, &Subject::service(team, "asks", &question.role, models), act, &object, &facts)
        }
        Some(user) => {
            if !world.knows_user(user) {
                return Err(crate::missing("user", user, "`bedplate user list` shows all"));
            }
            let agent = Subject::agent(team, "asks", &question.role, models);
            set.decide_both(world, &agent, &Subject::user(user), act, &object, &facts)
        }
    };
    let report = (!decision.allowed).then(|| {
        set.report(
            &decision,
            act,
            &question.model.as_ref().map_or("this deployment".into(), |m| format!("model \"{m}\"")),
        )
    });
    Ok(api::PolicyAnswer {
        allowed: decision.allowed,
        determining: decision.determining.iter().map(ToString::to_string).collect(),
        why: report.as_ref().map(Report::sentence),
        hash: hex(set.hash()),
        action: act.name().into(),
        team: question.team.clone(),
        model: question.model.clone(),
        labels: question.labels.to_string(),
    })
}

/// A model's own name by each of its names.
fn model_names(plane: &Plane) -> BTreeMap<String, String> {
    let models = plane.host.models();
    let pairs =
        models.into_iter().flat_map(|m| m.aliases.into_iter().map(move |alias| (alias, m.name.clone())));
    pairs.collect()
}

fn model_name(plane: &Plane, name: &str) -> String {
    model_names(plane).remove(name).unwrap_or_else(|| name.to_owned())
}

const fn word(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
