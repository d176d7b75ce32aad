//! The audit log: leaves, full tiles of their hashes, checkpoints.

use rusqlite::{Connection, OptionalExtension, Row};
use store::{CHECKPOINTS_KEPT, CheckpointRow, Error, LEAVES_MAX, TileRow};
use units::RequestId;

use crate::error::Sqlite;

/// The number of the leaf to come.
pub(crate) fn next(connection: &Connection) -> Result<i64, Error> {
    connection.query_row("SELECT coalesce(max(n) + 1, 0) FROM leaves", [], |row| row.get(0)).sql()
}

pub(crate) fn append(connection: &Connection, n: i64, leaf: &[u8]) -> Result<(), Error> {
    let mut statement = connection.prepare_cached("INSERT INTO leaves (n, leaf) VALUES (?1, ?2)").sql()?;
    statement.execute((n, leaf)).map(|_| ()).sql()
}

pub(crate) fn size(connection: &Connection) -> Result<u64, Error> {
    next(connection).map(|n| n.max(0) as u64)
}

pub(crate) fn leaves(connection: &Connection, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, Error> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    let mut statement =
        connection.prepare_cached("SELECT n, leaf FROM leaves WHERE n >= ?1 ORDER BY n LIMIT ?2").sql()?;
    let mut rows = statement.query((from, limit.min(LEAVES_MAX) as i64)).sql()?;
    let mut leaves = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let n: i64 = row.get(0).sql()?;
        let wanted = from + leaves.len() as i64;
        if n != wanted {
            return Err(Error::Damaged(format!("leaf {wanted} of the audit log is missing")));
        }
        leaves.push(row.get(1).sql()?);
    }
    Ok(leaves)
}

pub(crate) fn leaf_of(connection: &Connection, request: RequestId) -> Result<Option<u64>, Error> {
    let sql = "SELECT leaf FROM records JOIN requests USING (seq) WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let found: Option<Option<i64>> =
        statement.query_row([request.0.as_bytes()], |row| row.get(0)).optional().sql()?;
    Ok(found.flatten().map(|n| n.max(0) as u64))
}

/// Inside a transaction.
pub(crate) fn publish(
    connection: &Connection,
    tiles: &[TileRow],
    checkpoint: &CheckpointRow,
) -> Result<(), Error> {
    let number = |n: u64| i64::try_from(n).map_err(|_| Error::Damaged(format!("a log of {n} leaves")));
    for tile in tiles {
        connection
            .prepare_cached("INSERT OR REPLACE INTO tiles (level, n, hashes) VALUES (?1, ?2, ?3)")
            .sql()?
            .execute((tile.level, number(tile.n)?, &tile.hashes))
            .sql()?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO checkpoints (size, note, cosigned) VALUES (?1, ?2, ?3)")
        .sql()?
        .execute((number(checkpoint.size)?, &checkpoint.note, checkpoint.cosigned))
        .sql()?;
    connection
        .prepare_cached(
            "DELETE FROM checkpoints WHERE cosigned = 0 AND size <
                 (SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?1)",
        )
        .sql()?
        .execute([CHECKPOINTS_KEPT as i64 - 1])
        .map(|_| ())
        .sql()
}

pub(crate) fn tile(connection: &Connection, level: u8, n: u64) -> Result<Option<Vec<u8>>, Error> {
    let Ok(n) = i64::try_from(n) else { return Ok(None) };
    let mut statement =
        connection.prepare_cached("SELECT hashes FROM tiles WHERE level = ?1 AND n = ?2").sql()?;
    statement.query_row((level, n), |row| row.get(0)).optional().sql()
}

pub(crate) fn checkpoints(connection: &Connection, limit: usize) -> Result<Vec<CheckpointRow>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection
        .prepare_cached("SELECT size, note, cosigned FROM checkpoints ORDER BY size DESC LIMIT ?1")
        .sql()?;
    let rows = statement.query_map([limit], row).sql()?;
    rows.collect::<Result<_, _>>().sql()
}

pub(crate) fn last_cosigned(connection: &Connection) -> Result<Option<CheckpointRow>, Error> {
    let sql = "SELECT size, note, cosigned FROM checkpoints WHERE cosigned = 1 ORDER BY size DESC LIMIT 1";
    connection.prepare_cached(sql).sql()?.query_row([], row).optional().sql()
}

fn row(row: &Row<'_>) -> rusqlite::Result<CheckpointRow> {
    let size: i64 = row.get(0)?;
    Ok(CheckpointRow { size: size.max(0) as u64, note: row.get(1)?, cosigned: row.get(2)? })
}
