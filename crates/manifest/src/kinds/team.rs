//! `Team`: who shares keys, limits and budgets.

use units::Labels;

use crate::document::model_name;
use crate::kinds::labels;
use crate::read::{Fields, text};

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Team {
    /// Over all keys of the team.
    pub requests_per_minute: Option<u32>,
    /// Over all keys of the team.
    pub tokens_per_minute: Option<u64>,
    /// The catalogue: the models that its keys may use; `None`: every model. A
    /// key's own list can only narrow it.
    pub models: Option<Vec<String>>,
    /// What everything that its members send is at least.
    pub labels: Labels,
    /// Its share of local models beside other teams' when they are busy; 1 to
    /// [`WEIGHT_MAX`], and 1 unless it is said.
    pub weight: Option<u32>,
}

/// Larger weights would let one team keep the others waiting for minutes.
const WEIGHT_MAX: u64 = 100;

/// Models in a catalogue.
const MODELS_MAX: usize = 2_000;

pub(crate) fn read(fields: &mut Fields) -> Option<Team> {
    let requests = fields.number("requestsPerMinute", 1, u64::from(u32::MAX));
    Some(Team {
        requests_per_minute: requests.and_then(|n| u32::try_from(n).ok()),
        tokens_per_minute: fields.number("tokensPerMinute", 1, 1 << 50),
        models: models(fields),
        labels: labels::of_data(fields),
        weight: fields.number("weight", 1, WEIGHT_MAX).and_then(|n| u32::try_from(n).ok()),
    })
}

fn models(fields: &mut Fields) -> Option<Vec<String>> {
    let nodes = fields.list("models", MODELS_MAX)?;
    let path = fields.path_of("models");
    let name = |node| {
        let name = text(node, &path, fields.problems)?;
        if !model_name(&name) {
            fields.problems.wrong(&path, node, "the name of a model");
            return None;
        }
        Some(name)
    };
    Some(nodes.iter().filter_map(name).collect())
}
