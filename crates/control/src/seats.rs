//! The keys of people who sign in elsewhere.
//!
//! Everybody here is a key. Somebody whom an identity provider has verified gets
//! one without a secret on their first visit, in the team that their groups lead
//! to, so that their limits, budgets, records and revocation are those of a key.

use ::audit::Leaf;
use policy::Principal;
use report::Report;
use store::{Change, Key, KeyVersion, Role, State, User};
use units::{KeyId, Micros, TeamId, UserId};

use crate::access::check_user_name;
use crate::sessions::Door;
use crate::{Plane, audit};

/// People who came by themselves: beyond this an admin makes their keys.
const PEOPLE_MAX: usize = 100_000;
/// Machines on which one person is signed in by command.
const SIGN_INS_MAX: usize = 8;

/// Somebody whom an identity provider has verified.
pub struct Visitor<'v> {
    /// `issuer#subject`.
    pub subject: &'v str,
    /// What the issuer calls them, where it has checked that.
    pub name: Option<&'v str>,
    pub team: &'v str,
    pub role: Role,
}

impl Plane {
    /// Makes the key of a visitor, or brings its role up to date, and puts it in force.
    ///
    /// # Errors
    /// ID0009 when the team is not there or the name is somebody else's.
    pub fn seat(&self, visitor: &Visitor<'_>, now: Micros) -> Result<KeyId, Report> {
        let state = self.state()?;
        let (key, changes) = seating(&state, visitor, now)?;
        if !changes.is_empty() {
            // A key or a role that nobody of ours gave: written down before it is, like those that somebody did.
            audit::note(self, seat_leaf(&changes, now))?;
            self.put(&changes)?;
        }
        Ok(key)
    }

    /// A secret of somebody's key that works for a while: what `bedplate login` keeps.
    /// The leaf of the sign-in is durable before.
    ///
    /// # Errors
    /// When the key is not there, or key or leaf cannot be written.
    pub fn sign_in(&self, who: &Principal, lasts_us: i64, now: Micros) -> Result<(String, Micros), Report> {
        let state = self.state()?;
        let at = state.keys.binary_search_by_key(&who.key, |k| k.id);
        let at = at.map_err(|_| Report::new("ID0002", "the key is gone"))?;
        let expires = now.plus_us(lasts_us);
        self.signed_in(who, Door::Terminal, expires, now)?;
        let (text, version) = self.host.mint(now, Some(expires));
        self.put(&[Change::PutKey(signed_in(&state.keys[at], version, now))])?;
        Ok((text, expires))
    }

    /// Ends what [`Plane::sign_in`] began. `hash` is that of the presented secret.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign_out(&self, who: &Principal, hash: [u8; 32], now: Micros) -> Result<bool, Report> {
        let state = self.state()?;
        let Ok(at) = state.keys.binary_search_by_key(&who.key, |k| k.id) else { return Ok(false) };
        let Some(key) = signed_out(&state.keys[at], hash) else { return Ok(false) };
        self.put(&[Change::PutKey(key)])?;
        self.signed_out(who, Door::Terminal, now);
        Ok(true)
    }

    fn put(&self, changes: &[Change]) -> Result<(), Report> {
        let first = |reports: Vec<Report>| {
            reports.into_iter().next().unwrap_or_else(|| Report::new("CT0005", "the change failed"))
        };
        self.change(changes).map_err(first)
    }
}

/// Whose groups lead to which key with which role.
fn seat_leaf(changes: &[Change], now: Micros) -> Leaf {
    let key = changes.iter().find_map(|change| match change {
        Change::PutKey(key) => Some(key),
        _ => None,
    });
    Leaf {
        time: now,
        team: key.map(|key| key.team),
        key: key.map(|key| key.id),
        user: key.and_then(|key| key.user),
        action: "seat".into(),
        resource: key.map(|key| key.role.name().to_owned()).unwrap_or_default(),
        decision: "allow: the groups that an identity provider says".into(),
        ..Leaf::default()
    }
}

/// The key of a visitor, and what has to change for it.
fn seating(state: &State, visitor: &Visitor<'_>, now: Micros) -> Result<(KeyId, Vec<Change>), Report> {
    let nobody = |why: String| Report::new("ID0009", "who asks is known and has no key here").because(why);
    let team = state.teams.iter().find(|t| t.name == visitor.team).ok_or_else(|| {
        nobody(format!("their groups lead to the team \"{}\", which is not there", visitor.team))
            .hint("`bedplate team create` makes it")
    })?;
    let mut of_subject = state.keys.iter().filter(|k| k.subject.as_deref() == Some(visitor.subject));
    if let Some(key) = of_subject.find(|k| k.team == team.id) {
        // A key that was made by hand keeps the role that it was made with.
        let stays = key.role == visitor.role || key.created_by.is_some() || key.revoked.is_some();
        let renewed = Change::PutKey(Key { role: visitor.role, ..key.clone() });
        return Ok((key.id, if stays { Vec::new() } else { vec![renewed] }));
    }
    let mut changes = Vec::new();
    let user = match state.users.iter().find(|u| u.subject.as_deref() == Some(visitor.subject)) {
        Some(user) => user.clone(),
        None => {
            let user = user_of(state, visitor, team.org, now).map_err(nobody)?;
            changes.push(Change::PutUser(user.clone()));
            user
        }
    };
    let key = Key {
        id: KeyId(runtime::new_id()),
        team: team.id,
        user: Some(user.id),
        name: free_name(state, team.id, &user.name),
        role: visitor.role,
        subject: Some(visitor.subject.to_owned()),
        versions: Vec::new(),
        models: None,
        requests_per_minute: None,
        tokens_per_minute: None,
        expires: None,
        revoked: None,
        created_by: None,
        created: now,
    };
    let id = key.id;
    changes.push(Change::PutKey(key));
    Ok((id, changes))
}

/// The key with one more secret for a while; the oldest goes when there are too many.
fn signed_in(key: &Key, version: KeyVersion, now: Micros) -> Key {
    let mut key = key.clone();
    key.versions.retain(|v| v.expires.is_some_and(|e| e > now));
    if key.versions.len() >= SIGN_INS_MAX {
        key.versions.remove(0);
    }
    key.versions.push(version);
    key
}

/// The key without that secret; `None` when it has no such. A key that somebody
/// made keeps its secret: `key revoke` ends that one.
fn signed_out(key: &Key, hash: [u8; 32]) -> Option<Key> {
    let mut less = key.clone();
    less.versions.retain(|v| v.hash != hash);
    (key.subject.is_some() && less.versions.len() < key.versions.len()).then_some(less)
}

/// The user of a visitor: one whom an admin has made by this name and who has not
/// signed in yet, or a new one. Never one who signs in as somebody else, and by a
/// name that the issuer has not checked never one who was there before.
fn user_of(state: &State, visitor: &Visitor<'_>, org: units::OrgId, now: Micros) -> Result<User, String> {
    let subject = Some(visitor.subject.to_owned());
    let expected = visitor.name.and_then(|name| state.users.iter().find(|u| u.name == name));
    match expected {
        Some(user) if user.subject.is_none() && user.org == org => {
            return Ok(User { subject, ..user.clone() });
        }
        Some(user) => {
            return Err(format!("the name \"{}\" is that of somebody who signs in as another", user.name));
        }
        None => {}
    }
    if state.users.len() >= PEOPLE_MAX {
        return Err(format!("there are {PEOPLE_MAX} users already"));
    }
    let id = UserId(runtime::new_id());
    // A name that labels cannot carry becomes one that they can; the subject says who it is.
    let shown =
        visitor.name.or_else(|| visitor.subject.rsplit_once('#').map(|(_, who)| who)).unwrap_or("person");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '-' };
    let mut name: String = shown.chars().take(56).map(plain).collect();
    if check_user_name(&name).is_err() || state.users.iter().any(|u| u.name == name) {
        let id = id.to_string();
        name = format!("{}-{}", name.replace('@', "-"), &id[id.len() - 6..]);
    }
    Ok(User { id, org, name, role: None, subject, created: now })
}

/// A name that no admin can have taken: theirs have no `@` before the end.
fn free_name(state: &State, team: TeamId, user: &str) -> String {
    let name = format!("login@{user}");
    let taken = state.keys.iter().any(|k| k.team == team && k.name == name);
    if taken { format!("{name}.{}", state.keys.len()) } else { name }
}

#[cfg(test)]
mod tests;
