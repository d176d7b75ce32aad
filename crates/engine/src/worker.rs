//! The engine's own thread: the only place where the model computes.
//!
//! It takes commands, steps the scheduler, and hands events to the readers. It
//! never waits for a reader: what does not fit a reader's channel is kept, that
//! job is paused, and the reader wakes the thread when it has made room. With
//! nothing to compute the thread sleeps in its command queue.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use chat::{Axis, Event, Finish, Usage};
use scheduler::{
    BlockKey, CancelWord, Failure, Job, JobId, Kernel, Outcome, Output, Scheduler, Standing, Tenant, Token,
    Vocab,
};
use tokio::sync::{mpsc, oneshot};
use units::Micros;

use crate::disk::Disk;
use crate::llama::{Embedder, LlamaKernel};
use crate::parse::Splitter;
use crate::threads::{self, Threads};
use crate::{Error, Stats};

/// Events a reader may be behind: 64 tokens are about a second of one stream.
pub(crate) const READ_AHEAD: usize = 64;

pub(crate) enum Command {
    Submit(Box<Submission>),
    Embed(EmbedJob),
    /// What the disk had of a block.
    Loaded(BlockKey, Option<Vec<u8>>),
    /// Blocks that the disk does not have any more.
    Dropped(Vec<BlockKey>),
    /// Load an adapter's checked file; its number.
    Adapter {
        path: PathBuf,
        scale: f32,
        reply: oneshot::Sender<Result<u32, Error>>,
    },
    /// A reader made room, left, or the engine closes.
    Wake,
    Close,
}

/// A request on its way to the scheduler.
pub(crate) struct Submission {
    pub job: Job,
    pub delivery: Delivery,
}

/// A vector of length 1 for each text, and the tokens of the text.
pub type Vectors = Vec<(Vec<f32>, u32)>;
/// A score for each document, and the tokens of it and the query.
pub type Scores = Vec<(f32, u32)>;

pub(crate) struct EmbedJob {
    pub texts: VecDeque<Vec<Token>>,
    pub done: Vectors,
    pub reply: oneshot::Sender<Result<Vectors, Error>>,
    pub _place: EmbedPlace,
}

/// A place in the queue for vectors, given back when the request is over.
#[derive(Debug)]
pub(crate) struct EmbedPlace(Arc<Board>);

impl EmbedPlace {
    pub(crate) fn take(board: &Arc<Board>) -> EmbedPlace {
        board.embedding.fetch_add(1, Ordering::Relaxed);
        EmbedPlace(Arc::clone(board))
    }
}

impl Drop for EmbedPlace {
    fn drop(&mut self) {
        self.0.embedding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a reader and the thread both see of a request.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub cancel: CancelWord,
    /// The thread keeps events for which there was no room.
    pub starved: AtomicBool,
    pub busy_us: AtomicU64,
    /// See [`crate::Generation::withheld`].
    pub withheld: AtomicU64,
}

/// One request's way back to its reader.
pub(crate) struct Delivery {
    pub sender: mpsc::Sender<Event>,
    pub link: Arc<Link>,
    pub model: String,
    pub splitters: Vec<Splitter>,
    /// Legacy completions: the text each choice begins with.
    pub echo: Option<String>,
    pub prompt_tokens: u32,
    /// Prompt tokens that had been computed before.
    pub reused_tokens: u32,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    pub started: bool,
    pub ended: bool,
    /// Events that wait for room; at most those of one step.
    pub pending: VecDeque<Event>,
}

/// What the handles and the thread both see of the engine.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub stats: Mutex<Stats>,
    pub tenants: Mutex<Vec<(Tenant, Standing)>>,
    /// When the running step began, in microseconds since 1970; 0 between steps.
    pub step_since: AtomicI64,
    /// When a token was last computed while something waited.
    pub progress: AtomicI64,
    /// The thread has ended, by itself or by a panic.
    pub dead: AtomicBool,
    /// Requests submitted and not started.
    pub waiting: AtomicU64,
    /// Requests for vectors that are not answered.
    pub embedding: AtomicU64,
}

pub(crate) struct Worker {
    pub kernel: LlamaKernel,
    pub scheduler: Scheduler,
    pub vocab: Arc<Vocab>,
    pub commands: Receiver<Command>,
    pub board: Arc<Board>,
    pub embedder: Option<Embedder>,
    pub deliveries: BTreeMap<JobId, Delivery>,
    pub embeds: VecDeque<EmbedJob>,
    pub disk: Option<Disk>,
    pub threads: Threads,
}

/// Tells the board when the thread is no more, however it ends.
struct Obituary(Arc<Board>);

impl Drop for Obituary {
    fn drop(&mut self) {
        self.0.dead.store(true, Ordering::Release);
    }
}

impl Worker {
    /// Runs until the engine is closed.
    pub(crate) fn run(mut self) {
        let _obituary = Obituary(Arc::clone(&self.board));
        let mut idle = false;
        let mut outputs = Vec::new();
        loop {
            if !self.take_commands(idle) {
                self.leave();
                return;
            }
            self.deliver();
            let (start, clock) = (now(), clock());
            self.board.step_since.store(clock.0, Ordering::Release);
            let step = self.scheduler.step(clock, &mut self.kernel, &self.vocab, &mut outputs);
            self.board.step_since.store(0, Ordering::Release);
            let us = start.elapsed().as_micros() as u64;
            self.scheduler.learn(&step, us);
            // As many as there are cores to be had.
            self.kernel.set_threads(self.threads.after(us, threads::waited_us));
            for output in outputs.drain(..) {
                self.hand_out(output);
            }
            self.attribute(&step.rows, us);
            // Before the events: who has read the last one finds the cells free.
            self.publish(&step.outcome, us);
            self.deliver();
            let fetching = self.move_blocks();
            self.embed_some();
            idle = step.outcome == Outcome::Idle && self.embeds.is_empty() && !fetching;
        }
    }

    /// Passes blocks to the disk and asks it for others. True: a wanted block
    /// will not come, so the scheduler has something to do.
    fn move_blocks(&mut self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let mut news = false;
        for (key, contents) in self.scheduler.take_saves() {
            if !disk.write(key, contents) {
                self.scheduler.dropped(&[key]);
            }
        }
        for key in self.scheduler.take_wants() {
            if !disk.read(key) {
                self.scheduler.loaded(key, None);
                news = true;
            }
        }
        news
    }

    /// Hands over what is worth keeping, before the cells go.
    fn leave(&mut self) {
        let Some(disk) = self.disk.take() else { return };
        while self.scheduler.save_rest(&mut self.kernel) {
            for (key, contents) in self.scheduler.take_saves() {
                disk.write_last(key, contents);
            }
        }
    }

    /// Takes what is queued; waits for something when `idle`. False: close.
    fn take_commands(&mut self, idle: bool) -> bool {
        let mut wait = idle;
        loop {
            let command = if wait { self.commands.recv().ok() } else { self.commands.try_recv().ok() };
            match command {
                // Nothing more; or, after waiting, no handle is left.
                None => return !wait,
                Some(Command::Close) => return false,
                Some(Command::Wake) => {}
                Some(Command::Embed(job)) => self.embeds.push_back(job),
                Some(Command::Loaded(key, contents)) => self.scheduler.loaded(key, contents),
                Some(Command::Dropped(keys)) => self.scheduler.dropped(&keys),
                Some(Command::Adapter { path, scale, reply }) => {
                    let _ = reply.send(self.kernel.add_adapter(&path, scale));
                }
                Some(Command::Submit(submission)) => {
                    let Submission { job, delivery } = *submission;
                    self.deliveries.insert(job.id, delivery);
                    self.scheduler.add(job, clock());
                }
            }
            wait = false;
        }
    }

    /// Sends what waits, pauses who does not read, forgets who is done or gone.
    fn deliver(&mut self) {
        let scheduler = &mut self.scheduler;
        self.deliveries.retain(|job, d| {
            let open = d.flush();
            if !open {
                d.link.cancel.cancel();
            }
            if !d.ended {
                scheduler.set_paused(*job, !d.pending.is_empty());
            }
            // A cancelled job stays until the scheduler has said that it is done.
            !(d.ended && (d.pending.is_empty() || !open))
        });
    }

    fn hand_out(&mut self, output: Output) {
        let job = match &output {
            Output::Start { job, .. }
            | Output::Token { job, .. }
            | Output::Finish { job, .. }
            | Output::Done { job, .. } => *job,
        };
        let Some(d) = self.deliveries.get_mut(&job) else { return };
        if !d.started {
            d.started = true;
            self.board.waiting.fetch_sub(1, Ordering::Relaxed);
            if !matches!(output, Output::Done { .. }) {
                d.start();
            }
        }
        d.take(output);
    }

    /// Divides a step's time among its jobs by their rows.
    fn attribute(&self, rows: &[(JobId, u32)], us: u64) {
        let total: u64 = rows.iter().map(|(_, n)| u64::from(*n)).sum();
        for (job, n) in rows {
            if let Some(d) = self.deliveries.get(job) {
                d.link.busy_us.fetch_add(us * u64::from(*n) / total.max(1), Ordering::Relaxed);
            }
        }
    }

    fn publish(&self, outcome: &Outcome, us: u64) {
        let counters = self.scheduler.counters();
        let mut stats = self.board.stats.lock().unwrap_or_else(|e| e.into_inner());
        *stats = Stats {
            queued: counters.queued,
            running: counters.running,
            kv_used: counters.cells_used,
            kv_kept: counters.cells_kept,
            kv_total: u64::from(self.kernel.caps().cells),
            kv_memory_bytes: counters.memory_bytes,
            prompt_tokens: counters.prompt_rows,
            reused_tokens: counters.reused,
            reused_from_memory: counters.reused_memory,
            reused_from_disk: counters.reused_disk,
            generated_tokens: counters.generated,
            preempted: counters.preempted,
            guessed: counters.guessed,
            guessed_right: counters.guessed_right,
            withheld: counters.withheld,
            step_time: self.scheduler.step_time(),
            ..*stats
        };
        if *outcome != Outcome::Idle {
            stats.steps += 1;
            stats.last_step_us = us;
            stats.busy_us += us;
        }
        let mut tenants = self.board.tenants.lock().unwrap_or_else(|e| e.into_inner());
        tenants.clear();
        tenants.extend(self.scheduler.standings());
        // Nothing to do, or something done: either way the engine is well.
        if *outcome != Outcome::Idle || self.scheduler.is_empty() {
            self.board.progress.store(clock().0, Ordering::Release);
        }
    }

    /// One batch of vectors between two steps, so that chats go on.
    fn embed_some(&mut self) {
        let Some(mut job) = self.embeds.pop_front() else { return };
        let Some(embedder) = self.embedder.as_mut().filter(|_| !job.reply.is_closed()) else {
            let _ = job.reply.send(Err(Error::Unsupported("this model gives no vectors".into())));
            return;
        };
        let texts = job.texts.make_contiguous();
        let count = embedder.fits(texts).min(texts.len());
        if count > 0 {
            match embedder.embed(&texts[..count]) {
                Ok(vectors) => {
                    let lengths = job.texts.drain(..count).map(|t| t.len() as u32);
                    job.done.extend(vectors.into_iter().zip(lengths));
                }
                Err(e) => {
                    let _ = job.reply.send(Err(e));
                    return;
                }
            }
        }
        if job.texts.is_empty() {
            let _ = job.reply.send(Ok(job.done));
        } else {
            self.embeds.push_back(job);
        }
    }
}

impl Delivery {
    fn start(&mut self) {
        self.pending.push_back(Event::Start { id: String::new(), model: self.model.clone(), created: 0 });
        if let Some(text) = self.echo.take().filter(|t| !t.is_empty()) {
            for choice in 0..self.splitters.len() as u32 {
                self.pending.push_back(Event::Text { choice, text: text.clone() });
            }
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Start { reused, .. } => self.reused_tokens = reused,
            Output::Token { choice, text, logprobs, .. } => {
                let Some(splitter) = self.splitters.get_mut(choice as usize) else { return };
                self.output_tokens += 1;
                self.reasoning_tokens += u64::from(splitter.is_thinking());
                if !text.is_empty() {
                    splitter.push(&text, &mut self.pending);
                }
                if !logprobs.is_empty() {
                    self.pending.push_back(Event::Logprobs { choice, tokens: logprobs });
                }
            }
            Output::Finish { choice, reason, stop, withheld, .. } => {
                self.link.withheld.fetch_add(u64::from(withheld), Ordering::Relaxed);
                let Some(splitter) = self.splitters.get_mut(choice as usize) else { return };
                splitter.finish(&mut self.pending);
                let calls = reason == Finish::Stop && splitter.called();
                let reason = if calls { Finish::ToolCalls } else { reason };
                self.pending.push_back(Event::Finish { choice, reason, stop });
            }
            Output::Done { failed: None, .. } => {
                let usage = Usage::default()
                    .with(Axis::Input, u64::from(self.prompt_tokens - self.reused_tokens))
                    .with(Axis::CacheRead, u64::from(self.reused_tokens))
                    .with(Axis::Output, self.output_tokens - self.reasoning_tokens)
                    .with(Axis::Reasoning, self.reasoning_tokens);
                self.pending.push_back(Event::Usage(usage));
                self.ended = true;
            }
            Output::Done { failed: Some(failure), .. } => {
                let error = match failure {
                    Failure::Late => Error::Late,
                    Failure::Broken(why) => Error::Failed(why),
                };
                let (kind, message) = (error.report().code.0.to_owned(), error.to_string());
                self.pending.push_back(Event::Failed { kind, message, retriable: true });
                self.ended = true;
            }
        }
    }

    /// Sends what there is room for. False when the reader is gone.
    fn flush(&mut self) -> bool {
        while let Some(event) = self.pending.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    // The reader looks at the flag after it has taken an event. It
                    // may have taken one before the flag was set, so look again.
                    if self.link.starved.swap(true, Ordering::SeqCst) || self.sender.capacity() == 0 {
                        return !self.sender.is_closed();
                    }
                }
            }
        }
        !self.sender.is_closed()
    }
}

/// Tells the thread that something changed.
pub(crate) fn wake(commands: &Sender<Command>) {
    let _ = commands.send(Command::Wake);
}

#[expect(clippy::disallowed_methods, reason = "the engine is an edge: it measures its own steps")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the engine is an edge: it tells the scheduler the time")]
pub(crate) fn clock() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Micros(since.map_or(0, |d| d.as_micros() as i64))
}
