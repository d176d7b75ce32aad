//! Columns as the port's values, and back.

use rusqlite::Row;
use store::Error;
use store::documents::{ChunkId, Lexing, Speaker, Trust, half};
use units::{Labels, Uuid7};

use crate::error::Sqlite;

pub(crate) fn id(row: &Row<'_>, column: usize) -> Result<Uuid7, Error> {
    row.get(column).map(Uuid7::from_bytes).sql()
}

/// A count as SQLite takes it; none is that large.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn count(row: &Row<'_>, column: usize) -> Result<u64, Error> {
    let n: i64 = row.get(column).sql()?;
    u64::try_from(n).map_err(|_| Error::Damaged(format!("{n} is no count")))
}

pub(crate) fn chunk(row: &Row<'_>, column: usize) -> rusqlite::Result<ChunkId> {
    row.get::<_, i64>(column).map(|n| ChunkId(n.max(0) as u64))
}

pub(crate) fn labels(row: &Row<'_>, column: usize) -> Result<Labels, Error> {
    let text: String = row.get(column).sql()?;
    text.parse::<Labels>().map_err(|e| Error::Damaged(format!("labels: {e}")))
}

pub(crate) fn vector(row: &Row<'_>, column: usize) -> Result<Vec<f32>, Error> {
    let bytes = row.get_ref(column).sql()?.as_blob().map_err(|e| Error::Damaged(e.to_string()))?;
    half::decode(bytes).ok_or_else(|| Error::Damaged(format!("a vector of {} bytes", bytes.len())))
}

/// The stored number of one of `all`.
pub(crate) fn number<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).unwrap_or_default() as u8
}

fn of_number<T: Copy>(all: &[T], row: &Row<'_>, column: usize) -> Result<T, Error> {
    let n: u8 = row.get(column).sql()?;
    all.get(usize::from(n)).copied().ok_or_else(|| Error::Damaged(format!("number {n} of {}", all.len())))
}

pub(crate) fn lexing(row: &Row<'_>, column: usize) -> Result<Lexing, Error> {
    of_number(&Lexing::ALL, row, column)
}

pub(crate) fn trust(row: &Row<'_>, column: usize) -> Result<Trust, Error> {
    of_number(&Trust::ALL, row, column)
}

pub(crate) fn speaker(row: &Row<'_>, column: usize) -> Result<Speaker, Error> {
    of_number(&Speaker::ALL, row, column)
}

/// Numbers for a statement's `json_each`: digits and commas alone.
pub(crate) fn json_numbers(numbers: impl Iterator<Item = u64>) -> String {
    let all: Vec<String> = numbers.map(|n| n.to_string()).collect();
    format!("[{}]", all.join(","))
}

/// A limit as SQLite takes it, within the port's.
pub(crate) fn limit(limit: usize) -> i64 {
    limit.min(store::documents::PAGE_MAX) as i64
}
