//! Break-glass: rights beyond a role, for a while, because two other people said
//! yes. Nothing here can be done alone, and nothing has to be done to end it.

use store::{Approval, Elevation, Key, Role};
use units::{ElevationId, KeyId, Micros};

use crate::{Action, Actions, Denied, Principal, allows};

/// A working day: whoever needs more for longer needs another role.
pub const ELEVATION_MINUTES_MAX: u32 = 480;
/// A request that nobody answered for a day is over: its reason is, too.
const ANSWER_WITHIN_US: i64 = 24 * 3600 * 1_000_000;
const REASON_CHARS_MAX: usize = 500;
/// Different people, none of them the one who asked.
const APPROVALS: usize = 2;

/// Where an elevation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Requested,
    Active,
    /// It ran out, or nobody answered in time.
    Over,
    /// Somebody ended or refused it.
    Ended,
}

/// Where it stands at a time.
pub fn stage(elevation: &Elevation, now: Micros) -> Stage {
    match elevation.ends {
        _ if elevation.ended_by.is_some() => Stage::Ended,
        Some(ends) if ends > now => Stage::Active,
        None if elevation.requested.plus_us(ANSWER_WITHIN_US) > now => Stage::Requested,
        _ => Stage::Over,
    }
}

/// Asks for a role's rights beside one's own.
///
/// # Errors
/// Without a reason, for too long, for nothing new, or by who may not ask.
pub fn ask(
    who: &Principal,
    id: ElevationId,
    role: Role,
    reason: &str,
    minutes: u32,
    now: Micros,
) -> Result<Elevation, Denied> {
    allows(who, Action::AskElevation)?;
    let refuse = |why| Err(Denied::Elevation { why });
    if who.elevated.is_some() {
        return refuse("who is elevated asks for no more");
    }
    if Actions::of(role).beyond(who.actions).is_none() {
        return refuse("the role adds nothing to what the key may do already");
    }
    if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        return refuse("it takes a reason of 1 to 500 characters");
    }
    if !(1..=ELEVATION_MINUTES_MAX).contains(&minutes) {
        return refuse("it lasts 1 to 480 minutes");
    }
    Ok(Elevation {
        id,
        key: who.key,
        role,
        reason: reason.trim().to_owned(),
        lasts_us: i64::from(minutes) * 60_000_000,
        requested: now,
        approvals: Vec::new(),
        ends: None,
        ended_by: None,
    })
}

/// Says yes. The second of two different people begins it.
///
/// A person is a user: two keys of nobody in particular are not two people. A key
/// made after the request says nothing, so that nobody makes themselves a second
/// person on the spot. And the approver's own role has to allow it, not an elevation.
///
/// # Errors
/// By who asked, twice by the same, by a key of nobody, or too late.
pub fn approve(
    who: &Principal,
    approver: &Key,
    asker: &Key,
    elevation: &Elevation,
    now: Micros,
) -> Result<Elevation, Denied> {
    allows(who, Action::ApproveElevation)?;
    let refuse = |why| Err(Denied::Elevation { why });
    if !Actions::of(who.role).has(Action::ApproveElevation) {
        return refuse("who is elevated approves nothing");
    }
    let Some(user) = who.user else {
        return refuse("a key that belongs to no user is nobody's yes; `key create --user`");
    };
    if stage(elevation, now) != Stage::Requested {
        return refuse("it is not waiting for approval");
    }
    if who.key == elevation.key || asker.user == Some(user) {
        return refuse("nobody approves their own");
    }
    if approver.created >= elevation.requested {
        return refuse("the key that approves was made after the request");
    }
    if approver.created_by == Some(elevation.key) {
        return refuse("the key that approves was made by the one who asks");
    }
    if elevation.approvals.iter().any(|a| a.user == user) {
        return refuse("the same person has approved it already");
    }
    let mut elevation = elevation.clone();
    elevation.approvals.push(Approval { key: who.key, user, at: now });
    if elevation.approvals.len() >= APPROVALS {
        elevation.ends = Some(now.plus_us(elevation.lasts_us));
    }
    Ok(elevation)
}

/// Ends it, or says no: by who asked, or by whoever could approve it.
///
/// # Errors
/// When it is over already, or is not theirs.
pub fn end(who: &Principal, elevation: &Elevation, now: Micros) -> Result<Elevation, Denied> {
    let own = who.key == elevation.key;
    if !own {
        allows(who, Action::ApproveElevation)?;
    }
    if !matches!(stage(elevation, now), Stage::Requested | Stage::Active) {
        return Err(Denied::Elevation { why: "it is over already" });
    }
    Ok(Elevation { ends: Some(now), ended_by: Some(who.key), ..elevation.clone() })
}

/// Whether an elevation is shown to somebody: their own, or to whoever reads who has access.
pub fn sees_elevation(who: &Principal, key: KeyId) -> bool {
    who.key == key || who.actions.has(Action::ReadAccess)
}

#[cfg(test)]
mod tests;
