//! What an answer may say: a JSON schema, a regular expression or a grammar,
//! as the set of tokens that may follow.
//!
//! It fails closed. What cannot be enforced exactly is refused before anything
//! is computed, with the keyword that could not be kept ([`Error`]): a schema
//! that is dropped in silence looks like one that was kept. What nothing can
//! satisfy is refused too, where that can be known; where it only shows on the
//! way, the state has no token left and the request fails.
//!
//! The work is llguidance's. This crate is its only home: it bounds what a
//! stranger's schema may cost (size, depth, the library's own fuel, a thread
//! with a stack of its own), narrows the places where the library would let
//! through what a validator refuses ([`schema`](self)), and keeps the compiled
//! forms of the last grammars, because a client sends the same one each time.
//!
//! Invariants: no panic of the library leaves this crate; two requests never
//! share mutable state; an allowed set is never empty.

mod grammar;
mod productive;
mod schema;
mod state;
mod vocabulary;

pub use grammar::{Grammar, Item};
pub use vocabulary::{Piece, Vocabulary};

/// Why an answer cannot be held to a grammar. All are the client's to change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A keyword, or a use of one, that cannot be enforced exactly.
    #[error("\"{keyword}\" at {at} cannot be enforced: {why}")]
    Unsupported { keyword: String, at: String, why: String },
    #[error("the {what} is {size}; at most {max} is compiled")]
    TooLarge { what: &'static str, size: usize, max: usize },
    #[error("it is not valid: {0}")]
    Invalid(String),
    /// No text satisfies it.
    #[error("nothing satisfies it: {0}")]
    Contradiction(String),
}
