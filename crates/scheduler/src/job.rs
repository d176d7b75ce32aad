//! What is asked of the scheduler, and what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Sampling, Token};

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
    /// Write on past the end of the turn, up to `max_tokens`: for measuring.
    pub ignore_end: bool,
    pub cancel: CancelWord,
}

/// What happened to a job in a step, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// One token of a choice. Its text may be held back, or belong to earlier tokens.
    Token { job: JobId, choice: u32, text: String, logprobs: Vec<chat::TokenLogprob> },
    /// A choice is over.
    Finish { job: JobId, choice: u32, reason: chat::Finish, stop: Option<String>, tokens: u32 },
    /// All choices are over, or the job was cancelled or failed; nothing follows.
    Done { job: JobId, failed: Option<String> },
}
