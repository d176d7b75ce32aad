//! The keys that data is encrypted under: who has them, new ones, and erasure.

use report::Report;
use seal::{Copies, TenantShown};
use store::{Change, State, Team};

use crate::call::{Call, Outcome, json};
use crate::{Plane, missing, openings};

pub(crate) fn show(plane: &Plane, _call: &Call) -> Outcome {
    json(&shown(plane)?)
}

pub(crate) fn rotate(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::RotateKeyRing = call.read()?;
    match (&wanted.tenant, wanted.root) {
        (Some(name), false) => {
            let team = find(&plane.state()?, name)?;
            plane.keys.rotate_tenant(team.id).map_err(|e| e.report())?;
        }
        (None, true) => plane.keys.rotate_root(!wanted.keep_old).map_err(|e| e.report())?,
        _ => {
            let hint = "give `tenant` or `root`, one of them";
            return Err(Report::new("CT0002", "it is not clear which key is to change").hint(hint).into());
        }
    }
    json(&shown(plane)?)
}

/// Erases a tenant: its API keys stop, then its data keys are destroyed, and with
/// them all that was ever sealed for it. Its records, budgets and postings stay:
/// they hold no content, and money does not disappear.
pub(crate) fn shred(plane: &Plane, call: &Call) -> Outcome {
    let wanted: api::ShredTenant = call.read()?;
    let state = plane.state()?;
    let team = find(&state, call.param(0))?;
    if wanted.confirm != team.name {
        return Err(Report::new("CT0004", format!("team \"{}\" was not erased", team.name))
            .because("the confirmation is not its name")
            .hint("there is no way back; repeat the name to go on")
            .into());
    }
    if team.id == call.principal.team {
        return Err(Report::new("CT0004", "a key cannot erase its own team")
            .hint("erase it with a key of another team, so that nobody locks themselves out")
            .into());
    }
    let live = state.keys.iter().filter(|k| k.team == team.id && k.revoked.is_none());
    let revoked: Vec<Change> = live
        .map(|key| {
            let mut key = key.clone();
            key.revoked = Some(call.now);
            Change::PutKey(key)
        })
        .collect();
    if !revoked.is_empty() {
        plane.change(&revoked)?;
    }
    // The salts of before teams had their own are nobody's in particular: they go with the first team.
    plane.store.remove_secret(openings::DEPLOYMENT_SALTS).map_err(|e| e.report())?;
    let copies = plane.keys.shred(team.id, call.now).map_err(|e| e.report())?;
    // After the key: what is written behind meanwhile opens no more.
    plane.host.forget_computed();
    if let Err(report) = plane.host.forget_sessions(team.id) {
        let (team, why) = (team.id.to_string(), report.sentence());
        observe::warn!("tenant.sessions_kept", team = team.as_str(), why = why.as_str());
    }
    // What is left is unreadable already; this frees the memory and the disk.
    if let Err(error) = plane.collections.erase(team.id) {
        observe::warn!(
            "tenant.file_kept",
            team = team.id.to_string().as_str(),
            why = error.to_string().as_str()
        );
    }
    log_erasure(call, &team, &copies);
    let at = plane.keys.tenants().into_iter().find(|t| t.team == team.id).and_then(|t| t.gone);
    let (copies, because) = match copies {
        Copies::Dead => (api::Copies::Dead, None),
        Copies::Alive => (api::Copies::Alive, None),
        Copies::Owed(why) => (api::Copies::Owed, Some(why)),
    };
    json(&api::Shredded {
        team: team.name,
        id: team.id.to_string(),
        destroyed: at.unwrap_or(call.now).to_string(),
        revoked_keys: revoked.len() as u32,
        copies,
        because,
    })
}

/// The tombstone is the leaf that `audit::decided` made durable before this
/// operation began; what became of copies is known only now, and goes to the log.
fn log_erasure(call: &Call, team: &Team, copies: &Copies) {
    let copies = match copies {
        Copies::Dead => "dead",
        Copies::Alive => "alive",
        Copies::Owed(_) => "owed",
    };
    observe::warn!(
        "tenant.shredded",
        team = team.id.to_string().as_str(),
        by = call.principal.key.to_string().as_str(),
        copies = copies
    );
}

fn find(state: &State, name: &str) -> Result<Team, Report> {
    let found = state.teams.iter().find(|t| t.name == name).cloned();
    found.ok_or_else(|| missing("team", name, "`bedplate team list` shows all"))
}

fn shown(plane: &Plane) -> Result<api::KeyRing, Report> {
    let state = plane.state()?;
    let master = match plane.keys.about() {
        Ok(about) => api::MasterKey {
            kind: Some(about.kind.into()),
            key: Some(about.key),
            oldest: Some(about.oldest),
            newest: Some(about.newest),
            destroys: Some(about.destroys),
            unreachable: None,
        },
        Err(error) => api::MasterKey {
            kind: None,
            key: None,
            oldest: None,
            newest: None,
            destroys: None,
            unreachable: Some(error.report().sentence()),
        },
    };
    let mut tenants: Vec<api::TenantKeys> =
        plane.keys.tenants().into_iter().map(|tenant| show_tenant(&state, tenant)).collect();
    tenants.sort_by(|a, b| (&a.team, &a.id).cmp(&(&b.team, &b.id)));
    Ok(api::KeyRing {
        master,
        root_version: plane.keys.root_version(),
        root_owed: plane.keys.is_root_owed(),
        tenants,
    })
}

fn show_tenant(state: &State, tenant: TenantShown) -> api::TenantKeys {
    let id = tenant.team.to_string();
    let name = state.teams.iter().find(|t| t.id == tenant.team).map(|t| t.name.clone());
    api::TenantKeys {
        team: name.unwrap_or_else(|| id.clone()),
        id,
        version: tenant.version,
        purposes: tenant.purposes,
        destroyed: tenant.gone.map(|at| at.to_string()),
    }
}
