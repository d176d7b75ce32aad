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
        assert!(self.kernel.cells_used() as u64 <= c.cells_used + c.cells_kept, "cells are lost");
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
    Caps {
        seq_max: 24,
        cells,
        seq_len_max: 400,
        step_rows_max: 64,
        outputs_max: 24,
        parts: true,
        tile_rows: 0,
    }
}

fn limits() -> Limits {
    Limits { step_rows: 64, running: 12, memory_bytes: 8000, kept_cells: 128, ..Limits::default() }
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

/// Jobs of random shape that keep their tenants waiting for the whole run.
fn backlog(run: &mut Run, random: &mut Random, tenants: u32, each: u64) -> Vec<u32> {
    let weights: Vec<u32> = (0..tenants).map(|_| 1 + random.next_u32() % 3).collect();
    // A habit per tenant: long prompts, long answers, or both.
    let habits: Vec<(u32, u32)> =
        (0..tenants).map(|_| (1 + random.next_u32() % 120, 1 + random.next_u32() % 40)).collect();
    for i in 0..each {
        for tenant in 0..tenants {
            let (prompts, answers) = habits[tenant as usize];
            let len = 1 + random.next_u32() % prompts;
            let job = Job {
                max_tokens: 1 + random.next_u32() % answers,
                ignore_end: true,
                tenant: Tenant(tenant.into()),
                scope: tenant.into(),
                weight: weights[tenant as usize],
                ..Job::new(JobId(i * 64 + u64::from(tenant)), prompt(random, len))
            };
            run.scheduler.add(job, run.now);
        }
    }
    weights
}

/// What each tenant has had for its weight, of those that have jobs waiting.
fn shares(run: &Run, weights: &[u32]) -> Vec<f64> {
    let share = |(tenant, standing): (Tenant, Standing)| {
        // More jobs than could run: some wait.
        (standing.jobs > 12).then(|| standing.served as f64 / f64::from(weights[tenant.0 as usize]))
    };
    run.scheduler.standings().filter_map(share).collect()
}

/// The bound of the virtual token counter: tenants that always have work differ
/// by no more than the largest prompt, or than what all cells can hold of answers.
#[test]
fn service_of_backlogged_tenants_differs_by_a_bound_over_10000_runs() {
    let mut worst = 0f64;
    for seed in 0..10_000 {
        let mut random = Random::new(seed, 1);
        let cells = 256 + 64 * (random.next_u32() % 8);
        let mut run = Run::new(caps(cells), limits());
        let tenants = 2 + random.next_u32() % 3;
        let weights = backlog(&mut run, &mut random, tenants, 20);
        let bound = f64::from(cells) * WRITTEN as f64;
        for _ in 0..40 {
            run.step();
            let shares = shares(&run, &weights);
            let most = shares.iter().copied().fold(0.0, f64::max);
            let least = shares.iter().copied().fold(f64::MAX, f64::min);
            if shares.len() > 1 {
                worst = worst.max((most - least) / bound);
            }
            assert!(shares.len() < 2 || most - least <= bound, "seed {seed}: {shares:?} of {weights:?}");
        }
    }
    assert!(worst > 0.05, "the bound was never approached: {worst}");
    println!("worst {worst}");
}

/// One job of random everything.
fn any_job(random: &mut Random, id: u64, now: Micros) -> Job {
    let mut pick = |n: u32| random.next_u32() % n;
    let tenant = pick(4);
    let shared = pick(3) == 0;
    let len = 1 + pick(150);
    let job = Job {
        n: if pick(6) == 0 { 1 + pick(4) } else { 1 },
        max_tokens: 1 + pick(60),
        ignore_end: pick(2) == 0,
        tenant: Tenant(tenant.into()),
        scope: u128::from(tenant),
        weight: 1 + pick(4),
        class: [Class::Low, Class::Normal, Class::Normal, Class::High][pick(4) as usize],
        adapter: if pick(5) == 0 { 1 + pick(2) } else { 0 },
        deadline: (pick(8) == 0).then(|| now.plus_us(i64::from(pick(4_000_000)))),
        pin: if pick(6) == 0 { pick(160) } else { 0 },
        sampling: Sampling { temperature: 1.0, seed: id, ..Sampling::GREEDY },
        ..Job::new(JobId(id), Vec::new())
    };
    // A third begins like the others of its tenant.
    let mut prompt = if shared { vec![tenant; 100.min(len as usize)] } else { Vec::new() };
    while prompt.len() < len as usize {
        prompt.push(random.next_u32() % (VOCAB - 1));
    }
    Job { prompt, ..job }
}

/// Random jobs, cancels, pauses and faults; the trace of everything that came out.
fn mixed(seed: u64) -> Vec<Output> {
    let mut random = Random::new(seed, 2);
    let disk = random.next_u32().is_multiple_of(2);
    let mut run = Run::new(caps(400 + 8 * (random.next_u32() % 60)), Limits { disk, ..limits() });
    let mut words: Vec<CancelWord> = Vec::new();
    let jobs = 10 + u64::from(random.next_u32() % 30);
    let mut next = 0;
    while next < jobs || !run.scheduler.is_empty() {
        for _ in 0..random.next_u32() % 3 {
            if next < jobs {
                let job = any_job(&mut random, next, run.now);
                words.push(job.cancel.clone());
                run.scheduler.add(job, run.now);
                next += 1;
            }
        }
        let at = u64::from(random.next_u32()) % next.max(1);
        match random.next_u32() % 40 {
            0 => words.get(at as usize).iter().for_each(|w| w.cancel()),
            1..4 => run.scheduler.set_paused(JobId(at), true),
            4 => run.kernel.faults.push((random.next_u32() % 20, StepError::Aborted)),
            _ => {}
        }
        for job in 0..next {
            if random.next_u32().is_multiple_of(20) {
                run.scheduler.set_paused(JobId(job), false);
            }
        }
        run.step();
        assert!(run.now.0 < 3_600_000_000, "seed {seed}: {:?}", run.scheduler.counters());
    }
    run.finish(1);
    run.out
}

#[test]
fn whatever_happens_every_job_ends_once_and_cells_are_conserved() {
    for seed in 0..1500 {
        let out = mixed(seed);
        let mut started = BTreeMap::new();
        let mut done = BTreeMap::new();
        for (at, output) in out.iter().enumerate() {
            let job = match output {
                Output::Start { job, .. } => {
                    assert!(started.insert(*job, at).is_none(), "seed {seed}: {job:?} began twice");
                    job
                }
                Output::Done { job, .. } => {
                    assert!(done.insert(*job, at).is_none(), "seed {seed}: {job:?} ended twice");
                    continue;
                }
                Output::Token { job, .. } | Output::Finish { job, .. } => job,
            };
            assert!(!done.contains_key(job), "seed {seed}: {job:?} goes on after its end");
        }
        assert!(done.len() >= 10, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..50 {
        assert_eq!(mixed(seed), mixed(seed));
    }
}

#[test]
fn the_lowest_class_is_not_starved_by_a_flood_of_the_highest() {
    let mut run = Run::new(caps(256), limits());
    let mut random = Random::new(3, 3);
    let low = Job { class: Class::Low, tenant: Tenant(1), ..Job::new(JobId(0), vec![5; 40]) };
    run.scheduler.add(low, run.now);
    let mut id = 0;
    while !run.out.iter().any(|o| matches!(o, Output::Finish { job: JobId(0), .. })) {
        while run.scheduler.counters().queued < 20 {
            id += 1;
            let job = Job {
                class: Class::High,
                ignore_end: true,
                tenant: Tenant(2),
                ..Job::new(JobId(id), prompt(&mut random, 60))
            };
            run.scheduler.add(job, run.now);
        }
        run.step();
        assert!(run.now.0 < 60_000_000, "it waited a minute");
    }
}

#[test]
fn ten_thousand_cancelled_requests_leave_nothing() {
    let mut run = Run::new(caps(512), limits());
    let mut random = Random::new(4, 4);
    for round in 0..1000u64 {
        let words: Vec<CancelWord> = (0..10)
            .map(|i| {
                let job = any_job(&mut random, round * 10 + i, run.now);
                let word = job.cancel.clone();
                run.scheduler.add(job, run.now);
                word
            })
            .collect();
        for _ in 0..round % 5 {
            run.step();
        }
        words.iter().for_each(CancelWord::cancel);
    }
    run.step();
    run.finish(1);
}

#[test]
fn a_guess_that_pays_changes_speed_and_not_text() {
    // A machine that reads its weights slowly and computes rows for nothing.
    let cost = StepTime { base_us: 8000.0, row_us: 10.0, ..StepTime::default() };
    let mut texts = Vec::new();
    let mut times = Vec::new();
    for guess in [false, true] {
        let mut run =
            Run::new(Caps { cells: 2000, seq_len_max: 1500, ..caps(0) }, Limits { guess, ..limits() });
        run.kernel.cost = cost;
        // Biased to three tokens, so that what was written comes again.
        let sampling = Sampling { bias: vec![(7, 60.0), (8, 60.0), (9, 60.0)], ..Sampling::GREEDY };
        let job = Job { max_tokens: 600, ignore_end: true, sampling, ..Job::new(JobId(1), vec![7, 8, 9, 7]) };
        run.scheduler.add(job, run.now);
        run.finish(5000);
        let text: String = run
            .out
            .iter()
            .filter_map(|o| if let Output::Token { text, .. } = o { Some(text.as_str()) } else { None })
            .collect();
        texts.push(text);
        times.push(run.now.0);
        assert_eq!(run.scheduler.counters().guessed_right > 0, guess);
    }
    assert_eq!(texts[0], texts[1]);
    assert!(times[1] < times[0], "{times:?}");
}
