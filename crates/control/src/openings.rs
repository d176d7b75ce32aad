//! Opening commitments: what lets somebody show that a text is the one that was
//! sent.
//!
//! A leaf says `SHA-256(salt || body)`; an opening is the salts of that leaf and
//! of no other. With it and the receipt anybody verifies offline, so it is the
//! auditor's to hand on, and asking for it is an event of the log itself. Bodies
//! are not asked for: they are compared where they are. The salts of a team whose
//! key was destroyed are gone for everybody.

use ::audit::{Hash, Leaf, Part, SALT_BYTES, Salt, SaltKey};
use base64ct::{Base64, Encoding};
use report::Report;
use seal::{KeyRing, Purpose};
use store::Store;
use units::{RequestId, TeamId};

use crate::call::{Call, Outcome, json};
use crate::{Plane, audit};

/// The secret that all salts derived from before teams had keys for them: there
/// in directories of that time, and destroyed with the first team.
pub(crate) const DEPLOYMENT_SALTS: &str = "audit:salts";

/// The commitment to a body, and the version of the key that it is salted from:
/// the team's, or the platform's for what nobody's key did. `(None, 0)` for a
/// team without a key for salts.
///
/// # Errors
/// SE0014 for a team that was erased.
pub(crate) fn committed(
    keys: &KeyRing,
    team: Option<TeamId>,
    request: RequestId,
    body: &[u8],
) -> Result<(Option<Hash>, u32), Report> {
    let commit = |key: SaltKey| ::audit::commit(&key.salt(request, Part::Request), body);
    match team {
        None => Ok((Some(commit(platform(keys))), 1)),
        Some(team) => match keys.tenant(team).kept(Purpose::Commitments, None).map_err(|e| e.report())? {
            Some((version, key)) => Ok((Some(commit(SaltKey::new(key.expose()))), version)),
            None => Ok((None, 0)),
        },
    }
}

fn platform(keys: &KeyRing) -> SaltKey {
    SaltKey::new(keys.key(Purpose::Commitments).expose())
}

pub(crate) fn open(plane: &Plane, call: &Call) -> Outcome {
    let (index, leaf) = audit::find(plane, call.param(0))?;
    let none = |why: &str| Report::new("AU0008", "the commitments cannot be opened").because(why.to_owned());
    let request = leaf.request_id.filter(|_| leaf.request.or(leaf.response).is_some());
    let request = request.ok_or_else(|| none(&format!("leaf {index} has none")))?;
    let (salted_by, key) = salt_key(&plane.keys, &*plane.store, &leaf)?;
    let record = plane.store.record(request).map_err(|e| e.report())?;
    let (asked, answered) = match &record {
        Some(record) => (record.request_bytes, record.response_bytes),
        None => (leaf.request_bytes.sent, leaf.response_bytes.sent),
    };
    let part = |part: Part, name: &str, commitment: Option<Hash>, bytes: u64| {
        commitment.map(|commitment| {
            let Salt(salt) = key.salt(request, part);
            api::AuditCommitment {
                part: name.into(),
                bytes,
                commitment: commitment.to_string(),
                salt: api::Secret::new(Base64::encode_string(&salt)),
            }
        })
    };
    json(&api::AuditOpening {
        leaf: index,
        request_id: request.to_string(),
        salted_by,
        commitments: [
            part(Part::Request, "request", leaf.request, asked),
            part(Part::Response, "response", leaf.response, answered),
        ]
        .into_iter()
        .flatten()
        .collect(),
    })
}

/// What a leaf's salts are derived from, and whose that is.
fn salt_key(keys: &KeyRing, store: &dyn Store, leaf: &Leaf) -> Result<(String, SaltKey), Report> {
    let gone = |why: &str| {
        Report::new("AU0008", "the commitments cannot be opened any more").because(why.to_owned())
    };
    match (leaf.salts, leaf.team) {
        (0, _) => {
            let secret = store.secret(DEPLOYMENT_SALTS).map_err(|e| e.report())?;
            let secret = secret.and_then(|bytes| <[u8; SALT_BYTES]>::try_from(bytes).ok());
            let secret = secret.ok_or_else(|| {
                gone("it is a leaf of before teams had salts of their own, and what those derived from is destroyed")
            })?;
            Ok(("deployment".into(), SaltKey::new(&secret)))
        }
        (_, None) => Ok(("platform".into(), platform(keys))),
        (version, Some(team)) => {
            let kept = keys.tenant(team).kept(Purpose::Commitments, Some(version)).map_err(|e| e.report())?;
            let (_, key) = kept.ok_or_else(|| gone("the team has no such key"))?;
            Ok((format!("team {team}, key {version}"), SaltKey::new(key.expose())))
        }
    }
}

#[cfg(test)]
mod tests {
    use store::{MemoryStore, Secrets};
    use units::{Micros, Uuid7};

    use super::*;

    const BODY: &[u8] = b"{\"model\":\"small\"}";

    fn id(n: u8) -> Uuid7 {
        Uuid7::new(Micros(1_000_000), [n; 10])
    }

    /// Whether a leaf's commitment opens to the body.
    fn opens(keys: &KeyRing, store: &MemoryStore, leaf: &Leaf) -> Result<bool, &'static str> {
        let (_, key) = salt_key(keys, store, leaf).map_err(|report| report.code.0)?;
        let salt = key.salt(leaf.request_id.expect("it has one"), Part::Request);
        Ok(leaf.request == Some(::audit::commit(&salt, BODY)))
    }

    fn leaf(keys: &KeyRing, team: Option<TeamId>) -> Leaf {
        let request = RequestId(id(9));
        let (commitment, salts) = committed(keys, team, request, BODY).unwrap_or_else(|e| panic!("{e}"));
        Leaf { team, request: commitment, salts, request_id: Some(request), ..Leaf::default() }
    }

    #[test]
    fn an_erased_teams_commitments_open_no_more_and_others_do() {
        let (keys, store) = (KeyRing::ephemeral(), MemoryStore::new());
        let (gone, stays) = (TeamId(id(1)), TeamId(id(2)));
        assert_eq!(leaf(&keys, Some(gone)).salts, 0, "a team without a key commits to nothing");
        keys.provide([gone, stays].into_iter(), Purpose::Commitments).unwrap_or_else(|e| panic!("{e}"));
        let leaves = [Some(gone), Some(stays), None].map(|team| leaf(&keys, team));
        assert_eq!(leaves.each_ref().map(|l| opens(&keys, &store, l)), [Ok(true), Ok(true), Ok(true)]);
        // Another tenant's salts are not these.
        let moved = Leaf { team: Some(stays), ..leaves[0].clone() };
        assert_eq!(opens(&keys, &store, &moved), Ok(false));
        keys.rotate_tenant(stays).unwrap_or_else(|e| panic!("{e}"));
        keys.shred(gone, Micros(5)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            leaves.each_ref().map(|l| opens(&keys, &store, l)),
            [Err("SE0014"), Ok(true), Ok(true)],
            "a new key of the team wraps the same salts"
        );
    }

    #[test]
    fn a_leaf_of_the_first_version_opens_until_what_it_was_salted_from_is_destroyed() {
        let (keys, store) = (KeyRing::ephemeral(), MemoryStore::new());
        let secret = [7; SALT_BYTES];
        store.put_secret(DEPLOYMENT_SALTS, &secret).unwrap_or_else(|e| panic!("{e}"));
        let request = RequestId(id(9));
        let salt = SaltKey::new(&secret).salt(request, Part::Request);
        let before = Leaf {
            team: Some(TeamId(id(1))),
            request: Some(::audit::commit(&salt, BODY)),
            request_id: Some(request),
            ..Leaf::default()
        };
        let read = Leaf::decode(&before.encode()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(opens(&keys, &store, &read), Ok(true));
        store.remove_secret(DEPLOYMENT_SALTS).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(opens(&keys, &store, &read), Err("AU0008"));
    }
}
