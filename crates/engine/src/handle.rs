//! The calls that the gateway makes.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use chat::{Event, Request, Tier};
use scheduler::{
    BlockStore, Class, Job, JobId, Kernel, Limits, Masked, Scheduler, Standing, StepTime, Tenant,
};
use tokio::sync::{mpsc, oneshot};
use units::Micros;

use crate::banned::Bans;
use crate::caller::Caller;
use crate::disk::Disk;
use crate::llama::{ContextOptions, Embedder, LlamaKernel, Model};
use crate::pairing::Pairing;
use crate::parse::Splitter;
use crate::prompt::{Prompt, Prompter, SamplingDefaults, sampling};
use crate::template::Template;
use crate::threads::Threads;
use crate::worker::{Board, Command, Delivery, Link, READ_AHEAD, Submission, Worker, clock, wake};
use crate::{Error, load};

/// How to run a model.
#[derive(Clone)]
pub struct Options {
    /// KV cells shared by all sequences, in tokens. `None`: enough for the model's
    /// context, at most 8,192.
    pub n_ctx: Option<u32>,
    /// Most sequences (choices) computed together; 1 to 256.
    pub n_seq_max: u32,
    /// Compute threads, at least 1.
    pub threads: u32,
    /// Refuse a model whose estimate is above this.
    pub memory_max_bytes: Option<u64>,
    /// Most requests that wait; one more is refused with EN0002.
    pub queue_max: usize,
    /// While answers are written, prompts are computed in parts that keep the
    /// time between two tokens near this, in microseconds.
    pub token_gap_us: u64,
    /// Bytes of keys and values kept in memory beside the cells.
    pub kv_memory_bytes: usize,
    /// Where keys and values survive a restart.
    pub kv_disk: Option<KvDisks>,
    /// Flash attention: better where contexts have nothing in common, worse
    /// where many share a long prefix. `None`: llama.cpp's choice.
    pub flash: Option<bool>,
}

/// Gives the block store of a fingerprint: of everything that keys and values
/// depend on beside the tokens. `None`: nothing is kept on disk.
pub type KvDisks = Arc<dyn Fn(&str) -> Option<Arc<dyn BlockStore>> + Send + Sync>;

/// Whether the engine's thread is getting anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Ready,
    /// A step has not ended, or nothing was computed though something waits, for this long.
    Stalled {
        for_us: u64,
    },
    /// The thread has ended.
    Dead,
}

/// A step may take this long before somebody is told, in microseconds.
const STALL_US: u64 = 30_000_000;

impl Default for Options {
    fn default() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Options {
            n_ctx: None,
            n_seq_max: 32,
            threads,
            memory_max_bytes: None,
            queue_max: 256,
            token_gap_us: Limits::default().token_gap_us,
            kv_memory_bytes: Limits::default().memory_bytes,
            kv_disk: None,
            flash: None,
        }
    }
}

/// What is known about a loaded model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    pub name: String,
    pub arch: String,
    pub n_params: u64,
    pub size_bytes: u64,
    /// Longest sequence, prompt and answer, in tokens.
    pub n_ctx: u32,
    /// KV cells shared by all sequences.
    pub kv_cells: u32,
    pub n_ctx_train: u32,
    pub n_vocab: u32,
    pub n_embd: u32,
    pub has_template: bool,
    pub can_embed: bool,
    /// Whether it scores documents for a query.
    pub can_rank: bool,
    /// Whether it generates text at all: encoders do not.
    pub can_generate: bool,
    /// SHA-256 over the header, the length and the weights (samples of large ones); hex.
    pub fingerprint: String,
    pub memory: gguf::Estimate,
}

/// Where the engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Stats {
    /// Requests waiting for room.
    pub queued: u64,
    /// Choices being computed.
    pub running: u64,
    /// Cells of requests that are being computed.
    pub kv_used: u64,
    /// Cells of what is kept for later prompts; freed when needed.
    pub kv_kept: u64,
    pub kv_total: u64,
    /// Bytes of keys and values in memory beside the cells.
    pub kv_memory_bytes: u64,
    /// Prompt tokens computed since the start.
    pub prompt_tokens: u64,
    /// Prompt tokens that were not computed again, and of those the ones that
    /// had to be fetched from memory or disk.
    pub reused_tokens: u64,
    pub reused_from_memory: u64,
    pub reused_from_disk: u64,
    pub generated_tokens: u64,
    /// Tokens guessed and computed ahead, and those that were right.
    pub guessed: u64,
    pub guessed_right: u64,
    /// Times that the likeliest token was withheld for what it would have said.
    pub withheld: u64,
    /// What a step costs, as learned from every step.
    pub step_time: StepTime,
    pub steps: u64,
    pub last_step_us: u64,
    pub busy_us: u64,
    /// Sequences that were computed again because the KV cells ran out.
    pub preempted: u64,
}

/// A loaded model. Cheap to clone; the model is freed when the last clone and
/// the last [`Generation`] are gone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub info: ModelInfo,
    pub model: Arc<Model>,
    prompter: Prompter,
    defaults: SamplingDefaults,
    n_seq_max: u32,
    pub queue_max: usize,
    /// Longest text for a vector or a score, in tokens.
    pub embed_max: u32,
    /// How query and document become one text, for a model that ranks.
    pub pairing: Option<Pairing>,
    pub commands: Sender<Command>,
    pub board: Arc<Board>,
    bans: Bans,
    next_job: AtomicU64,
    /// Makes the seeds of requests that give none, and the ids of calls.
    entropy: RandomState,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One request's answer as it is computed. Dropping it cancels the request,
/// in milliseconds even inside a long prompt.
pub struct Generation {
    events: mpsc::Receiver<Event>,
    link: Arc<Link>,
    commands: Sender<Command>,
    prompt_tokens: u32,
}

impl Engine {
    /// Checks the file's header, estimates its memory, loads it and starts its
    /// thread. Blocks for as long as reading the file takes.
    pub fn open(path: &Path, options: Options) -> Result<Engine, Error> {
        let header = load::read_header(path)?;
        let options = Options {
            n_seq_max: options.n_seq_max.clamp(1, 256),
            threads: options.threads.clamp(1, 1024),
            ..options
        };
        let plan = load::plan(&header, &options)?;
        let fingerprint = load::fingerprint(path, &header)?;
        let model = Arc::new(Model::load(path)?);
        let can_generate = model.has_decoder() && !model.has_encoder() && header.causal();
        let context = ContextOptions {
            cells: plan.cells,
            // Beside those that run, the ones that are kept for later prompts.
            seq_max: if model.is_recurrent() { options.n_seq_max } else { load::SEQUENCES },
            outputs_max: options.n_seq_max + load::GUESSES,
            flash: options.flash,
            seq_len_max: plan.seq_len_max,
            step_rows: load::STEP_ROWS.min(plan.cells),
            threads: options.threads,
        };
        let (can_embed, can_rank) = load::encodes(&header);
        let embed_max = header.context_length().min(2048) as u32;
        let pairing = can_rank.then(|| Pairing::of(&header, &model)).transpose()?;
        let embedder = match can_embed || can_rank {
            true => Some(Embedder::new(Arc::clone(&model), embed_max, options.threads, can_rank)?),
            false => None,
        };
        let kernel = LlamaKernel::new(Arc::clone(&model), context)?;
        let caps = kernel.caps();
        let (bos, eos) = model.bos_eos();
        let bos =
            if model.wants_bos().is_some() || header.template().is_some() { bos } else { String::new() };
        let template = Template::new(header.template(), bos, eos)?;
        let prompter = Prompter::new(template, model.control_texts());
        let info = ModelInfo {
            name: name_of(path, &header),
            arch: header.arch().to_owned(),
            n_params: model.n_params(),
            size_bytes: header.file_len,
            n_ctx: caps.seq_len_max,
            kv_cells: caps.cells,
            n_ctx_train: header.context_length() as u32,
            n_vocab: model.n_vocab(),
            n_embd: model.n_embd(),
            has_template: header.template().is_some(),
            can_embed,
            can_rank,
            can_generate,
            fingerprint,
            memory: plan.memory,
        };
        let board = Arc::new(Board::default());
        let (commands, receiver) = std::sync::mpsc::channel();
        let print = load::kv_fingerprint(&info.fingerprint, &options);
        let disk = options.kv_disk.as_ref().filter(|_| caps.parts).and_then(|disks| disks(&print));
        let limits = Limits {
            running: options.n_seq_max,
            token_gap_us: options.token_gap_us,
            memory_bytes: options.kv_memory_bytes,
            disk: disk.is_some(),
            crowd: load::crowd(&header),
            ..Limits::default()
        };
        let mut scheduler = Scheduler::new(caps, limits);
        disk.iter().flat_map(|disk| disk.keys()).for_each(|(key, _)| scheduler.stored(key));
        let vocab = Arc::new(model.pieces());
        let worker = Worker {
            scheduler,
            disk: disk.map(|disk| Disk::open(&disk, &commands)).transpose()?,
            kernel,
            vocab: Arc::clone(&vocab),
            commands: receiver,
            board: Arc::clone(&board),
            embedder,
            deliveries: Default::default(),
            embeds: VecDeque::new(),
            threads: Threads::new(options.threads),
        };
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || worker.run())
            .map_err(|e| Error::Failed(format!("no thread could be started: {e}")))?;
        let inner = Inner {
            info,
            model,
            prompter,
            defaults: SamplingDefaults::of(&header),
            n_seq_max: options.n_seq_max,
            queue_max: options.queue_max,
            embed_max,
            pairing,
            commands,
            board,
            bans: Bans::new(vocab),
            next_job: AtomicU64::new(0),
            entropy: RandomState::new(),
            thread: Mutex::new(Some(thread)),
        };
        Ok(Engine { inner: Arc::new(inner) })
    }

    pub fn info(&self) -> &ModelInfo {
        &self.inner.info
    }

    /// Tokens of a chat's prompt. Exact: renders the template and tokenizes, about
    /// a millisecond for each 10 KB.
    pub fn count_tokens(&self, request: &Request) -> Result<u32, Error> {
        Ok(self.inner.prompter.chat(&self.inner.model, request, clock())?.tokens.len() as u32)
    }

    /// Validates and queues a chat of nobody in particular; see [`Engine::submit_as`].
    pub fn submit(&self, request: &Request) -> Result<Generation, Error> {
        self.submit_as(request, &Caller::default())
    }

    /// Validates and queues a chat. Returns at once; costs what [`Engine::count_tokens`] does.
    pub fn submit_as(&self, request: &Request, caller: &Caller) -> Result<Generation, Error> {
        self.ready()?;
        let mut prompt = self.inner.prompter.chat(&self.inner.model, request, clock())?;
        if caller.pinned_messages > 0 {
            let count = caller.pinned_messages as usize;
            prompt.pin = self.inner.prompter.lead(&self.inner.model, request, count, &prompt.tokens, clock());
        }
        self.start(request, prompt, None, caller)
    }

    /// A completion of nobody in particular; see [`Engine::complete_as`].
    pub fn complete(&self, request: &Request) -> Result<Generation, Error> {
        self.complete_as(request, &Caller::default())
    }

    /// The same without the chat template: the texts of the messages, joined, are
    /// the prompt, and control tokens in it are themselves (legacy completions).
    pub fn complete_as(&self, request: &Request, caller: &Caller) -> Result<Generation, Error> {
        self.ready()?;
        let mut prompt = self.inner.prompter.completion(&self.inner.model, request)?;
        let echo = request.echo.then(|| std::mem::take(&mut prompt.text));
        self.start(request, prompt, echo, caller)
    }

    /// Loads a LoRA adapter, whose file must have been checked, between two
    /// steps; its number for [`Caller::adapter`]. It stays as long as the model.
    pub async fn add_adapter(&self, path: &Path, scale: f32) -> Result<u32, Error> {
        let (reply, answer) = oneshot::channel();
        let dead = || Error::Failed("the engine's thread ended".into());
        let command = Command::Adapter { path: path.to_owned(), scale, reply };
        self.inner.commands.send(command).map_err(|_| dead())?;
        answer.await.map_err(|_| dead())?
    }

    /// Looked at from outside the engine's thread: it need not answer.
    pub fn health(&self) -> Health {
        let board = &self.inner.board;
        if board.dead.load(Ordering::Acquire) {
            return Health::Dead;
        }
        let now = clock();
        let since = board.step_since.load(Ordering::Acquire);
        let waits = board.waiting.load(Ordering::Relaxed) > 0;
        let idle = board.progress.load(Ordering::Acquire);
        let for_us = match since {
            0 if waits && idle > 0 => now.since(Micros(idle)),
            0 => 0,
            since => now.since(Micros(since)),
        };
        if for_us > STALL_US { Health::Stalled { for_us } } else { Health::Ready }
    }

    /// Tenants that have requests, or had lately, and what they have had.
    pub fn tenants(&self) -> Vec<(Tenant, Standing)> {
        self.inner.board.tenants.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub fn stats(&self) -> Stats {
        let stats = *self.inner.board.stats.lock().unwrap_or_else(|e| e.into_inner());
        Stats { queued: self.inner.board.waiting.load(Ordering::Relaxed), ..stats }
    }

    fn ready(&self) -> Result<(), Error> {
        if !self.inner.info.can_generate {
            return Err(Error::Unsupported("this model gives vectors, not text".into()));
        }
        let (queued, max) = (self.inner.board.waiting.load(Ordering::Relaxed) as usize, self.inner.queue_max);
        if queued >= max {
            return Err(Error::QueueFull { queued, max });
        }
        Ok(())
    }

    fn start(
        &self,
        request: &Request,
        prompt: Prompt,
        echo: Option<String>,
        caller: &Caller,
    ) -> Result<Generation, Error> {
        let inner = &*self.inner;
        let (len, context) = (prompt.tokens.len() as u32, inner.info.n_ctx);
        if len >= context {
            return Err(Error::TooLong { prompt: len, context });
        }
        let n = request.n.max(1);
        if n > inner.n_seq_max {
            return Err(Error::Unsupported(format!("{n} choices; at most {} are computed", inner.n_seq_max)));
        }
        let id = inner.next_job.fetch_add(1, Ordering::Relaxed);
        let entropy = inner.entropy.hash_one(id);
        let sampling = sampling(request, inner.defaults, inner.info.n_vocab, entropy)?;
        let constraint = match &caller.banned {
            None => prompt.constraint,
            Some(texts) => {
                // What is echoed stands right before the answer.
                let before = echo.as_deref().unwrap_or_default().as_bytes();
                Some(Masked::boxed(inner.bans.set(texts), prompt.constraint, before))
            }
        };
        let link = Arc::new(Link::default());
        let options = prompt.split.options(format!("call_{entropy:016x}"));
        let (sender, events) = mpsc::channel(READ_AHEAD);
        let delivery = Delivery {
            sender,
            link: Arc::clone(&link),
            model: inner.info.name.clone(),
            splitters: (0..n).map(|choice| Splitter::new(choice, options.clone())).collect(),
            echo,
            prompt_tokens: len,
            reused_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            started: false,
            ended: false,
            pending: VecDeque::new(),
        };
        let job = Job {
            n,
            max_tokens: request.max_tokens.unwrap_or(u32::MAX).clamp(1, context),
            sampling,
            stops: request.stop.clone(),
            cancel: link.cancel.clone(),
            class: class(&request.tier),
            pin: prompt.pin,
            constraint,
            ..caller.own(Job::new(JobId(id), prompt.tokens))
        };
        inner.board.waiting.fetch_add(1, Ordering::Relaxed);
        let commands = inner.commands.clone();
        if commands.send(Command::Submit(Box::new(Submission { job, delivery }))).is_err() {
            inner.board.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Failed("the engine's thread ended".into()));
        }
        Ok(Generation { events, link, commands, prompt_tokens: len })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // C++ destructors run at exit, so the thread must not be computing then.
        let _ = self.commands.send(Command::Close);
        let thread = self.thread.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Generation {
    /// The next event; `None` after the last. An answer without a `Finish` for
    /// each choice was cut short.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if event.is_some() && self.link.starved.swap(false, Ordering::SeqCst) {
            wake(&self.commands);
        }
        event
    }
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }
    /// Engine time of this request so far, in microseconds: its share of each step by tokens.
    pub fn busy_us(&self) -> u64 {
        self.link.busy_us.load(Ordering::Relaxed)
    }
    /// How often the likeliest token was kept from the choices that are over, for
    /// what it would have said.
    pub fn withheld(&self) -> u64 {
        self.link.withheld.load(Ordering::Relaxed)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.link.cancel.cancel();
        wake(&self.commands);
    }
}

fn name_of(path: &Path, header: &gguf::Header) -> String {
    let stem = || path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    header.text("general.name").filter(|n| !n.is_empty()).map_or_else(stem, str::to_owned)
}

/// The service tier that was asked for, as a class.
fn class(tier: &Tier) -> Class {
    match tier {
        Tier::Flex | Tier::Batch => Class::Low,
        Tier::Priority => Class::High,
        Tier::Standard | Tier::Auto | Tier::Other(_) => Class::Normal,
    }
}
