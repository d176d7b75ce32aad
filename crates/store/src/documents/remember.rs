//! What conversations leave behind: turns as they were, and facts with two times.

use units::{DocumentId, FactId, Labels, Micros, TurnId};

use super::{Reader, Span, Subject};
use crate::Error;

/// Bytes of one turn at most.
pub const TURN_BYTES_MAX: usize = 64 << 10;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaker {
    User,
    Assistant,
}

/// One message. It belongs to one subject; only readers who are that subject see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub id: TurnId,
    pub owner: Subject,
    /// The caller's name of the conversation; at most 200 bytes.
    pub conversation: String,
    pub speaker: Speaker,
    pub text: String,
    /// Of what it was said of, and by whom: they join whatever it is brought back into.
    pub labels: Labels,
    pub at: Micros,
}

/// A conversation of which there are turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub name: String,
    pub turns: u64,
    /// Of its first turn, and of its last.
    pub began: Micros,
    pub last: Micros,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TurnHit {
    pub turn: Turn,
    pub score: f32,
}

/// A fact as it is recorded. About a subject of the world, not of access.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFact {
    pub id: FactId,
    pub owner: Subject,
    pub about: String,
    pub relation: String,
    pub value: String,
    /// When it began to be true, as far as is known.
    pub valid_from: Micros,
    /// When it stopped; `None`: it holds.
    pub valid_to: Option<Micros>,
    /// When it was recorded: the other time. A clock that went back does not reorder what
    /// is known: a store takes no earlier one than the last it took for the owner.
    pub recorded: Micros,
    /// The user's words that say so.
    pub turn: TurnId,
    pub span: Span,
    /// Goes with this document, if it came from one.
    pub document: Option<DocumentId>,
    /// Facts of the same owner that no longer hold once this one does: they end where it begins.
    pub replaces: Vec<FactId>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub id: FactId,
    pub owner: Subject,
    pub about: String,
    pub relation: String,
    pub value: String,
    pub valid_from: Micros,
    pub valid_to: Option<Micros>,
    pub recorded: Micros,
    pub ended: Option<Ended>,
    pub turn: TurnId,
    /// That its turn is of.
    pub conversation: String,
    pub span: Span,
    pub document: Option<DocumentId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Forgotten {
    pub turns: u64,
    pub facts: u64,
    /// Cached answers that came from one of the turns.
    pub answers: u64,
}

/// Another fact took its place: what was known before stays known as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Not valid from then on.
    pub at: Micros,
    /// When that was recorded.
    pub recorded: Micros,
    pub by: FactId,
}

impl Fact {
    /// Whether it held at `valid`, by what was known at `known`.
    pub fn holds(&self, valid: Micros, known: Micros) -> bool {
        let ended = self.ended.filter(|ended| ended.recorded <= known).map(|ended| ended.at);
        self.recorded <= known
            && self.valid_from <= valid
            && [self.valid_to, ended].into_iter().flatten().all(|end| valid < end)
    }
}

pub trait Memory: Send + Sync {
    /// # Errors
    /// [`Error::Exists`] for an id that there is; [`Error::Invalid`] beyond a bound.
    fn remember(&self, turns: Vec<Turn>) -> Result<(), Error>;
    /// A conversation's turns that the reader may read, the newest `limit`, oldest first.
    fn turns(&self, reader: &Reader, conversation: &str, limit: usize) -> Result<Vec<Turn>, Error>;
    /// One by its id.
    fn turn(&self, reader: &Reader, id: TurnId) -> Result<Option<Turn>, Error>;
    /// Every turn that the reader may read, in the order in which they were kept, from
    /// behind `after` on; at most `limit`. Nothing behind a turn that there is none of.
    fn all_turns(&self, reader: &Reader, after: Option<TurnId>, limit: usize) -> Result<Vec<Turn>, Error>;
    /// The conversations whose turns the reader may read, the one with the newest turn first.
    fn conversations(&self, reader: &Reader, limit: usize) -> Result<Vec<Conversation>, Error>;
    /// Full text over the turns that the reader may read, of one conversation or of all,
    /// best first.
    fn search_turns(
        &self,
        reader: &Reader,
        conversation: Option<&str>,
        terms: &[String],
        limit: usize,
    ) -> Result<Vec<TurnHit>, Error>;
    /// Records a fact, and closes those that it replaces, in one transaction.
    ///
    /// # Errors
    /// [`Error::Missing`] when its turn is not there, is not the owner's, or was not said by
    /// the user: nothing that was retrieved or generated becomes a fact.
    fn record_fact(&self, fact: NewFact) -> Result<(), Error>;
    /// Facts that the reader may read and that held at `valid`, by what was known at `known`
    /// ([`Fact::holds`]); the latest recorded first, at most `limit`.
    fn facts(&self, reader: &Reader, valid: Micros, known: Micros, limit: usize) -> Result<Vec<Fact>, Error>;
    /// Every fact that the reader may read, replaced ones too: for audit and export.
    fn all_facts(&self, reader: &Reader, limit: usize) -> Result<Vec<Fact>, Error>;
    /// Forgets, in one transaction, everything that is the reader's alone ([`Reader::alone`]),
    /// or one conversation of it: turns, the facts that came from them, and the cached
    /// answers. A fact that one of these had ended holds again: nobody says otherwise any more.
    fn forget(&self, reader: &Reader, conversation: Option<&str>) -> Result<Forgotten, Error>;
}

impl Speaker {
    /// In the order of their stored numbers: append only.
    pub const ALL: [Speaker; 2] = [Speaker::User, Speaker::Assistant];
    pub const fn name(self) -> &'static str {
        match self {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        }
    }
    pub fn from_name(name: &str) -> Option<Speaker> {
        Speaker::ALL.into_iter().find(|speaker| speaker.name() == name)
    }
}
