//! One choice of a job: its tokens, and what becomes of the next.

use chat::Finish;
use units::Micros;

use crate::draft::Draft;
use crate::job::{Class, JobId, Output};
use crate::kernel::{Caps, SeqId, Token};
use crate::sampling::likeliest;
use crate::scheduler::Counters;
use crate::tier::BlockKey;
use crate::{Allowed, CancelWord, Constraint, Sampler, Tenant, TextStream, Vocab};

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
    /// Tokens still to be pinned.
    pub(crate) pin: u32,
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
    /// How often the likeliest token was kept from it for what it would have said.
    pub(crate) withheld: u32,
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

/// Draws a choice's next token, and returns it; `None` when every token that could
/// follow would say what must not be said. A choice that is over keeps no token to
/// compute. An error is the end of its job: what a constraint cannot follow is
/// never said.
pub(crate) fn write(
    choice: &mut Choice,
    logits: &[f32],
    shared: &Shared,
    vocab: &Vocab,
    caps: Caps,
    counters: &mut Counters,
    out: &mut Vec<Output>,
) -> Result<Option<Token>, String> {
    let drawn = match &mut choice.constraint {
        None => Some(choice.sampler.draw(logits)),
        Some(constraint) => {
            let mut set = vec![0; logits.len().div_ceil(32)];
            let allowed = constraint.allow(&mut set)?;
            let drawn = match allowed {
                Allowed::Any => Some(choice.sampler.draw(logits)),
                Allowed::Listed | Allowed::Cut => choice.sampler.draw_among(logits, &set),
            };
            if allowed == Allowed::Cut && constraint.withholds(likeliest(logits)) {
                choice.withheld += 1;
                counters.withheld += 1;
            }
            if drawn.is_none() && allowed != Allowed::Cut {
                return Err("nothing may follow what was written, and it is not complete".into());
            }
            if let Some(drawn) = drawn.as_ref().filter(|drawn| !vocab.ends_turn(drawn.token)) {
                constraint.accept(drawn.token)?;
            }
            drawn
        }
    };
    choice.written += 1;
    counters.generated += 1;
    let (job, index) = (choice.job, choice.index);
    let token = drawn.as_ref().map(|drawn| drawn.token);
    // The end of a constrained answer is part of its form.
    let ends = token
        .is_none_or(|token| vocab.ends_turn(token) && (!shared.ignore_end || choice.constraint.is_some()));
    let complete = choice.constraint.as_ref().is_some_and(|c| c.is_complete());
    let (mut text, mut stop) = (String::new(), None);
    if let Some(drawn) = drawn.filter(|_| !ends) {
        if let Some((own, top)) = drawn.logprob {
            choice.logprobs.push(told(vocab, drawn.token, own, top));
        }
        (text, stop) = choice.text.push(vocab.piece(drawn.token));
    }
    let full = choice.tokens.len() as u32 + 1 > caps.seq_len_max.min(caps.cells);
    let reason = if token.is_none() {
        Some(Finish::Filtered)
    } else if ends || stop.is_some() || complete {
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
            let (tokens, withheld) = (choice.written, choice.withheld);
            out.push(Output::Finish { job, choice: index, reason, stop, tokens, withheld });
        }
        None => choice.tokens.extend(token),
    }
    Ok(token)
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
