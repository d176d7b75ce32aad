//! Users, and what an admin says that they are.
//!
//! A user's role is what they may do when they sign in, whatever their groups
//! say. Nobody gives a role that could do more than they can, or takes one away
//! that they could not give; and somebody who can undo everything always stays.

use report::Report;
use store::{Change, Key, Role, State, User};
use units::{Micros, UserId};

use crate::access::{check_user_name, role, show_role};
use crate::call::{Call, Outcome, json};
use crate::{Plane, missing};

pub(crate) fn list(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let users: Vec<api::User> = state.users.iter().map(|u| show(&state, u, call.now)).collect();
    json(&api::List::from(users))
}

pub(crate) fn create(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::CreateUser = call.read()?;
    check_user_name(&wanted.name)?;
    let role = wanted.role.map(role);
    if let Some(role) = role {
        policy::can_appoint(&call.principal, role).map_err(|d| d.report())?;
    }
    let state = plane.state()?;
    if state.users.iter().any(|u| u.name == wanted.name) {
        return Err(Report::new("CT0004", format!("there is a user \"{}\" already", wanted.name)).into());
    }
    let id = UserId(runtime::new_id());
    let user =
        User { id, org: call.principal.org, name: wanted.name, role, subject: None, created: call.now };
    plane.change(&[Change::PutUser(user.clone())])?;
    json(&show(&plane.state()?, &user, call.now))
}

pub(crate) fn set_role(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::SetUserRole = call.read()?;
    appoint(plane, call, Some(role(wanted.role)))
}

pub(crate) fn remove_role(plane: &Plane, call: &Call) -> Outcome {
    appoint(plane, call, None)
}

fn appoint(plane: &Plane, call: &Call, wanted: Option<Role>) -> Outcome {
    let state = plane.state()?;
    let mut user = find(&state, call.param(0))?;
    for role in touched(&state, &user, wanted) {
        policy::can_appoint(&call.principal, role).map_err(|d| d.report())?;
    }
    if user.role != wanted {
        user.role = wanted;
        let change = Change::PutUser(user.clone());
        keeps_an_admin(&state, &change, call.now)?;
        plane.change(&[change])?;
    }
    json(&show(&plane.state()?, &user, call.now))
}

/// The roles that whoever changes a user's must be able to give: the one that
/// goes, the one that comes, and where none comes those that groups have given.
fn touched(state: &State, user: &User, wanted: Option<Role>) -> Vec<Role> {
    let by_groups = state.keys.iter().filter(|k| wanted.is_none() && is_seat(k, user)).map(|k| k.role);
    user.role.into_iter().chain(wanted).chain(by_groups).collect()
}

/// Whether the key is the one that somebody signs in as.
fn is_seat(key: &Key, user: &User) -> bool {
    key.user == Some(user.id) && user.subject.is_some() && user.subject == key.subject
}

/// Refuses a change after which nobody who may do everything has a key that
/// works: nobody could undo it.
pub(crate) fn keeps_an_admin(state: &State, change: &Change, now: Micros) -> Result<(), Report> {
    let mut after = state.clone();
    after.apply(change).map_err(|e| e.report())?;
    if !has_admin(state, now) || has_admin(&after, now) {
        return Ok(());
    }
    Err(Report::new("CT0004", "the last admin cannot be taken away")
        .because("no other key that works has the role admin")
        .hint("make another first: `bedplate key create NAME --team admin --role admin`"))
}

fn has_admin(state: &State, now: Micros) -> bool {
    let works = |k: &&Key| k.revoked.is_none() && k.expires.is_none_or(|expires| expires > now);
    let role = |key: &Key| {
        let owner = key.user.and_then(|id| state.users.iter().find(|u| u.id == id));
        owner.filter(|user| is_seat(key, user)).and_then(|user| user.role).unwrap_or(key.role)
    };
    state.keys.iter().filter(works).any(|key| role(key) == Role::Admin)
}

/// By name, or by id.
fn find(state: &State, name: &str) -> Result<User, Report> {
    let found = state.users.iter().find(|u| u.name == name || u.id.to_string() == name);
    found.cloned().ok_or_else(|| missing("user", name, "`bedplate user list` shows all"))
}

fn show(state: &State, user: &User, now: Micros) -> api::User {
    let live = |k: &&Key| {
        k.user == Some(user.id) && k.revoked.is_none() && k.expires.is_none_or(|expires| expires > now)
    };
    api::User {
        id: user.id.to_string(),
        name: user.name.clone(),
        role: user.role.map(show_role),
        subject: user.subject.clone(),
        created: user.created.to_string(),
        live_keys: state.keys.iter().filter(live).count() as u32,
    }
}

#[cfg(test)]
mod tests;
