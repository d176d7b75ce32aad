//! The port: what a choice is allowed to say next.

use std::fmt::Debug;

use crate::Token;

/// The state of one constrained choice. Called from the engine's thread, once
/// per token, so an answer should take well under a millisecond.
///
/// It fails closed: an error ends the request with a failure, never with text
/// that nobody checked.
pub trait Constraint: Send + Sync + Debug {
    /// Sets bit `t % 32` of word `t / 32` of `allowed` for every token that may
    /// follow. The caller has zeroed it; it has a bit for each token. Tokens that
    /// end a turn are set where the text may end.
    fn allow(&mut self, allowed: &mut [u32]) -> Result<Allowed, String>;

    /// Goes on with a token that [`Constraint::allow`] allowed.
    fn accept(&mut self, token: Token) -> Result<(), String>;

    /// Whether nothing may follow any more, not even more of the same.
    fn is_complete(&self) -> bool;

    /// Whether a token is kept from following for what it would say, and not for
    /// its form: what the model would have written otherwise is worth a count.
    fn withholds(&self, _token: Token) -> bool {
        false
    }

    /// The same state, for another choice of the request.
    fn fork(&self) -> Box<dyn Constraint>;
}

/// What [`Constraint::allow`] did to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// Nothing: every token may follow.
    Any,
    /// The tokens whose bits are set may follow.
    Listed,
    /// The same, and others were taken out for what they would say. A choice that
    /// is left with none ends as filtered: it has not failed.
    Cut,
}

impl Clone for Box<dyn Constraint> {
    fn clone(&self) -> Box<dyn Constraint> {
        self.fork()
    }
}
