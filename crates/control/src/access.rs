//! Teams and keys.

use policy::{NewKey, Principal};
use report::Report;
use store::{Change, Key, KeyVersion, Role, State, Team};
use units::{KeyId, Micros, TeamId};

use crate::call::{Call, Outcome, json};
use crate::{Plane, missing, users};

/// Names of teams, users and keys appear in ledger accounts and metric labels.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), Report> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Report::new("CT0002", format!("\"{name:.80}\" is not a name for a {kind}"))
        .because("a name has 1 to 64 letters, digits and `-` `_` `.`"))
}

/// People are often named by their mail address.
pub(crate) fn check_user_name(name: &str) -> Result<(), Report> {
    check_name("user", &name.replacen('@', "-", 1))
        .map_err(|r| r.because("a name has 1 to 64 letters, digits and `-` `_` `.`, and one `@` at most"))
}

/// A SPIFFE id, or an issuer's address and the subject it names, as
/// `https://issuer#subject`.
fn check_subject(subject: &str) -> Result<(), Report> {
    let plain = subject.len() <= SUBJECT_MAX && subject.bytes().all(|b| b.is_ascii_graphic());
    let spiffe = subject.strip_prefix("spiffe://").is_some_and(|rest| {
        let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        !domain.is_empty() && !path.is_empty() && !subject.contains(['#', '?', '%', '@'])
    });
    let token = subject.split_once('#').is_some_and(|(issuer, who)| {
        (issuer.starts_with("https://") || issuer.starts_with("http://")) && !who.is_empty()
    });
    if plain && (spiffe || token) {
        return Ok(());
    }
    Err(Report::new("CT0002", format!("\"{subject:.100}\" is not a subject"))
        .hint("write spiffe://domain/path for a client certificate, https://issuer#subject for a token"))
}

/// The longest subject: SPIFFE allows 2,048 bytes, of which nobody uses a half.
const SUBJECT_MAX: usize = 1024;

pub(crate) fn role(role: api::Role) -> Role {
    match role {
        api::Role::Inference => Role::Inference,
        api::Role::Viewer => Role::Viewer,
        api::Role::Admin => Role::Admin,
        api::Role::SecurityOfficer => Role::SecurityOfficer,
        api::Role::Auditor => Role::Auditor,
        api::Role::Operator => Role::Operator,
        api::Role::Developer => Role::Developer,
        api::Role::Agent => Role::Agent,
    }
}

pub(crate) fn show_role(role: Role) -> api::Role {
    match role {
        Role::Inference => api::Role::Inference,
        Role::Viewer => api::Role::Viewer,
        Role::Admin => api::Role::Admin,
        Role::SecurityOfficer => api::Role::SecurityOfficer,
        Role::Auditor => api::Role::Auditor,
        Role::Operator => api::Role::Operator,
        Role::Developer => api::Role::Developer,
        Role::Agent => api::Role::Agent,
    }
}

pub(crate) fn list_teams(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let teams: Vec<api::Team> = state.teams.iter().map(|t| show_team(&state, t, call.now)).collect();
    json(&api::List::from(teams))
}

pub(crate) fn create_team(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::CreateTeam = call.read()?;
    check_name("team", &wanted.name)?;
    let state = plane.state()?;
    if state.teams.iter().any(|t| t.name == wanted.name) {
        return Err(Report::new("CT0004", format!("there is a team \"{}\" already", wanted.name)).into());
    }
    let team = Team {
        id: TeamId(runtime::new_id()),
        org: call.principal.org,
        name: wanted.name,
        requests_per_minute: wanted.requests_per_minute,
        tokens_per_minute: wanted.tokens_per_minute,
        created: call.now,
    };
    plane.change(&[Change::PutTeam(team.clone())])?;
    json(&show_team(&plane.state()?, &team, call.now))
}

pub(crate) fn list_keys(plane: &Plane, _call: &Call) -> Outcome {
    let state = plane.state()?;
    let keys: Vec<api::Key> = state.keys.iter().map(|k| show_key(&state, k)).collect();
    json(&api::List::from(keys))
}

pub(crate) fn create_key(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::CreateKey = call.read()?;
    check_name("key", &wanted.name)?;
    let state = plane.state()?;
    let team = state.teams.iter().find(|t| t.name == wanted.team);
    let team = team.ok_or_else(|| missing("team", &wanted.team, "`bedplate team create` makes one"))?;
    let user = match &wanted.user {
        None => None,
        Some(name) => {
            let found = state.users.iter().find(|u| u.name == *name && u.org == team.org);
            Some(found.ok_or_else(|| missing("user", name, "`bedplate user create` makes one"))?.id)
        }
    };
    let live = |k: &&Key| k.team == team.id && k.name == wanted.name && k.revoked.is_none();
    if state.keys.iter().any(|k| live(&k)) {
        let what = format!("team \"{}\" has a key \"{}\" already", team.name, wanted.name);
        return Err(Report::new("CT0004", what).hint("choose another name, or rotate that key").into());
    }
    let expires = wanted.expires_in_seconds.map(|s| after(call.now, s)).transpose()?;
    if let Some(subject) = &wanted.subject {
        check_subject(subject)?;
    }
    let mut key = Key {
        id: KeyId(runtime::new_id()),
        team: team.id,
        user,
        name: wanted.name,
        role: role(wanted.role),
        subject: wanted.subject,
        versions: Vec::new(),
        models: wanted.models,
        requests_per_minute: wanted.requests_per_minute,
        tokens_per_minute: wanted.tokens_per_minute,
        expires,
        revoked: None,
        created_by: Some(call.principal.key),
        created: call.now,
    };
    may_hand_out(&state, &call.principal, &key)?;
    // Whoever has a subject needs no secret, and what there is not is not stolen.
    let text = match key.subject {
        Some(_) => None,
        None => {
            let (text, version) = plane.host.mint(call.now, None);
            key.versions.push(version);
            Some(text)
        }
    };
    store_key(plane, key, text)
}

/// Whether the principal may make such a key, or a new secret of it: who gets
/// the secret of a key is that key (TRAPS X3).
fn may_hand_out(state: &State, who: &Principal, key: &Key) -> Result<(), Report> {
    let org = state.teams.iter().find(|t| t.id == key.team).map_or(who.org, |t| t.org);
    let wanted = NewKey {
        team: key.team,
        org,
        user: key.user,
        role: key.role,
        models: key.models.as_deref(),
        requests_per_minute: key.requests_per_minute,
        tokens_per_minute: key.tokens_per_minute,
        expires: key.expires,
    };
    policy::can_create(who, &wanted).map_err(|d| d.report())
}

/// The new version works at once; the old one until the overlap is over.
pub(crate) fn rotate_key(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::RotateKey = if call.body.is_empty() { api::RotateKey::default() } else { call.read()? };
    let state = plane.state()?;
    let mut key = find_key(&state, call.param(0))?;
    if key.revoked.is_some() {
        return Err(Report::new("CT0004", "the key is revoked").hint("create another").into());
    }
    if key.subject.is_some() {
        return Err(Report::new("CT0004", "the key has no secret to rotate")
            .because("a certificate or a token stands for it")
            .into());
    }
    may_hand_out(&state, &call.principal, &key)?;
    let until = after(call.now, wanted.overlap_seconds.unwrap_or(DEFAULT_OVERLAP_S))?;
    key.versions.retain(|v| v.expires.is_none_or(|e| e > call.now));
    // Two live versions at most: the newest so far, and the new one.
    let newest = key.versions.pop();
    key.versions = newest.into_iter().map(|v| shortened(v, until)).collect();
    let (text, version) = plane.host.mint(call.now, None);
    key.versions.push(version);
    store_key(plane, key, Some(text))
}

/// A day: long enough to redeploy every client of a company.
const DEFAULT_OVERLAP_S: u64 = 86_400;

fn shortened(version: KeyVersion, until: Micros) -> KeyVersion {
    KeyVersion { expires: Some(version.expires.map_or(until, |e| e.min(until))), ..version }
}

pub(crate) fn revoke_key(plane: &Plane, call: &Call) -> Outcome {
    let state = plane.state()?;
    let mut key = find_key(&state, call.param(0))?;
    if key.id == call.principal.key {
        return Err(Report::new("CT0004", "a key cannot revoke itself")
            .hint("revoke it with another admin key, so that nobody locks themselves out")
            .into());
    }
    if key.revoked.is_none() {
        key.revoked = Some(call.now);
        let change = Change::PutKey(key.clone());
        users::keeps_an_admin(&state, &change, call.now)?;
        plane.change(&[change])?;
    }
    json(&show_key(&state, &key))
}

fn store_key(plane: &Plane, key: Key, text: Option<String>) -> Outcome {
    plane.change(&[Change::PutKey(key.clone())])?;
    json(&api::CreatedKey { key: show_key(&plane.state()?, &key), secret: text.map(api::Secret::new) })
}

fn after(now: Micros, seconds: u64) -> Result<Micros, Report> {
    let us =
        i64::try_from(seconds).ok().and_then(|s| s.checked_mul(1_000_000)).filter(|us| *us < i64::MAX / 4);
    us.map(|us| now.plus_us(us))
        .ok_or_else(|| Report::new("CT0002", format!("{seconds} seconds is too long")))
}

/// By id, or by `team/name` among the keys that are not revoked.
pub(crate) fn find_key(state: &State, name: &str) -> Result<Key, Report> {
    let found = state.keys.iter().find(|k| k.id.to_string() == name).or_else(|| {
        let (team, name) = name.split_once('/')?;
        let team = state.teams.iter().find(|t| t.name == team)?;
        state.keys.iter().find(|k| k.team == team.id && k.name == name && k.revoked.is_none())
    });
    found.cloned().ok_or_else(|| missing("key", name, "`bedplate key list` shows ids and names"))
}

fn show_team(state: &State, team: &Team, now: Micros) -> api::Team {
    let live = |k: &&Key| k.team == team.id && k.revoked.is_none() && k.expires.is_none_or(|e| e > now);
    api::Team {
        id: team.id.to_string(),
        name: team.name.clone(),
        requests_per_minute: team.requests_per_minute,
        tokens_per_minute: team.tokens_per_minute,
        created: team.created.to_string(),
        live_keys: state.keys.iter().filter(live).count() as u32,
    }
}

fn show_key(state: &State, key: &Key) -> api::Key {
    api::Key {
        id: key.id.to_string(),
        team: team_name(state, key.team),
        user: key.user.map(|id| {
            let user = state.users.iter().find(|u| u.id == id);
            user.map_or_else(|| id.to_string(), |u| u.name.clone())
        }),
        name: key.name.clone(),
        role: show_role(key.role),
        subject: key.subject.clone(),
        models: key.models.clone(),
        requests_per_minute: key.requests_per_minute,
        tokens_per_minute: key.tokens_per_minute,
        versions: key
            .versions
            .iter()
            .map(|v| api::KeyVersion {
                hint: v.hint.clone(),
                created: v.created.to_string(),
                expires: v.expires.map(|e| e.to_string()),
            })
            .collect(),
        created: key.created.to_string(),
        expires: key.expires.map(|e| e.to_string()),
        revoked: key.revoked.map(|r| r.to_string()),
        created_by: key.created_by.map(|k| k.to_string()),
    }
}

/// A team's name; its id when it no longer exists.
pub(crate) fn team_name(state: &State, id: TeamId) -> String {
    state.teams.iter().find(|t| t.id == id).map_or_else(|| id.to_string(), |t| t.name.clone())
}

/// `team/name` of a key; its id when it no longer exists.
pub(crate) fn key_name(state: &State, id: KeyId) -> String {
    let key = state.keys.iter().find(|k| k.id == id);
    key.map_or_else(|| id.to_string(), |k| format!("{}/{}", team_name(state, k.team), k.name))
}
