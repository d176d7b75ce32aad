//! What a memory may hold, and what it says at a time.
//!
//! **Turns** of conversations are kept as they were and searched by their words
//! (`rank::Gate::conversation`). **Facts** are a layer above them, and optional: each is
//! something that the user said, with where it was said, and has two times: when it is
//! true in the world (`valid_from`, `valid_to`) and when it was recorded. So a later
//! correction changes what is known now, not what was known then.
//!
//! A fact is recorded only from the user's own words: nothing that was retrieved,
//! recalled or generated becomes one, or a poisoned document would be remembered for
//! ever. What the span does not say is refused, whoever extracted it.

mod extract;

use std::ops::Range;

use units::{Micros, Uuid7};

use crate::text::words;

pub use extract::{CLAIMS_MAX, claims};

/// Bytes of a fact's parts at most.
pub const PART_BYTES_MAX: usize = 512;
/// Facts about one subject that are compared.
pub const KNOWN_MAX: usize = 1_000;

/// Something that an extractor found in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whom or what it is about.
    pub about: &'a str,
    pub relation: &'a str,
    pub value: &'a str,
    /// When it began to be true: the turn's time, if nothing else was said.
    pub valid_from: Micros,
    pub valid_to: Option<Micros>,
    /// The bytes of the turn that say so.
    pub span: Range<usize>,
    /// Whether the relation has one value at a time (where somebody lives), not several
    /// (what somebody likes).
    pub single: bool,
}

/// The turn that it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utterance<'a> {
    pub text: &'a str,
    /// Whether the user wrote it, and not the model, a tool or a document.
    pub by_user: bool,
    /// Whether integrity labels say that it holds what others wrote (a pasted page).
    pub tainted: bool,
}

/// A recorded fact, as far as rules need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub id: Uuid7,
    pub about: String,
    pub relation: String,
    pub value: String,
    pub valid_from: Micros,
    /// As it was said.
    pub valid_to: Option<Micros>,
    pub recorded: Micros,
    /// Another fact took its place.
    pub replaced: Option<Replaced>,
}

/// How a fact ended by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// When it stopped being true: when the other one began.
    pub valid: Micros,
    /// When that was recorded.
    pub recorded: Micros,
}

/// What to do with a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Record {
        /// Facts that end where this one begins.
        replaces: Vec<Uuid7>,
        /// When this one ends, if a later fact is known already: news that came late.
        valid_to: Option<Micros>,
        /// Facts that say something else about the very same time: both are shown, or
        /// neither is used.
        contradicts: Vec<Uuid7>,
    },
    /// It is known.
    Duplicate(Uuid7),
    Refused(Refusal),
}

/// Why a claim is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user has not said it.
    NotUser,
    /// What the user sent holds what others wrote.
    Tainted,
    /// A part is empty, or over [`PART_BYTES_MAX`].
    Size,
    /// The span is not in the turn.
    Span,
    /// The words of the value are not in the span.
    NotSaid,
    /// It ends before it begins.
    Times,
}

/// Judges a claim by the turn it is said to come from and by what is known about the same
/// subject; of that the first [`KNOWN_MAX`] are compared.
pub fn admit(claim: &Claim<'_>, utterance: Utterance<'_>, known: &[Fact]) -> Verdict {
    if let Err(refusal) = check(claim, utterance) {
        return Verdict::Refused(refusal);
    }
    let (mut replaces, mut contradicts) = (Vec::new(), Vec::new());
    let mut valid_to = claim.valid_to;
    let alike = |fact: &&Fact| same(&fact.about, claim.about) && same(&fact.relation, claim.relation);
    for fact in known.iter().take(KNOWN_MAX).filter(alike) {
        let end = ends(fact, Micros(i64::MAX));
        let overlap = claim.valid_to.is_none_or(|to| fact.valid_from < to)
            && end.is_none_or(|end| claim.valid_from < end);
        if same(&fact.value, claim.value) {
            // Said again, within the time for which it is known: nothing new.
            let covers = claim.valid_to.is_none_or(|to| end.is_none_or(|end| to <= end));
            if overlap && covers && fact.valid_from <= claim.valid_from {
                return Verdict::Duplicate(fact.id);
            }
        } else if claim.single && overlap {
            match fact.valid_from.cmp(&claim.valid_from) {
                std::cmp::Ordering::Less => replaces.push(fact.id),
                std::cmp::Ordering::Equal => contradicts.push(fact.id),
                // It was so until what is known already began.
                std::cmp::Ordering::Greater => {
                    valid_to = Some(valid_to.map_or(fact.valid_from, |to| to.min(fact.valid_from)));
                }
            }
        }
    }
    Verdict::Record { replaces, valid_to, contradicts }
}

fn check(claim: &Claim<'_>, utterance: Utterance<'_>) -> Result<(), Refusal> {
    let parts = [claim.about, claim.relation, claim.value];
    if !utterance.by_user {
        return Err(Refusal::NotUser);
    }
    if utterance.tainted {
        return Err(Refusal::Tainted);
    }
    if parts.iter().any(|part| part.trim().is_empty() || part.len() > PART_BYTES_MAX) {
        return Err(Refusal::Size);
    }
    if claim.valid_to.is_some_and(|to| to <= claim.valid_from) {
        return Err(Refusal::Times);
    }
    let said = utterance.text.get(claim.span.clone()).filter(|said| !said.is_empty()).ok_or(Refusal::Span)?;
    let said = words(said);
    let value = words(claim.value);
    if value.is_empty() || !value.iter().all(|word| said.contains(word)) {
        return Err(Refusal::NotSaid);
    }
    Ok(())
}

/// The facts that were true at `valid`, as they were known at `known`; the latest
/// recorded first.
pub fn as_of(facts: &[Fact], valid: Micros, known: Micros) -> Vec<&Fact> {
    let holds = |fact: &&Fact| {
        fact.recorded <= known && fact.valid_from <= valid && ends(fact, known).is_none_or(|end| valid < end)
    };
    let mut found: Vec<&Fact> = facts.iter().filter(holds).collect();
    found.sort_by_key(|fact| (std::cmp::Reverse(fact.recorded), fact.id));
    found
}

/// The time to record something at: what the clock says, but never before what was recorded
/// last. A clock that went back reorders nothing.
pub fn recorded_at(now: Micros, last: Option<Micros>) -> Micros {
    last.map_or(now, |last| last.max(now))
}

/// When a fact stops being true, as known at a time.
fn ends(fact: &Fact, known: Micros) -> Option<Micros> {
    let replaced = fact.replaced.filter(|replaced| replaced.recorded <= known).map(|replaced| replaced.valid);
    match (fact.valid_to, replaced) {
        (Some(said), Some(replaced)) => Some(said.min(replaced)),
        (said, replaced) => said.or(replaced),
    }
}

/// Whether two parts of facts are the same but for how they are written.
fn same(a: &str, b: &str) -> bool {
    a == b || {
        let words = words(a);
        !words.is_empty() && words == crate::text::words(b)
    }
}

#[cfg(test)]
mod tests;
