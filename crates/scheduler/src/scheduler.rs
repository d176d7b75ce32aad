//! The loop's body: compose a step, compute it, hand out its tokens.

use std::collections::{BTreeMap, VecDeque};

use units::Micros;

use crate::admission::Waiting;
use crate::cells::{BLOCK, Cells};
use crate::choice::{Choice, Shared, write};
use crate::draft::Draft;
use crate::fair::{Fair, Standing, Tenant, WRITTEN};
use crate::fit::{Fit, Shape, StepTime};
use crate::job::{Failure, Job, JobId, Output};
use crate::kernel::{Caps, Kernel, Row, SeqId, StepError, Token};
use crate::prefix::{Prefix, chain, child, root};
use crate::tier::BlockKey;
use crate::{CancelWord, Sampler, TextStream, Vocab};

/// How a step is filled, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a step.
    pub step_rows: u32,
    /// Most choices computed at once.
    pub running: u32,
    /// While a choice is writing, prompts are computed in chunks that keep the
    /// predicted step within this, in microseconds.
    pub token_gap_us: u64,
    /// A tenant that runs something starts nothing more once the choices that run
    /// would walk more cells in vain than this in a step: each row of attention
    /// walks every cell in use, those of others too. Reading the weights once for
    /// one row more pays for so many; beyond, a crowd writes less than a few do, one
    /// after another. What choices share is not walked in vain.
    pub crowd: u64,
    /// Cells beyond these that nobody runs go to memory, as long as there is room.
    pub kept_cells: u32,
    /// Bytes of keys and values kept in memory after they lost their cells.
    pub memory_bytes: usize,
    /// Whether blocks are handed out to be kept on disk.
    pub disk: bool,
    /// Whether guesses are computed ahead where that pays.
    pub guess: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            step_rows: 512,
            running: 64,
            token_gap_us: 200_000,
            crowd: 18_000,
            kept_cells: 1024,
            memory_bytes: 256 << 20,
            disk: false,
            guess: true,
        }
    }
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub outcome: Outcome,
    /// Rows computed for each job: the share of the step's time it is billed. A job
    /// of several choices may appear several times.
    pub rows: Vec<(JobId, u32)>,
    /// For [`Scheduler::learn`].
    pub shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to compute: every job is paused or waits for the disk, or there is none.
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
    /// Jobs that have not started.
    pub queued: u64,
    /// Choices being computed.
    pub running: u64,
    /// Cells of running choices, what they are about to compute included.
    pub cells_used: u64,
    /// Cells of what is kept for later prompts; freed when they are needed.
    pub cells_kept: u64,
    /// Bytes of blocks in memory.
    pub memory_bytes: u64,
    pub prompt_rows: u64,
    /// Prompt tokens that were not computed because they were in cells, in memory or on disk.
    pub reused: u64,
    pub reused_memory: u64,
    pub reused_disk: u64,
    pub generated: u64,
    pub preempted: u64,
    /// Guesses computed ahead, and those that were right.
    pub guessed: u64,
    pub guessed_right: u64,
    /// Times that the likeliest token was withheld for what it would have said.
    pub withheld: u64,
}

/// What a finished choice leaves for later prompts.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) seq: SeqId,
    pub(crate) tenant: Tenant,
    pub(crate) root: BlockKey,
    /// As many as the sequence holds.
    pub(crate) tokens: Vec<Token>,
}

#[derive(Debug)]
pub struct Scheduler {
    pub(crate) caps: Caps,
    /// Of the current step.
    pub(crate) now: Micros,
    pub(crate) limits: Limits,
    pub(crate) waiting: Vec<Waiting>,
    /// In the order of admission: the last is the youngest.
    pub(crate) running: Vec<Choice>,
    pub(crate) kept: Vec<Kept>,
    pub(crate) jobs: BTreeMap<JobId, Shared>,
    pub(crate) free: Vec<SeqId>,
    pub(crate) cells: Cells,
    pub(crate) prefix: Prefix,
    pub(crate) fair: Fair,
    pub(crate) fit: Fit,
    pub(crate) counters: Counters,
    pub(crate) arrivals: u64,
    /// Blocks to hand to the disk: their keys and numbers.
    pub(crate) to_save: VecDeque<(BlockKey, u32)>,
    pub(crate) saves: Vec<(BlockKey, Vec<u8>)>,
    pub(crate) wants: Vec<BlockKey>,
    pub(crate) rows: Vec<Row>,
    /// What each adapter has had, in rows: they take turns.
    pub(crate) adapters: BTreeMap<u32, u64>,
}

/// A run of rows of one choice in a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Its place in `running`.
    pub(crate) at: usize,
    pub(crate) rows: u32,
    /// How many of the rows are guesses.
    pub(crate) guesses: u32,
}

impl Scheduler {
    pub fn new(caps: Caps, limits: Limits) -> Scheduler {
        let limits = Limits {
            step_rows: limits.step_rows.min(caps.step_rows_max).max(1),
            running: limits.running.min(caps.seq_max).min(caps.outputs_max).max(1),
            disk: limits.disk && caps.parts,
            ..limits
        };
        Scheduler {
            caps,
            now: Micros(0),
            limits,
            waiting: Vec::new(),
            running: Vec::new(),
            kept: Vec::new(),
            jobs: BTreeMap::new(),
            free: (0..caps.seq_max).rev().collect(),
            cells: Cells::new(caps.seq_max),
            prefix: Prefix::new(limits.memory_bytes),
            fair: Fair::default(),
            fit: Fit::default(),
            counters: Counters::default(),
            arrivals: 0,
            to_save: VecDeque::new(),
            saves: Vec::new(),
            wants: Vec::new(),
            rows: Vec::new(),
            adapters: BTreeMap::new(),
        }
    }

    /// Queues a job. Its prompt and `n` must be within the bounds of [`Job`]; a
    /// job that breaks them is answered with a failure at the next step.
    pub fn add(&mut self, job: Job, now: Micros) {
        self.fair.enter(job.tenant, job.weight);
        let root = root(job.scope, job.adapter);
        let choice = |index: u32| Choice {
            job: job.id,
            tenant: job.tenant,
            index,
            seq: SeqId::MAX,
            tokens: Vec::new(),
            held: 0,
            written: 0,
            withheld: 0,
            sampler: Sampler::new(job.sampling.clone(), index, &job.prompt),
            constraint: job.constraint.clone(),
            text: TextStream::new(job.stops.clone()),
            logprobs: Vec::new(),
            forks: Vec::new(),
            root,
            keys: Vec::new(),
            published: 0,
            saved: None,
            draft: Draft::default(),
        };
        let mut first = choice(0);
        first.forks = (1..job.n.min(self.caps.seq_max + 1)).map(choice).collect();
        first.keys = chain(root, &job.prompt);
        first.tokens = job.prompt;
        let shared = Shared {
            cancel: job.cancel,
            ignore_end: job.ignore_end,
            max_tokens: job.max_tokens.max(1),
            arrival: self.arrivals,
            since: now,
            tenant: job.tenant,
            class: job.class,
            adapter: job.adapter,
            pin: job.pin,
            deadline: job.deadline,
            open: job.n,
            paused: false,
            started: false,
            failed: None,
        };
        self.jobs.insert(job.id, shared);
        self.arrivals += 1;
        self.waiting.push(Waiting::new(first));
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
        let kept = self.kept_alone();
        Counters {
            queued: self.jobs.values().filter(|s| !s.started).count() as u64,
            running: self.running.len() as u64,
            cells_used: u64::from(self.committed() - kept),
            cells_kept: u64::from(kept),
            memory_bytes: self.prefix.bytes() as u64,
            ..self.counters
        }
    }

    /// Tenants that have jobs, or had lately.
    pub fn standings(&self) -> impl Iterator<Item = (Tenant, Standing)> {
        let mut waiting: BTreeMap<Tenant, u32> = BTreeMap::new();
        for shared in self.jobs.values().filter(|s| !s.started) {
            *waiting.entry(shared.tenant).or_default() += 1;
        }
        self.fair.standings().map(move |(tenant, standing)| {
            let waiting = waiting.get(&tenant).copied().unwrap_or(0);
            (tenant, Standing { waiting, ..standing })
        })
    }

    /// What a step costs, as learned so far.
    pub fn step_time(&self) -> StepTime {
        self.fit.told()
    }

    /// Learns from a step that took `us` microseconds.
    pub fn learn(&mut self, step: &Step, us: u64) {
        if step.outcome == Outcome::Ran && step.shape.rows > 0 {
            self.fit.learn(step.shape, us);
        }
    }

    /// Computes one batch. Results are appended to `out`.
    pub fn step(
        &mut self,
        now: Micros,
        kernel: &mut impl Kernel,
        vocab: &Vocab,
        out: &mut Vec<Output>,
    ) -> Step {
        self.now = now;
        self.drop_ended(kernel, out);
        self.make_room(kernel);
        self.admit(kernel, out);
        let owners = self.compose(kernel);
        if self.rows.is_empty() {
            let told = out.len();
            self.close(kernel, out);
            let busy = self.save_some(kernel, 16) || self.put_away(kernel) || out.len() > told;
            let outcome = if busy { Outcome::Ran } else { Outcome::Idle };
            return Step { outcome, rows: Vec::new(), shape: Shape::default() };
        }
        let rows: Vec<(JobId, u32)> = owners.iter().map(|o| (self.running[o.at].job, o.rows)).collect();
        let shape = self.shape(&owners);
        let words = self.words(&owners);
        let cancelled = || {
            let gone = |(word, rows): &(CancelWord, u32)| if word.is_cancelled() { *rows } else { 0 };
            words.iter().map(gone).sum::<u32>() * 2 > shape.rows
        };
        let outcome = match kernel.step(&self.rows, &cancelled) {
            Ok(()) => {
                self.take(kernel, vocab, &owners, out);
                Outcome::Ran
            }
            Err(StepError::Aborted) => {
                self.recover(kernel, &owners);
                Outcome::Aborted
            }
            Err(StepError::NoRoom) => {
                // Our count of the cells says there was room, so the kernel
                // needs more than it told. Give something up and go on.
                if !self.evict(kernel, None) {
                    match self.victim() {
                        Some(at) => self.preempt(at, kernel),
                        None if self.evict_pinned(kernel) => {}
                        None => self.fail(&owners, "the kernel has no cells for one sequence"),
                    }
                }
                Outcome::Ran
            }
            Err(StepError::Fatal(why)) => {
                self.fail(&owners, &why);
                Outcome::Failed(why)
            }
        };
        self.close(kernel, out);
        self.save_some(kernel, 4);
        self.put_away(kernel);
        Step { outcome, rows, shape }
    }

    /// Who may end a step, and how many of its rows are theirs. A step ends when
    /// most of it is unwanted: the others' rows would be lost with it.
    fn words(&self, owners: &[Owner]) -> Vec<(CancelWord, u32)> {
        let word = |o: &Owner| self.jobs.get(&self.running[o.at].job).map(|s| (s.cancel.clone(), o.rows));
        owners.iter().filter_map(word).collect()
    }

    /// Takes what an ended step has left.
    fn recover(&mut self, kernel: &mut impl Kernel, owners: &[Owner]) {
        for owner in owners {
            let choice = &mut self.running[owner.at];
            let held = kernel.len(choice.seq).min(choice.held + owner.rows - owner.guesses);
            // The logits are lost, so the last token is computed again.
            let keep = held.min(choice.tokens.len() as u32 - 1);
            if kernel.len(choice.seq) > keep && !kernel.truncate(choice.seq, keep) {
                kernel.clear(choice.seq);
                self.cells.clear(choice.seq);
                choice.held = 0;
                continue;
            }
            self.cells.grow(choice.seq, keep.saturating_sub(choice.held));
            self.cells.truncate(choice.seq, keep);
            choice.held = keep;
        }
        self.sweep();
    }

    /// Cells in use and promised to the prompts that are being computed.
    pub(crate) fn committed(&self) -> u32 {
        self.cells.used() + self.running.iter().map(Choice::rows_left).sum::<u32>()
    }

    /// Cells that only kept sequences see.
    pub(crate) fn kept_alone(&self) -> u32 {
        let running: Vec<SeqId> = self.running.iter().map(|c| c.seq).collect();
        self.cells.used() - self.cells.seen_by(&running)
    }

    fn drop_ended(&mut self, kernel: &mut impl Kernel, out: &mut Vec<Output>) {
        let now = self.now;
        let late = |s: &Shared| s.deadline.is_some_and(|d| now >= d);
        let over = |s: &Shared| s.cancel.is_cancelled() || late(s);
        if !self.jobs.values().any(over) {
            return;
        }
        let gone: Vec<JobId> = self.jobs.iter().filter(|(_, s)| over(s)).map(|(id, _)| *id).collect();
        for job in &gone {
            let cancelled = self.jobs[job].cancel.is_cancelled();
            out.push(Output::Done { job: *job, failed: (!cancelled).then_some(Failure::Late) });
        }
        self.forget(&gone, kernel);
    }

    /// Removes jobs. What they computed is kept for others.
    fn forget(&mut self, gone: &[JobId], kernel: &mut impl Kernel) {
        self.waiting.retain(|w| !gone.contains(&w.choice.job));
        let mut at = 0;
        while at < self.running.len() {
            if gone.contains(&self.running[at].job) {
                let choice = self.running.remove(at);
                self.release(choice, kernel);
            } else {
                at += 1;
            }
        }
        for job in gone {
            if let Some(shared) = self.jobs.remove(job) {
                self.fair.leave(shared.tenant);
            }
        }
    }

    /// Draws a token from each row of logits.
    fn take(&mut self, kernel: &mut impl Kernel, vocab: &Vocab, owners: &[Owner], out: &mut Vec<Output>) {
        let mut first = 0;
        let mut forked = Vec::new();
        for owner in owners {
            let row = first;
            first += owner.rows as usize;
            let choice = &mut self.running[owner.at];
            let prompt_rows = if choice.is_writing() { 0 } else { owner.rows };
            choice.held += owner.rows - owner.guesses;
            self.cells.grow(choice.seq, owner.rows);
            let Some(shared) = self.jobs.get_mut(&choice.job) else { continue };
            self.counters.prompt_rows += u64::from(prompt_rows);
            if choice.written == 0 {
                self.fair.charge(shared.tenant, u64::from(prompt_rows));
            }
            if choice.rows_left() > 0 {
                continue;
            }
            let last = row + (owner.rows - owner.guesses) as usize - 1;
            let mut forks = std::mem::take(&mut choice.forks);
            let held = choice.held;
            for fork in &mut forks {
                fork.tokens = choice.tokens.clone();
                fork.keys.clone_from(&choice.keys);
                (fork.held, fork.published) = (held, held / BLOCK);
                kernel.share(choice.seq, fork.seq, held);
                self.cells.share(choice.seq, fork.seq, held);
            }
            for guess in 0..=owner.guesses as usize {
                let logits = kernel.logits(last + guess);
                let expected = self.rows.get(last + guess + 1).filter(|_| guess < owner.guesses as usize);
                let drawn = match write(choice, logits, shared, vocab, self.caps, &mut self.counters, out) {
                    Ok(Some(drawn)) => drawn,
                    Ok(None) => {
                        self.fair.charge(shared.tenant, WRITTEN);
                        break;
                    }
                    Err(why) => {
                        shared.failed = Some(why);
                        break;
                    }
                };
                self.fair.charge(shared.tenant, WRITTEN);
                choice.draft.drawn(drawn);
                let right = expected.is_some_and(|row| row.token == drawn) && choice.rows_left() == 1;
                if !right {
                    break;
                }
                choice.held += 1;
                self.counters.guessed_right += 1;
            }
            if owner.guesses > 0 {
                self.counters.guessed += u64::from(owner.guesses);
                self.cells.truncate(choice.seq, choice.held);
                // Only kernels that can forget a part are given guesses.
                kernel.truncate(choice.seq, choice.held);
            }
            for fork in &mut forks {
                let logits = kernel.logits(last);
                match write(fork, logits, shared, vocab, self.caps, &mut self.counters, out) {
                    Ok(_) => self.fair.charge(shared.tenant, WRITTEN),
                    Err(why) => shared.failed = Some(why),
                }
            }
            forked.extend(forks.into_iter().map(|fork| (owner.at, fork)));
        }
        for owner in owners {
            self.publish(owner.at);
        }
        // Beside their leader, so that a job's choices are of one age.
        for (at, fork) in forked.into_iter().rev() {
            self.running.insert(at + 1, fork);
        }
        self.sweep();
    }

    /// Offers a choice's full blocks to others.
    pub(crate) fn publish(&mut self, at: usize) {
        if !self.caps.parts {
            return;
        }
        let choice = &mut self.running[at];
        let mut offered = Vec::new();
        while (choice.published + 1) * BLOCK <= choice.held {
            let index = choice.published;
            let tokens = &choice.tokens[(index * BLOCK) as usize..][..BLOCK as usize];
            if choice.keys.len() == index as usize {
                let parent = choice.keys.last().copied().unwrap_or(choice.root);
                choice.keys.push(child(parent, tokens));
            }
            let key = choice.keys[index as usize];
            if self.prefix.resident(key).is_none() && self.cells.publish(choice.seq, index, key) {
                self.prefix.add_resident(key, index);
                offered.push((key, index));
            }
            choice.published += 1;
        }
        let (seq, published, wrote) = (choice.seq, choice.published, choice.written > 0);
        // Once for a job, when its prompt is computed; half of the cells stay for everything else.
        if let Some(shared) = self.jobs.get_mut(&choice.job).filter(|s| s.pin > 0 && wrote) {
            let blocks = std::mem::take(&mut shared.pin) / BLOCK;
            self.cells.pin(seq, blocks.min(published), self.caps.cells / 2);
        }
        for (key, index) in offered {
            self.hand_over(key, index);
        }
    }

    /// Removes the choices that are over, and the jobs that have none left.
    fn close(&mut self, kernel: &mut impl Kernel, out: &mut Vec<Output>) {
        let mut at = 0;
        while at < self.running.len() {
            if self.running[at].rows_left() == 0 {
                let choice = self.running.remove(at);
                if let Some(shared) = self.jobs.get_mut(&choice.job) {
                    shared.open -= 1;
                }
                self.release(choice, kernel);
            } else {
                at += 1;
            }
        }
        let over = |s: &Shared| s.open == 0 || s.failed.is_some();
        if self.jobs.values().any(over) {
            let ids: Vec<JobId> = self.jobs.iter().filter(|(_, s)| over(s)).map(|(id, _)| *id).collect();
            for job in &ids {
                let failed = self.jobs[job].failed.clone().map(Failure::Broken);
                out.push(Output::Done { job: *job, failed });
            }
            self.forget(&ids, kernel);
        }
    }

    /// Fails the jobs of a step. What a failed job holds is not trusted, and not kept.
    fn fail(&mut self, owners: &[Owner], why: &str) {
        for owner in owners {
            if let Some(shared) = self.jobs.get_mut(&self.running[owner.at].job) {
                shared.failed = Some(why.to_owned());
            }
        }
    }

    /// Forgets the names of blocks that lost their cells.
    pub(crate) fn sweep(&mut self) {
        for key in self.cells.take_orphans() {
            self.prefix.drop_resident(key);
        }
    }
}
