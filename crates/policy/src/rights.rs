//! What a principal may do: the action of a route against the role of the key,
//! and what a new key may be given.

use store::KeyRole;
use units::{Micros, OrgId, TeamId};

use crate::{Denied, Principal};

/// What a route requires. Each route object carries one; a route without an
/// action cannot be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Any inference: chat, completions, embeddings, counting tokens.
    Infer,
    /// The list of models that the key may use.
    ReadModels,
    /// Records of requests (`explain`).
    ReadRecords,
    ReadCosts,
    /// Health in detail, metrics, budgets, declared state.
    ReadStatus,
    /// Orgs, teams, users, keys, budgets, prices, secrets, manifests, models.
    Manage,
}

impl Action {
    /// The least role that may do it.
    pub const fn least_role(self) -> KeyRole {
        match self {
            Action::Infer | Action::ReadModels => KeyRole::Inference,
            Action::ReadRecords | Action::ReadCosts | Action::ReadStatus => KeyRole::Viewer,
            Action::Manage => KeyRole::Admin,
        }
    }
    /// As in "the key may not ...".
    pub const fn verb(self) -> &'static str {
        match self {
            Action::Infer => "run models",
            Action::ReadModels => "list models",
            Action::ReadRecords => "read records",
            Action::ReadCosts => "read costs",
            Action::ReadStatus => "read the server's status",
            Action::Manage => "manage this deployment",
        }
    }
}

/// A key that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewKey<'a> {
    pub team: TeamId,
    /// The org of that team.
    pub org: OrgId,
    pub role: KeyRole,
    /// `None`: every model.
    pub models: Option<&'a [String]>,
    pub requests_per_minute: Option<u32>,
    pub tokens_per_minute: Option<u64>,
    pub expires: Option<Micros>,
}

/// # Errors
/// [`Denied::Action`] when the key's role is below what the action takes.
pub fn allows(principal: &Principal, action: Action) -> Result<(), Denied> {
    if principal.role >= action.least_role() { Ok(()) } else { Err(Denied::Action { action }) }
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

/// Whether records and costs of a team are shown to the principal: its own
/// team's to a viewer, every team's to an admin.
pub fn may_see(principal: &Principal, team: TeamId) -> bool {
    principal.role == KeyRole::Admin || (principal.role == KeyRole::Viewer && principal.team == team)
}

/// Whether `creator` may make (or change a key into) `child`: every right of the
/// child must be one of the creator's (TRAPS X3). An admin makes keys for the
/// teams of its own org; a limit or an expiry that the creator has must be there
/// in the child, and no wider.
///
/// # Errors
/// [`Denied::Action`] when the creator may not manage, [`Denied::Escalation`]
/// with the first right that goes beyond.
pub fn can_create(creator: &Principal, child: &NewKey<'_>) -> Result<(), Denied> {
    allows(creator, Action::Manage)?;
    let beyond = |what| Err(Denied::Escalation { what });
    if child.role > creator.role {
        return beyond("the new key's role is above its maker's");
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
