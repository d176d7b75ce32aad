//! Who asks, and what that makes of a request.

use std::sync::Arc;

use scheduler::{Job, Tenant};
use units::Micros;

use crate::BannedTexts;

/// Who asks, as far as the engine needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Tenants take turns; equal numbers are one tenant.
    pub tenant: u128,
    /// Its share beside others'; 0 counts as 1.
    pub weight: u32,
    /// A salt of tenant and label: only within it is anything reused (TRAPS X9).
    pub scope: u128,
    /// The answer is of no use after this.
    pub deadline: Option<Micros>,
    /// From [`crate::Engine::add_adapter`]; 0 for none.
    pub adapter: u32,
    /// So many messages at the beginning of a chat are the operator's: what the prompt
    /// has of them stays in cells (see [`Job::pin`]).
    pub pinned_messages: u32,
    /// What the answer must not say.
    pub banned: Option<Arc<BannedTexts>>,
}

impl Caller {
    /// The job as this caller's: whose turn it takes, what it shares, when it ends.
    pub(crate) fn own(&self, job: Job) -> Job {
        Job {
            tenant: Tenant(self.tenant),
            weight: self.weight.max(1),
            scope: self.scope,
            adapter: self.adapter,
            deadline: self.deadline,
            ..job
        }
    }
}

#[cfg(test)]
mod tests {
    use scheduler::simulated::Simulated;
    use scheduler::{Caps, JobId, Limits, Scheduler, Vocab};

    use super::*;

    /// Service that two callers have had while both always wanted more, by tenant.
    fn served(weights: [u32; 2]) -> [u64; 2] {
        let caps = Caps {
            seq_max: 12,
            cells: 600,
            seq_len_max: 400,
            step_rows_max: 64,
            outputs_max: 12,
            parts: true,
            tile_rows: 0,
        };
        let vocab = Vocab::new((0..64u8).map(|t| [b' ' + t]), vec![63]);
        let mut kernel = Simulated::new(caps, 64);
        let mut scheduler = Scheduler::new(caps, Limits { running: 6, ..Limits::default() });
        for id in 0..400u64 {
            let tenant = (id % 2) as usize;
            let caller = Caller {
                tenant: tenant as u128,
                scope: tenant as u128,
                weight: weights[tenant],
                ..Caller::default()
            };
            let prompt = (0..20).map(|at| (id as u32 * 7 + at) % 60).collect();
            let job = Job { max_tokens: 30, ignore_end: true, ..Job::new(JobId(id), prompt) };
            scheduler.add(caller.own(job), Micros(0));
        }
        let mut outputs = Vec::new();
        for _ in 0..700 {
            scheduler.step(Micros(0), &mut kernel, &vocab, &mut outputs);
        }
        let mut served = [0; 2];
        for (tenant, standing) in scheduler.standings() {
            assert!(standing.waiting > 20, "both still want more: {standing:?}");
            served[tenant.0 as usize] = standing.served;
        }
        served
    }

    #[test]
    fn a_caller_of_more_weight_has_its_share_of_the_service() {
        let ratio = |[a, b]: [u64; 2]| a as f64 / b as f64;
        let even = ratio(served([1, 1]));
        assert!((0.9..1.1).contains(&even), "{even}");
        let four = ratio(served([4, 1]));
        assert!((3.5..4.5).contains(&four), "{four}");
        // Nobody says 0 on purpose.
        assert_eq!(served([0, 1]), served([1, 1]));
    }
}
