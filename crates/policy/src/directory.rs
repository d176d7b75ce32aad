//! From what is presented to a principal: one hash and one lookup in an
//! immutable snapshot. Nothing is compared byte by byte with a secret: the
//! presented key goes through HMAC-SHA-256 first, so timing tells nothing about
//! stored keys.
//!
//! Everybody is a key here. A client certificate or an identity provider's token
//! stands for one (by its subject) as its secret does, so that limits, budgets,
//! records and revocation mean the same however somebody came in.

use std::collections::HashMap;
use std::sync::Arc;

use ring::hmac;
use store::{Key, Role, State, Team, User};
use units::{ElevationId, KeyId, Micros, OrgId, TeamId, UserId};

use crate::key::{Pepper, shape, tag};
use crate::{Actions, Denied};

/// Who asks. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub key: KeyId,
    pub key_name: Arc<str>,
    pub team: TeamId,
    pub team_name: Arc<str>,
    pub org: OrgId,
    pub user: Option<UserId>,
    /// What the user is called, unless another of the org is called the same.
    pub user_name: Option<Arc<str>>,
    /// What the identity provider's token says it belongs to; a key's secret says nothing.
    pub groups: Arc<[Box<str>]>,
    /// The user that an agent acts for. What it may do is what both may.
    pub acting_for: Option<UserId>,
    pub role: Role,
    /// What it may do now: its role's actions, with those of an elevation, and
    /// without those that the user it acts for has not.
    pub actions: Actions,
    pub elevated: Option<ElevationId>,
    /// The models it may use; `None`: every model.
    pub models: Option<Arc<[Box<str>]>>,
    pub rates: Rates,
    /// When the key, the version that was presented, or an elevation stops.
    pub expires: Option<Micros>,
}

impl Principal {
    /// The same, acting for somebody because a token says so (RFC 8693 4.1). What
    /// it may do is what both may, with the models of both, for as long as both;
    /// whose key it is, and who pays, stays.
    ///
    /// # Errors
    /// [`Denied::Actor`].
    pub fn on_behalf_of(self, user: &Principal) -> Result<Principal, Denied> {
        let not = |why| Err(Denied::Actor { why });
        if user.user.is_none() {
            return not("whom it names has a key here, and is no user");
        }
        if user.acting_for.is_some() {
            return not("whom it names acts for somebody else");
        }
        if self.acting_for.is_some() && self.acting_for != user.user {
            return not("its key is bound to another user");
        }
        if self.org != user.org {
            return not("they are of different orgs");
        }
        let models = match (self.models, &user.models) {
            (Some(own), Some(theirs)) => Some(own.iter().filter(|m| theirs.contains(m)).cloned().collect()),
            (own, theirs) => own.or_else(|| theirs.clone()),
        };
        Ok(Principal {
            user: user.user,
            user_name: user.user_name.clone(),
            acting_for: user.user,
            actions: self.actions.both(user.actions),
            models,
            expires: earlier(self.expires, user.expires),
            ..self
        })
    }
}

/// Limits per minute; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rates {
    pub key_requests: Option<u32>,
    pub key_tokens: Option<u64>,
    pub team_requests: Option<u32>,
    pub team_tokens: Option<u64>,
}

/// Every key of the deployment. Immutable: a change is a new one.
pub struct Directory {
    hasher: hmac::Key,
    entries: Vec<Entry>,
    secrets: HashMap<[u8; 32], Secret>,
    ids: HashMap<KeyId, usize>,
    subjects: HashMap<Box<str>, Vec<usize>>,
}

struct Entry {
    principal: Principal,
    /// For the key of a person who signs in: the role that an admin gave them.
    seat: Option<Option<Role>>,
    revoked: Option<Micros>,
    elevations: Vec<Elevated>,
}

/// One version of a key.
struct Secret {
    entry: usize,
    expires: Option<Micros>,
}

struct Elevated {
    id: ElevationId,
    actions: Actions,
    ends: Micros,
}

impl Directory {
    /// Builds the snapshot. A key whose team does not exist is left out: it
    /// could not be charged to anyone.
    pub fn new(state: &State, pepper: &Pepper) -> Directory {
        let teams: HashMap<TeamId, (&Team, Arc<str>)> =
            state.teams.iter().map(|t| (t.id, (t, Arc::from(t.name.as_str())))).collect();
        let mut directory = Directory {
            hasher: pepper.hasher(),
            entries: Vec::with_capacity(state.keys.len()),
            secrets: HashMap::with_capacity(state.keys.len()),
            ids: HashMap::with_capacity(state.keys.len()),
            subjects: HashMap::new(),
        };
        let names = names(&state.users);
        for key in &state.keys {
            let Some((team, team_name)) = teams.get(&key.team) else { continue };
            directory.add(state, &names, key, team, team_name);
        }
        for elevation in &state.elevations {
            let (Some(ends), Some(at)) = (elevation.ends, directory.ids.get(&elevation.key)) else {
                continue;
            };
            let actions = Actions::of(elevation.role);
            directory.entries[*at].elevations.push(Elevated { id: elevation.id, actions, ends });
        }
        directory
    }

    fn add(&mut self, state: &State, names: &Names, key: &Key, team: &Team, team_name: &Arc<str>) {
        let acting_for = key.user.filter(|_| key.role == Role::Agent);
        let owner = key.user.and_then(|id| state.users.iter().find(|u| u.id == id));
        let bound = owner.filter(|_| acting_for.is_some()).and_then(|u| u.role);
        let bound = bound.map_or(Actions::of(key.role), Actions::of);
        let principal = Principal {
            key: key.id,
            key_name: key.name.as_str().into(),
            team: key.team,
            team_name: team_name.clone(),
            org: team.org,
            user: key.user,
            user_name: owner
                .filter(|user| names.get(&(user.org, user.name.to_lowercase())) == Some(&1))
                .map(|user| user.name.as_str().into()),
            groups: Arc::default(),
            acting_for,
            role: key.role,
            actions: Actions::of(key.role).both(bound),
            elevated: None,
            models: key.models.as_ref().map(|models| models.iter().map(|m| m.as_str().into()).collect()),
            rates: Rates {
                key_requests: key.requests_per_minute,
                key_tokens: key.tokens_per_minute,
                team_requests: team.requests_per_minute,
                team_tokens: team.tokens_per_minute,
            },
            expires: key.expires,
        };
        let entry = self.entries.len();
        let seat = owner.filter(|u| u.subject.is_some() && u.subject == key.subject).map(|u| u.role);
        self.entries.push(Entry { principal, seat, revoked: key.revoked, elevations: Vec::new() });
        self.ids.insert(key.id, entry);
        for version in &key.versions {
            self.secrets.insert(version.hash, Secret { entry, expires: version.expires });
        }
        if let Some(subject) = &key.subject {
            self.subjects.entry(subject.as_str().into()).or_default().push(entry);
        }
    }

    /// Who presents this key.
    ///
    /// # Errors
    /// Not a key, unknown, revoked, expired (from the instant of its expiry on).
    pub fn identify(&self, presented: &str, now: Micros) -> Result<Principal, Denied> {
        if presented.is_empty() {
            return Err(Denied::NoKey);
        }
        shape(presented)?;
        let secret = self.secrets.get(&tag(&self.hasher, presented)).ok_or(Denied::UnknownKey)?;
        self.entries[secret.entry].at(now, secret.expires)
    }

    /// The key itself, for a session that stands for it.
    ///
    /// # Errors
    /// As [`Directory::identify`].
    pub fn key(&self, id: KeyId, now: Micros) -> Result<Principal, Denied> {
        let entry = self.ids.get(&id).ok_or(Denied::UnknownKey)?;
        self.entries[*entry].at(now, None)
    }

    /// Who a verified subject is: the key that it stands for, in the team when
    /// one is given. Without one there must be exactly one, because nobody would
    /// know which team pays.
    ///
    /// # Errors
    /// [`Denied::NoSeat`] when there is none or more than one; else as [`Directory::identify`].
    pub fn subject(&self, subject: &str, team: Option<TeamId>, now: Micros) -> Result<Principal, Denied> {
        let all = self.subjects.get(subject).map(Vec::as_slice).unwrap_or_default();
        let mut found = all
            .iter()
            .map(|entry| &self.entries[*entry])
            .filter(|e| team.is_none_or(|team| team == e.principal.team));
        match (found.next(), found.next()) {
            (Some(only), None) => only.at(now, None),
            (None, _) => Err(Denied::NoSeat { many: false }),
            (Some(_), Some(_)) => Err(Denied::NoSeat { many: true }),
        }
    }
}

impl Directory {
    /// The key of somebody an identity provider has verified, in a team, with the
    /// role that their groups give them. An admin's word about the person counts
    /// more than the groups; a key that was made for the subject by hand has its own role.
    ///
    /// # Errors
    /// As [`Directory::subject`].
    pub fn seat(&self, subject: &str, team: &str, role: Role, now: Micros) -> Result<Principal, Denied> {
        let all = self.subjects.get(subject).map(Vec::as_slice).unwrap_or_default();
        let found = all.iter().map(|at| &self.entries[*at]).find(|e| &*e.principal.team_name == team);
        let entry = found.ok_or(Denied::NoSeat { many: false })?;
        entry.as_role(now, None, entry.seat.map(|appointed| appointed.unwrap_or(role)))
    }
}

impl Entry {
    /// The principal at a time; `expires` is that of the version presented.
    fn at(&self, now: Micros, expires: Option<Micros>) -> Result<Principal, Denied> {
        self.as_role(now, expires, self.seat.flatten())
    }

    /// The same with another role than the key's own.
    fn as_role(&self, now: Micros, expires: Option<Micros>, role: Option<Role>) -> Result<Principal, Denied> {
        if let Some(at) = self.revoked {
            return Err(Denied::Revoked { at });
        }
        let mut principal = self.principal.clone();
        if let Some(role) = role {
            principal.role = role;
            principal.actions = Actions::of(role);
        }
        principal.expires = earlier(principal.expires, expires);
        if let Some(at) = principal.expires.filter(|at| *at <= now) {
            return Err(Denied::Expired { at });
        }
        // What an elevated key makes must not outlive the elevation (TRAPS X3).
        for elevated in self.elevations.iter().filter(|e| e.ends > now) {
            principal.actions = principal.actions.and(elevated.actions);
            principal.elevated = Some(elevated.id);
            principal.expires = earlier(principal.expires, Some(elevated.ends));
        }
        Ok(principal)
    }
}

/// How many users of an org are called the same, but for upper and lower case. What is
/// shared with a name that two have would be shared with whoever took it last.
type Names = HashMap<(OrgId, String), usize>;

fn names(users: &[User]) -> Names {
    let mut names = Names::with_capacity(users.len());
    for user in users {
        *names.entry((user.org, user.name.to_lowercase())).or_default() += 1;
    }
    names
}

fn earlier(a: Option<Micros>, b: Option<Micros>) -> Option<Micros> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
