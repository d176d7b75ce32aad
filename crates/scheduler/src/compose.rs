//! What goes into a step: the next token of every writer, then prompts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::cells::BLOCK;
use crate::choice::Choice;
use crate::fit::Shape;
use crate::kernel::{Kernel, Row};
use crate::scheduler::{Owner, Scheduler};

/// Rows of one prompt that count as a part of a tile; see [`Caps::tile_rows`](crate::Caps).
const TILE_PART: u32 = 16;
/// The least prompt rows of a step, however slow it is: prompts must end.
const CHUNK_MIN: u32 = 16;
/// Chunks grow by this much while they are fitted into a step: matrix kernels take
/// 16 rows at a time, and what is left over costs a third more.
const CHUNK_STEP: u32 = 16;
/// How many times the gap a tenant's own queue may stretch it.
const PATIENCE_MAX: u32 = 4;
/// Prompt rows beside writers while the cost of a step is not known.
const CHUNK_UNKNOWN: u32 = 64;
/// Above this many writers nothing is guessed: the rows cost more than they gain.
const GUESSERS_MAX: usize = 4;

impl Scheduler {
    /// Fills `rows`, and returns whose they are, in order.
    pub(crate) fn compose(&mut self, kernel: &mut impl Kernel) -> Vec<Owner> {
        self.rows.clear();
        let Some(adapter) = self.choose_adapter(kernel) else { return Vec::new() };
        let mut owners = self.compose_writers(adapter);
        let mut counts = self.share_out(adapter, &owners);
        for at in 0..self.running.len() {
            let Some(count) = counts.remove(&at) else { continue };
            let choice = &self.running[at];
            for pos in choice.held..choice.held + count {
                let token = choice.tokens[pos as usize];
                let logits = pos + 1 == choice.tokens.len() as u32;
                self.rows.push(Row { token, pos, seq: choice.seq, logits });
            }
            owners.push(Owner { at, rows: count, guesses: 0 });
        }
        *self.adapters.entry(adapter).or_default() += self.rows.len() as u64;
        owners
    }

    /// Whether a choice has something to compute now.
    fn is_ready(&self, choice: &Choice) -> bool {
        let paused = self.jobs.get(&choice.job).is_some_and(|s| s.paused);
        choice.rows_left() > 0 && !(paused && choice.written > 0)
    }

    fn adapter_of(&self, choice: &Choice) -> u32 {
        self.jobs.get(&choice.job).map_or(0, |s| s.adapter)
    }

    /// A step computes with one set of adapters; those that have work take turns
    /// by the rows they have had.
    fn choose_adapter(&mut self, kernel: &mut impl Kernel) -> Option<u32> {
        let mut ready: Vec<u32> =
            self.running.iter().filter(|c| self.is_ready(c)).map(|c| self.adapter_of(c)).collect();
        ready.sort_unstable();
        ready.dedup();
        self.adapters.retain(|adapter, _| ready.contains(adapter));
        // Whoever comes back starts where the least is.
        let least = self.adapters.values().copied().min().unwrap_or(0);
        for adapter in &ready {
            self.adapters.entry(*adapter).or_insert(least);
        }
        while let Some((adapter, _)) = self.adapters.iter().min_by_key(|(_, rows)| **rows) {
            let adapter = *adapter;
            let Err(why) = kernel.adapt(adapter) else { return Some(adapter) };
            // Its jobs end with this step, which goes on without them.
            for shared in self.jobs.values_mut().filter(|s| s.adapter == adapter) {
                shared.failed = Some(why.clone());
            }
            self.adapters.remove(&adapter);
        }
        None
    }

    fn compose_writers(&mut self, adapter: u32) -> Vec<Owner> {
        let ready = |c: &Choice| c.is_writing() && self.is_ready(c) && self.adapter_of(c) == adapter;
        let writers: Vec<usize> = (0..self.running.len()).filter(|at| ready(&self.running[*at])).collect();
        let context: u64 = writers.iter().map(|at| u64::from(self.running[*at].held) + 1).sum();
        let guess = self.limits.guess && self.caps.parts && writers.len() <= GUESSERS_MAX;
        let prompts = self.running.iter().any(|c| !c.is_writing() && self.is_ready(c));
        let time = self.fit.told();
        let mut spare = self.caps.cells.saturating_sub(self.committed());
        let mut owners = Vec::new();
        let count = writers.len() as u32;
        for at in writers.into_iter().take(self.limits.step_rows as usize) {
            let room = self.caps.outputs_max.saturating_sub(self.rows.len() as u32 + count);
            let choice = &mut self.running[at];
            let held = choice.held;
            let last = choice.tokens[held as usize];
            self.rows.push(Row { token: last, pos: held, seq: choice.seq, logits: true });
            let mut guesses = 0;
            if guess {
                // The draft learns from every token, and is computed where it pays.
                let worth = if prompts { 0 } else { choice.draft.worth(time, count, context) };
                let next = choice.draft.guess(&choice.tokens);
                let fits = worth.min(spare as usize).min(room as usize);
                let fits = fits.min((self.caps.seq_len_max.saturating_sub(held + 2)) as usize);
                for token in next.iter().copied().take(fits) {
                    guesses += 1;
                    self.rows.push(Row { token, pos: held + guesses, seq: choice.seq, logits: true });
                }
                spare -= guesses;
            }
            owners.push(Owner { at, rows: 1 + guesses, guesses });
        }
        owners
    }

    /// How many prompt rows each choice gets: a block at a time, to the tenant
    /// that has had least.
    fn share_out(&self, adapter: u32, writers: &[Owner]) -> BTreeMap<usize, u32> {
        let mut left: Vec<(usize, u32)> = Vec::new();
        for (at, choice) in self.running.iter().enumerate() {
            if !choice.is_writing() && self.is_ready(choice) && self.adapter_of(choice) == adapter {
                left.push((at, choice.rows_left()));
            }
        }
        let mut budget = self.limits.step_rows.saturating_sub(self.rows.len() as u32);
        if !writers.is_empty() {
            let first = left.first().map_or(0, |(at, _)| self.running[*at].held);
            let all = left.iter().map(|(_, rows)| *rows).sum();
            budget = budget.min(self.chunk(first, all));
        }
        let mut outputs = self.caps.outputs_max.saturating_sub(self.rows.len() as u32);
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        let mut ahead: BTreeMap<crate::Tenant, u128> = BTreeMap::new();
        while budget > 0 && outputs > 0 {
            let order = |(at, _): &&mut (usize, u32)| {
                let shared = self.jobs.get(&self.running[*at].job);
                let tenant = shared.map(|s| s.tenant).unwrap_or_default();
                let extra = ahead.get(&tenant).copied().unwrap_or(0);
                (Reverse(shared.map(|s| s.class)), self.fair.counter(tenant) + extra, *at)
            };
            let Some((at, rows)) = left.iter_mut().filter(|(_, rows)| *rows > 0).min_by_key(order) else {
                break;
            };
            let count = (*rows).min(budget).min(BLOCK);
            *rows -= count;
            budget -= count;
            outputs -= u32::from(*rows == 0);
            *counts.entry(*at).or_default() += count;
            if let Some(shared) = self.jobs.get(&self.running[*at].job) {
                *ahead.entry(shared.tenant).or_default() +=
                    self.fair.weighed(shared.tenant, u64::from(count));
            }
        }
        counts
    }

    /// How many times as long the gap between two tokens may be. A tenant that is
    /// alone here and has more waiting than running is served best by the end of its
    /// queue, and large chunks compute a row for three quarters of what small ones
    /// take. As soon as anybody else has a job, or the queue is short, it is one.
    fn patience(&self) -> u32 {
        if self.fair.present() > 1 {
            return 1;
        }
        let queue = self.waiting.len() as u32 / (self.running.len() as u32).max(1);
        (1 + queue).min(PATIENCE_MAX)
    }

    /// The most prompt rows of `all`, from position `from`, that keep the step beside
    /// the writers within the target. More rows may take less time than fewer, since
    /// from some number on they attend in tiles. No wider than the fit can speak of.
    fn chunk(&self, from: u32, all: u32) -> u32 {
        let time = self.fit.told();
        if !time.is_known() {
            return CHUNK_UNKNOWN;
        }
        let writers = self.rows.len() as u32;
        let context: u64 = self.rows.iter().map(|r| u64::from(r.pos) + 1).sum();
        let cost = |chunk: u32| {
            let chunk = chunk.min(all);
            let attends = u64::from(chunk) * u64::from(from + chunk / 2);
            let (alone, tiled) = if self.is_tiled(chunk) { (0, attends) } else { (attends, 0) };
            time.predict_shape(Shape { rows: writers + chunk, context: context + alone, tiled })
        };
        let target = self.limits.token_gap_us as f64 * f64::from(self.patience());
        let bound = target.max(cost(CHUNK_MIN));
        let reach = self.fit.reach().max(CHUNK_UNKNOWN) / CHUNK_STEP * CHUNK_STEP;
        let most = self.limits.step_rows.min(reach);
        let chunks = (1..=most.div_ceil(CHUNK_STEP)).map(|n| n * CHUNK_STEP);
        chunks.rev().find(|chunk| cost(*chunk) <= bound).unwrap_or(CHUNK_MIN).max(CHUNK_MIN)
    }

    fn is_tiled(&self, rows: u32) -> bool {
        self.caps.tile_rows > 0 && rows >= self.caps.tile_rows
    }

    /// What a composed step is to the fit.
    pub(crate) fn shape(&self, owners: &[Owner]) -> Shape {
        let parts: u32 = owners.iter().map(|o| o.rows).filter(|rows| *rows >= TILE_PART).sum();
        let in_tiles = self.is_tiled(parts);
        let mut shape = Shape { rows: self.rows.len() as u32, ..Shape::default() };
        let mut first = 0;
        for owner in owners {
            let rows = &self.rows[first..first + owner.rows as usize];
            first += owner.rows as usize;
            let attends: u64 = rows.iter().map(|r| u64::from(r.pos) + 1).sum();
            match in_tiles && owner.rows >= TILE_PART {
                true => shape.tiled += attends,
                false => shape.context += attends,
            }
        }
        shape
    }
}
