//! Models, providers and their keys.

use api::KeySource;
use manifest::{Dialect, KeyFrom, Kind, Spec};
use report::Report;

use crate::call::{Call, Outcome, json};
use crate::{Plane, missing};

/// Under which name a provider's key is kept in the encrypted store.
pub fn secret_name(provider: &str) -> String {
    format!("provider/{provider}")
}

/// Models with their targets. Who waits for a local one is for those who may read the
/// status; anybody else sees the queue of their own team.
pub(crate) fn models(plane: &Plane, call: &Call) -> Outcome {
    let mut models = plane.host.models();
    if policy::allows(&call.principal, policy::Action::ReadStatus).is_err() {
        let own = &*call.principal.team_name;
        let memories = models.iter_mut().flat_map(|m| &mut m.targets).filter_map(|t| t.memory.as_mut());
        memories.for_each(|memory| memory.queue.retain(|queue| queue.team == own));
    }
    json(&api::List::from(models))
}

pub(crate) fn providers(plane: &Plane, _call: &Call) -> Outcome {
    json(&api::List::from(all(plane)?))
}

fn all(plane: &Plane) -> Result<Vec<api::Provider>, Report> {
    let stored = plane.store.secret_names().map_err(|e| e.report())?;
    let mut list = Vec::new();
    for row in plane.state()?.manifests.iter().filter(|m| m.kind == Kind::Provider.name()) {
        let Ok(documents) = manifest::parse(&row.text, &row.name) else { continue };
        for document in documents {
            if let Spec::Provider(declared) = &document.spec {
                list.push(declared_one(plane, &stored, &document.name, declared));
            }
        }
    }
    for entry in dialects::providers::all() {
        if list.iter().any(|p: &api::Provider| p.name == entry.name) {
            continue;
        }
        let (key_source, key_name) = source(plane, &stored, &entry.name, None, entry.key_env.as_deref());
        list.push(api::Provider {
            name: entry.name.clone(),
            catalog: Some(entry.name.clone()),
            dialect: if entry.chat_dialect().is_anthropic() { "anthropic" } else { "openai" }.into(),
            base_url: entry.base_url.clone(),
            key_source,
            key_name,
            declared: false,
        });
    }
    Ok(list)
}

fn declared_one(
    plane: &Plane,
    stored: &[String],
    name: &str,
    declared: &manifest::Provider,
) -> api::Provider {
    let entry = dialects::providers::by_name(declared.catalog.as_deref().unwrap_or(name));
    let anthropic = match declared.dialect {
        Some(dialect) => dialect == Dialect::Anthropic,
        None => entry.is_some_and(|e| e.chat_dialect().is_anthropic()),
    };
    let variable = entry.and_then(|e| e.key_env.as_deref());
    let (key_source, key_name) = source(plane, stored, name, declared.key.as_ref(), variable);
    api::Provider {
        name: name.into(),
        catalog: entry.map(|e| e.name.clone()),
        dialect: if anthropic { "anthropic" } else { "openai" }.into(),
        base_url: declared.base_url.clone().or_else(|| entry.map(|e| e.base_url.clone())).unwrap_or_default(),
        key_source,
        key_name,
        declared: true,
    }
}

/// Where a provider's key comes from: the manifest's word, else the store, else
/// the catalogue's variable.
fn source(
    plane: &Plane,
    stored: &[String],
    name: &str,
    declared: Option<&KeyFrom>,
    catalog_variable: Option<&str>,
) -> (KeySource, Option<String>) {
    let in_store = |secret: &str| stored.iter().any(|s| s == secret);
    let of = |has: bool, then: KeySource| if has { then } else { KeySource::Missing };
    match (declared, catalog_variable) {
        (Some(KeyFrom::Store(secret)), _) => (of(in_store(secret), KeySource::Store), Some(secret.clone())),
        (Some(KeyFrom::Environment(variable)), _) => {
            (of(plane.host.has_variable(variable), KeySource::Environment), Some(variable.clone()))
        }
        (None, _) if in_store(&secret_name(name)) => (KeySource::Store, Some(secret_name(name))),
        (None, Some(variable)) => {
            (of(plane.host.has_variable(variable), KeySource::Environment), Some(variable.into()))
        }
        (None, None) => (KeySource::None, None),
    }
}

/// Where the provider's manifest looks for its key, if it says so itself.
fn declared_secret(plane: &Plane, name: &str) -> Result<String, Report> {
    let state = plane.state()?;
    let own = state.manifests.iter().find(|m| m.kind == Kind::Provider.name() && m.name == name);
    let documents = own.and_then(|m| manifest::parse(&m.text, &m.name).ok()).unwrap_or_default();
    let declared = documents.into_iter().find_map(|document| match document.spec {
        Spec::Provider(manifest::Provider { key: Some(KeyFrom::Store(secret)), .. }) => Some(secret),
        _ => None,
    });
    Ok(declared.unwrap_or_else(|| secret_name(name)))
}

pub(crate) fn set_provider_key(plane: &Plane, call: &Call) -> Outcome {
    let name = call.param(0);
    let wanted: api::SetProviderKey = call.read()?;
    let key = wanted.key.expose().trim();
    if key.is_empty() || key.len() > 4096 || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(
            Report::new("CT0002", "the key is empty or holds characters that no header can carry").into()
        );
    }
    if !all(plane)?.iter().any(|p| p.name == name) {
        return Err(missing(
            "provider",
            name,
            "declare it with `bedplate apply`, or see `bedplate provider list`",
        )
        .into());
    }
    plane.store.put_secret(&declared_secret(plane, name)?, key.as_bytes()).map_err(|e| e.report())?;
    plane.host.reload()?;
    let shown = all(plane)?.into_iter().find(|p| p.name == name);
    json(&shown.ok_or_else(|| missing("provider", name, "it was just there"))?)
}
