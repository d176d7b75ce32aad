//! Storage as the domain sees it: ports, their rows, and the conformance suite
//! that every back-end must pass before it may register.
//!
//! The ports are synchronous; a back-end that waits (a disk, a network) takes a
//! callback where waiting would hold up the caller ([`Ledger::append`]).

mod identity;
mod ledger;
mod record;

pub use identity::{
    Budget, BudgetKind, Change, Key, KeyRole, KeyVersion, ManifestRow, Org, Period, PriceRow, Scope, State,
    Team, User,
};
pub use ledger::{Done, Entry, HoldRow, LedgerCheck, Posting, SpendQuery, SpendRow};
pub use record::{Attempt, AttemptOutcome, Line, Outcome, Record, Rejected, Step, UsageRow};

use units::RequestId;

/// What goes wrong in a store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the data directory {path} is in use by another process (pid {pid})")]
    Locked { path: String, pid: String },
    #[error("the master key does not open {path}")]
    WrongKey { path: String },
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("the data directory cannot be written: {0}")]
    ReadOnly(String),
    #[error("{path} was written by a newer version (schema {found}, this binary knows {known})")]
    Newer { path: String, found: u32, known: u32 },
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    #[error("{kind} \"{name}\" already exists")]
    Exists { kind: &'static str, name: String },
    #[error("no {kind} \"{name}\"")]
    Missing { kind: &'static str, name: String },
    #[error("the store is closed")]
    Closed,
    #[error("storage failed: {0}")]
    Io(String),
}

/// Everything small that the data plane's snapshot is built from.
pub trait Identity: Send + Sync {
    /// All of it, with the generation it was read at.
    fn load(&self) -> Result<State, Error>;
    /// Applies all changes in one durable transaction and returns the new
    /// generation, or changes nothing.
    fn change(&self, changes: &[Change]) -> Result<u64, Error>;
}

/// Money, append-only and durable.
pub trait Ledger: Send + Sync {
    /// Queues an entry; `done` is called once, after the entry is durable (group
    /// commit) or has failed. Never blocks longer than the queue is full.
    fn append(&self, entry: Entry, done: Done);
    /// Holds that were written but never settled: what a crash left behind.
    fn open_holds(&self) -> Result<Vec<HoldRow>, Error>;
    fn postings(&self, request: RequestId) -> Result<Vec<Posting>, Error>;
    fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendRow>, Error>;
    /// Recomputes the books: every transaction sums to zero and the daily
    /// totals equal the records.
    fn check(&self) -> Result<LedgerCheck, Error>;
}

/// The record of each request.
pub trait Records: Send + Sync {
    fn record(&self, id: RequestId) -> Result<Option<Record>, Error>;
    /// The newest first, at most `limit` (capped at 1,000).
    fn recent(&self, limit: usize) -> Result<Vec<Record>, Error>;
}

/// Provider keys and other secrets, sealed at rest under the master key.
pub trait Secrets: Send + Sync {
    fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), Error>;
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    fn secret_names(&self) -> Result<Vec<String>, Error>;
    fn remove_secret(&self, name: &str) -> Result<bool, Error>;
}

/// A whole back-end.
pub trait Store: Identity + Ledger + Records + Secrets {
    /// Waits until everything queued is durable, then refuses further writes.
    fn close(&self) -> Result<(), Error>;
}
