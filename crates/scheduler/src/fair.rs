//! Whose turn it is.
//!
//! Every tenant has a counter of the service it has had, in prompt tokens
//! (one for a computed prompt token, [`WRITTEN`] for a written one, nothing for
//! what was reused) divided by its weight. The tenant with the smallest counter
//! goes first. A tenant that was away is lifted to the smallest counter among
//! those present: being idle saves nothing up, and never has to be paid for.
//! Source: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024
//! (the virtual token counter).

use std::collections::BTreeMap;

/// Who a job belongs to. Chosen by the caller; equal numbers are one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(pub u128);

/// What a written token costs in prompt tokens: it moves all weights for one
/// row, where a prompt shares them among many.
pub const WRITTEN: u64 = 2;
/// Counters of tenants that are away, at most.
const ABSENT_MAX: usize = 4096;
/// Resolution of counters: a weight of up to a million loses nothing that matters.
const SCALE: u64 = 1 << 20;

/// Where a tenant stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Jobs that are waiting or running.
    pub jobs: u32,
    /// Of those, the ones that have not started.
    pub waiting: u32,
    /// Service in prompt tokens since it was first seen.
    pub served: u64,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    counter: u128,
    weight: u64,
    standing: Standing,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fair {
    accounts: BTreeMap<Tenant, Account>,
    /// The smallest counter among those present, when somebody last was.
    floor: u128,
}

impl Fair {
    /// A tenant has one more job. Its weight is that of its latest job.
    pub(crate) fn enter(&mut self, tenant: Tenant, weight: u32) {
        self.lift_floor();
        let floor = self.floor;
        let account = self.accounts.entry(tenant).or_insert(Account {
            counter: floor,
            weight: 1,
            standing: Standing::default(),
        });
        if account.standing.jobs == 0 {
            account.counter = account.counter.max(floor);
        }
        account.weight = u64::from(weight.max(1));
        account.standing.jobs += 1;
    }

    /// One of a tenant's jobs has ended.
    pub(crate) fn leave(&mut self, tenant: Tenant) {
        self.lift_floor();
        let Some(account) = self.accounts.get_mut(&tenant) else { return };
        account.standing.jobs = account.standing.jobs.saturating_sub(1);
        if account.standing.jobs > 0 {
            return;
        }
        // Whoever is at the floor would be lifted to it again: nothing is lost.
        let floor = self.floor;
        self.accounts.retain(|_, a| a.standing.jobs > 0 || a.counter > floor);
        let absent = self.accounts.values().filter(|a| a.standing.jobs == 0).count();
        if absent > ABSENT_MAX {
            let least = self.accounts.iter().filter(|(_, a)| a.standing.jobs == 0);
            if let Some(least) = least.min_by_key(|(_, a)| a.counter).map(|(t, _)| *t) {
                self.accounts.remove(&least);
            }
        }
    }

    pub(crate) fn charge(&mut self, tenant: Tenant, cost: u64) {
        if let Some(account) = self.accounts.get_mut(&tenant) {
            account.counter += u128::from(cost) * u128::from(SCALE / account.weight.min(SCALE));
            account.standing.served += cost;
        }
    }

    /// The order of tenants: the smaller goes first.
    pub(crate) fn counter(&self, tenant: Tenant) -> u128 {
        self.accounts.get(&tenant).map_or(self.floor, |a| a.counter)
    }

    /// By how many prompt tokens of a weight of one `a` is ahead of `b`.
    pub(crate) fn ahead(&self, a: Tenant, b: Tenant) -> u64 {
        let gap = self.counter(a).saturating_sub(self.counter(b)) / u128::from(SCALE);
        u64::try_from(gap).unwrap_or(u64::MAX)
    }

    /// What a cost adds to a tenant's counter.
    pub(crate) fn weighed(&self, tenant: Tenant, cost: u64) -> u128 {
        let weight = self.accounts.get(&tenant).map_or(1, |a| a.weight);
        u128::from(cost) * u128::from(SCALE / weight.min(SCALE))
    }

    /// Tenants that have jobs.
    pub(crate) fn present(&self) -> usize {
        self.accounts.values().filter(|a| a.standing.jobs > 0).count()
    }

    pub(crate) fn standings(&self) -> impl Iterator<Item = (Tenant, Standing)> {
        self.accounts.iter().map(|(t, a)| (*t, a.standing))
    }

    fn lift_floor(&mut self) {
        let present = self.accounts.values().filter(|a| a.standing.jobs > 0);
        if let Some(least) = present.map(|a| a.counter).min() {
            self.floor = self.floor.max(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_saves_nothing_up_and_forgives_nothing() {
        let (a, b) = (Tenant(1), Tenant(2));
        let mut fair = Fair::default();
        fair.enter(a, 1);
        fair.charge(a, 1000);
        fair.enter(b, 1);
        assert_eq!(fair.ahead(a, b), 0, "the newcomer starts where the other is");
        fair.charge(b, 500);
        fair.leave(b);
        fair.charge(a, 100);
        fair.enter(b, 1);
        assert_eq!(fair.ahead(b, a), 400, "it left ahead and comes back ahead");
    }

    #[test]
    fn weight_divides_the_counter() {
        let (a, b) = (Tenant(1), Tenant(2));
        let mut fair = Fair::default();
        fair.enter(a, 1);
        fair.enter(b, 4);
        fair.charge(a, 100);
        fair.charge(b, 400);
        assert_eq!((fair.ahead(a, b), fair.ahead(b, a)), (0, 0));
    }

    #[test]
    fn names_that_change_with_each_request_are_not_remembered() {
        let mut fair = Fair::default();
        fair.enter(Tenant(0), 1);
        for i in 1..20_000 {
            fair.enter(Tenant(i), 1);
            fair.charge(Tenant(i), 1);
            fair.leave(Tenant(i));
        }
        assert!(fair.standings().count() <= ABSENT_MAX + 2);
    }
}
