//! When a kept answer may be given again.
//!
//! Three questions, in this order, none of which similarity can overrule:
//!
//! 1. **Whose is it?** [`Partition`]: everything that must be equal before anything is
//!    compared (labels, model, system prompt, tools, policy).
//! 2. **May it be given to whoever asks?** [`may_serve`]: only to a reader who may read
//!    every document that it was made from, each in the version that it was made from.
//! 3. **Is it the same question?** [`exact_key`]: the same prompt and context. Else
//!    [`near`]: the same words but for politeness, in the same order, with the same numbers,
//!    names and negations; and only as far as this entry's own record bounds its error
//!    ([`Bound`]). Never for calls of tools, and never with personal data
//!    ([`may_be_near`]).

mod bound;
mod key;
mod near;

pub use bound::{Bound, DELTA, Decision, OBSERVATIONS_MAX};
pub use key::{ContextId, Partition, Turn, exact_key};
pub use near::{Difference, Near, near};

use units::Uuid7;

/// Why an answer is not given to this reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It came from a document that the reader may not read, or that is gone: to the reader
    /// both are the same.
    NotReadable(Uuid7),
    /// A document has another version now.
    Changed { document: Uuid7, kept: u32, now: u32 },
}

/// Whether an answer may be given to a reader: `readable` says which version of a document
/// the reader may read now, `None` for none. An answer without dependencies is anybody's
/// within its partition.
///
/// # Errors
/// The first document that stands against it.
pub fn may_serve(
    dependencies: &[(Uuid7, u32)],
    readable: impl Fn(Uuid7) -> Option<u32>,
) -> Result<(), Refused> {
    for (document, kept) in dependencies.iter().copied() {
        match readable(document) {
            None => return Err(Refused::NotReadable(document)),
            Some(now) if now != kept => return Err(Refused::Changed { document, kept, now }),
            Some(_) => {}
        }
    }
    Ok(())
}

/// What a request and its answer are, as far as the near tier asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Nature {
    /// Tools are offered, or were called.
    pub tools: bool,
    /// A guard found personal data in the question or the answer.
    pub personal: bool,
    /// More than one turn of the user's: what the last one means, the others say.
    pub turns: bool,
    /// The caller wants it made anew, or at random.
    pub fresh: bool,
}

/// Whether the near tier may be asked at all.
pub fn may_be_near(nature: Nature) -> bool {
    nature == Nature::default()
}

#[cfg(test)]
mod tests;
