//! The tables, as the steps that made them.
//!
//! Each step runs in a transaction that also sets `user_version`: a crash
//! between or inside steps leaves a whole number of them. Steps are append-only.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use store::Error;

use crate::error::Sqlite;

/// Amounts are pico-dollars; times microseconds since 1970; ids 16 bytes.
pub(crate) const STEPS: &[&str] = &[
    // 1: the declared state.
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     INSERT INTO meta VALUES ('generation', 0), ('derived', 0);
     CREATE TABLE orgs (id BLOB PRIMARY KEY, name TEXT NOT NULL, created INTEGER NOT NULL)
         STRICT, WITHOUT ROWID;
     CREATE TABLE teams (
         id BLOB PRIMARY KEY, org BLOB NOT NULL REFERENCES orgs, name TEXT NOT NULL UNIQUE,
         requests_per_minute INTEGER, tokens_per_minute INTEGER, created INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE users (
         id BLOB PRIMARY KEY, org BLOB NOT NULL REFERENCES orgs, name TEXT NOT NULL, created INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE keys (
         id BLOB PRIMARY KEY, team BLOB NOT NULL REFERENCES teams, user BLOB REFERENCES users,
         name TEXT NOT NULL, role INTEGER NOT NULL, any_model INTEGER NOT NULL,
         requests_per_minute INTEGER, tokens_per_minute INTEGER, expires INTEGER, revoked INTEGER,
         created_by BLOB, created INTEGER NOT NULL, UNIQUE (team, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE key_versions (
         key BLOB NOT NULL REFERENCES keys, n INTEGER NOT NULL, hash BLOB NOT NULL, hint TEXT NOT NULL,
         created INTEGER NOT NULL, expires INTEGER, PRIMARY KEY (key, n)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE key_models (
         key BLOB NOT NULL REFERENCES keys, n INTEGER NOT NULL, model TEXT NOT NULL, PRIMARY KEY (key, n)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE budgets (
         id BLOB PRIMARY KEY, name TEXT NOT NULL UNIQUE, scope INTEGER NOT NULL, scope_id BLOB NOT NULL,
         amount INTEGER NOT NULL, period INTEGER NOT NULL, kind INTEGER NOT NULL, created INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE prices (
         id INTEGER PRIMARY KEY, sku TEXT NOT NULL, effective_from INTEGER NOT NULL,
         per_request INTEGER NOT NULL, source TEXT NOT NULL, UNIQUE (sku, effective_from)
     ) STRICT;
     CREATE TABLE price_rates (
         price INTEGER NOT NULL REFERENCES prices, n INTEGER NOT NULL, axis TEXT NOT NULL,
         rate INTEGER NOT NULL, PRIMARY KEY (price, n)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE manifests (
         kind TEXT NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, applied INTEGER NOT NULL,
         PRIMARY KEY (kind, name)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    // 2: the books. `records` is the truth; `requests` and `spend` are derived from it.
    "CREATE TABLE records (
         seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, record BLOB NOT NULL, postings BLOB NOT NULL
     ) STRICT;
     CREATE TABLE requests (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
     CREATE TABLE spend (
         day INTEGER NOT NULL, team BLOB NOT NULL, key BLOB NOT NULL, model TEXT NOT NULL,
         target TEXT NOT NULL, attempts INTEGER NOT NULL, estimated INTEGER NOT NULL,
         unpriced INTEGER NOT NULL, input INTEGER NOT NULL, cache_read INTEGER NOT NULL,
         cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, input_audio INTEGER NOT NULL,
         output INTEGER NOT NULL, reasoning INTEGER NOT NULL, output_audio INTEGER NOT NULL,
         cost_usd INTEGER NOT NULL, cost_pico INTEGER NOT NULL,
         PRIMARY KEY (day, team, key, model, target)
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE holds (
         request BLOB PRIMARY KEY, team BLOB NOT NULL, key BLOB NOT NULL, budgets BLOB NOT NULL,
         model TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
    // 3: who people are elsewhere, and rights for a while.
    "ALTER TABLE users ADD COLUMN role INTEGER;
     ALTER TABLE users ADD COLUMN subject TEXT;
     ALTER TABLE keys ADD COLUMN subject TEXT;
     CREATE TABLE elevations (
         id BLOB PRIMARY KEY, key BLOB NOT NULL REFERENCES keys, role INTEGER NOT NULL, reason TEXT NOT NULL,
         lasts_us INTEGER NOT NULL, requested INTEGER NOT NULL, ends INTEGER, ended_by BLOB
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE approvals (
         elevation BLOB NOT NULL REFERENCES elevations, n INTEGER NOT NULL, key BLOB NOT NULL,
         user BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (elevation, n)
     ) STRICT, WITHOUT ROWID;",
    // 4: the audit log. `records.leaf` is the number of a request's leaf.
    "CREATE TABLE leaves (n INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
     ALTER TABLE records ADD COLUMN leaf INTEGER;
     CREATE TABLE tiles (
         level INTEGER NOT NULL, n INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, n)
     ) STRICT;
     CREATE TABLE checkpoints (
         size INTEGER PRIMARY KEY, note TEXT NOT NULL, cosigned INTEGER NOT NULL
     ) STRICT;",
    // 5: sessions of agents, sealed under their team's key.
    "CREATE TABLE sessions (
         session BLOB NOT NULL, number INTEGER NOT NULL, team BLOB NOT NULL, sealed BLOB NOT NULL,
         PRIMARY KEY (session, number)
     ) STRICT;",
];

/// The version this binary writes.
pub(crate) const VERSION: u32 = STEPS.len() as u32;

pub(crate) fn version(connection: &Connection) -> Result<u32, Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).sql()
}

/// Brings the file to this binary's version, or refuses a newer one.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    migrate_by(connection, path, STEPS)
}

/// The same by other steps than the platform's.
pub(crate) fn migrate_by(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), Error> {
    let (found, known) = (version(connection)?, steps.len() as u32);
    if found > known {
        return Err(Error::Newer { path: path.display().to_string(), found, known });
    }
    run_steps(connection, steps)
}

/// Runs those that the file has not.
pub(crate) fn run_steps(connection: &mut Connection, steps: &[&str]) -> Result<(), Error> {
    for (number, step) in (1u32..).zip(steps) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).sql()?;
        if version(&transaction)? >= number {
            continue;
        }
        transaction.execute_batch(step).sql()?;
        transaction.pragma_update(None, "user_version", number).sql()?;
        transaction.commit().sql()?;
    }
    Ok(())
}
