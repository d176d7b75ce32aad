//! Entities and what relates them: found without a model, walked for questions whose
//! answer stands in one document and whose words stand in another.
//!
//! An entity is a name, folded like a query's words, or a document's source. What relates
//! two of them is said by one chunk, and is as visible as it. [`relations`] reads them
//! from a document once; [`Walk`] asks its caller for the edges that a *reader* may see,
//! step by step, and then spreads a question's weight over them (personalised PageRank).
//!
//! Few and precise beats many: a wrong edge draws a wrong passage into an answer, a missing
//! one leaves the two other arms, which were there before.

mod names;
mod relations;
mod sentences;
mod walk;

pub use relations::{About, Relation, relations};
pub use walk::{Edge, PER_CHUNK, PER_ENTITY, Reached, Walk};

#[cfg(test)]
mod tests;

/// What a chunk's topic says of a name that merely stands in it.
pub const MENTIONS: &str = "mentions";
/// A document's name and its source: by which links find it.
pub const SOURCE: &str = "is kept at";
/// A link between documents.
pub const LINKS: &str = "links to";

/// A name as an entity: its words, folded and with one space between them. Empty for what is none:
/// nothing but digits, one letter, or longer than a name is.
pub fn entity(name: &str) -> String {
    let words = crate::text::words(name);
    let key = words.join(" ");
    let letters = key.chars().filter(|c| c.is_alphabetic()).count();
    // An ideograph is a word.
    let long_enough = letters >= 2 || key.chars().any(|c| c.is_alphabetic() && !c.is_ascii());
    if long_enough && words.len() <= names::WORDS_MAX && key.len() <= names::BYTES_MAX {
        key
    } else {
        String::new()
    }
}
