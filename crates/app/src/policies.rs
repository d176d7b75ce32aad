//! Declared policies, put in force: compiled only when one of them changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gateway::Route;
use manifest::{Document, Spec};
use policy::{ModelFacts, PolicySet, TeamFacts, World};
use report::Report;
use store::State;

/// The set that is in force, kept between reloads.
pub type Compiled = Mutex<Option<Arc<PolicySet>>>;

/// The policy set of the declared policies. One that cannot be read any more is
/// told, and nothing but administration is allowed until it is mended.
pub fn set(
    kept: &Compiled,
    documents: &[Document],
    with_declared: bool,
    problems: &mut Vec<Report>,
) -> Arc<PolicySet> {
    let declared = if with_declared { control::policies::declared(documents) } else { Vec::new() };
    let mut kept = kept.lock().expect("no code panics while it holds the policies");
    let hash = PolicySet::hash_of(&declared);
    if let Some(set) = kept.as_ref().filter(|set| *set.hash() == hash) {
        return Arc::clone(set);
    }
    let set = PolicySet::compile(&declared).unwrap_or_else(|found| {
        problems.extend(control::policies::reports(documents, &found));
        PolicySet::closed_by(&found)
    });
    let set = Arc::new(set);
    *kept = Some(Arc::clone(&set));
    set
}

/// Everything that policies can name.
pub fn world(
    state: &State,
    documents: &[Document],
    routes: &BTreeMap<Box<str>, Arc<Route>>,
    problems: &mut Vec<Report>,
) -> Arc<World> {
    let catalogues = documents.iter().filter_map(|document| match &document.spec {
        Spec::Team(team) => Some(TeamFacts { name: &document.name, models: team.models.as_deref()? }),
        _ => None,
    });
    let catalogues: Vec<TeamFacts<'_>> = catalogues.collect();
    let own = routes.iter().filter(|(name, route)| ***name == *route.name);
    let models: Vec<ModelFacts<'_>> = own
        .map(|(name, route)| ModelFacts {
            name,
            providers: route.targets.iter().map(|t| &*t.provider).collect(),
            places: route.targets.iter().map(|t| &t.admits).collect(),
            digest: None,
        })
        .collect();
    let world = World::new(state, &catalogues, &models).unwrap_or_else(|why| {
        problems.push(Report::new("PO0002", "what policies decide on could not be built").because(why));
        World::empty()
    });
    Arc::new(world)
}
