//! What an agent may do after it has read something hostile.
//!
//! A detector guesses whether a text is an attack; this gate does not look at
//! texts that way at all. It asks of a proposed tool call where its *values*
//! come from. A value that decides where something goes (a recipient, a URL,
//! an account, the object that is changed) must come from the user, the
//! system, or a field whose owner vouches for it; anything else may be as
//! hostile as it likes, it only ends up as content. Deterministic, without a
//! model, and the reason of every decision is a list of places.
//!
//! [`History::read`] follows a canonical conversation into spans with a trust
//! each; [`decide`] holds one proposed call against them. What the owner of a
//! tool declares is a [`Tool`]; a tool without a declaration is taken for the
//! worst. What a person allows is a *value* ([`Approvals`]), not a call, so the
//! same question is asked once in a session.
//!
//! What it does not promise: a value that is trusted by its field can still be
//! chosen by an attacker among the trusted ones, and what the model says in its
//! own words carries no span. Both are in `docs/security.md`.

mod approvals;
mod decide;
mod declare;
mod flow;
mod history;
mod links;
mod pin;
mod round;
mod tree;
mod value;
mod watch;

pub use approvals::{Approvals, Endorsement};
pub use decide::{Decision, Finding, Verdict, Why, decide};
pub use declare::{Declarations, Effect, Field, Kind, Named, Target, Tool, Trust};
pub use history::{History, Origin, Source, Span};
pub use pin::{Definition, Digest, canonical};
pub use round::{Call, Round, Turn};
pub use value::normal;
pub use watch::{Told, Watch};

/// Leaves followed in one tool result; what is beyond is read as one untrusted
/// text. A listing of a thousand records with ten fields each fits.
pub const LEAVES_MAX: usize = 16_384;

/// Maps and lists inside each other, in a result or in arguments.
pub const DEPTH_MAX: usize = 64;

/// Values of one call that are looked at; a call with more is blocked.
pub const VALUES_MAX: usize = 512;

/// Bytes of a value that decides where something goes. The longest e-mail
/// address has 254, the longest URL that browsers agree on 2,083.
pub const TARGET_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests;
