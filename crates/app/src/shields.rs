//! Guards: from what is declared to what looks at requests and answers.
//!
//! The secrets that guards look for by value are those this process holds: the
//! keys of all providers in force, and the canaries of features. They are taken
//! from the very places that use them, so that a new key is looked for at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use cli::guard::spec;
use engine::BannedTexts;
use gateway::{Detector, Route, Upstream};
use guards::{Secrets, Shield, Spec};
use manifest::Document;
use report::Report;

/// The guards that are declared, ready to be put before routes.
pub struct Shields<'a> {
    specs: BTreeMap<&'a str, (Spec, bool)>,
    known: Vec<Vec<u8>>,
    canaries: Vec<Vec<u8>>,
    /// By the names of their guards and their canary: many routes share one.
    made: BTreeMap<(Vec<&'a str>, Option<String>), Made>,
    detectors: BTreeMap<String, Arc<Detector>>,
}

/// What routes with the same guards share.
struct Made {
    shield: Arc<Shield>,
    banned: Option<Arc<BannedTexts>>,
}

impl<'a> Shields<'a> {
    pub fn new<'u>(
        documents: &'a [Document],
        upstreams: impl Iterator<Item = &'u Upstream>,
        problems: &mut Vec<Report>,
    ) -> Shields<'a> {
        let mut shields = Shields {
            specs: BTreeMap::new(),
            known: upstreams.filter_map(key).collect(),
            canaries: Vec::new(),
            made: BTreeMap::new(),
            detectors: BTreeMap::new(),
        };
        shields.known.sort();
        shields.known.dedup();
        for document in documents {
            let manifest::Spec::Guard(declared) = &document.spec else { continue };
            shields.canaries.extend(declared.canary_texts.iter().map(|t| t.clone().into_bytes()));
            if let Some(remote) = &declared.remote {
                match gateway::detector(&remote.url, remote.allow_private) {
                    Ok(detector) => {
                        shields.detectors.insert(remote.url.clone(), Arc::new(detector));
                    }
                    // Without a place to ask, each question counts as unanswered.
                    Err(error) => problems.push(
                        Report::new(
                            "GD0004",
                            format!("the detector of guard \"{}\" cannot be used", document.name),
                        )
                        .because(error.to_string()),
                    ),
                }
            }
            let spec = spec(&document.name, declared);
            shields.specs.insert(&document.name, (spec, declared.default));
        }
        shields
    }

    /// Whether an answer of a route with these guards is searched for canaries.
    pub fn wants_canary(&self, names: &[String]) -> bool {
        self.in_force(names).any(|(_, spec)| spec.canaries > guards::Action::Allow)
    }

    /// The route with its guards: those it names, and those that are default.
    pub fn guarded(&mut self, route: &Route) -> Option<Route> {
        let in_force: Vec<(&'a str, Spec)> =
            self.in_force(&route.guards).map(|(name, spec)| (name, spec.clone())).collect();
        if in_force.is_empty() {
            return None;
        }
        let names = in_force.iter().map(|(name, _)| *name).collect();
        let canary = route.feature.as_ref().and_then(|f| f.canary.as_deref().map(str::to_owned));
        let (known, canaries) = (&self.known, &self.canaries);
        let made = self.made.entry((names, canary.clone())).or_insert_with(|| {
            let mut canaries = canaries.clone();
            canaries.extend(canary.map(String::into_bytes));
            let specs: Vec<&Spec> = in_force.iter().map(|(_, spec)| spec).collect();
            let secrets = Secrets { known, canaries: &canaries };
            let banned = BannedTexts::new(guards::unsaid(&specs, secrets));
            Made { shield: Arc::new(Shield::new(&specs, secrets)), banned }
        });
        let (shield, banned) = (Some(Arc::clone(&made.shield)), made.banned.clone());
        let detectors = self.detectors.values().cloned().collect();
        Some(Route { shield, banned, detectors, ..Route::clone(route) })
    }

    fn in_force<'s>(&'s self, names: &'s [String]) -> impl Iterator<Item = (&'a str, &'s Spec)> {
        let wanted =
            |(name, (_, default)): &(&&str, &(Spec, bool))| *default || names.iter().any(|n| n == **name);
        self.specs.iter().filter(wanted).map(|(name, (spec, _))| (*name, spec))
    }
}

/// The provider's key, as it stands in its header.
fn key(upstream: &Upstream) -> Option<Vec<u8>> {
    let (header, prefix) = upstream.table.auth.header()?;
    let value = upstream.headers.get(header)?.as_bytes();
    Some(value.strip_prefix(prefix.as_bytes()).unwrap_or(value).to_vec())
}
