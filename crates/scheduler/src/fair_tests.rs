//! What tenants may rely on, over thousands of seeded runs on the simulated kernel.

use std::collections::BTreeMap;

use units::Micros;

use crate::simulated::Simulated;
use crate::*;

const VOCAB: u32 = 64;

/// A run: jobs that arrive at steps, and what became of them.
struct Run {
    scheduler: Scheduler,
    kernel: Simulated,
    vocab: Vocab,
    now: Micros,
    out: Vec<Output>,
}

impl Run {
    fn new(caps: Caps, limits: Limits) -> Run {
        let vocab = Vocab::new((0..VOCAB).map(|t| [b' ' + t as u8]), vec![VOCAB - 1]);
        let kernel = Simulated::new(caps, VOCAB);
        Run { scheduler: Scheduler::new(caps, limits), kernel, vocab, now: Micros(0), out: Vec::new() }
    }
    fn step(&mut self) -> Step {
        let before = self.kernel.elapsed_us;
        let step = self.scheduler.step(self.now, &mut self.kernel, &self.vocab, &mut self.out);
        let took = self.kernel.elapsed_us - before;
        self.scheduler.learn(&step, took);
        self.now = self.now.plus_us(took.max(1) as i64);
        for key in self.scheduler.take_wants() {
            self.scheduler.loaded(key, None);
        }
        self.scheduler.take_saves();
        let c = self.scheduler.counters();
        assert_eq!(self.kernel.cells_used() as u64 <= c.cells_used + c.cells_kept, true, "cells are lost");
        step
    }
    fn finish(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            if self.scheduler.is_empty() {
                break;
            }
        }
        let c = self.scheduler.counters();
        assert!(self.scheduler.is_empty(), "jobs never ended: {c:?}");
        assert_eq!((c.queued, c.running, c.cells_used), (0, 0, 0));
        assert_eq!(self.kernel.cells_used() as u64, c.cells_kept);
        self.scheduler.drop_all_kept(&mut self.kernel);
        assert_eq!(self.kernel.cells_used(), 0);
    }
}

fn caps(cells: u32) -> Caps {
    Caps { seq_max: 24, cells, seq_len_max: 400, step_rows_max: 64, outputs_max: 24, parts: true }
}

fn limits() -> Limits {
    Limits { step_rows: 64, running: 12, memory_bytes: 8000, ..Limits::default() }
}

/// Distinct prompts: nothing to share but by chance.
fn prompt(random: &mut Random, len: u32) -> Vec<Token> {
    (0..len).map(|_| random.next_u32() % (VOCAB - 1)).collect()
}

#[test]
fn tenants_that_all_write_long_answers_in_few_cells_all_end() {
    for tenants in [2, 8, 20] {
        let mut run = Run::new(caps(512), limits());
        for id in 0..tenants {
            let job = Job::new(JobId(id), vec![1, 2, 3, 4, 5]);
            let (tenant, scope) = (Tenant(id.into()), id.into());
            run.scheduler.add(Job { max_tokens: 300, ignore_end: true, tenant, scope, ..job }, run.now);
        }
        run.finish(20_000);
        assert!(tenants == 2 || run.scheduler.counters().preempted > 0);
    }
}
