//! One choice of a job: its tokens, and what becomes of the next.

use chat::Finish;
use units::Micros;

use crate::draft::Draft;
use crate::job::{Class, JobId, Output};
use crate::kernel::{Caps, SeqId, Token};
use crate::scheduler::Counters;
use crate::tier::BlockKey;
use crate::{CancelWord, Constraint, Sampler, Tenant, TextStream, Vocab};

/// What the choices of a job have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cancel: CancelWord,
    pub(crate) ignore_end: bool,
    pub(crate) max_tokens: u32,
    /// The order in which jobs came, and when.
    pub(crate) arrival: u64,
    pub(crate) since: Micros,
    pub(crate) tenant: Tenant,
    pub(crate) class: Class,
    pub(crate) adapter: u32,
    pub(crate) pin: bool,
    pub(crate) deadline: Option<Micros>,
    /// Choices that are not over.
    pub(crate) open: u32,
    pub(crate) paused: bool,
    pub(crate) started: bool,
    pub(crate) failed: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) job: JobId,
    /// Whose it is, and what is made of it.
    pub(crate) tenant: Tenant,
    pub(crate) index: u32,
    pub(crate) seq: SeqId,
    /// Prompt and answer. The last one is not computed yet.
    pub(crate) tokens: Vec<Token>,
    /// How many of them the kernel holds.
    pub(crate) held: u32,
    pub(crate) written: u32,
    pub(crate) sampler: Sampler,
    pub(crate) constraint: Option<Box<dyn Constraint>>,
    pub(crate) text: TextStream,
    pub(crate) logprobs: Vec<chat::TokenLogprob>,
    /// Choices that begin where this one's prompt ends.
    pub(crate) forks: Vec<Choice>,
    /// Names of its full blocks, from the first.
    pub(crate) root: BlockKey,
    pub(crate) keys: Vec<BlockKey>,
    /// Blocks that were offered to others under these names.
    pub(crate) published: u32,
    /// Preempted: what followed the last full block, and where that ended.
    pub(crate) saved: Option<(u32, Vec<u8>)>,
    pub(crate) draft: Draft,
}

impl Choice {
    pub(crate) fn rows_left(&self) -> u32 {
        self.tokens.len() as u32 - self.held
    }
    pub(crate) fn is_writing(&self) -> bool {
        self.written > 0 && self.rows_left() == 1
    }
    /// Slots it needs, with those of the choices that begin where its prompt ends.
    pub(crate) fn slots(&self) -> u32 {
        1 + self.forks.len() as u32
    }
}

/// Draws a choice's next token, and returns it. A choice that is over keeps no
/// token to compute. An error is the end of its job: what a constraint cannot
/// follow is never said.
pub(crate) fn write(
    choice: &mut Choice,
    logits: &[f32],
    shared: &Shared,
    vocab: &Vocab,
    caps: Caps,
    counters: &mut Counters,
    out: &mut Vec<Output>,
) -> Result<Token, String> {
    let drawn = match &mut choice.constraint {
        None => choice.sampler.draw(logits),
        Some(constraint) => {
            let mut allowed = vec![0; logits.len().div_ceil(32)];
            constraint.allow(&mut allowed)?;
            let drawn = choice.sampler.draw_among(logits, &allowed);
            let drawn = drawn.ok_or("nothing may follow what was written, and it is not complete")?;
            if !vocab.ends_turn(drawn.token) {
                constraint.accept(drawn.token)?;
            }
            drawn
        }
    };
    choice.written += 1;
    counters.generated += 1;
    let (job, index) = (choice.job, choice.index);
    // The end of a constrained answer is part of its form.
    let ends = vocab.ends_turn(drawn.token) && (!shared.ignore_end || choice.constraint.is_some());
    let complete = choice.constraint.as_ref().is_some_and(|c| c.is_complete());
    let (mut text, mut stop) = (String::new(), None);
    if !ends {
        if let Some((own, top)) = drawn.logprob {
            choice.logprobs.push(told(vocab, drawn.token, own, top));
        }
        (text, stop) = choice.text.push(vocab.piece(drawn.token));
    }
    let full = choice.tokens.len() as u32 + 1 > caps.seq_len_max.min(caps.cells);
    let reason = if ends || stop.is_some() || complete {
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
    Ok(drawn.token)
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
