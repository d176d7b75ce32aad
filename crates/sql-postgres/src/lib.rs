//! One query to a PostgreSQL server, in a session of its own that can only read.
//!
//! The library below encodes messages and proves passwords; what is said when is [`talk`]'s, which is
//! pure and bounded: bytes of the server in, bytes for it out. [`carry`] moves them over a socket that
//! `net` opens under a clearance, within a time. There is no pool: a session costs the server a
//! process and us some milliseconds, and shares nothing with the one before, whoever asked it.
//!
//! That it only reads is said by the session's defaults, by its one transaction, which is never
//! committed, and by the login's rights, which are the operator's to give. When the caller leaves, or
//! the time is over, the server is told to stop; it also knows the time itself.

mod carry;
mod talk;

use std::time::Duration;

use graphquery::{Statement, Table};
use zeroize::Zeroizing;

pub use carry::ask;
#[doc(hidden)]
pub use talk::fuzz;

/// Who asks which database. Without `Debug`: it holds a password.
pub struct Login {
    pub database: String,
    pub user: String,
    pub password: Zeroizing<String>,
}

/// What one query may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rows that are kept; more are counted.
    pub rows: usize,
    /// Of everything that the server says.
    pub bytes: usize,
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the whole answer is there.
    pub total: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Net(#[from] net::Error),
    #[error("the connection broke: {0}")]
    Broken(std::io::Error),
    #[error("it ended the connection inside its answer")]
    Ended,
    #[error(
        "it takes no TLS; `?sslmode=disable` in its address goes without, inside of a network of one's own"
    )]
    NoTls,
    #[error("no answer within {0} ms")]
    Deadline(u128),
    #[error("its answer has more than {0} bytes; give the query a LIMIT")]
    Large(usize),
    /// It does not speak as its protocol says, or asks for what is not given.
    #[error("{0}")]
    Protocol(String),
    /// Its own words: an SQLSTATE and a sentence.
    #[error("it says: {state}: {message}")]
    Refused { state: String, message: String },
    /// What came cannot be read by its types.
    #[error("{0}")]
    Unread(String),
}

impl Error {
    /// Whether a value is at fault that a caller gave: SQLSTATE's class 22.
    pub fn is_the_callers(&self) -> bool {
        matches!(self, Error::Refused { state, .. } if state.starts_with("22"))
    }
}

/// What is asked of a server.
pub struct Question<'a> {
    pub login: &'a Login,
    pub statement: &'a Statement,
    pub limits: Limits,
}

/// What it answered.
pub type Answer = Result<Table, Error>;

#[cfg(test)]
mod tests;
