//! The store in one encrypted SQLite file: no other process, nothing to install.
//!
//! **One writer.** A single thread owns the only connection that writes
//! (TRAPS F8): callers queue entries and are called back. It drains what is
//! queued into one transaction, commits (`synchronous=FULL`), then calls back:
//! group commit without a timer, since whatever arrives during one commit is
//! the next group. Readers have a connection of their own, and WAL keeps the
//! two out of each other's way.
//!
//! **One append per request.** What must be durable before a response ends is
//! one row, the record with its postings, in one table that only grows: a
//! commit touches one or two pages, and each page costs its encryption, its
//! HMAC and its place in the WAL. The index by request id and the daily totals
//! are derived from that table a moment later, in larger groups, in the same
//! file; `meta.derived` says how far. A crash loses none of it, since opening
//! derives the rest, and reading derives first, so that nobody sees a store
//! behind its own acknowledgements.
//! A request's leaf of the audit log goes into a table beside it in the same
//! commit, and is numbered there: its page is the one more that it costs.
//! Figures, and what lost: `docs/decisions/007-one-append-per-request.md`.
//!
//! **Documents** have a file per team beside it ([`SqliteTenants`]), written and
//! read in the same way, under a key of the team's: what searches a million
//! chunks never holds up a settle, and a team's file goes with its key.
//! Why: `docs/decisions/019-a-file-for-each-tenant.md`.
//!
//! **Encryption** is SQLCipher's: AES-256-CBC and an HMAC per page, under a raw
//! key from [`seal::KeyRing`] (no key derivation at start). Secrets are sealed
//! a second time inside it, so that a query alone does not show them.

mod backend;
mod books;
mod checkpoint;
mod connect;
mod derive;
mod error;
mod health;
mod holds;
mod identity;
mod lock;
mod log;
mod queue;
pub mod rate;
mod read;
mod schema;
mod sessions;
mod tenant;
mod tenants;
mod writer;

#[cfg(test)]
mod tests;

pub use backend::{Config, SqliteStore};
pub use health::{Health, SyncLatency, health, sync_latency};
pub use tenant::text::TextConfig;
pub use tenants::{SqliteTenants, TENANTS_DIR, TenantsConfig};

/// The database's file in the data directory.
pub const DATABASE_FILE: &str = "platform.db";
/// The lock's file in the data directory.
pub const LOCK_FILE: &str = "lock";
