//! Teams, as far as local models are shared by them.

use std::collections::HashMap;

use manifest::{Document, Spec};
use store::State;
use units::TeamId;

/// Every team, with the weight that its manifest declares.
pub fn of(state: &State, documents: &[Document]) -> HashMap<TeamId, gateway::Team> {
    let declared = documents.iter().filter_map(|document| match &document.spec {
        Spec::Team(team) => Some((document.name.as_str(), team.weight?)),
        _ => None,
    });
    let declared: HashMap<&str, u32> = declared.collect();
    let team = |team: &store::Team| {
        let weight = declared.get(team.name.as_str()).copied().unwrap_or(1);
        (team.id, gateway::Team { name: team.name.as_str().into(), weight })
    };
    state.teams.iter().map(team).collect()
}

#[cfg(test)]
mod tests {
    use store::Team;
    use units::{Micros, OrgId, Uuid7};

    use super::*;

    #[test]
    fn a_teams_declared_weight_reaches_the_snapshot_and_others_count_one() {
        let row = |n: u8, name: &str| Team {
            id: TeamId(Uuid7::from_bytes([n; 16])),
            org: OrgId(Uuid7::from_bytes([9; 16])),
            name: name.into(),
            requests_per_minute: None,
            tokens_per_minute: None,
            created: Micros(0),
        };
        let state = State { teams: vec![row(1, "search"), row(2, "made-by-the-api")], ..State::default() };
        let text = "apiVersion: bedplate/v1\nkind: Team\nmetadata: { name: search }\nspec: { weight: 40 }\n";
        let documents = manifest::parse(text, "team").expect("it is sound");
        let teams = of(&state, &documents);
        let weight = |n: usize| teams[&state.teams[n].id].weight;
        assert_eq!((weight(0), weight(1), teams.len()), (40, 1, 2));
        for wrong in ["0", "101", "-1", "1.5"] {
            assert!(manifest::parse(&text.replace("40", wrong), "team").is_err(), "{wrong}");
        }
    }
}
