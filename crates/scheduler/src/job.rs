//! What is asked of the scheduler, and what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use units::Micros;

use crate::{Constraint, Sampling, Tenant, Token};

/// Names a job; unique while the scheduler lives, chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Set by whoever no longer wants the answer; seen inside a step.
#[derive(Clone, Debug, Default)]
pub struct CancelWord(Arc<AtomicBool>);

impl CancelWord {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What goes first. Within a class, tenants take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Batches and whatever can wait.
    Low,
    #[default]
    Normal,
    High,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    /// At least one token, and fewer than `Caps::seq_len_max`.
    pub prompt: Vec<Token>,
    /// Choices to write: 1 to `Caps::seq_max`.
    pub n: u32,
    /// Most tokens of each choice; at least 1.
    pub max_tokens: u32,
    pub sampling: Sampling,
    pub stops: Vec<String>,
    /// What the answer must look like.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Write on past the end of the turn, up to `max_tokens`: for measuring.
    pub ignore_end: bool,
    pub cancel: CancelWord,
    pub tenant: Tenant,
    /// The tenant's share beside others'; at least 1.
    pub weight: u32,
    pub class: Class,
    /// Prompts share what was computed only within a scope: a salt of tenant and label (TRAPS X9).
    pub scope: u128,
    /// Which adapters to compute with; 0 for none. See [`crate::Kernel::adapt`].
    pub adapter: u32,
    /// After this the job is ended as failed.
    pub deadline: Option<Micros>,
    /// So many tokens at the beginning of its prompt stay in cells, in whole blocks:
    /// an operator's system prompt. All that is pinned is at most half of the cells;
    /// what was used longest ago is let go for what is pinned now.
    pub pin: u32,
}

impl Job {
    /// One choice of at most 16 tokens, greedy, of no tenant in particular.
    pub fn new(id: JobId, prompt: Vec<Token>) -> Job {
        Job {
            id,
            prompt,
            n: 1,
            max_tokens: 16,
            sampling: Sampling::GREEDY,
            stops: Vec::new(),
            constraint: None,
            ignore_end: false,
            cancel: CancelWord::default(),
            tenant: Tenant::default(),
            weight: 1,
            class: Class::default(),
            scope: 0,
            adapter: 0,
            deadline: None,
            pin: 0,
        }
    }
}

/// What happened to a job in a step, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// It has begun. `reused` tokens of its prompt had been computed before.
    Start { job: JobId, reused: u32 },
    /// One token of a choice. Its text may be held back, or belong to earlier tokens.
    Token { job: JobId, choice: u32, text: String, logprobs: Vec<chat::TokenLogprob> },
    /// A choice is over. `withheld` times its likeliest token was kept from it for
    /// what it would have said.
    Finish { job: JobId, choice: u32, reason: chat::Finish, stop: Option<String>, tokens: u32, withheld: u32 },
    /// All choices are over, or the job was cancelled or failed; nothing follows.
    Done { job: JobId, failed: Option<Failure> },
}

/// Why a job ended before its answer was complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the deadline passed before the answer was complete")]
    Late,
    /// For the operator: what the kernel or a constraint said, or what does not fit.
    #[error("{0}")]
    Broken(String),
}
