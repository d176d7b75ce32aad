//! `key`, `team`, `provider`: who may ask, and with which keys.

use std::io::{BufRead, IsTerminal};
use std::process::{Command, Stdio};

use api::{
    CreateKey, CreateTeam, CreateUser, CreatedKey, Key, List, Provider, Role, RotateKey, Secret,
    SetProviderKey, SetUserRole, Team, User,
};
use report::Report;

use super::show;
use crate::Failure;
use crate::args;
use crate::client::{Server, encode};
use crate::duration;
use crate::table::{or_dash, short_time, table};

pub(super) fn key(server: &Server, command: args::Key, json: bool) -> Result<(), Failure> {
    match command {
        args::Key::Create(args) => {
            let expires =
                args.expires.as_deref().map(|text| duration::seconds("--expires", text)).transpose()?;
            let create = CreateKey {
                team: args.team,
                user: args.user,
                name: args.name,
                role: role(args.role),
                subject: args.subject,
                models: (!args.models.is_empty()).then_some(args.models),
                requests_per_minute: args.requests_per_minute,
                tokens_per_minute: args.tokens_per_minute,
                expires_in_seconds: expires,
            };
            let created: CreatedKey = server.post("/api/v1/keys", &create)?;
            created_key(&created, json);
        }
        args::Key::List => {
            let keys: List<Key> = server.get("/api/v1/keys")?;
            show(json, &keys, |keys| key_table(&keys.data));
        }
        args::Key::Rotate { id, overlap } => {
            let rotate = RotateKey { overlap_seconds: Some(duration::seconds("--overlap", &overlap)?) };
            let created: CreatedKey =
                server.post(&format!("/api/v1/keys/{}/rotate", encode(&id)), &rotate)?;
            created_key(&created, json);
        }
        args::Key::Revoke { id } => {
            let key: Key = server.delete(&format!("/api/v1/keys/{}", encode(&id)))?;
            show(json, &key, |key| format!("revoked {} ({}/{})", key.id, key.team, key.name));
        }
    }
    Ok(())
}

/// The secret alone on standard output, so that `KEY=$(bedplate key create ...)` works.
fn created_key(created: &CreatedKey, json: bool) {
    if !json {
        let key = &created.key;
        match &key.subject {
            None => {
                eprintln!(
                    "key {} ({}/{}); this is the only time its secret is shown:",
                    key.id, key.team, key.name
                );
            }
            Some(subject) => eprintln!("key {} ({}/{}) of {subject}", key.id, key.team, key.name),
        }
    }
    // A key of a subject has no secret: its id is what there is to print.
    show(json, created, |created| {
        created.secret.as_ref().map_or_else(|| created.key.id.clone(), |secret| secret.expose().to_owned())
    });
}

pub(super) fn role(role: args::KeyRole) -> Role {
    match role {
        args::KeyRole::Inference => Role::Inference,
        args::KeyRole::Viewer => Role::Viewer,
        args::KeyRole::Admin => Role::Admin,
        args::KeyRole::SecurityOfficer => Role::SecurityOfficer,
        args::KeyRole::Auditor => Role::Auditor,
        args::KeyRole::Operator => Role::Operator,
        args::KeyRole::Developer => Role::Developer,
        args::KeyRole::Agent => Role::Agent,
    }
}

/// As it is written in commands.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Inference => "inference",
        Role::Viewer => "viewer",
        Role::Admin => "admin",
        Role::SecurityOfficer => "security-officer",
        Role::Auditor => "auditor",
        Role::Operator => "operator",
        Role::Developer => "developer",
        Role::Agent => "agent",
    }
}

fn key_table(keys: &[Key]) -> String {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let mut hints: Vec<&str> = key.versions.iter().map(|v| v.hint.as_str()).collect();
            hints.extend(key.subject.as_deref());
            let state = match (&key.revoked, &key.expires) {
                (Some(at), _) => format!("revoked {}", short_time(at)),
                (None, Some(at)) => format!("until {}", short_time(at)),
                (None, None) => "live".to_owned(),
            };
            vec![
                key.id.clone(),
                key.team.clone(),
                key.name.clone(),
                role_name(key.role).to_owned(),
                hints.join(" "),
                key.models.as_ref().map_or("all".to_owned(), |m| m.join(" ")),
                state,
            ]
        })
        .collect();
    table(&["ID", "TEAM", "NAME", "ROLE", "HINT", "MODELS", "STATE"], &rows)
}

pub(super) fn user(server: &Server, command: args::User, json: bool) -> Result<(), Failure> {
    match command {
        args::User::Create { name, role: wanted } => {
            let create = CreateUser { name, role: wanted.map(role) };
            let user: User = server.post("/api/v1/users", &create)?;
            show(json, &user, |user| format!("user {} ({})", user.name, user.id));
        }
        args::User::SetRole { name, role: wanted } => {
            let set = SetUserRole { role: role(wanted) };
            let user: User = server.put(&format!("/api/v1/users/{}/role", encode(&name)), &set)?;
            show(json, &user, |u| format!("{} is {} from now on", u.name, u.role.map_or("-", role_name)));
        }
        args::User::ClearRole { name } => {
            let user: User = server.delete(&format!("/api/v1/users/{}/role", encode(&name)))?;
            show(json, &user, |u| format!("{} is what their groups say from now on", u.name));
        }
        args::User::List => {
            let users: List<User> = server.get("/api/v1/users")?;
            show(json, &users, |users| {
                let rows: Vec<Vec<String>> = users
                    .data
                    .iter()
                    .map(|user| {
                        vec![
                            user.name.clone(),
                            user.role.map_or("-", role_name).to_owned(),
                            user.live_keys.to_string(),
                            user.subject.clone().unwrap_or_else(|| "-".to_owned()),
                            short_time(&user.created),
                            user.id.clone(),
                        ]
                    })
                    .collect();
                table(&["USER", "ROLE", ">LIVE KEYS", "SIGNS IN AS", "CREATED", "ID"], &rows)
            });
        }
    }
    Ok(())
}

pub(super) fn team(server: &Server, command: args::Team, json: bool) -> Result<(), Failure> {
    match command {
        args::Team::Create { name, requests_per_minute, tokens_per_minute } => {
            let create = CreateTeam { name, requests_per_minute, tokens_per_minute };
            let team: Team = server.post("/api/v1/teams", &create)?;
            show(json, &team, |team| format!("team {} ({})", team.name, team.id));
        }
        args::Team::List => {
            let teams: List<Team> = server.get("/api/v1/teams")?;
            show(json, &teams, |teams| {
                let rows: Vec<Vec<String>> = teams
                    .data
                    .iter()
                    .map(|team| {
                        vec![
                            team.name.clone(),
                            team.live_keys.to_string(),
                            or_dash(&team.requests_per_minute),
                            or_dash(&team.tokens_per_minute),
                            short_time(&team.created),
                            team.id.clone(),
                        ]
                    })
                    .collect();
                table(&["TEAM", ">KEYS", ">REQUESTS/MIN", ">TOKENS/MIN", "CREATED", "ID"], &rows)
            });
        }
    }
    Ok(())
}

pub(super) fn provider(server: &Server, command: args::Provider, json: bool) -> Result<(), Failure> {
    match command {
        args::Provider::List => {
            let providers: List<Provider> = server.get("/api/v1/providers")?;
            show(json, &providers, |providers| {
                let rows: Vec<Vec<String>> = providers
                    .data
                    .iter()
                    .map(|p| {
                        vec![
                            p.name.clone(),
                            p.dialect.clone(),
                            if p.declared { "declared" } else { "catalogue" }.to_owned(),
                            format!("{:?}", p.key_source).to_lowercase(),
                            or_dash(&p.key_name),
                            p.base_url.clone(),
                        ]
                    })
                    .collect();
                table(&["PROVIDER", "DIALECT", "FROM", "KEY", "KEY NAME", "URL"], &rows)
            });
        }
        args::Provider::SetKey { name } => {
            let set = SetProviderKey { key: Secret::new(read_secret(&name)?) };
            let provider: Provider = server.put(&format!("/api/v1/providers/{}/key", encode(&name)), &set)?;
            show(json, &provider, |p| format!("the key of {} is in the encrypted store", p.name));
        }
    }
    Ok(())
}

/// One line of standard input; on a terminal it is not shown while it is typed.
pub(super) fn read_secret(name: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let terminal = stdin.is_terminal();
    if terminal {
        eprint!("key of {name}: ");
        echo(false);
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if terminal {
        echo(true);
        eprintln!();
    }
    let key = line.trim();
    match read {
        Ok(_) if !key.is_empty() && key.len() <= 8192 => Ok(key.to_owned()),
        _ => Err(Report::new("CL0010", "no key was read from standard input")
            .hint(format!("`bedplate provider set-key {name} < key.txt`"))
            .into()),
    }
}

/// Turns the terminal's echo on or off. If there is no `stty`, the key is
/// visible while it is typed; nothing else is lost.
fn echo(on: bool) {
    let mode = if on { "echo" } else { "-echo" };
    let _ = Command::new("stty").arg(mode).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}
