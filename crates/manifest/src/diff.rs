//! What applying a set of documents would change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::document::{Document, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
    Unchanged,
}

/// One value that differs; `from` is absent when added, `to` when removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub path: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    pub kind: Kind,
    pub name: String,
    pub changes: Vec<FieldChange>,
}

/// Steps in the order in which they can be taken: what is named before what
/// names it, deletions last and in the opposite order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Plan {
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn changed(&self) -> bool {
        self.steps.iter().any(|s| s.action != Action::Unchanged)
    }
}

/// Compares what is in force with what is wanted.
///
/// With `prune`, objects in force that `desired` leaves out are deleted, but
/// only of the kinds that `desired` mentions: a file of models deletes no team.
/// Equal is equal in meaning; comments, order and spelling of a number change nothing.
pub fn diff(current: &[Document], desired: &[Document], prune: bool) -> Plan {
    let index = |documents: &[Document]| -> BTreeMap<(Kind, String), usize> {
        documents.iter().enumerate().map(|(i, d)| ((d.kind, d.name.clone()), i)).collect()
    };
    let (have, want) = (index(current), index(desired));
    let mut steps: Vec<Step> = want
        .iter()
        .map(|((kind, name), to)| {
            let to = &desired[*to];
            let (action, changes) = match have.get(&(*kind, name.clone())).map(|i| &current[*i]) {
                None => (Action::Create, field_changes(None, Some(to))),
                Some(from) if from.spec == to.spec => (Action::Unchanged, Vec::new()),
                Some(from) => (Action::Update, field_changes(Some(from), Some(to))),
            };
            Step { action, kind: *kind, name: name.clone(), changes }
        })
        .collect();
    if prune {
        let kinds: BTreeSet<Kind> = desired.iter().map(|d| d.kind).collect();
        let gone = have.iter().rev().filter(|(id, _)| kinds.contains(&id.0) && !want.contains_key(*id));
        steps.extend(gone.map(|((kind, name), _)| Step {
            action: Action::Delete,
            kind: *kind,
            name: name.clone(),
            changes: Vec::new(),
        }));
    }
    Plan { steps }
}

fn field_changes(from: Option<&Document>, to: Option<&Document>) -> Vec<FieldChange> {
    let empty = BTreeMap::new();
    let from = from.map_or(&empty, |d| &d.values);
    let to = to.map_or(&empty, |d| &d.values);
    let paths: BTreeSet<&String> = from.keys().chain(to.keys()).filter(|p| p.starts_with("spec")).collect();
    paths
        .into_iter()
        .filter(|path| from.get(*path) != to.get(*path))
        .map(|path| FieldChange {
            path: path.clone(),
            from: from.get(path).cloned(),
            to: to.get(path).cloned(),
        })
        .collect()
}

impl fmt::Display for Plan {
    /// As a terminal shows it: one line per object, its changed fields below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = [0usize; 4];
        for step in &self.steps {
            let (sign, slot) = match step.action {
                Action::Create => ('+', 0),
                Action::Update => ('~', 1),
                Action::Delete => ('-', 2),
                Action::Unchanged => ('=', 3),
            };
            counts[slot] += 1;
            writeln!(f, "{sign} {} {}", step.kind.name(), step.name)?;
            for change in &step.changes {
                let path = change.path.strip_prefix("spec.").unwrap_or(&change.path);
                match (&change.from, &change.to) {
                    (Some(from), Some(to)) => writeln!(f, "    {path}: {from} -> {to}")?,
                    (None, Some(to)) => writeln!(f, "    {path}: {to}")?,
                    (Some(from), None) => writeln!(f, "    {path}: {from} -> (removed)")?,
                    (None, None) => {}
                }
            }
        }
        let [create, update, delete, unchanged] = counts;
        write!(f, "{create} to create, {update} to update, {delete} to delete, {unchanged} unchanged")
    }
}
