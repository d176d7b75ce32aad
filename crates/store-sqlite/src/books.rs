//! The append that a response waits for.

use rusqlite::Connection;
use store::Error;

use crate::error::Sqlite;
use crate::queue::Settled;

/// The highest row so far; 0 when there is none.
pub(crate) fn last_seq(connection: &Connection) -> Result<i64, Error> {
    connection.query_row("SELECT coalesce(max(seq), 0) FROM records", [], |row| row.get(0)).sql()
}

/// `leaf`: the number of its leaf in the audit log.
pub(crate) fn append(
    connection: &Connection,
    seq: i64,
    settled: &Settled,
    leaf: Option<i64>,
) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT INTO records (seq, at, record, postings, leaf) VALUES (?1, ?2, ?3, ?4, ?5)")
        .sql()?
        .execute((seq, settled.record.at.0, &settled.record_bytes, &settled.posting_bytes, leaf))
        .map(|_| ())
        .sql()
}

pub(crate) fn begin(connection: &Connection) -> Result<(), Error> {
    connection.prepare_cached("BEGIN IMMEDIATE").sql()?.execute([]).map(|_| ()).sql()
}

/// Commits, or rolls back: either way the connection is out of the transaction.
pub(crate) fn end(connection: &Connection, work: Result<(), Error>) -> Result<(), Error> {
    let result = work.and_then(|()| connection.prepare_cached("COMMIT").sql()?.execute([]).map(|_| ()).sql());
    if result.is_err() && !connection.is_autocommit() {
        // SQLite has rolled back by itself after some errors (a full disk) but not all.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}
