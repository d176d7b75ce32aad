//! What a change means: the rules of the declared state, shared by all back-ends.

use std::fmt;

use crate::{Change, Error, Scope, State};

impl State {
    /// Applies one change, or explains why not and changes nothing. Does not
    /// count the generation: a back-end does, once for a whole list.
    pub fn apply(&mut self, change: &Change) -> Result<(), Error> {
        match change {
            Change::PutOrg(org) => put(&mut self.orgs, org, |o| o.id),
            Change::PutTeam(team) => {
                known("org", team.org, self.orgs.iter().any(|o| o.id == team.org))?;
                let taken = self.teams.iter().any(|t| t.name == team.name && t.id != team.id);
                free("team", &team.name, taken)?;
                put(&mut self.teams, team, |t| t.id);
            }
            Change::PutUser(user) => {
                known("org", user.org, self.orgs.iter().any(|o| o.id == user.org))?;
                if let Some(subject) = &user.subject {
                    let twin = |u: &crate::User| u.subject.as_ref() == Some(subject) && u.id != user.id;
                    free("user with the subject", subject, self.users.iter().any(twin))?;
                }
                put(&mut self.users, user, |u| u.id);
            }
            Change::PutKey(key) => {
                known("team", key.team, self.teams.iter().any(|t| t.id == key.team))?;
                if let Some(user) = key.user {
                    known("user", user, self.users.iter().any(|u| u.id == user))?;
                }
                let twin = |k: &crate::Key| k.team == key.team && k.name == key.name && k.id != key.id;
                free("key", &key.name, self.keys.iter().any(twin))?;
                // A revoked key keeps its subject out: it says no to whoever comes with it.
                if let Some(subject) = &key.subject {
                    let twin = |k: &crate::Key| {
                        k.team == key.team && k.subject.as_ref() == Some(subject) && k.id != key.id
                    };
                    free("key with the subject", subject, self.keys.iter().any(twin))?;
                }
                put(&mut self.keys, key, |k| k.id);
            }
            Change::PutBudget(budget) => {
                match budget.scope {
                    Scope::Org(id) => known("org", id, self.orgs.iter().any(|o| o.id == id))?,
                    Scope::Team(id) => known("team", id, self.teams.iter().any(|t| t.id == id))?,
                    Scope::Key(id) => known("key", id, self.keys.iter().any(|k| k.id == id))?,
                }
                let taken = self.budgets.iter().any(|b| b.name == budget.name && b.id != budget.id);
                free("budget", &budget.name, taken)?;
                put(&mut self.budgets, budget, |b| b.id);
            }
            Change::RemoveBudget(id) => remove(&mut self.budgets, "budget", id, |b| b.id == *id)?,
            Change::PutElevation(elevation) => {
                known("key", elevation.key, self.keys.iter().any(|k| k.id == elevation.key))?;
                put(&mut self.elevations, elevation, |e| e.id);
            }
            Change::AddPrice(price) => {
                let twin =
                    |p: &&crate::PriceRow| p.sku == price.sku && p.effective_from == price.effective_from;
                match self.prices.iter().find(twin) {
                    // Adding the catalogue again at each start is no change.
                    Some(same) if same == price => {}
                    Some(_) => {
                        free("price", format_args!("{} from {}", price.sku, price.effective_from), true)?
                    }
                    None => self.prices.push(price.clone()),
                }
            }
            Change::PutManifest(row) => {
                let at = self.manifests.binary_search_by(|m| {
                    (m.kind.as_str(), m.name.as_str()).cmp(&(row.kind.as_str(), row.name.as_str()))
                });
                match at {
                    Ok(at) => self.manifests[at] = row.clone(),
                    Err(at) => self.manifests.insert(at, row.clone()),
                }
            }
            Change::RemoveManifest { kind, name } => {
                remove(&mut self.manifests, "manifest", format_args!("{kind}/{name}"), |m| {
                    m.kind == *kind && m.name == *name
                })?
            }
        }
        Ok(())
    }
}

/// Inserts in the order of ids, which is the order of creation, or replaces.
fn put<T: Clone, I: Ord>(rows: &mut Vec<T>, row: &T, id: impl Fn(&T) -> I) {
    match rows.binary_search_by(|other| id(other).cmp(&id(row))) {
        Ok(at) => rows[at] = row.clone(),
        Err(at) => rows.insert(at, row.clone()),
    }
}

fn remove<T>(
    rows: &mut Vec<T>,
    kind: &'static str,
    name: impl fmt::Display,
    is: impl FnMut(&T) -> bool,
) -> Result<(), Error> {
    let at = rows.iter().position(is).ok_or_else(|| Error::Missing { kind, name: name.to_string() })?;
    rows.remove(at);
    Ok(())
}

fn known(kind: &'static str, id: impl fmt::Display, found: bool) -> Result<(), Error> {
    if found { Ok(()) } else { Err(Error::Missing { kind, name: id.to_string() }) }
}

fn free(kind: &'static str, name: impl fmt::Display, taken: bool) -> Result<(), Error> {
    if taken { Err(Error::Exists { kind, name: name.to_string() }) } else { Ok(()) }
}
