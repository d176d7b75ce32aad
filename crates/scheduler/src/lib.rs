//! Which tokens are computed next, and what their logits become.
//!
//! A [`Scheduler`] holds requests ([`Job`]s) and turns them, one
//! [`Scheduler::step`] at a time, into batches for a [`Kernel`] and events for
//! their readers. It is synchronous and deterministic: no clock, no thread, no
//! randomness but the jobs' seeds. The engine drives it with llama.cpp, tests
//! and the planner with [`simulated::Simulated`].
//!
//! A step computes one token for every choice that is writing, then prompts, in
//! chunks that keep the predicted step within the target between two tokens;
//! tenants take turns by what they have had. What finished stays in cells until
//! they are needed, so a prompt that begins like another, running or finished, is
//! not computed twice; its blocks go on to memory and disk. When cells run out,
//! whoever has had most of the lowest class gives up its own and goes on later
//! from there: no request fails because another grew.
//!
//! - `admission` who starts, and from where; `room` whose cells it gets
//! - `compose` what goes into a step; `draft` guesses ahead where that pays
//! - `fair` whose turn it is; `fit` what a step costs
//! - `constraint` what a choice may say; `mask` what it must not
//! - `cells` who holds what; `prefix` and `tiers` what is kept, and where
//!
//! Invariants: a sequence's cells are freed exactly once, whatever ends it;
//! rows of a sequence are contiguous positions; a paused or slow reader costs
//! only its own sequence; the text of a choice does not depend on how its
//! bytes were split into tokens.

mod admission;
mod cells;
mod choice;
mod compose;
mod constraint;
mod draft;
mod fair;
mod fit;
mod job;
mod kernel;
mod lexicon;
mod mask;
mod prefix;
mod random;
mod room;
mod sampling;
mod scheduler;
pub mod simulated;
mod text;
mod tier;
mod tiers;
mod vocab;

pub use constraint::{Allowed, Constraint};
pub use fair::{Standing, Tenant, WRITTEN};
pub use fit::{Shape, StepTime};
pub use job::{CancelWord, Class, Failure, Job, JobId, Output};
pub use kernel::{Caps, Kernel, Row, SeqId, StepError, Token};
pub use lexicon::Lexicon;
pub use mask::{Banned, Masked};
pub use random::Random;
pub use sampling::{Sampled, Sampler, Sampling};
pub use scheduler::{Counters, Limits, Outcome, Scheduler, Step};
pub use text::TextStream;
pub use tier::{BlockKey, BlockStore, owner};
pub use vocab::Vocab;

#[cfg(test)]
mod fair_tests;
#[cfg(test)]
mod tests;
