//! What is derived from the records: the index by request id and the totals.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use store::totals::{TOKENS_TOTAL_MAX, Total, TotalKey, Totals};
use store::{Error, Record, codec};
use units::RequestId;

use crate::books::{begin, end};
use crate::error::Sqlite;

/// Pico-dollars in a dollar: a total is kept as dollars and the rest, since a
/// day's total may pass 64 bits of pico-dollars (9.2 million USD).
pub(crate) const PICO: i128 = 1_000_000_000_000;

/// Rows per transaction: about 2 ms of work, for which an append may wait.
pub(crate) const GROUP: usize = 512;

/// Derives the oldest of `pending`, at most [`GROUP`], and removes them from it.
/// Not synced by itself: the next append's commit is, and what a crash takes is
/// derived again.
pub(crate) fn derive(
    connection: &Connection,
    pending: &mut VecDeque<(i64, Arc<Record>)>,
) -> Result<(), Error> {
    let count = pending.len().min(GROUP);
    let Some((last, _)) = count.checked_sub(1).and_then(|at| pending.get(at)) else { return Ok(()) };
    connection.execute_batch("PRAGMA synchronous = NORMAL").sql()?;
    let result = begin(connection).and_then(|()| {
        let work = derive_rows(connection, pending.iter().take(count), *last);
        end(connection, work)
    });
    connection.execute_batch("PRAGMA synchronous = FULL").sql()?;
    result?;
    pending.drain(..count);
    Ok(())
}

fn derive_rows<'a>(
    connection: &Connection,
    rows: impl Iterator<Item = &'a (i64, Arc<Record>)>,
    last: i64,
) -> Result<(), Error> {
    let mut totals = Totals::default();
    let mut index =
        connection.prepare_cached("INSERT OR IGNORE INTO requests (id, seq) VALUES (?1, ?2)").sql()?;
    for (seq, record) in rows {
        if index.execute((record.id.0.as_bytes(), seq)).sql()? == 1 {
            totals.add(record);
        } else {
            // Settled twice: the first stays.
            connection.prepare_cached("DELETE FROM records WHERE seq = ?1").sql()?.execute([seq]).sql()?;
        }
    }
    for (key, total) in &totals.0 {
        add_total(connection, key, total)?;
    }
    connection
        .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'derived'")
        .sql()?
        .execute([last])
        .map(|_| ())
        .sql()
}

fn add_total(connection: &Connection, key: &TotalKey, total: &Total) -> Result<(), Error> {
    let tokens = total.usage.0.map(i64::try_from).map(|t| t.expect("totals stop below 2^62"));
    let usd = i64::try_from(total.cost_pico.div_euclid(PICO))
        .map_err(|_| Error::Damaged(format!("a total of {} pico-dollars", total.cost_pico)))?;
    let pico = total.cost_pico.rem_euclid(PICO) as i64;
    connection
        .prepare_cached(
            "INSERT INTO spend VALUES
                 (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
             ON CONFLICT DO UPDATE SET
                 attempts = attempts + excluded.attempts,
                 estimated = estimated + excluded.estimated,
                 unpriced = unpriced + excluded.unpriced,
                 input = min(input + excluded.input, ?19),
                 cache_read = min(cache_read + excluded.cache_read, ?19),
                 cache_write = min(cache_write + excluded.cache_write, ?19),
                 cache_write_1h = min(cache_write_1h + excluded.cache_write_1h, ?19),
                 input_audio = min(input_audio + excluded.input_audio, ?19),
                 output = min(output + excluded.output, ?19),
                 reasoning = min(reasoning + excluded.reasoning, ?19),
                 output_audio = min(output_audio + excluded.output_audio, ?19),
                 cost_usd = cost_usd + excluded.cost_usd + (cost_pico + excluded.cost_pico) / 1000000000000,
                 cost_pico = (cost_pico + excluded.cost_pico) % 1000000000000",
        )
        .sql()?
        .execute(rusqlite::params![
            key.day.0,
            key.team.0.as_bytes(),
            key.key.0.as_bytes(),
            key.model,
            key.target,
            total.attempts as i64,
            total.estimated as i64,
            total.unpriced as i64,
            tokens[0],
            tokens[1],
            tokens[2],
            tokens[3],
            tokens[4],
            tokens[5],
            tokens[6],
            tokens[7],
            usd,
            pico,
            TOKENS_TOTAL_MAX as i64,
        ])
        .map(|_| ())
        .sql()
}

/// Whether the request was settled, as far as it is derived.
pub(crate) fn is_settled(connection: &Connection, request: RequestId) -> Result<bool, Error> {
    connection
        .prepare_cached("SELECT 1 FROM requests WHERE id = ?1")
        .sql()?
        .query_row([request.0.as_bytes()], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
        .sql()
}

/// Derives what a crash left behind, in groups.
pub(crate) fn catch_up(connection: &Connection) -> Result<(), Error> {
    loop {
        let derived: i64 = connection
            .query_row("SELECT value FROM meta WHERE name = 'derived'", [], |row| row.get(0))
            .sql()?;
        let mut rows = connection
            .prepare_cached("SELECT seq, record FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2")
            .sql()?;
        let mut pending = VecDeque::new();
        let mut found = rows.query((derived, GROUP as i64)).sql()?;
        while let Some(row) = found.next().sql()? {
            let bytes = row.get_ref(1).sql()?.as_blob().map_err(|e| Error::Damaged(e.to_string()))?;
            pending.push_back((row.get(0).sql()?, Arc::new(codec::decode_record(bytes)?)));
        }
        drop(found);
        if pending.is_empty() {
            return Ok(());
        }
        derive(connection, &mut pending)?;
    }
}
