//! Break-glass over the API, and who one is.

use policy::{Principal, Stage};
use report::Report;
use store::{Change, Elevation, State};
use units::{ElevationId, Micros, UserId};

use crate::access::{find_key, key_name, role, show_role};
use crate::call::{Call, Outcome, json};
use crate::{Plane, missing};

/// Rows kept: what happened stays, and a program that asks for ever is stopped.
const ELEVATIONS_MAX: usize = 10_000;

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let seen = state.elevations.iter().rev().filter(|e| policy::sees_elevation(&call.principal, e.key));
    let shown: Vec<api::Elevation> = seen.take(1_000).map(|e| show(&state, e, call.now)).collect();
    json(&api::List::from(shown))
}

pub(crate) fn ask(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::AskElevation = call.read()?;
    let state = plane.state()?;
    let mine = |e: &&Elevation| {
        e.key == call.principal.key && matches!(policy::stage(e, call.now), Stage::Requested | Stage::Active)
    };
    if state.elevations.len() >= ELEVATIONS_MAX || state.elevations.iter().any(|e| mine(&e)) {
        return Err(Report::new("ID0014", "the elevation cannot go on like this")
            .because("there is one of this key that waits or is active already")
            .hint("`bedplate break-glass end ID` ends it")
            .into());
    }
    let id = ElevationId(runtime::new_id());
    let asked = policy::ask(&call.principal, id, role(wanted.role), &wanted.reason, wanted.minutes, call.now);
    keep(plane, call, "asked", asked.map_err(|d| d.report())?)
}

pub(crate) fn approve(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let elevation = find(&state, call.param(0))?;
    let own = find_key(&state, &call.principal.key.to_string())?;
    let asker = find_key(&state, &elevation.key.to_string())?;
    let approved = policy::approve(&call.principal, &own, &asker, elevation, call.now);
    keep(plane, call, "approved", approved.map_err(|d| d.report())?)
}

pub(crate) fn end(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let ended = policy::end(&call.principal, find(&state, call.param(0))?, call.now);
    keep(plane, call, "ended", ended.map_err(|d| d.report())?)
}

fn keep(plane: &Plane, call: &Call, what: &'static str, elevation: Elevation) -> Outcome {
    plane.change(&[Change::PutElevation(elevation.clone())])?;
    leaf(&call.principal, what, &elevation);
    json(&show(&plane.state()?, &elevation, call.now))
}

/// Where the audit log gets its leaf: who did what to which elevation. What an
/// elevated key does is in the leaves of its requests.
fn leaf(who: &Principal, what: &'static str, elevation: &Elevation) {
    observe::warn!(
        "break_glass",
        what = what,
        elevation = elevation.id.to_string().as_str(),
        by = who.key.to_string().as_str(),
        key = elevation.key.to_string().as_str(),
        role = elevation.role.name()
    );
}

fn find<'s>(state: &'s State, id: &str) -> Result<&'s Elevation, Report> {
    let found = state.elevations.iter().find(|e| e.id.to_string() == id);
    found.ok_or_else(|| missing("elevation", id, "`bedplate break-glass list` shows them"))
}

fn user_name(state: &State, id: UserId) -> String {
    state.users.iter().find(|u| u.id == id).map_or_else(|| id.to_string(), |u| u.name.clone())
}

fn show(state: &State, elevation: &Elevation, now: Micros) -> api::Elevation {
    let user = state.keys.iter().find(|k| k.id == elevation.key).and_then(|k| k.user);
    api::Elevation {
        id: elevation.id.to_string(),
        key: key_name(state, elevation.key),
        user: user.map(|id| user_name(state, id)),
        role: show_role(elevation.role),
        reason: elevation.reason.clone(),
        minutes: u32::try_from(elevation.lasts_us / 60_000_000).unwrap_or(u32::MAX),
        requested: elevation.requested.to_string(),
        approvals: elevation.approvals.iter().map(|a| user_name(state, a.user)).collect(),
        state: match policy::stage(elevation, now) {
            Stage::Requested => "requested",
            Stage::Active => "active",
            Stage::Over => "over",
            Stage::Ended => "ended",
        }
        .into(),
        ends: elevation.ends.map(|at| at.to_string()),
    }
}

pub(crate) fn whoami(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let who = &call.principal;
    json(&api::Whoami {
        key: format!("{}/{}", who.team_name, who.key_name),
        key_id: who.key.to_string(),
        user: who.user.map(|id| user_name(&state, id)),
        acting_for: who.acting_for.map(|id| user_name(&state, id)),
        role: show_role(who.role),
        may: policy::Action::ALL.iter().filter(|a| who.actions.has(**a)).map(|a| a.verb().into()).collect(),
        elevation: who.elevated.map(|id| id.to_string()),
        expires: who.expires.map(|at| at.to_string()),
    })
}
