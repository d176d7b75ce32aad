//! Texts that a choice must not say, as the tokens that would say them.
//!
//! A token is taken out when, after what was written, it completes one of the
//! texts; whatever it is cut into, one token does. So the model goes on with
//! something else, and the text never exists: there is nothing to hold back
//! and nothing to replace.
//!
//! Two sorted lists are enough, and no automaton over the vocabulary: the texts,
//! and the [`Lexicon`]. What could still become a text is a *thread*: how many
//! of the last bytes some texts begin with, and which texts those are, a range of
//! the list. A token completes a text when it begins with the rest of it, and
//! such tokens stand together: two binary searches for each text of each thread,
//! and none for a rest that is longer than any token. Tokens that hold a whole
//! text are found once. Where nothing was begun, which is nearly always, a token
//! costs a look at each of its bytes and the set is not written at all.
//!
//! The bound: a thread has at most as many texts as there are, and there are at
//! most as many threads as the longest text has bytes. 4,096 secrets that begin
//! alike cost about a millisecond a token while that beginning is the last word.

use std::fmt;
use std::sync::Arc;

use crate::constraint::{Allowed, Constraint};
use crate::{Lexicon, Token};

/// The texts that answers of one model must not say. Its `Debug` tells how many
/// they are, never what they say (TRAPS X4).
pub struct Banned {
    lexicon: Arc<Lexicon>,
    /// Sorted, and none begins with another.
    texts: Vec<Box<[u8]>>,
    /// Where those that begin with each byte begin; the last is their number.
    begins: Vec<usize>,
    /// Tokens that hold a whole text.
    within: Vec<Token>,
}

/// Texts that begin with the last `depth` bytes written, and are longer.
#[derive(Clone, Copy)]
struct Thread {
    from: usize,
    to: usize,
    depth: usize,
}

impl Banned {
    /// Empty texts are ignored. Looks at every token once: about 20 ms for 150,000.
    pub fn new(lexicon: Arc<Lexicon>, texts: impl IntoIterator<Item = Vec<u8>>) -> Banned {
        let texts = texts.into_iter().filter(|t| !t.is_empty());
        let mut texts: Vec<Box<[u8]>> = texts.map(Vec::into_boxed_slice).collect();
        texts.sort_unstable();
        // One that begins with another is never reached.
        texts.dedup_by(|longer, kept| longer.starts_with(kept));
        let begins = (0..=256).map(|b| texts.partition_point(|t| usize::from(t[0]) < b)).collect();
        let shortest = texts.iter().map(|t| t.len()).min().unwrap_or(usize::MAX);
        let mut banned = Banned { lexicon, texts, begins, within: Vec::new() };
        let holds = |token: &Token| {
            let piece = banned.lexicon.piece(*token);
            piece.len() >= shortest && banned.says(&mut Vec::new(), piece)
        };
        banned.within = banned.lexicon.tokens().iter().copied().filter(holds).collect();
        banned
    }

    /// Goes on by some bytes. True when they complete a text.
    fn says(&self, threads: &mut Vec<Thread>, bytes: &[u8]) -> bool {
        let mut said = false;
        for byte in bytes {
            said |= self.step(threads, *byte);
        }
        said
    }

    fn step(&self, threads: &mut Vec<Thread>, byte: u8) -> bool {
        threads.retain_mut(|thread| {
            let (texts, at) = (&self.texts[thread.from..thread.to], thread.depth);
            thread.to = thread.from + texts.partition_point(|t| t[at] <= byte);
            thread.from += texts.partition_point(|t| t[at] < byte);
            thread.depth += 1;
            thread.from < thread.to
        });
        let first = usize::from(byte);
        let new = Thread { from: self.begins[first], to: self.begins[first + 1], depth: 1 };
        if new.from < new.to {
            threads.push(new);
        }
        let before = threads.len();
        // The one that is complete is the only one of its range.
        threads.retain(|thread| self.texts[thread.from].len() > thread.depth);
        threads.len() < before
    }

    /// The tokens that would complete a text.
    fn completing<'a>(&'a self, threads: &'a [Thread]) -> impl Iterator<Item = Token> + 'a {
        let rests = threads.iter().flat_map(move |thread| {
            self.texts[thread.from..thread.to].iter().map(move |text| &text[thread.depth..])
        });
        let begun = rests.flat_map(move |rest| self.lexicon.starting_with(rest));
        self.within.iter().chain(begun).copied()
    }
}

impl fmt::Debug for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Banned").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}

/// A choice that must not say what is banned, whatever else it is held to: a
/// token must be allowed by both.
pub struct Masked {
    banned: Arc<Banned>,
    inner: Option<Box<dyn Constraint>>,
    threads: Vec<Thread>,
}

impl Masked {
    /// `before`: what a reader sees right before the answer; what begins there
    /// must not be completed either.
    pub fn boxed(
        banned: Arc<Banned>,
        inner: Option<Box<dyn Constraint>>,
        before: &[u8],
    ) -> Box<dyn Constraint> {
        let mut threads = Vec::new();
        banned.says(&mut threads, before);
        Box::new(Masked { banned, inner, threads })
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Masked { banned, inner, threads: _ } = self;
        f.debug_struct("Masked").field("banned", banned).field("inner", inner).finish_non_exhaustive()
    }
}

impl Constraint for Masked {
    fn allow(&mut self, allowed: &mut [u32]) -> Result<Allowed, String> {
        let inner = match &mut self.inner {
            None => Allowed::Any,
            Some(inner) => inner.allow(allowed)?,
        };
        let mut cut = self.banned.completing(&self.threads).peekable();
        if cut.peek().is_none() {
            return Ok(inner);
        }
        if inner == Allowed::Any {
            let size = self.banned.lexicon.size();
            for (at, word) in allowed.iter_mut().enumerate() {
                let tokens = size.saturating_sub(at * 32);
                *word = if tokens >= 32 { u32::MAX } else { (1 << tokens) - 1 };
            }
        }
        let mut changed = false;
        for token in cut {
            let Some(word) = allowed.get_mut(token as usize / 32) else { continue };
            let bit = 1 << (token % 32);
            changed |= *word & bit != 0;
            *word &= !bit;
        }
        Ok(if changed || inner == Allowed::Cut { Allowed::Cut } else { Allowed::Listed })
    }

    fn accept(&mut self, token: Token) -> Result<(), String> {
        if self.banned.says(&mut self.threads, self.banned.lexicon.piece(token)) {
            return Err("the answer would have said what it must not".into());
        }
        self.inner.as_mut().map_or(Ok(()), |inner| inner.accept(token))
    }

    fn is_complete(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.is_complete())
    }

    fn withholds(&self, token: Token) -> bool {
        self.banned.completing(&self.threads).any(|t| t == token)
    }

    fn fork(&self) -> Box<dyn Constraint> {
        let inner = self.inner.clone();
        Box::new(Masked { banned: Arc::clone(&self.banned), inner, threads: self.threads.clone() })
    }
}

#[cfg(test)]
mod tests;
