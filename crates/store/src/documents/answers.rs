//! Answers kept to be given again, with what they depend on.

use units::{AnswerId, DocumentId, Labels, Micros, TurnId};

use super::{Reader, Version};
use crate::Error;

/// Documents that one answer depends on at most, and turns.
pub const DEPENDENCIES_MAX: usize = 1_000;
/// Observations of one answer at most; the oldest goes.
pub const OBSERVATIONS_MAX: usize = 512;
/// Bytes of one answer's body at most.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A version of a document that an answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    pub document: DocumentId,
    pub version: Version,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewAnswer {
    pub id: AnswerId,
    /// What must be equal before anything is compared: a hash over labels, model, system
    /// prompt, tools and policy (TRAPS R5).
    pub partition: [u8; 32],
    /// The canonical question and its context, as a hash.
    pub key: [u8; 32],
    /// Of the question, to find near ones by; empty: found by its key alone.
    pub vector: Vec<f32>,
    /// The question's own words, for what must be equal beside similarity.
    pub question: String,
    /// What is given again, in a format of its owner's.
    pub body: Vec<u8>,
    /// The join of all that it was made from.
    pub labels: Labels,
    /// What it cost to make, in pico-dollars: what a hit saves.
    pub cost_pico: i64,
    pub dependencies: Vec<Dependency>,
    /// Turns that it was made from, or that hold it: it goes with any of them.
    pub turns: Vec<TurnId>,
    pub created: Micros,
    /// Not given from then on.
    pub expires: Micros,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub id: AnswerId,
    pub question: String,
    pub body: Vec<u8>,
    pub labels: Labels,
    pub cost_pico: i64,
    pub dependencies: Vec<Dependency>,
    pub turns: Vec<TurnId>,
    pub created: Micros,
    pub expires: Micros,
}

/// A candidate of the near tier.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswerVector {
    pub id: AnswerId,
    pub vector: Vec<f32>,
}

/// An answer is given only to a reader who may read *every* document and every turn that it
/// was made from, as they are shared now; and only while each document is in the version
/// that it was made from.
pub trait Answers: Send + Sync {
    /// Keeps an answer; one of the same partition and key is replaced. `false`, and nothing is
    /// kept, when a document has changed since, or a turn was forgotten: whoever did that looked
    /// for dependants before this one was there.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a bound.
    fn keep_answer(&self, answer: NewAnswer) -> Result<bool, Error>;
    /// The answer to this very question, unless it has expired.
    fn answer(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        key: &[u8; 32],
        now: Micros,
    ) -> Result<Option<Answer>, Error>;
    /// One by its id: what a near hit is given by, and `bedplate cache why`.
    fn answer_by_id(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Option<Answer>, Error>;
    /// Those of a partition that have vectors and that the reader may be given, the newest
    /// first; at most `limit`, capped at [`super::PAGE_MAX`].
    fn answer_vectors(
        &self,
        reader: &Reader,
        partition: &[u8; 32],
        now: Micros,
        limit: usize,
    ) -> Result<Vec<AnswerVector>, Error>;
    /// Notes whether an answer was right for a near question of this similarity. Of one
    /// answer the last [`OBSERVATIONS_MAX`] are kept. `false` when it is not there any more.
    fn observe_answer(&self, id: AnswerId, similarity: f32, right: bool) -> Result<bool, Error>;
    /// What was noted of it, the oldest first; nothing for a reader who may not be given it.
    fn observations(&self, reader: &Reader, id: AnswerId, now: Micros) -> Result<Vec<(f32, bool)>, Error>;
    /// Takes one back. `false` when there was none.
    fn revoke_answer(&self, id: AnswerId) -> Result<bool, Error>;
    /// Removes those that have expired, at most [`super::PAGE_MAX`]. Returns how many.
    fn expire_answers(&self, now: Micros) -> Result<u64, Error>;
}
