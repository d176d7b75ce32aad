//! `login`, `logout`, `whoami` and `break-glass`: who one is to the server.

use std::time::Duration;

use api::{AskElevation, Elevation, List, Whoami};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{role, role_name};
use super::show;
use crate::client::{Server, encode};
use crate::table::{short_time, table};
use crate::{Failure, args, duration, kept};

#[derive(Deserialize)]
struct Begun {
    id: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    interval: u64,
}

/// Signs in by the device flow: the person goes to a page, we ask until they are done.
pub(super) fn login(server: &Server, json: bool) -> Result<(), Failure> {
    let begun: Begun = server.post("/api/login/device", &json!({}))?;
    let page = begun.verification_uri_complete.as_ref().unwrap_or(&begun.verification_uri);
    eprintln!("open {page}");
    eprintln!("and say that the code is {}", begun.user_code);
    let mut wait = begun.interval;
    let done = loop {
        server.pause(Duration::from_secs(wait));
        let answer: Value = server.post("/api/login/token", &json!({ "id": begun.id }))?;
        match answer["pending"].as_u64() {
            Some(interval) => wait = interval,
            None => break answer,
        }
    };
    let (Some(secret), Some(expires)) = (done["secret"].as_str(), done["expires"].as_str()) else {
        return Err(server.unreadable("it has no key"));
    };
    let file = kept::keep(server.url(), secret, expires)?;
    let text = |name: &str| done[name].as_str().unwrap_or_default().to_owned();
    let shown = json!({ "key": text("key"), "team": text("team"), "role": text("role"), "expires": expires });
    show(json, &shown, |_| {
        let (key, team, role) = (text("key"), text("team"), text("role"));
        format!(
            "signed in as {team}/{key} with the role {role} until {}, kept in {}",
            short_time(expires),
            file.display()
        )
    });
    Ok(())
}

/// Ends the sign-in, here and at the server.
pub(super) fn logout(server: &Server, json: bool) -> Result<(), Failure> {
    // What the server says matters less than that the secret is gone from here.
    let ended = server.post::<_, Value>("/api/logout", &json!({}));
    let had = kept::forget(server.url())?;
    ended?;
    show(json, &json!({ "ended": had }), |_| {
        if had { "signed out".to_owned() } else { "nobody was signed in here".to_owned() }
    });
    Ok(())
}

pub(super) fn whoami(server: &Server, json: bool) -> Result<(), Failure> {
    let who: Whoami = server.get("/api/v1/whoami")?;
    show(json, &who, |who| {
        let mut lines = vec![format!("{} with the role {}", who.key, role_name(who.role))];
        lines.extend(who.user.as_ref().map(|user| format!("user       {user}")));
        lines.extend(who.acting_for.as_ref().map(|user| format!("acts for   {user}")));
        lines.extend(who.elevation.as_ref().map(|id| format!("elevated   {id}")));
        lines.extend(who.expires.as_ref().map(|at| format!("until      {}", short_time(at))));
        lines.push(format!("may        {}", who.may.join(", ")));
        lines.join("\n")
    });
    Ok(())
}

pub(super) fn break_glass(server: &Server, command: args::BreakGlass, json: bool) -> Result<(), Failure> {
    const PATH: &str = "/api/v1/elevations";
    match command {
        args::BreakGlass::Request { role: wanted, reason, lasts } => {
            let minutes = duration::seconds("--for", &lasts)?.div_ceil(60);
            let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
            let ask = AskElevation { role: role(wanted), reason, minutes };
            let asked: Elevation = server.post(PATH, &ask)?;
            if !json {
                eprintln!("two other people approve it: bedplate break-glass approve {}", asked.id);
            }
            show(json, &asked, |e| e.id.clone());
        }
        args::BreakGlass::Approve { id } => {
            let approved: Elevation = server.post(&format!("{PATH}/{}/approve", encode(&id)), &json!({}))?;
            show(json, &approved, |e| match &e.ends {
                Some(ends) => {
                    format!("{} has the rights of {} until {}", e.key, role_name(e.role), short_time(ends))
                }
                None => "approved once; a second person has to approve it too".to_owned(),
            });
        }
        args::BreakGlass::End { id } => {
            let ended: Elevation = server.delete(&format!("{PATH}/{}", encode(&id)))?;
            show(json, &ended, |e| format!("{} is over", e.id));
        }
        args::BreakGlass::List => {
            let all: List<Elevation> = server.get(PATH)?;
            show(json, &all, |all| {
                let rows: Vec<Vec<String>> = all
                    .data
                    .iter()
                    .map(|e| {
                        vec![
                            e.id.clone(),
                            e.key.clone(),
                            role_name(e.role).to_owned(),
                            e.state.clone(),
                            e.ends.as_deref().map_or_else(|| format!("{} min", e.minutes), short_time),
                            e.approvals.join(" "),
                            e.reason.clone(),
                        ]
                    })
                    .collect();
                table(&["ID", "KEY", "ROLE", "STATE", "UNTIL", "APPROVED BY", "REASON"], &rows)
            });
        }
    }
    Ok(())
}
