//! Manifests: what applying them would change, and applying them.

use std::collections::BTreeSet;

use manifest::{Action, Document, Kind, Known, Place, Scope as Declared, Spec};
use policy::{Act, Principal};
use report::Report;
use store::{Budget, BudgetKind, Change, ManifestRow, Period, PriceRow, Scope, State, Team};
use units::{BudgetId, Micros, OrgId, PicoRate, TeamId};

use crate::access::find_key;
use crate::call::{Call, Outcome, Refusal, json};
use crate::{Plane, audit, missing, policies, ranking};

pub(crate) fn list(plane: &Plane, _call: &Call) -> Outcome {
    let rows = plane.state()?.manifests;
    let shown: Vec<api::Manifest> = rows
        .into_iter()
        .map(|m| api::Manifest { kind: m.kind, name: m.name, text: m.text, applied: m.applied.to_string() })
        .collect();
    json(&api::List::from(shown))
}

pub(crate) fn plan(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let (plan, _) = compare(plane, &state, call.text()?, prune(call)?)?;
    json(&show(&plan, state.generation, false))
}

pub(crate) fn apply(plane: &Plane, call: &Call) -> Outcome {
    let prune = prune(call)?;
    let (plan, generation) =
        apply_text(plane, call.text()?, prune, Some(&call.principal), call.principal.org, call.now)?;
    json(&show(&plan, generation, true))
}

fn prune(call: &Call) -> Result<bool, Report> {
    match call.query("prune") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(Report::new("CT0002", format!("prune is \"{other:.20}\"; write true or false"))),
    }
}

impl Plane {
    /// Applies manifests outside a request: `serve --config`. What changes has its
    /// leaf before it does, as what the API applies; a start that changes nothing
    /// has none.
    ///
    /// # Errors
    /// All problems of the text, or why it could not be stored or put in force.
    pub fn apply(&self, text: &str, org: OrgId, now: Micros) -> Result<bool, Vec<Report>> {
        let applied = || -> Result<bool, Refusal> {
            if !compare(self, &self.state()?, text, false)?.0.changed() {
                return Ok(false);
            }
            audit::configured(self, "apply", "serve --config", text, Some(org), now)?;
            Ok(apply_text(self, text, false, None, org, now)?.0.changed())
        };
        applied().map_err(|refusal| refusal.0)
    }
}

fn apply_text(
    plane: &Plane,
    text: &str,
    prune: bool,
    who: Option<&Principal>,
    org: OrgId,
    now: Micros,
) -> Result<(manifest::Plan, u64), Refusal> {
    let state = plane.state()?;
    let (plan, desired) = compare(plane, &state, text, prune)?;
    if let Some(who) = who {
        may_change(who, &plan)?;
        if touches_policies(&plan) {
            policies::allows(plane, who, Act::AdminPolicies)?;
        }
    }
    if plan.changed() {
        stays(plane, &state, &plan, &desired)?;
        let changes = changes(&state, &plan, &desired, org, now)?;
        plane.change(&changes)?;
    }
    let state = plane.state()?;
    // Even when nothing is new: what a crash cut off between the two is made up for here.
    collections(plane, &state, &desired, now)?;
    Ok((plan, state.generation))
}

/// Refuses to move a collection to another team, or to forget one that holds documents:
/// both would take documents away by a line in a file.
fn stays(plane: &Plane, state: &State, plan: &manifest::Plan, desired: &[Document]) -> Result<(), Refusal> {
    let current = current(state)?;
    for step in plan.steps.iter().filter(|s| s.kind == Kind::Collection) {
        let of = |all: &[Document]| {
            all.iter().find_map(|d| match &d.spec {
                Spec::Collection(c) if d.name == step.name => Some(c.team.clone()),
                _ => None,
            })
        };
        let Some(team) = of(&current) else { continue };
        if step.action == Action::Update && of(desired).is_some_and(|new| new != team) {
            return Err(Report::new(
                "CT0004",
                format!("the collection \"{}\" belongs to team \"{team}\"", step.name),
            )
            .because("its documents are encrypted under that team's key")
            .hint("declare another collection, and ingest into it")
            .into());
        }
        let owner = state.teams.iter().find(|t| t.name == team).map(|t| t.id);
        if let (Action::Delete, Some(owner)) = (step.action, owner) {
            plane.collections.remove_empty(owner, &step.name).map_err(|e| e.report())?;
        }
    }
    Ok(())
}

/// Makes declared collections, and changes those that there are.
fn collections(plane: &Plane, state: &State, desired: &[Document], now: Micros) -> Result<(), Report> {
    for document in desired {
        let Spec::Collection(declared) = &document.spec else { continue };
        let Some(team) = state.teams.iter().find(|t| t.name == declared.team) else { continue };
        let wish = retrieval::Wish {
            name: document.name.clone(),
            language: declared.language.clone(),
            lexing: declared.lexing,
            acl: declared.acl.clone(),
            labels: declared.labels.clone(),
            embedder: Some(declared.embedder.clone()).filter(|name| name != manifest::BUILTIN_EMBEDDER),
            graph: declared.graph,
            ranking: ranking::declared(declared),
        };
        plane.collections.declare(team.id, &wish, now).map_err(|e| e.report())?;
    }
    Ok(())
}

/// Whether the principal may change what the plan changes: models are not the
/// business of who keeps the keys, nor the other way round.
fn may_change(who: &Principal, plan: &manifest::Plan) -> Result<(), Refusal> {
    let steps = plan.steps.iter().filter(|s| s.action != Action::Unchanged);
    let refusals = steps.filter_map(|s| {
        let denied = policy::allows(who, required(s.kind)).err()?;
        Some(denied.report().at(format!("{} \"{}\"", s.kind.name(), s.name)))
    });
    let refusals: Vec<Report> = refusals.collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusals.into()) }
}

/// What changing an object of this kind takes.
fn required(kind: Kind) -> policy::Action {
    match kind {
        Kind::Provider | Kind::Model | Kind::Collection | Kind::Feature => policy::Action::Deploy,
        // What a tool is trusted with decides what the gate lets through.
        Kind::Guard | Kind::Policy | Kind::Tool => policy::Action::ManagePolicy,
        Kind::Team => policy::Action::ManageAccess,
        Kind::Budget => policy::Action::ManageBudgets,
    }
}

fn compare(
    plane: &Plane,
    state: &State,
    text: &str,
    prune: bool,
) -> Result<(manifest::Plan, Vec<Document>), Refusal> {
    let desired = manifest::parse(text, "the request")?;
    let current = current(state)?;
    let problems = manifest::check(&desired, &known(state, &current));
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let plan = manifest::diff(&current, &desired, prune);
    if touches_policies(&plan) {
        policies::check(plane, state, &after(&current, &desired, &plan))?;
    }
    Ok((plan, desired))
}

fn touches_policies(plan: &manifest::Plan) -> bool {
    plan.steps.iter().any(|s| s.kind == Kind::Policy && s.action != Action::Unchanged)
}

/// What would be declared after the plan.
fn after(current: &[Document], desired: &[Document], plan: &manifest::Plan) -> Vec<Document> {
    let gone = |d: &Document| {
        plan.steps.iter().any(|s| s.action == Action::Delete && s.kind == d.kind && s.name == d.name)
    };
    let replaced = |d: &Document| desired.iter().any(|n| n.kind == d.kind && n.name == d.name);
    let kept = current.iter().filter(|d| !gone(d) && !replaced(d));
    kept.chain(desired).cloned().collect()
}

/// What is declared, read again from its stored text.
pub(crate) fn current(state: &State) -> Result<Vec<Document>, Refusal> {
    let mut documents = Vec::new();
    for row in &state.manifests {
        documents.extend(manifest::parse(&row.text, &format!("{} {}", row.kind, row.name))?);
    }
    Ok(documents)
}

fn known(state: &State, current: &[Document]) -> Known {
    let named = |kind: Kind| -> BTreeSet<String> {
        current.iter().filter(|d| d.kind == kind).map(|d| d.name.clone()).collect()
    };
    let team =
        |id: TeamId| state.teams.iter().find(|t| t.id == id).map(|t| t.name.as_str()).unwrap_or_default();
    Known {
        catalog: dialects::providers::all().iter().map(|p| p.name.clone()).collect(),
        guards: named(Kind::Guard),
        tools: manifest::callable(current),
        providers: named(Kind::Provider),
        // The built-in model is declared by the server itself.
        models: named(Kind::Model).into_iter().chain(["bedplate-guide".into()]).collect(),
        features: named(Kind::Feature),
        teams: state.teams.iter().map(|t| t.name.clone()).collect(),
        keys: state
            .keys
            .iter()
            .flat_map(|k| [k.id.to_string(), format!("{}/{}", team(k.team), k.name)])
            .collect(),
        orgs: state.orgs.iter().map(|o| o.name.clone()).collect(),
    }
}

/// The steps of a plan as changes of the store, in an order in which each finds
/// what it refers to: teams, then budgets, then the rest.
fn changes(
    state: &State,
    plan: &manifest::Plan,
    desired: &[Document],
    org: OrgId,
    now: Micros,
) -> Result<Vec<Change>, Report> {
    let mut ahead = state.clone();
    let mut changes = Vec::new();
    let mut steps: Vec<_> = plan.steps.iter().filter(|s| s.action != Action::Unchanged).collect();
    steps.sort_by_key(|s| s.kind != Kind::Team);
    for step in steps {
        if step.action == Action::Delete {
            changes.extend(removal(&ahead, step.kind, &step.name)?);
            continue;
        }
        let document = desired.iter().find(|d| d.kind == step.kind && d.name == step.name);
        let Some(document) = document else { continue };
        changes.push(Change::PutManifest(ManifestRow {
            kind: document.kind.name().into(),
            name: document.name.clone(),
            text: document.text.clone(),
            applied: now,
        }));
        match &document.spec {
            Spec::Team(declared) => {
                let team = team(&ahead, &document.name, declared, org, now);
                ahead.teams.retain(|t| t.id != team.id);
                ahead.teams.push(team.clone());
                changes.push(Change::PutTeam(team));
            }
            Spec::Budget(declared) => {
                changes.push(Change::PutBudget(budget(&ahead, &document.name, declared, now)?))
            }
            Spec::Model(model) => changes.extend(prices(&ahead, model, now)?),
            Spec::Collection(_)
            | Spec::Feature(_)
            | Spec::Guard(_)
            | Spec::Policy(_)
            | Spec::Provider(_)
            | Spec::Tool(_) => {}
        }
    }
    Ok(changes)
}

fn removal(state: &State, kind: Kind, name: &str) -> Result<Vec<Change>, Report> {
    if kind == Kind::Team {
        return Err(Report::new("CT0004", format!("team \"{name}\" cannot be deleted"))
            .because("its keys and its history refer to it")
            .hint("revoke its keys instead"));
    }
    let mut changes = vec![Change::RemoveManifest { kind: kind.name().into(), name: name.into() }];
    if kind == Kind::Budget {
        let budget = state.budgets.iter().find(|b| b.name == name);
        changes.extend(budget.map(|b| Change::RemoveBudget(b.id)));
    }
    Ok(changes)
}

fn team(state: &State, name: &str, declared: &manifest::Team, org: OrgId, now: Micros) -> Team {
    let known = state.teams.iter().find(|t| t.name == name);
    Team {
        id: known.map_or_else(|| TeamId(runtime::new_id()), |t| t.id),
        org: known.map_or(org, |t| t.org),
        name: name.into(),
        requests_per_minute: declared.requests_per_minute,
        tokens_per_minute: declared.tokens_per_minute,
        created: known.map_or(now, |t| t.created),
    }
}

fn budget(state: &State, name: &str, declared: &manifest::Budget, now: Micros) -> Result<Budget, Report> {
    let known = state.budgets.iter().find(|b| b.name == name);
    let scope = match &declared.scope {
        Declared::Team(team) => {
            let team = state
                .teams
                .iter()
                .find(|t| t.name == *team)
                .ok_or_else(|| missing("team", team, "declare it"))?;
            Scope::Team(team.id)
        }
        Declared::Org(org) => {
            let org = state
                .orgs
                .iter()
                .find(|o| o.name == *org)
                .ok_or_else(|| missing("org", org, "see the first start"))?;
            Scope::Org(org.id)
        }
        Declared::Key(key) => Scope::Key(find_key(state, key)?.id),
    };
    Ok(Budget {
        id: known.map_or_else(|| BudgetId(runtime::new_id()), |b| b.id),
        name: name.into(),
        scope,
        limit: declared.limit,
        period: match declared.period {
            manifest::Period::Day => Period::Day,
            manifest::Period::Month => Period::Month,
            manifest::Period::Total => Period::Total,
        },
        kind: match declared.kind {
            manifest::BudgetKind::Hard => BudgetKind::Hard,
            manifest::BudgetKind::Soft => BudgetKind::Soft,
        },
        created: known.map_or(now, |b| b.created),
    })
}

/// A declared price that differs from the last becomes a new dated version; the
/// old one keeps pricing what happened before (TRAPS M7).
fn prices(state: &State, model: &manifest::Model, now: Micros) -> Result<Vec<Change>, Report> {
    let mut changes = Vec::new();
    for target in &model.targets {
        let (Place::Remote { provider, model }, Some(price)) = (&target.place, &target.price) else {
            continue;
        };
        let sku = format!("{provider}/{model}");
        let per_request = price.per_request.map_or(PicoRate::ZERO, |u| PicoRate::from_pico(u.pico()));
        let last = state.prices.iter().rfind(|p| p.sku == sku);
        if last.is_some_and(|p| p.rates == price.rates && p.per_request == per_request) {
            continue;
        }
        changes.push(Change::AddPrice(PriceRow {
            sku,
            effective_from: now,
            rates: price.rates.clone(),
            per_request,
            source: "declared in a Model manifest".into(),
        }));
    }
    Ok(changes)
}

fn show(plan: &manifest::Plan, generation: u64, applied: bool) -> api::Plan {
    api::Plan {
        generation,
        changed: plan.changed(),
        applied,
        steps: plan
            .steps
            .iter()
            .map(|s| api::PlanStep {
                action: match s.action {
                    Action::Create => api::PlanAction::Create,
                    Action::Update => api::PlanAction::Update,
                    Action::Delete => api::PlanAction::Delete,
                    Action::Unchanged => api::PlanAction::Unchanged,
                },
                kind: s.kind.name().into(),
                name: s.name.clone(),
                changes: s
                    .changes
                    .iter()
                    .map(|c| api::FieldChange {
                        path: c.path.clone(),
                        from: c.from.clone(),
                        to: c.to.clone(),
                    })
                    .collect(),
            })
            .collect(),
    }
}
