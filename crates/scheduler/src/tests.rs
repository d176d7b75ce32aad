use std::collections::BTreeMap;

use chat::Finish;
use proptest::prelude::*;
use units::Micros;

use crate::simulated::Simulated;
use crate::*;

const VOCAB: u32 = 64;
const END: Token = 63;

fn caps() -> Caps {
    Caps {
        seq_max: 16,
        cells: 256,
        seq_len_max: 200,
        step_rows_max: 32,
        outputs_max: 16,
        parts: true,
        tile_rows: 0,
    }
}

fn limits() -> Limits {
    Limits { step_rows: 32, running: 8, memory_bytes: 2000, ..Limits::default() }
}

fn vocab() -> Vocab {
    let piece = |t: u32| match t {
        END => Vec::new(),
        // Two halves of "é", to be cut.
        0 => vec![0xc3],
        1 => vec![0xa9],
        t => vec![b' ' + t as u8],
    };
    Vocab::new((0..VOCAB).map(piece), vec![END])
}

fn job(id: u64, prompt: &[Token]) -> Job {
    let sampling = Sampling { temperature: 1.0, seed: id, ..Sampling::GREEDY };
    Job { max_tokens: 20, sampling, ..Job::new(JobId(id), prompt.to_vec()) }
}

struct Bed {
    now: Micros,
    scheduler: Scheduler,
    kernel: Simulated,
    vocab: Vocab,
    out: Vec<Output>,
}

impl Bed {
    fn new(caps: Caps) -> Bed {
        Bed::with(caps, limits())
    }
    fn with(caps: Caps, limits: Limits) -> Bed {
        Bed {
            now: Micros(0),
            scheduler: Scheduler::new(caps, limits),
            kernel: Simulated::new(caps, VOCAB),
            vocab: vocab(),
            out: Vec::new(),
        }
    }
    fn step(&mut self) -> Step {
        let before = self.kernel.elapsed_us;
        let step = self.scheduler.step(self.now, &mut self.kernel, &self.vocab, &mut self.out);
        let took = self.kernel.elapsed_us - before;
        self.scheduler.learn(&step, took);
        self.now = self.now.plus_us(took as i64);
        step
    }
    fn add(&mut self, job: Job) {
        self.scheduler.add(job, self.now);
    }
    /// Runs to the end, and checks that nothing is left behind.
    fn run(&mut self) {
        for _ in 0..5000 {
            if self.step().outcome == Outcome::Idle {
                break;
            }
        }
        assert!(self.scheduler.is_empty(), "a job never ended");
        let c = self.scheduler.counters();
        assert_eq!((c.queued, c.running, c.cells_used), (0, 0, 0));
        assert_eq!(self.kernel.cells_used() as u64, c.cells_kept);
        self.scheduler.drop_all_kept(&mut self.kernel);
        assert_eq!((self.kernel.cells_used(), self.scheduler.counters().cells_kept), (0, 0));
    }
    /// (text, reason, tokens) of each choice.
    fn answers(&self) -> BTreeMap<(u64, u32), (String, Option<Finish>, u32)> {
        let mut all: BTreeMap<(u64, u32), (String, Option<Finish>, u32)> = BTreeMap::new();
        for o in &self.out {
            match o {
                Output::Token { job, choice, text, .. } => {
                    let a = all.entry((job.0, *choice)).or_default();
                    assert!(a.1.is_none(), "text after the end");
                    a.0.push_str(text);
                }
                Output::Finish { job, choice, reason, tokens, .. } => {
                    let a = all.entry((job.0, *choice)).or_default();
                    assert!(a.1.replace(reason.clone()).is_none(), "two ends");
                    a.2 = *tokens;
                }
                Output::Start { .. } | Output::Done { .. } => {}
            }
        }
        all
    }
}

fn alone(job: Job) -> (String, Option<Finish>, u32) {
    let id = job.id.0;
    let mut bed = Bed::new(caps());
    bed.add(job);
    bed.run();
    bed.answers().remove(&(id, 0)).expect("an answer")
}

#[test]
fn a_batch_of_ragged_prompts_gives_the_answers_of_single_runs() {
    let prompts: Vec<Vec<Token>> = (0..12u32).map(|i| (0..1 + i * 7).map(|t| t % 60).collect()).collect();
    let mut bed = Bed::new(caps());
    for (i, prompt) in prompts.iter().enumerate() {
        bed.add(job(i as u64, prompt));
    }
    bed.run();
    let answers = bed.answers();
    assert_eq!(answers.len(), 12);
    for (i, prompt) in prompts.iter().enumerate() {
        assert_eq!(answers[&(i as u64, 0)], alone(job(i as u64, prompt)), "prompt {i}");
    }
}

#[test]
fn when_cells_run_out_the_youngest_is_computed_again_and_answers_the_same() {
    let caps = Caps { cells: 120, ..caps() };
    let mut bed = Bed::new(caps);
    for id in 0..4 {
        bed.add(Job { max_tokens: 60, ignore_end: true, ..job(id, &[5, 6, 7, id as u32]) });
    }
    bed.run();
    assert!(bed.scheduler.counters().preempted > 0, "the test must preempt");
    for (id, answer) in bed.answers() {
        let single = alone(Job { max_tokens: 60, ignore_end: true, ..job(id.0, &[5, 6, 7, id.0 as u32]) });
        assert_eq!(answer, single);
    }
}

#[test]
fn prompts_beside_writers_come_in_chunks_that_keep_the_gap() {
    // A step of n rows takes 4 + 2.2 n ms: 22 rows fit into 53 ms.
    let limits = Limits { token_gap_us: 53_000, ..limits() };
    let mut bed = Bed::with(caps(), limits);
    bed.add(Job { ignore_end: true, max_tokens: 60, ..job(0, &[1, 2, 3]) });
    for id in 1..4 {
        // Steps of several sizes, to learn from.
        bed.add(Job { max_tokens: 3, ..job(id, &[id as u32; 9]) });
        bed.step();
        bed.step();
        bed.step();
    }
    assert!(bed.scheduler.step_time().is_known());
    let before = bed.kernel.steps.len();
    bed.add(Job { max_tokens: 1, ..job(9, &[4; 100]) });
    bed.run();
    let rows = &bed.kernel.steps[before..before + 4];
    assert!(rows.iter().all(|rows| (17..=23).contains(rows)), "{rows:?}");
}

#[test]
fn a_chunk_is_at_most_twice_as_wide_as_steps_were_lately() {
    // 512 rows would fit into the gap, but steps of one row cannot know that.
    let caps = Caps { cells: 1024, seq_len_max: 800, step_rows_max: 512, ..caps() };
    let limits = Limits { step_rows: 512, token_gap_us: 2_000_000, ..limits() };
    let mut bed = Bed::with(caps, limits);
    bed.add(Job { ignore_end: true, max_tokens: 200, ..job(0, &[1, 2, 3]) });
    (0..60).for_each(|_| drop(bed.step()));
    let before = bed.kernel.steps.len();
    bed.add(Job { max_tokens: 1, ..job(9, &[4; 700]) });
    (0..4).for_each(|_| drop(bed.step()));
    let rows = &bed.kernel.steps[before..];
    let wider = rows.windows(2).all(|pair| pair[1] <= 2 * pair[0]);
    assert!(rows[0] <= 65 && wider && rows[2] > 200, "{rows:?}");
}

#[test]
fn a_tenant_alone_waits_longer_between_tokens_for_its_own_queue() {
    // A step of n rows takes 4 + 2.2 n ms: 17 fit into 45 ms, and all 32 into 180.
    let limits = Limits { token_gap_us: 45_000, running: 2, ..limits() };
    let mut bed = Bed::with(caps(), limits);
    bed.add(Job { ignore_end: true, max_tokens: 100, ..job(0, &[1, 2, 3]) });
    for id in 1..4 {
        bed.add(Job { max_tokens: 3, ..job(id, &[id as u32; 9]) });
        (0..3).for_each(|_| drop(bed.step()));
    }
    assert!(bed.scheduler.step_time().is_known());
    let before = bed.kernel.steps.len();
    for id in 10..20 {
        bed.add(Job { max_tokens: 1, ..job(id, &[id as u32; 60]) });
    }
    (0..3).for_each(|_| drop(bed.step()));
    let alone = bed.kernel.steps[before..].to_vec();
    assert!(alone.iter().all(|rows| *rows > 17), "{alone:?}");
    let before = bed.kernel.steps.len();
    bed.add(Job { tenant: Tenant(9), max_tokens: 60, ignore_end: true, ..job(30, &[7; 5]) });
    (0..6).for_each(|_| drop(bed.step()));
    let beside = bed.kernel.steps[before..].to_vec();
    assert!(beside.iter().all(|rows| *rows <= 18), "{beside:?}");
    bed.run();
}

#[test]
fn a_tenant_runs_fewer_at_once_where_they_share_nothing() {
    let most = |prompt: fn(u64) -> Vec<Token>| {
        let mut bed = Bed::with(caps(), Limits { crowd: 700, ..limits() });
        let mut most = 0;
        for id in 0..8 {
            bed.add(Job { max_tokens: 10, ignore_end: true, ..job(id, &prompt(id)) });
            if id == 0 {
                bed.step();
            }
        }
        while !bed.scheduler.is_empty() {
            bed.step();
            most = most.max(bed.scheduler.counters().running);
        }
        most
    };
    assert_eq!(most(|id| [vec![9; 29], vec![id as u32 + 10]].concat()), 8);
    assert_eq!(most(|id| vec![id as u32 + 10; 30]), 4);
}

#[test]
fn what_ended_leaves_the_cells_when_the_disk_has_it_though_memory_is_full() {
    let kept = |disk: bool, prompt: usize| {
        let limits = Limits { disk, memory_bytes: 2_000, kept_cells: 64, running: 2, ..limits() };
        let mut bed = Bed::with(Caps { cells: 4_000, seq_len_max: 600, ..caps() }, limits);
        let mut most = 0;
        for id in 0..24 {
            let job = Job { max_tokens: 4, ignore_end: true, ..job(id, &vec![id as u32 + 10; prompt]) };
            bed.add(job);
            while !bed.scheduler.is_empty() {
                bed.step();
                bed.scheduler.take_saves();
            }
            most = most.max(bed.scheduler.counters().cells_kept);
        }
        most
    };
    assert!(kept(false, 320) > 3_000, "nothing else has it");
    // What ended last goes four blocks at a step.
    assert!(kept(true, 320) <= 2 * 320 + 64, "{}", kept(true, 320));
    assert!(kept(false, 150) <= 2 * 150 + 64, "short ones are computed again: {}", kept(false, 150));
}

#[test]
fn choices_share_the_cells_of_their_prompt() {
    let mut bed = Bed::new(caps());
    bed.add(Job { n: 4, ignore_end: true, ..job(3, &[9; 30]) });
    bed.step();
    bed.step();
    assert_eq!(bed.kernel.cells_used(), 30 + 4);
    assert_eq!(bed.scheduler.counters().cells_used, 30 + 4 + 4);
    bed.run();
    let answers = bed.answers();
    assert_eq!(answers.len(), 4);
    assert!(answers.values().all(|a| a.2 == 20 && a.1 == Some(Finish::Length)));
    assert_ne!(answers[&(3, 0)].0, answers[&(3, 1)].0, "choices differ");
    assert_eq!(answers[&(3, 0)], alone(Job { ignore_end: true, ..job(3, &[9; 30]) }));
}

#[test]
fn a_cancelled_job_leaves_no_cells_in_any_phase() {
    for steps in 0..8 {
        let mut bed = Bed::new(caps());
        let (kept, gone) = (job(1, &[3; 40]), Job { n: 3, ..job(2, &[4; 40]) });
        let word = gone.cancel.clone();
        bed.add(gone);
        bed.add(kept);
        for _ in 0..steps {
            bed.step();
        }
        word.cancel();
        bed.run();
        assert_eq!(bed.answers()[&(1, 0)], alone(job(1, &[3; 40])), "after {steps} steps");
    }
}

#[test]
fn an_aborted_step_keeps_what_was_computed() {
    for rows in [0, 1, 7, 20] {
        let mut bed = Bed::new(caps());
        bed.kernel.faults = vec![(rows, StepError::Aborted)];
        bed.add(job(1, &[3; 20]));
        assert_eq!(bed.step().outcome, Outcome::Aborted);
        bed.run();
        assert_eq!(bed.answers()[&(1, 0)], alone(job(1, &[3; 20])), "after {rows} rows");
    }
}

#[test]
fn a_kernel_failure_ends_its_jobs_and_spares_the_next() {
    let mut bed = Bed::new(caps());
    bed.kernel.faults = vec![(0, StepError::Fatal("broken".into()))];
    bed.add(job(1, &[3; 20]));
    assert_eq!(bed.step().outcome, Outcome::Failed("broken".into()));
    let done = Output::Done { job: JobId(1), failed: Some(Failure::Broken("broken".into())) };
    assert_eq!(bed.out, [Output::Start { job: JobId(1), reused: 0 }, done]);
    bed.add(job(2, &[3; 20]));
    bed.run();
    assert_eq!(bed.answers().len(), 1);
}

#[test]
fn a_paused_job_writes_nothing_and_others_go_on() {
    let mut bed = Bed::new(caps());
    bed.add(job(1, &[3; 5]));
    bed.add(job(2, &[4; 5]));
    bed.step();
    bed.scheduler.set_paused(JobId(1), true);
    let before = bed.answers()[&(1, 0)].0.len();
    while bed.step().outcome != Outcome::Idle {}
    assert_eq!(bed.answers()[&(1, 0)].0.len(), before);
    assert!(bed.answers()[&(2, 0)].1.is_some());
    bed.scheduler.set_paused(JobId(1), false);
    bed.run();
    assert_eq!(bed.answers()[&(1, 0)], alone(job(1, &[3; 5])));
}

#[test]
fn the_end_of_the_context_is_a_length_finish() {
    let caps = Caps { seq_len_max: 16, ..caps() };
    let mut bed = Bed::new(caps);
    bed.add(Job { max_tokens: 1000, ignore_end: true, ..job(1, &[3; 10]) });
    bed.run();
    let (_, reason, tokens) = bed.answers().remove(&(1, 0)).expect("an answer");
    assert_eq!((reason, tokens), (Some(Finish::Length), 7));
}

#[test]
fn a_job_that_cannot_fit_is_failed_and_not_queued_for_ever() {
    let mut bed = Bed::new(caps());
    for (id, bad) in
        [job(1, &[]), job(2, &[1; 200]), Job { n: 9, ..job(3, &[1]) }, Job { n: 0, ..job(4, &[1]) }]
            .into_iter()
            .enumerate()
    {
        bed.add(bad);
        bed.run();
        assert!(matches!(&bed.out[id], Output::Done { failed: Some(_), .. }));
    }
}

#[test]
fn a_deadline_that_passes_is_told_as_what_it_is_in_every_phase() {
    for steps in 0..4 {
        let mut bed = Bed::new(caps());
        bed.add(Job { deadline: Some(Micros(1_000_000)), ignore_end: true, ..job(1, &[3; 20]) });
        (0..steps).for_each(|_| drop(bed.step()));
        bed.now = Micros(1_000_000);
        bed.run();
        let done = bed.out.last();
        assert_eq!(done, Some(&Output::Done { job: JobId(1), failed: Some(Failure::Late) }), "{steps}");
    }
}

/// Tokens reused of a prompt whose first 128 came before, after others have had all cells.
fn reused_after_a_flood(pin: u32) -> u32 {
    let limits = Limits { memory_bytes: 0, ..limits() };
    let mut bed = Bed::with(Caps { cells: 512, ..caps() }, limits);
    let prompt = |last: Token| [vec![50; 128], vec![last; 10]].concat();
    bed.add(Job { pin, ..job(1, &prompt(20)) });
    while bed.step().outcome != Outcome::Idle {}
    for id in 2..40 {
        bed.add(job(id, &[vec![id as u32; 70], vec![7; 70]].concat()));
    }
    while bed.step().outcome != Outcome::Idle {}
    assert!(bed.kernel.cells_used() <= 512);
    bed.out.clear();
    bed.add(Job { pin, ..job(50, &prompt(21)) });
    bed.run();
    match bed.out.first() {
        Some(Output::Start { reused, .. }) => *reused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_operator_pins_stays_in_cells_whatever_others_need() {
    assert_eq!(reused_after_a_flood(0), 0);
    assert_eq!(reused_after_a_flood(128), 128);
    // Whole blocks, and no more than was asked for.
    assert_eq!(reused_after_a_flood(100), 64);
}

#[test]
fn pins_are_a_share_of_the_cells_and_keep_no_prompt_from_being_computed() {
    let caps = Caps { cells: 512, seq_len_max: 500, ..caps() };
    let mut bed = Bed::with(caps, Limits { memory_bytes: 0, ..limits() });
    for id in 1..20 {
        bed.add(Job { pin: 128, ..job(id, &[id as u32; 130]) });
        while bed.step().outcome != Outcome::Idle {}
        assert!(bed.scheduler.cells.pinned() <= 256, "half of the cells");
    }
    assert_eq!(bed.scheduler.cells.pinned(), 256, "and the share is used");
    bed.out.clear();
    // The newest pins are the ones that stay.
    bed.add(job(50, &[19; 130]));
    while bed.step().outcome != Outcome::Idle {}
    assert_eq!(bed.out.first(), Some(&Output::Start { job: JobId(50), reused: 129 }));
    bed.add(job(51, &[60; 480]));
    bed.run();
    assert!(bed.answers()[&(51, 0)].1.is_some(), "it takes the cells of pins when nothing else is left");
}

#[test]
fn a_stop_text_ends_the_choice_and_is_not_shown() {
    let free = alone(Job { ignore_end: true, ..job(5, &[8, 9]) }).0;
    let stop: String = free.chars().skip(5).take(3).collect();
    let expected = &free[..free.find(&stop).expect("it is there")];
    let mut bed = Bed::new(caps());
    bed.add(Job { ignore_end: true, stops: vec![stop.clone()], ..job(5, &[8, 9]) });
    bed.run();
    let (text, reason, _) = bed.answers().remove(&(5, 0)).expect("an answer");
    assert_eq!((text.as_str(), reason), (expected, Some(Finish::Stop)));
    assert!(bed.out.iter().any(|o| matches!(o, Output::Finish { stop: Some(s), .. } if *s == stop)));
}

#[test]
fn log_probabilities_come_with_every_shown_token() {
    let mut bed = Bed::new(caps());
    let sampling = Sampling { logprobs: Some(3), ..Sampling::GREEDY };
    bed.add(Job { ignore_end: true, sampling, ..job(5, &[8, 9]) });
    bed.run();
    let told: Vec<&chat::TokenLogprob> = bed
        .out
        .iter()
        .filter_map(|o| if let Output::Token { logprobs, .. } = o { Some(logprobs) } else { None })
        .flatten()
        .collect();
    assert_eq!(told.len(), 20);
    assert!(told.iter().all(|t| t.top.len() == 3 && t.top[0].logprob == t.logprob && t.logprob < 0.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_leaks_and_answers_do_not_depend_on_company(
        jobs in proptest::collection::vec((1usize..60, 1u32..4, 1u32..40, 0usize..40), 1..10),
        faults in proptest::collection::vec((0u32..20, prop_oneof![
            3 => Just(None), 1 => Just(Some(StepError::Aborted))]), 0..20),
        cells in 110u32..256,
    ) {
        let caps = Caps { cells, seq_len_max: 110, ..caps() };
        let mut bed = Bed::new(caps);
        let make = |id: usize, (len, n, max, _): (usize, u32, u32, usize)| {
            let prompt: Vec<Token> = (0..len).map(|t| ((t * 7 + id) % 60) as u32).collect();
            Job { n, max_tokens: max, ..job(id as u64, &prompt) }
        };
        let mut words = Vec::new();
        for (id, spec) in jobs.iter().enumerate() {
            let job = make(id, *spec);
            // A third of them is cancelled at some step.
            if spec.3 % 3 == 0 {
                words.push((spec.3, id, job.cancel.clone()));
            }
            bed.add(job);
        }
        bed.kernel.faults = faults
            .into_iter()
            .map(|(rows, fault)| fault.map_or((u32::MAX, StepError::NoRoom), |f| (rows, f)))
            .take_while(|(rows, _)| *rows != u32::MAX)
            .collect();
        for step in 0..40 {
            words.iter().filter(|w| w.0 == step).for_each(|w| w.2.cancel());
            bed.step();
        }
        bed.run();
        let answers = bed.answers();
        for (id, spec) in jobs.iter().enumerate() {
            if words.iter().all(|w| w.1 != id) {
                let mut single = Bed::new(Caps { seq_len_max: 110, ..self::caps() });
                single.add(make(id, *spec));
                single.run();
                for (key, answer) in single.answers() {
                    prop_assert_eq!(&answers[&key], &answer);
                }
            }
        }
    }
}
