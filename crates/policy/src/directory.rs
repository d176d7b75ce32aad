//! From a presented key to a principal: one hash and one lookup in an immutable
//! snapshot. Nothing is compared byte by byte with a secret: the presented key
//! goes through HMAC-SHA-256 first, so timing tells nothing about stored keys.

use std::collections::HashMap;
use std::sync::Arc;

use ring::hmac;
use store::{KeyRole, State, Team};
use units::{KeyId, Micros, OrgId, TeamId, UserId};

use crate::Denied;
use crate::key::{Pepper, shape, tag};

/// Who asks. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub key: KeyId,
    pub key_name: Arc<str>,
    pub team: TeamId,
    pub team_name: Arc<str>,
    pub org: OrgId,
    pub user: Option<UserId>,
    pub role: KeyRole,
    /// The models it may use; `None`: every model.
    pub models: Option<Arc<[Box<str>]>>,
    pub rates: Rates,
    /// When the key, or the version that was presented, stops working.
    pub expires: Option<Micros>,
}

/// Limits per minute; `None`: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rates {
    pub key_requests: Option<u32>,
    pub key_tokens: Option<u64>,
    pub team_requests: Option<u32>,
    pub team_tokens: Option<u64>,
}

/// Every live key of the deployment, by hash. Immutable: a change is a new one.
pub struct Directory {
    hasher: hmac::Key,
    keys: HashMap<[u8; 32], Entry>,
}

struct Entry {
    principal: Principal,
    revoked: Option<Micros>,
}

impl Directory {
    /// Builds the snapshot. A key whose team does not exist is left out: it
    /// could not be charged to anyone.
    pub fn new(state: &State, pepper: &Pepper) -> Directory {
        let teams: HashMap<TeamId, (&Team, Arc<str>)> =
            state.teams.iter().map(|t| (t.id, (t, Arc::from(t.name.as_str())))).collect();
        let mut keys = HashMap::with_capacity(state.keys.len());
        for key in &state.keys {
            let Some((team, team_name)) = teams.get(&key.team) else { continue };
            let principal = Principal {
                key: key.id,
                key_name: key.name.as_str().into(),
                team: key.team,
                team_name: team_name.clone(),
                org: team.org,
                user: key.user,
                role: key.role,
                models: key.models.as_ref().map(|models| models.iter().map(|m| m.as_str().into()).collect()),
                rates: Rates {
                    key_requests: key.requests_per_minute,
                    key_tokens: key.tokens_per_minute,
                    team_requests: team.requests_per_minute,
                    team_tokens: team.tokens_per_minute,
                },
                expires: key.expires,
            };
            for version in &key.versions {
                let expires = match (key.expires, version.expires) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                let principal = Principal { expires, ..principal.clone() };
                keys.insert(version.hash, Entry { principal, revoked: key.revoked });
            }
        }
        Directory { hasher: pepper.hasher(), keys }
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
        let entry = self.keys.get(&tag(&self.hasher, presented)).ok_or(Denied::UnknownKey)?;
        if let Some(at) = entry.revoked {
            return Err(Denied::Revoked { at });
        }
        match entry.principal.expires {
            Some(at) if at <= now => Err(Denied::Expired { at }),
            _ => Ok(entry.principal.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
