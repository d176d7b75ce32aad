//! Storage as the domain sees it: ports, their rows, and the conformance suite
//! that every back-end must pass before it may register.
//!
//! The ports are synchronous; a back-end that waits (a disk, a network) takes a
//! callback where waiting would hold up the caller ([`Ledger::append`]).

mod apply;
pub mod codec;
pub mod conformance;
pub mod documents;
mod error;
mod identity;
mod ledger;
mod log;
mod memory;
mod record;
mod sessions;
pub mod totals;

pub use error::Error;

pub use identity::{
    Approval, Budget, BudgetKind, Change, Elevation, Key, KeyVersion, ManifestRow, Org, Period, PriceRow,
    Role, Scope, State, Team, User,
};
pub use ledger::{Done, Entry, HoldRow, LedgerCheck, Posting, Settlement, SpendQuery, SpendRow};
pub use log::{AuditLog, CHECKPOINTS_KEPT, CheckpointRow, LEAVES_MAX, TileRow};
pub use memory::MemoryStore;
pub use record::{Attempt, AttemptOutcome, Judged, Line, Outcome, Record, Rejected, Spent, Step, UsageRow};
pub use sessions::{PART_BYTES_MAX, PARTS_MAX, SessionChange, SessionPart, Sessions, check_session};

use units::RequestId;

/// The most records that [`Records::recent`] returns.
pub const RECENT_MAX: usize = 1_000;
/// The most settlements that [`Ledger::settlements`] returns: about a megabyte.
pub const SETTLEMENTS_MAX: usize = 512;
/// The largest leaf of the audit log: the length of an entry in a tile's bundle
/// has two bytes (C2SP `tlog-tiles`).
pub const LEAF_BYTES_MAX: usize = 65_535;
/// The largest secret, in bytes: room for a certificate chain or a service
/// account's key file.
pub const SECRET_MAX: usize = 64 << 10;

/// Refuses a secret that no back-end stores: an empty or long name (more than
/// 200 bytes), or a value over [`SECRET_MAX`].
pub fn check_secret(name: &str, value: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > 200 || name.contains('\0') {
        return Err(Error::Io(format!("a secret's name has 1 to 200 bytes, not {}", name.len())));
    }
    if value.len() > SECRET_MAX {
        return Err(Error::Io(format!(
            "secret \"{name}\" has {} bytes, the limit is {SECRET_MAX}",
            value.len()
        )));
    }
    Ok(())
}

/// Refuses a leaf that no back-end stores: an empty one, or one beyond
/// [`LEAF_BYTES_MAX`].
pub fn check_leaf(leaf: &[u8]) -> Result<(), Error> {
    match leaf.len() {
        1..=LEAF_BYTES_MAX => Ok(()),
        n => Err(Error::Damaged(format!("a leaf of {n} bytes; 1 to {LEAF_BYTES_MAX} fit"))),
    }
}

/// Everything small that the data plane's snapshot is built from.
pub trait Identity: Send + Sync {
    /// All of it, with the generation it was read at.
    fn load(&self) -> Result<State, Error>;
    /// Applies all changes in one durable transaction and returns the new
    /// generation, or changes nothing. An empty list returns the current one.
    /// The rules are [`State::apply`]'s.
    fn change(&self, changes: &[Change]) -> Result<u64, Error>;
}

/// Money, append-only and durable.
pub trait Ledger: Send + Sync {
    /// Queues an entry; `done` is called once, after the entry is durable (group
    /// commit) or has failed, on a thread of the store: it must be quick and
    /// must not call the store. Blocks only while the queue is full.
    ///
    /// A hold again replaces the one before; a settle again (by request) changes
    /// nothing of the books and succeeds (its leaf, if any, may be in the log
    /// twice); a hold after its settle does nothing; postings that do not
    /// balance, and leaves that [`check_leaf`] refuses, are [`Error::Damaged`].
    fn append(&self, entry: Entry, done: Done);
    /// Holds that were written but never settled, the oldest first: what a crash
    /// left behind.
    fn open_holds(&self) -> Result<Vec<HoldRow>, Error>;
    /// As appended; empty when the request is not known.
    fn postings(&self, request: RequestId) -> Result<Vec<Posting>, Error>;
    /// What was settled, in that order, from `number` on, at most `limit` (capped at
    /// [`SETTLEMENTS_MAX`]): everything acknowledged before the call.
    fn settlements(&self, number: u64, limit: usize) -> Result<Vec<Settlement>, Error>;
    /// Everything acknowledged before the call, ordered by day, team, key, model, target.
    fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendRow>, Error>;
    /// Recomputes the books: every transaction sums to zero and the daily
    /// totals equal the records.
    fn check(&self) -> Result<LedgerCheck, Error>;
}

/// The record of each request.
pub trait Records: Send + Sync {
    fn record(&self, id: RequestId) -> Result<Option<Record>, Error>;
    /// The last settled first, at most `limit` (capped at [`RECENT_MAX`]).
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
pub trait Store: AuditLog + Identity + Ledger + Records + Secrets + Sessions {
    /// Waits until everything queued is durable, then refuses further writes.
    fn close(&self) -> Result<(), Error>;
}
