//! The plan of one request: which targets, in which order, and why not the others.

use std::fmt;
use std::sync::Arc;

use units::Micros;

use crate::backoff::mix;
use crate::{Breaker, Verdict};

/// Most attempts one request may cost, retries and fallbacks together.
const ATTEMPTS_MAX: usize = 8;

/// One target of a route, as far as choosing needs to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// `provider/upstream-model`.
    pub name: Arc<str>,
    /// Targets of the same rank share traffic by weight; a higher rank is a fallback.
    pub rank: u32,
    /// The share within its rank; 0 takes no traffic.
    pub weight: u32,
    /// Attempts beyond the first at this target.
    pub retries: u32,
    /// Prompt and answer together, in tokens; `None`: unknown.
    pub context_tokens: Option<u64>,
    pub embeds: bool,
    pub reranks: bool,
    pub generates: bool,
    pub images: bool,
}

/// What the request needs from a target.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Need {
    pub embedding: bool,
    pub reranking: bool,
    pub images: bool,
    /// A lower bound of the prompt in tokens; only a sure overflow rules a target out.
    pub input_tokens_min: u64,
    /// The candidates that the data's labels rule out, one bit each. Whoever
    /// asks compares the labels (`policy::admissible`); a candidate past the
    /// 64th is ruled out when any other is: it could not be asked about.
    pub barred: u64,
}

impl Need {
    fn bars(&self, target: usize) -> bool {
        u32::try_from(target)
            .ok()
            .and_then(|at| self.barred.checked_shr(at))
            .map_or(self.barred != 0, |bits| bits & 1 == 1)
    }
}

/// Limits on waiting, per attempt, and one for the whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    pub connect_ms: u32,
    /// From sending the request to the response's headers.
    pub first_byte_ms: u32,
    /// Between two frames of a response.
    pub idle_ms: u32,
    /// From the arrival of the request to the end of its response.
    pub total_ms: u32,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        // A reasoning model may think for minutes before its first byte; ten
        // minutes in all is what the official clients wait.
        Deadlines { connect_ms: 5_000, first_byte_ms: 300_000, idle_ms: 120_000, total_ms: 600_000 }
    }
}

/// The attempts, first to last.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub attempts: Vec<Planned>,
    pub rejected: Vec<Rejection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Index into the candidates.
    pub target: usize,
    /// How many attempts at this same target came before.
    pub retry: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    pub target: usize,
    pub reason: Reason,
}

/// Why a target was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The data's labels do not let it go there.
    Barred,
    CannotEmbed,
    CannotGenerate,
    CannotRerank,
    CannotSeeImages,
    ContextTooShort {
        context: u64,
        prompt: u64,
    },
    CircuitOpen {
        until: Micros,
    },
    NoWeight,
    /// Another target of its rank was drawn; it remains a fallback.
    NotDrawn,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Barred => f.write_str("may not have data with these labels"),
            Reason::CannotEmbed => f.write_str("makes no embeddings"),
            Reason::CannotRerank => f.write_str("ranks no documents"),
            Reason::CannotGenerate => f.write_str("does not generate text"),
            Reason::CannotSeeImages => f.write_str("takes no images"),
            Reason::ContextTooShort { context, prompt } => {
                write!(f, "its context of {context} tokens is shorter than the prompt of at least {prompt}")
            }
            Reason::CircuitOpen { until } => write!(f, "failed repeatedly; not tried before {until}"),
            Reason::NoWeight => f.write_str("has weight 0"),
            Reason::NotDrawn => f.write_str("fallback; the draw by weight put another first"),
        }
    }
}

/// Orders the admissible targets: by rank, within a rank by a seeded draw by
/// weight, each with its retries. A target with an open circuit comes last, so
/// that a fleet that is all open is still tried rather than refused.
pub fn plan(candidates: &[Candidate], health: &[Breaker], need: &Need, now: Micros, seed: u64) -> Plan {
    let mut rejected = Vec::new();
    let mut ready: Vec<(usize, u64)> = Vec::with_capacity(candidates.len());
    let mut open: Vec<usize> = Vec::new();
    for (target, candidate) in candidates.iter().enumerate() {
        // Before anything else: whoever may not have the data is not asked what it can do.
        let bar = need.bars(target).then_some(Reason::Barred);
        if let Some(reason) = bar.or_else(|| unable(candidate, need)) {
            rejected.push(Rejection { target, reason });
            continue;
        }
        match health.get(target).map_or(Verdict::Closed, |b| b.verdict(now)) {
            Verdict::Closed | Verdict::Probe => ready.push((target, draw_key(candidate, target, seed))),
            Verdict::Open(until) => {
                rejected.push(Rejection { target, reason: Reason::CircuitOpen { until } });
                open.push(target);
            }
        }
    }
    ready.sort_by_key(|&(target, key)| (candidates[target].rank, key, target));
    if let Some(&(first, _)) = ready.first() {
        let beside = |t: usize| t != first && candidates[t].rank == candidates[first].rank;
        rejected.extend(
            ready
                .iter()
                .filter(|(t, _)| beside(*t))
                .map(|&(target, _)| Rejection { target, reason: Reason::NotDrawn }),
        );
    }
    let mut attempts = Vec::new();
    for target in ready.into_iter().map(|(target, _)| target).chain(open) {
        attempts.extend((0..=candidates[target].retries).map(|retry| Planned { target, retry }));
    }
    attempts.truncate(ATTEMPTS_MAX);
    Plan { attempts, rejected }
}

fn unable(candidate: &Candidate, need: &Need) -> Option<Reason> {
    if candidate.weight == 0 {
        return Some(Reason::NoWeight);
    }
    if need.embedding && !candidate.embeds {
        return Some(Reason::CannotEmbed);
    }
    if need.reranking && !candidate.reranks {
        return Some(Reason::CannotRerank);
    }
    if !need.embedding && !need.reranking && !candidate.generates {
        return Some(Reason::CannotGenerate);
    }
    if need.images && !candidate.images {
        return Some(Reason::CannotSeeImages);
    }
    match candidate.context_tokens {
        Some(context) if context < need.input_tokens_min => {
            Some(Reason::ContextTooShort { context, prompt: need.input_tokens_min })
        }
        _ => None,
    }
}

/// An exponential variate divided by the weight, in fixed point: the smallest
/// wins, which draws in proportion to weight (Efraimidis and Spirakis, 2006).
fn draw_key(candidate: &Candidate, target: usize, seed: u64) -> u64 {
    let uniform = (mix(seed ^ mix(target as u64)) >> 11) as f64 / (1u64 << 53) as f64;
    let exponential = -(1.0 - uniform).max(f64::MIN_POSITIVE).ln();
    (exponential / f64::from(candidate.weight) * 1e12) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn candidate(name: &str, rank: u32, weight: u32, retries: u32) -> Candidate {
        Candidate {
            name: name.into(),
            rank,
            weight,
            retries,
            context_tokens: Some(8_192),
            embeds: false,
            reranks: false,
            generates: true,
            images: false,
        }
    }

    fn check(candidates: &[Candidate], health: &[Breaker], need: Need, expected: Expect) {
        let plan = plan(candidates, health, &need, Micros(0), 42);
        let mut text = String::new();
        for a in &plan.attempts {
            text += &format!("try {} ({})\n", candidates[a.target].name, a.retry);
        }
        for r in &plan.rejected {
            text += &format!("not {}: {}\n", candidates[r.target].name, r.reason);
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_route_falls_back_in_order_after_its_retries() {
        check(
            &[candidate("a", 0, 1, 1), candidate("b", 1, 1, 0)],
            &[],
            Need::default(),
            expect![[r#"
                try a (0)
                try a (1)
                try b (0)
            "#]],
        );
    }

    #[test]
    fn a_target_with_an_open_circuit_is_the_last_resort() {
        let mut broken = Breaker::default();
        (0..5).for_each(|_| broken.fail(Micros(0), None));
        check(
            &[candidate("a", 0, 1, 0), candidate("b", 1, 1, 0)],
            &[broken, Breaker::default()],
            Need::default(),
            expect![[r#"
                try b (0)
                try a (0)
                not a: failed repeatedly; not tried before 1970-01-01T00:00:02.000Z
            "#]],
        );
    }

    #[test]
    fn what_cannot_serve_is_left_out_with_its_reason() {
        check(
            &[candidate("a", 0, 1, 0), candidate("b", 0, 0, 0)],
            &[],
            Need { images: true, ..Need::default() },
            expect![[r#"
                not a: takes no images
                not b: has weight 0
            "#]],
        );
        check(
            &[candidate("a", 0, 1, 0)],
            &[],
            Need { input_tokens_min: 9_000, ..Need::default() },
            expect![[r#"
                not a: its context of 8192 tokens is shorter than the prompt of at least 9000
            "#]],
        );
    }

    #[test]
    fn traffic_divides_by_weight() {
        let candidates = [candidate("a", 0, 3, 0), candidate("b", 0, 1, 0)];
        let first = |seed| plan(&candidates, &[], &Need::default(), Micros(0), mix(seed)).attempts[0].target;
        let to_a = (0..10_000u64).filter(|s| first(*s) == 0).count();
        assert!((7_300..7_700).contains(&to_a), "{to_a} of 10,000 to the target of weight 3 of 4");
    }

    #[test]
    fn trap_r1_equal_targets_share_alike_and_a_broken_ones_share_goes_to_all_others() {
        let candidates: Vec<Candidate> = (0..8).map(|_| candidate("t", 0, 1, 0)).collect();
        let firsts = |health: &[Breaker]| {
            let mut firsts = [0u32; 8];
            // Each gateway draws for itself, by nothing but the request.
            for request in 0..16_000 {
                let plan = plan(&candidates, health, &Need::default(), Micros(0), mix(request));
                firsts[plan.attempts[0].target] += 1;
            }
            firsts
        };
        let all = firsts(&[]);
        assert!(all.iter().all(|n| (1_850..2_150).contains(n)), "2,000 each, not all to the first: {all:?}");
        let mut health = [Breaker::default(); 8];
        (0..5).for_each(|_| health[0].fail(Micros(0), None));
        let others = firsts(&health);
        let spread = others[1..].iter().all(|n| (2_120..2_450).contains(n));
        assert!(others[0] == 0 && spread, "2,286 each, not all to the next: {others:?}");
    }

    #[test]
    fn a_target_that_the_labels_bar_is_never_tried() {
        check(
            &[candidate("a", 0, 1, 1), candidate("b", 1, 1, 0)],
            &[],
            Need { barred: 0b01, ..Need::default() },
            expect![[r#"
                try b (0)
                not a: may not have data with these labels
            "#]],
        );
    }

    proptest! {
        #[test]
        fn no_fallback_crosses_a_label(
            count in 0usize..70, barred in any::<u64>(), broken in any::<u64>(), seed in any::<u64>(),
        ) {
            let candidates: Vec<_> = (0..count).map(|n| candidate("t", n as u32 % 3, 1, 1)).collect();
            let mut open = Breaker::default();
            (0..5).for_each(|_| open.fail(Micros(0), None));
            let health: Vec<_> =
                (0..count).map(|n| if broken >> (n % 64) & 1 == 1 { open } else { Breaker::default() }).collect();
            let plan = plan(&candidates, &health, &Need { barred, ..Need::default() }, Micros(0), seed);
            for attempt in &plan.attempts {
                let bit = if attempt.target < 64 { barred >> attempt.target & 1 == 1 } else { barred != 0 };
                prop_assert!(!bit);
            }
        }

        #[test]
        fn every_target_is_tried_or_explained(
            shape in prop::collection::vec((0u32..3, 0u32..4, 0u32..3, any::<bool>()), 0..12),
            seed in any::<u64>(), images in any::<bool>(),
        ) {
            let candidates: Vec<_> = shape.iter().map(|&(rank, weight, retries, images)| {
                Candidate { images, ..candidate("t", rank, weight, retries) }
            }).collect();
            let plan = plan(&candidates, &[], &Need { images, ..Need::default() }, Micros(0), seed);
            prop_assert!(plan.attempts.len() <= ATTEMPTS_MAX);
            for target in 0..candidates.len() {
                let tried = plan.attempts.iter().any(|a| a.target == target);
                let explained = plan.rejected.iter().any(|r| r.target == target);
                prop_assert!(tried || explained || plan.attempts.len() == ATTEMPTS_MAX);
            }
            let ranks: Vec<_> = plan.attempts.iter().map(|a| candidates[a.target].rank).collect();
            prop_assert!(ranks.is_sorted());
        }
    }
}
