//! Whose requests a local model has, for people and metrics.

use std::collections::{BTreeMap, HashMap};

use engine::{Standing, Tenant};
use gateway::Team;
use units::{TeamId, Uuid7};

/// Teams that are told of one model by name; the others are one row, so that a
/// thousand teams are no thousand series for each model.
const TEAMS_MAX: usize = 100;
/// The name of that row; a team's own name never has brackets.
const OTHERS: &str = "(others)";

/// The requests of a team at one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub team: String,
    pub waiting: u32,
    pub running: u32,
}

/// Teams that have requests at an engine, those that wait for most first.
pub fn of(tenants: &[(Tenant, Standing)], teams: &HashMap<TeamId, Team>) -> Vec<Queue> {
    let mut queues: BTreeMap<&str, Queue> = BTreeMap::new();
    for (tenant, standing) in tenants.iter().filter(|(_, standing)| standing.jobs > 0) {
        // What the engine calls a tenant is a team (see `gateway::local`).
        let id = TeamId(Uuid7::from_bytes(tenant.0.to_be_bytes()));
        let name = teams.get(&id).map_or("(unknown)", |team| &*team.name);
        let new = || Queue { team: name.to_owned(), waiting: 0, running: 0 };
        let queue = queues.entry(name).or_insert_with(new);
        queue.waiting += standing.waiting;
        queue.running += standing.jobs.saturating_sub(standing.waiting);
    }
    shown(queues.into_values().collect())
}

fn shown(mut queues: Vec<Queue>) -> Vec<Queue> {
    let order = |q: &Queue| (std::cmp::Reverse((q.waiting, q.running)), q.team.clone());
    queues.sort_by_cached_key(order);
    let rest = queues.split_off(queues.len().min(TEAMS_MAX));
    if !rest.is_empty() {
        let sum = |of: fn(&Queue) -> u32| rest.iter().map(of).fold(0, u32::saturating_add);
        let (waiting, running) = (sum(|q| q.waiting), sum(|q| q.running));
        queues.push(Queue { team: OTHERS.into(), waiting, running });
    }
    queues
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_queues_are_named_and_the_others_are_one_row() {
        let queue = |n: u32| Queue { team: format!("team-{n}"), waiting: n, running: 1 };
        let told = shown((0..250).map(queue).collect());
        assert_eq!(told.len(), TEAMS_MAX + 1);
        assert_eq!(told[0], queue(249));
        let others = Queue { team: OTHERS.into(), waiting: (0..150).sum(), running: 150 };
        assert_eq!(told[TEAMS_MAX], others);
        assert_eq!(shown(vec![queue(1), queue(2)]), [queue(2), queue(1)]);
        assert!(shown(Vec::new()).is_empty());
    }
}
