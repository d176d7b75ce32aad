//! One choice of a job: its tokens, and what becomes of the next.

use chat::Finish;

use crate::job::{JobId, Output};
use crate::kernel::{Caps, SeqId, Token};
use crate::scheduler::Counters;
use crate::{CancelWord, Sampler, TextStream, Vocab};

/// What the choices of a job have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cancel: CancelWord,
    pub(crate) stops: Vec<String>,
    pub(crate) ignore_end: bool,
    pub(crate) max_tokens: u32,
    /// Choices that are not over.
    pub(crate) open: u32,
    pub(crate) paused: bool,
    /// Cells of the prompt that this many choices hold together.
    pub(crate) trunk: u32,
    pub(crate) holders: u32,
    pub(crate) failed: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) job: JobId,
    pub(crate) index: u32,
    pub(crate) seq: SeqId,
    /// Prompt and answer. The last one is not computed yet.
    pub(crate) tokens: Vec<Token>,
    /// How many of them the kernel holds.
    pub(crate) held: u32,
    /// How many of those belong to the job's trunk.
    pub(crate) shared: u32,
    pub(crate) written: u32,
    pub(crate) sampler: Sampler,
    pub(crate) text: TextStream,
    pub(crate) logprobs: Vec<chat::TokenLogprob>,
    /// Choices that begin where this one's prompt ends.
    pub(crate) forks: Vec<Choice>,
}

impl Choice {
    pub(crate) fn rows_left(&self) -> u32 {
        self.tokens.len() as u32 - self.held
    }
    /// Cells of its own, the next row included.
    pub(crate) fn cells(&self) -> u32 {
        self.tokens.len() as u32 - self.shared
    }
    pub(crate) fn is_writing(&self) -> bool {
        self.written > 0 && self.rows_left() == 1
    }
}

/// Draws a choice's next token. A choice that is over keeps no token to compute.
pub(crate) fn write(
    choice: &mut Choice,
    logits: &[f32],
    shared: &Shared,
    vocab: &Vocab,
    caps: Caps,
    counters: &mut Counters,
    out: &mut Vec<Output>,
) {
    let drawn = choice.sampler.draw(logits);
    choice.written += 1;
    counters.generated += 1;
    let (job, index) = (choice.job, choice.index);
    let ends = !shared.ignore_end && vocab.ends_turn(drawn.token);
    let (mut text, mut stop) = (String::new(), None);
    if !ends {
        if let Some((own, top)) = drawn.logprob {
            choice.logprobs.push(told(vocab, drawn.token, own, top));
        }
        (text, stop) = choice.text.push(vocab.piece(drawn.token));
    }
    let full = choice.tokens.len() as u32 + 1 > caps.seq_len_max.min(caps.cells);
    let reason = if ends || stop.is_some() {
        Some(Finish::Stop)
    } else if choice.written >= shared.max_tokens || full {
        Some(Finish::Length)
    } else {
        None
    };
    if reason.is_some() && stop.is_none() {
        text.push_str(&choice.text.finish());
    }
    // Probabilities are told with their text: those of a stop never are.
    let mut logprobs = Vec::new();
    if choice.text.is_settled() && stop.is_none() {
        logprobs = std::mem::take(&mut choice.logprobs);
    }
    out.push(Output::Token { job, choice: index, text, logprobs });
    match reason {
        Some(reason) => {
            out.push(Output::Finish { job, choice: index, reason, stop, tokens: choice.written });
        }
        None => choice.tokens.push(drawn.token),
    }
}

fn told(vocab: &Vocab, token: Token, logprob: f32, top: Vec<(Token, f32)>) -> chat::TokenLogprob {
    let say = |t: Token| {
        let bytes = vocab.piece(t);
        (String::from_utf8_lossy(bytes).into_owned(), Some(bytes.to_vec()))
    };
    let (text, bytes) = say(token);
    let top = top
        .into_iter()
        .map(|(t, logprob)| {
            let (token, bytes) = say(t);
            chat::TopLogprob { token, bytes, logprob }
        })
        .collect();
    chat::TokenLogprob { token: text, bytes, logprob, top }
}
