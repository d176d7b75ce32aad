//! The loop's body: compose a step, compute it, hand out its tokens.

use std::collections::{BTreeMap, VecDeque};

use crate::choice::{Choice, Shared, write};
use crate::job::{Job, JobId, Output};
use crate::kernel::{Caps, Kernel, Row, SeqId, StepError};
use crate::{CancelWord, Sampler, TextStream, Vocab};

/// How a step is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a step.
    pub step_rows: u32,
    /// Most prompt rows of a step while a choice is writing: what one step may
    /// add to the time between two tokens. 128 rows cost 5 writers about 19 %
    /// of the prompt's speed and bound the gap to a quarter of a full step's.
    pub busy_prompt_rows: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { step_rows: 512, busy_prompt_rows: 128 }
    }
}

/// Cells kept free for the growth of a new choice before it is admitted.
/// Fewer admit more and preempt more; 32 is a short sentence.
const GROWTH: u32 = 32;

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub outcome: Outcome,
    /// Rows computed for each job: the share of the step's time it is billed. A job
    /// of several choices may appear several times.
    pub rows: Vec<(JobId, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to compute: every job is paused, or there is none.
    Idle,
    Ran,
    /// A cancel ended the step; what it had computed is kept.
    Aborted,
    /// The kernel failed, and so did the jobs of the step.
    Failed(String),
}

/// Totals since the start, and the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    pub queued: u64,
    pub running: u64,
    pub cells_used: u64,
    pub prompt_rows: u64,
    pub generated: u64,
    pub preempted: u64,
}

#[derive(Debug)]
pub struct Scheduler {
    caps: Caps,
    limits: Limits,
    waiting: VecDeque<Waiting>,
    /// In the order of admission: the last is the youngest.
    running: Vec<Choice>,
    jobs: BTreeMap<JobId, Shared>,
    free: Vec<SeqId>,
    rows: Vec<Row>,
    counters: Counters,
}

#[derive(Debug)]
enum Waiting {
    New(Job),
    /// A preempted choice: its tokens are its new prompt.
    Again(Box<Choice>),
}

impl Scheduler {
    pub fn new(caps: Caps, limits: Limits) -> Scheduler {
        let step_rows = limits.step_rows.min(caps.step_rows_max).max(1);
        Scheduler {
            caps,
            limits: Limits { step_rows, ..limits },
            waiting: VecDeque::new(),
            running: Vec::new(),
            jobs: BTreeMap::new(),
            free: (0..caps.seq_max).rev().collect(),
            rows: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Queues a job. Its prompt and `n` must be within the bounds of [`Job`]; a
    /// job that breaks them is answered with a failure at the next step.
    pub fn add(&mut self, job: Job) {
        let shared = Shared {
            cancel: job.cancel.clone(),
            stops: job.stops.clone(),
            ignore_end: job.ignore_end,
            max_tokens: job.max_tokens.max(1),
            open: job.n,
            paused: false,
            trunk: 0,
            holders: 0,
            failed: None,
        };
        self.jobs.insert(job.id, shared);
        self.waiting.push_back(Waiting::New(job));
    }

    /// A paused job writes nothing until it is resumed; its cells stay.
    pub fn set_paused(&mut self, job: JobId, paused: bool) {
        if let Some(shared) = self.jobs.get_mut(&job) {
            shared.paused = paused;
        }
    }

    /// Whether any job is known, paused ones included.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub fn counters(&self) -> Counters {
        let queued = self.waiting.iter().filter(|w| matches!(w, Waiting::New(_))).count();
        Counters {
            queued: queued as u64,
            running: self.running.len() as u64,
            cells_used: u64::from(self.cells()),
            ..self.counters
        }
    }

    /// Computes one batch. Results are appended to `out`.
    pub fn step(&mut self, kernel: &mut impl Kernel, vocab: &Vocab, out: &mut Vec<Output>) -> Step {
        self.drop_cancelled(kernel, out);
        self.make_room(kernel);
        self.admit(out);
        let owners = self.compose();
        if self.rows.is_empty() {
            return Step { outcome: Outcome::Idle, rows: Vec::new() };
        }
        let rows: Vec<(JobId, u32)> = owners.iter().map(|(at, n)| (self.running[*at].job, *n)).collect();
        // Only jobs in this step can be worth ending it for, and a job that
        // writes one token is not: the others' rows would be lost with it.
        let words: Vec<CancelWord> = owners
            .iter()
            .filter(|(at, count)| *count > 1 || self.running.len() == 1 || self.running[*at].written == 0)
            .filter_map(|(at, _)| self.jobs.get(&self.running[*at].job).map(|s| s.cancel.clone()))
            .collect();
        let cancelled = || words.iter().any(CancelWord::is_cancelled);
        let outcome = match kernel.step(&self.rows, &cancelled) {
            Ok(()) => {
                self.take(kernel, vocab, &owners, out);
                Outcome::Ran
            }
            Err(StepError::Aborted) => {
                for (at, count) in &owners {
                    let choice = &mut self.running[*at];
                    let held = kernel.len(choice.seq).min(choice.held + count);
                    // The logits are lost, so the last token is computed again.
                    choice.held = held.min(choice.tokens.len() as u32 - 1);
                    if choice.held < held && !kernel.truncate(choice.seq, choice.held) {
                        kernel.clear(choice.seq);
                        choice.held = 0;
                    }
                }
                Outcome::Aborted
            }
            Err(StepError::NoRoom) => {
                // Our count of the cells says there was room, so the kernel
                // needs more than it told. Give up the youngest and go on.
                let youngest = self.running.len() - 1;
                if youngest == 0 {
                    self.fail(&owners, "the kernel has no cells for one sequence");
                } else {
                    self.preempt(youngest, kernel);
                }
                Outcome::Ran
            }
            Err(StepError::Fatal(why)) => {
                self.fail(&owners, &why);
                Outcome::Failed(why)
            }
        };
        self.close(kernel, out);
        Step { outcome, rows }
    }

    /// Cells in use and promised to the prompts that are being computed.
    fn cells(&self) -> u32 {
        let own: u32 = self.running.iter().map(Choice::cells).sum();
        let trunks: u32 = self.jobs.values().filter(|s| s.holders > 0).map(|s| s.trunk).sum();
        own + trunks
    }

    fn drop_cancelled(&mut self, kernel: &mut impl Kernel, out: &mut Vec<Output>) {
        if !self.jobs.values().any(|s| s.cancel.is_cancelled()) {
            return;
        }
        let gone: Vec<JobId> =
            self.jobs.iter().filter(|(_, s)| s.cancel.is_cancelled()).map(|(id, _)| *id).collect();
        self.forget(&gone, kernel);
        out.extend(gone.into_iter().map(|job| Output::Done { job, failed: None }));
    }

    /// Removes jobs with everything they hold.
    fn forget(&mut self, gone: &[JobId], kernel: &mut impl Kernel) {
        self.waiting.retain(|w| match w {
            Waiting::New(job) => !gone.contains(&job.id),
            Waiting::Again(choice) => !gone.contains(&choice.job),
        });
        let mut at = 0;
        while at < self.running.len() {
            if gone.contains(&self.running[at].job) {
                let choice = self.running.remove(at);
                self.release(&choice, kernel);
            } else {
                at += 1;
            }
        }
        for job in gone {
            self.jobs.remove(job);
        }
    }

    /// Frees a choice's slots and cells.
    fn release(&mut self, choice: &Choice, kernel: &mut impl Kernel) {
        kernel.clear(choice.seq);
        self.free.push(choice.seq);
        self.free.extend(choice.forks.iter().map(|fork| fork.seq));
        if choice.shared > 0
            && let Some(shared) = self.jobs.get_mut(&choice.job)
        {
            shared.holders -= 1;
        }
    }

    /// Preempts the youngest until every choice can grow by one token.
    fn make_room(&mut self, kernel: &mut impl Kernel) {
        while self.running.len() > 1 && self.cells() > self.caps.cells {
            let paused = |c: &Choice| self.jobs.get(&c.job).is_some_and(|s| s.paused);
            let victim = self.running.iter().rposition(paused).unwrap_or(self.running.len() - 1);
            self.preempt(victim, kernel);
        }
    }

    fn preempt(&mut self, at: usize, kernel: &mut impl Kernel) {
        let mut choice = self.running.remove(at);
        self.release(&choice, kernel);
        self.counters.preempted += 1;
        choice.held = 0;
        choice.shared = 0;
        self.waiting.push_front(Waiting::Again(Box::new(choice)));
    }

    /// Starts what fits, first come first served.
    fn admit(&mut self, out: &mut Vec<Output>) {
        while let Some(next) = self.waiting.front() {
            let (slots, cells) = match next {
                Waiting::New(job) => {
                    if let Some(why) = self.refusal(job) {
                        let job = job.id;
                        self.waiting.pop_front();
                        self.jobs.remove(&job);
                        out.push(Output::Done { job, failed: Some(why) });
                        continue;
                    }
                    let growth = job.max_tokens.min(GROWTH).saturating_mul(job.n);
                    (job.n, (job.prompt.len() as u32).saturating_add(growth))
                }
                Waiting::Again(choice) => {
                    (1 + choice.forks.len() as u32, choice.tokens.len() as u32 + GROWTH)
                }
            };
            let fits = self.cells().saturating_add(cells) <= self.caps.cells;
            if (self.free.len() as u32) < slots || !(fits || self.running.is_empty()) {
                return;
            }
            match self.waiting.pop_front().expect("it was there") {
                Waiting::New(job) => self.start(job),
                Waiting::Again(mut choice) => {
                    choice.seq = self.slot();
                    for at in 0..choice.forks.len() {
                        choice.forks[at].seq = self.slot();
                    }
                    self.running.push(*choice);
                }
            }
        }
    }

    fn refusal(&self, job: &Job) -> Option<String> {
        let len = job.prompt.len() as u32;
        let longest = self.caps.seq_len_max.min(self.caps.cells);
        if len == 0 || len >= longest {
            return Some(format!("a prompt of {len} tokens does not fit a sequence of {longest}"));
        }
        if job.n == 0 || job.n > self.caps.seq_max || (job.n > 1 && !self.caps.share) {
            return Some(format!("{} choices cannot be computed together", job.n));
        }
        None
    }

    fn slot(&mut self) -> SeqId {
        self.free.pop().expect("admission counted the free slots")
    }

    fn start(&mut self, job: Job) {
        let stops = self.jobs.get(&job.id).map(|s| s.stops.clone()).unwrap_or_default();
        let choice = |index: u32, seq: SeqId| Choice {
            job: job.id,
            index,
            seq,
            tokens: Vec::new(),
            held: 0,
            shared: 0,
            written: 0,
            sampler: Sampler::new(job.sampling.clone(), index, &job.prompt),
            text: TextStream::new(stops.clone()),
            logprobs: Vec::new(),
            forks: Vec::new(),
        };
        let mut first = choice(0, self.slot());
        for index in 1..job.n {
            let seq = self.slot();
            first.forks.push(choice(index, seq));
        }
        first.tokens = job.prompt;
        self.running.push(first);
    }

    /// Fills `rows`: the next token of every writer, then prompts. Returns, for
    /// each run of rows, the choice's place in `running` and the count.
    fn compose(&mut self) -> Vec<(usize, u32)> {
        self.rows.clear();
        let mut owners = Vec::new();
        let mut budget = self.limits.step_rows;
        for (at, choice) in self.running.iter().enumerate() {
            let paused = self.jobs.get(&choice.job).is_some_and(|s| s.paused);
            if choice.is_writing() && !paused && budget > 0 {
                let token = choice.tokens[choice.held as usize];
                self.rows.push(Row { token, pos: choice.held, seq: choice.seq, logits: true });
                owners.push((at, 1));
                budget -= 1;
            }
        }
        if !owners.is_empty() {
            budget = budget.min(self.limits.busy_prompt_rows);
        }
        for (at, choice) in self.running.iter().enumerate() {
            let count = choice.rows_left().min(budget);
            let paused = choice.written > 0 && self.jobs.get(&choice.job).is_some_and(|s| s.paused);
            if choice.is_writing() || paused || count == 0 {
                continue;
            }
            let (from, to) = (choice.held, choice.held + count);
            for pos in from..to {
                let token = choice.tokens[pos as usize];
                let logits = pos + 1 == choice.tokens.len() as u32;
                self.rows.push(Row { token, pos, seq: choice.seq, logits });
            }
            owners.push((at, count));
            budget -= count;
        }
        owners
    }

    /// Draws a token from each row of logits.
    fn take(
        &mut self,
        kernel: &mut impl Kernel,
        vocab: &Vocab,
        owners: &[(usize, u32)],
        out: &mut Vec<Output>,
    ) {
        let mut row = 0;
        let mut forked = Vec::new();
        for (at, count) in owners {
            let choice = &mut self.running[*at];
            let writing = choice.is_writing();
            choice.held += count;
            row += *count as usize;
            if !writing {
                self.counters.prompt_rows += u64::from(*count);
            }
            if choice.rows_left() > 0 {
                continue;
            }
            let Some(shared) = self.jobs.get_mut(&choice.job) else { continue };
            let logits = kernel.logits(row - 1);
            if !choice.forks.is_empty() {
                // The prompt becomes the trunk that all choices grow from.
                shared.trunk = choice.held;
                shared.holders = 1 + choice.forks.len() as u32;
                choice.shared = choice.held;
            }
            let mut forks = std::mem::take(&mut choice.forks);
            for fork in &mut forks {
                fork.tokens = choice.tokens.clone();
                (fork.held, fork.shared) = (choice.held, choice.held);
            }
            write(choice, logits, shared, vocab, self.caps, &mut self.counters, out);
            for fork in &mut forks {
                write(fork, logits, shared, vocab, self.caps, &mut self.counters, out);
            }
            let (from, len) = (choice.seq, choice.held);
            for fork in forks {
                kernel.share(from, fork.seq, len);
                forked.push((*at, fork));
            }
        }
        // Beside their leader, so that a job's choices are of one age.
        for (at, fork) in forked.into_iter().rev() {
            self.running.insert(at + 1, fork);
        }
    }

    /// Removes the choices that are over, and the jobs that have none left.
    fn close(&mut self, kernel: &mut impl Kernel, out: &mut Vec<Output>) {
        let mut at = 0;
        while at < self.running.len() {
            if self.running[at].rows_left() == 0 {
                let choice = self.running.remove(at);
                self.release(&choice, kernel);
                if let Some(shared) = self.jobs.get_mut(&choice.job) {
                    shared.open -= 1;
                }
            } else {
                at += 1;
            }
        }
        let over = |s: &Shared| s.open == 0 || s.failed.is_some();
        if self.jobs.values().any(over) {
            let ids: Vec<JobId> = self.jobs.iter().filter(|(_, s)| over(s)).map(|(id, _)| *id).collect();
            for job in &ids {
                let failed = self.jobs.get_mut(job).and_then(|s| s.failed.take());
                out.push(Output::Done { job: *job, failed });
            }
            self.forget(&ids, kernel);
        }
    }

    fn fail(&mut self, owners: &[(usize, u32)], why: &str) {
        for (at, _) in owners {
            if let Some(shared) = self.jobs.get_mut(&self.running[*at].job) {
                shared.failed = Some(why.to_owned());
            }
        }
    }
}
