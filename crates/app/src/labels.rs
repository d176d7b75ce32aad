//! Declared labels, put in force: what data is at least, and what a target may take.

use std::collections::HashMap;
use std::sync::Arc;

use manifest::{Document, PlaceLabels, Spec};
use net::Origin;
use net::client::Reach;
use policy::{Place, PlaceKind, Purpose};
use store::State;
use units::{Labels, TeamId};

/// What each declared provider may be sent.
pub fn of_providers(documents: &[Document]) -> HashMap<String, PlaceLabels> {
    let declared = documents.iter().filter_map(|document| match &document.spec {
        Spec::Provider(provider) => Some((document.name.clone(), provider.labels.clone())),
        _ => None,
    });
    declared.collect()
}

/// What everything that a team sends is at least. Teams made by the API alone declare none.
pub fn of_teams(state: &State, documents: &[Document]) -> HashMap<TeamId, Labels> {
    let declared = documents.iter().filter_map(|document| match &document.spec {
        Spec::Team(team) if team.labels != Labels::default() => {
            let row = state.teams.iter().find(|t| t.name == document.name)?;
            Some((row.id, team.labels.clone()))
        }
        _ => None,
    });
    declared.collect()
}

/// A target as a place: what is declared at the target goes before what is
/// declared at its provider, and what nobody declared is its kind's.
pub fn place(
    origin: Option<&Origin>,
    provider: Option<&PlaceLabels>,
    target: Option<&PlaceLabels>,
    sku: &Arc<str>,
) -> Place {
    let kind = match origin.map(Origin::reach) {
        None => PlaceKind::Inside,
        Some(Reach::Private) => PlaceKind::OnPrem,
        Some(Reach::Public) => PlaceKind::External,
    };
    let mut place = Place::of_kind(kind, Arc::clone(sku));
    place.destination = origin.map(|o| Arc::clone(o.name()));
    for declared in [provider, target].into_iter().flatten() {
        if let Some(zones) = &declared.zones {
            place.zones.clone_from(zones);
        }
        if let Some(ceiling) = declared.ceiling {
            place.ceiling = ceiling;
        }
        if let Some(purposes) = &declared.purposes {
            place.purposes = Some(purposes.iter().filter_map(|p| Purpose::from_name(p)).collect());
        }
    }
    place
}
