//! What a principal may do: the action of a route against its set, and what a
//! new key may be given.

use store::Role;
use units::{KeyId, Micros, OrgId, TeamId, UserId};

use crate::{Action, Actions, Denied, Principal};

/// A key that is asked for, or that a change would hand out again.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey<'a> {
    pub team: TeamId,
    /// The org of that team.
    pub org: OrgId,
    pub user: Option<UserId>,
    pub role: Role,
    /// `None`: every model.
    pub models: Option<&'a [String]>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    pub expires: Option<Micros>,
}

/// # Errors
/// [`Denied::Action`] when the action is not in the principal's set.
pub fn allows(principal: &Principal, action: Action) -> Result<(), Denied> {
    if principal.actions.has(action) { Ok(()) } else { Err(Denied::Action { action }) }
}

/// # Errors
/// [`Denied::Model`] when the key was granted models and this is none of them.
pub fn may_use(principal: &Principal, model: &str) -> Result<(), Denied> {
    match &principal.models {
        Some(granted) if !granted.iter().any(|g| **g == *model) => {
            Err(Denied::Model { model: model.chars().take(200).collect() })
        }
        _ => Ok(()),
    }
}

/// Whether the record of a request of this team and key is shown to the
/// principal; `user` is whose key it was.
pub fn may_see(principal: &Principal, team: TeamId, key: KeyId, user: Option<UserId>) -> bool {
    let actions = principal.actions;
    let own = key == principal.key || user.is_some() && user == principal.user;
    actions.has(Action::ReadAllRecords)
        || actions.has(Action::ReadRecords) && team == principal.team
        || actions.has(Action::ReadOwnRecords) && own
}

/// Whether what a team spent is shown to the principal.
pub fn may_see_costs(principal: &Principal, team: TeamId) -> bool {
    principal.actions.has(Action::ReadAllCosts)
        || principal.actions.has(Action::ReadCosts) && team == principal.team
}

/// Whether `creator` may make (or change a key into) `child`: every right of the
/// child must be one of the creator's (TRAPS X3). Keys are made for the teams of
/// one's own org; a limit or an expiry that the creator has must be there in the
/// child, and no wider.
///
/// # Errors
/// [`Denied::Action`] when the creator may not manage access,
/// [`Denied::Escalation`] with the first right that goes beyond.
pub fn can_create(creator: &Principal, child: &NewKey<'_>) -> Result<(), Denied> {
    allows(creator, Action::ManageAccess)?;
    let beyond = |what| Err(Denied::Escalation { what });
    if child.role == Role::Agent && child.user.is_none() {
        return beyond("a key of an agent belongs to the user it acts for");
    }
    if let Some(action) = needed(creator, child).beyond(creator.actions) {
        return Err(Denied::Beyond { role: child.role, action });
    }
    if child.org != creator.org {
        return beyond("the new key's team is in another org");
    }
    if let Some(granted) = &creator.models {
        let within = |model: &String| granted.iter().any(|g| **g == **model);
        if !child.models.is_some_and(|models| models.iter().all(within)) {
            return beyond("the new key would use models that its maker may not");
        }
    }
    if !no_wider(creator.rates.key_requests, child.requests_per_minute) {
        return beyond("the new key's requests per minute are above its maker's");
    }
    if !no_wider(creator.rates.key_tokens, child.tokens_per_minute) {
        return beyond("the new key's tokens per minute are above its maker's");
    }
    if !no_wider(creator.expires, child.expires) {
        return beyond("the new key would outlive its maker");
    }
    Ok(())
}

/// What its maker must be able to do. "Own" and "its team's" mean others to the
/// child than to its maker: then the maker has to see what the child will.
fn needed(creator: &Principal, child: &NewKey<'_>) -> Actions {
    let mut needed = Actions::of(child.role);
    let also = |when: bool, action| if when { Actions::from(&[action]) } else { Actions::NONE };
    if child.team != creator.team {
        needed = needed
            .and(also(needed.has(Action::ReadRecords), Action::ReadAllRecords))
            .and(also(needed.has(Action::ReadCosts), Action::ReadAllCosts));
    }
    let somebody_else = child.user.is_some() && child.user != creator.user;
    needed.and(also(somebody_else && needed.has(Action::ReadOwnRecords), Action::ReadAllRecords))
}

/// Whether `creator` may give a user a role to sign in with. That outlives every
/// elevation, so what counts is what the creator may always do.
///
/// # Errors
/// As [`can_create`].
pub fn can_appoint(creator: &Principal, role: Role) -> Result<(), Denied> {
    allows(creator, Action::ManageAccess)?;
    if creator.expires.is_some() {
        return Err(Denied::Escalation { what: "the user's role would outlive its maker" });
    }
    if creator.models.is_some() || creator.rates.key_requests.is_some() || creator.rates.key_tokens.is_some()
    {
        return Err(Denied::Escalation { what: "the user would not have the limits of its maker's key" });
    }
    match Actions::of(role).beyond(Actions::of(creator.role).both(creator.actions)) {
        Some(action) => Err(Denied::Beyond { role, action }),
        None => Ok(()),
    }
}

/// Whether a child's bound is at least as tight as its maker's, where no bound is the widest.
fn no_wider<T: PartialOrd>(maker: Option<T>, child: Option<T>) -> bool {
    match (maker, child) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(maker), Some(child)) => child <= maker,
    }
}

#[cfg(test)]
mod tests;
