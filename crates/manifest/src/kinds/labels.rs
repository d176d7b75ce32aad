//! `labels`: what data is, and what a place may take.

use std::collections::BTreeSet;
use std::fmt::Display;

use units::{Integrity, Labels, Residency, Sensitivity, Zone};

use crate::read::{Fields, text};

/// Of a place: a provider, or one target of a model. `None`: not declared here.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PlaceLabels {
    /// Every zone it lies in: `[eu, de]`.
    pub zones: Option<BTreeSet<Zone>>,
    /// The most sensitive data that it takes.
    pub ceiling: Option<Sensitivity>,
    /// What it may be used for; `None`: anything.
    pub purposes: Option<BTreeSet<String>>,
}

const ZONES_MAX: usize = 16;
const SENSITIVITY: &str = "one of `public`, `internal`, `confidential`, `restricted`";
const ZONE: &str = "a zone: 1 to 32 lower-case letters, digits and `-`, a letter first";
/// The purposes that reach a target, as attempts name them.
pub(crate) const PURPOSES: [&str; 5] = ["chat", "embedding", "rerank", "guard", "judge"];

/// `labels: { zones: [eu], ceiling: confidential, purposes: [chat] }`.
pub(crate) fn of_place(fields: &mut Fields) -> PlaceLabels {
    let Some(mut inner) = fields.open_map("labels") else { return PlaceLabels::default() };
    let zones = zones(&mut inner, "zones");
    let ceiling = inner.parsed::<Sensitivity>("ceiling", SENSITIVITY);
    let purposes = inner.list("purposes", PURPOSES.len()).map(|nodes| {
        let path = inner.path_of("purposes");
        let mut purposes = BTreeSet::new();
        for node in nodes {
            let Some(word) = text(node, &path, inner.problems) else { continue };
            if PURPOSES.contains(&word.as_str()) {
                purposes.insert(word);
            } else {
                inner.problems.wrong(&path, node, format!("one of `{}`", PURPOSES.join("`, `")));
            }
        }
        purposes
    });
    inner.finish();
    PlaceLabels { zones, ceiling, purposes }
}

/// `labels: { sensitivity: internal, zones: [eu], integrity: user }`: what all
/// data of a team, or of a model's users, is at least.
pub(crate) fn of_data(fields: &mut Fields) -> Labels {
    let Some(mut inner) = fields.open_map("labels") else { return Labels::default() };
    let labels = Labels {
        sensitivity: inner.parsed("sensitivity", SENSITIVITY).unwrap_or_default(),
        residency: zones(&mut inner, "zones").map_or(Residency::Anywhere, Residency::Within),
        integrity: inner
            .parsed::<Integrity>("integrity", "one of `trusted`, `user`, `untrusted`")
            .unwrap_or_default(),
    };
    inner.finish();
    labels
}

fn zones(fields: &mut Fields, name: &'static str) -> Option<BTreeSet<Zone>> {
    let nodes = fields.list(name, ZONES_MAX)?;
    let path = fields.path_of(name);
    let zone = |node| {
        let word = text(node, &path, fields.problems)?;
        let read: Result<Zone, _> = word.parse();
        read.map_err(|e| wrong(fields, &path, node, e)).ok()
    };
    Some(nodes.iter().filter_map(zone).collect())
}

fn wrong(fields: &Fields, path: &str, node: &crate::yaml::Node, _: impl Display) {
    fields.problems.wrong(path, node, ZONE);
}
