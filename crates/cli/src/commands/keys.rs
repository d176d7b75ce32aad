//! `keys` and `tenant`: what data is encrypted under, and erasing it.

use api::{Copies, KeyRing, RotateKeyRing, ShredTenant, Shredded};

use super::show;
use crate::Failure;
use crate::args;
use crate::client::{Server, encode};
use crate::table::{or_dash, short_time, table};

pub(super) fn list(server: &Server, json: bool) -> Result<(), Failure> {
    let ring: KeyRing = server.get("/api/v1/keyring")?;
    show(json, &ring, render);
    Ok(())
}

pub(super) fn rotate(server: &Server, args: args::RotateKeys, json: bool) -> Result<(), Failure> {
    let wanted =
        RotateKeyRing { tenant: args.target.tenant, root: args.target.root, keep_old: args.keep_old };
    let ring: KeyRing = server.post("/api/v1/keyring/rotate", &wanted)?;
    if wanted.root && !json {
        eprintln!("back up the key ring again: older copies of it may not open any more");
    }
    show(json, &ring, render);
    Ok(())
}

pub(super) fn tenant(server: &Server, command: args::Tenant, json: bool) -> Result<(), Failure> {
    let args::Tenant::Shred { team, confirm } = command;
    let path = format!("/api/v1/teams/{}/shred", encode(&team));
    let shredded: Shredded = server.post(&path, &ShredTenant { confirm })?;
    show(json, &shredded, |s| {
        format!(
            "team {} is erased: its keys are destroyed, {} API keys are revoked\n{}",
            s.team,
            s.revoked_keys,
            copies(s)
        )
    });
    Ok(())
}

fn copies(shredded: &Shredded) -> String {
    match shredded.copies {
        Copies::Dead => "copies of the key ring are dead too; back up the new one".into(),
        Copies::Alive => "copies of the key ring still open with this kind of master key: destroy backups, \
                          or `bedplate keys rewrap`"
            .into(),
        Copies::Owed => format!(
            "copies of the key ring are not dead yet: {}\nit is tried again at the next start, and by \
             `bedplate keys rotate --root`",
            or_dash(&shredded.because)
        ),
    }
}

pub(crate) fn render(ring: &KeyRing) -> String {
    let master = &ring.master;
    let mut text = match (&master.kind, &master.unreachable) {
        (Some(kind), _) => format!(
            "master key  {kind} {}, versions {} to {}, the root is under {}\n",
            or_dash(&master.key),
            or_dash(&master.oldest),
            or_dash(&master.newest),
            ring.root_version
        ),
        (None, why) => {
            format!("master key  version {}; not reached: {}\n", ring.root_version, or_dash(why))
        }
    };
    if ring.root_owed {
        text.push_str(
            "a tenant was erased and the root has not changed since: `bedplate keys rotate --root`\n",
        );
    }
    let rows: Vec<Vec<String>> = ring
        .tenants
        .iter()
        .map(|t| {
            let state =
                t.destroyed.as_ref().map_or("live".into(), |at| format!("destroyed {}", short_time(at)));
            vec![t.team.clone(), or_dash(&t.version), t.purposes.join(" "), state]
        })
        .collect();
    text.push_str(&table(&["TEAM", ">VERSION", "KEYS FOR", "STATE"], &rows));
    text
}
