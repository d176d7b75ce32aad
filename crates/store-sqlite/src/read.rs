//! What readers ask.

use rusqlite::{Connection, OptionalExtension, Row};
use store::totals::{Total, TotalKey, Totals, count_unbalanced};
use store::{
    Error, LedgerCheck, Posting, Record, SETTLEMENTS_MAX, Settlement, SpendQuery, SpendRow, UsageRow, codec,
};
use units::{Day, KeyId, RequestId, TeamId, Usd, Uuid7};

use crate::derive::PICO;
use crate::error::Sqlite;

fn blob(row: &Row<'_>, column: usize) -> Result<Vec<u8>, Error> {
    row.get(column).sql()
}

fn column_of(connection: &Connection, column: &str, id: RequestId) -> Result<Option<Vec<u8>>, Error> {
    let sql = format!("SELECT {column} FROM records JOIN requests USING (seq) WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    statement.query_row([id.0.as_bytes()], |row| row.get(0)).optional().sql()
}

pub(crate) fn record(connection: &Connection, id: RequestId) -> Result<Option<Record>, Error> {
    column_of(connection, "record", id)?.map(|bytes| codec::decode_record(&bytes)).transpose()
}

pub(crate) fn postings(connection: &Connection, id: RequestId) -> Result<Vec<Posting>, Error> {
    let bytes = column_of(connection, "postings", id)?;
    bytes.map_or_else(|| Ok(Vec::new()), |bytes| codec::decode_postings(&bytes))
}

pub(crate) fn recent(connection: &Connection, limit: usize) -> Result<Vec<Record>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT record FROM records ORDER BY seq DESC LIMIT ?1").sql()?;
    let mut rows = statement.query([limit.min(store::RECENT_MAX) as i64]).sql()?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().sql()? {
        records.push(codec::decode_record(&blob(row, 0)?)?);
    }
    Ok(records)
}

pub(crate) fn settlements(
    connection: &Connection,
    number: u64,
    limit: usize,
) -> Result<Vec<Settlement>, Error> {
    let Ok(number) = i64::try_from(number) else { return Ok(Vec::new()) };
    let sql = "SELECT record, postings, seq, leaf FROM records WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((number, limit.min(SETTLEMENTS_MAX) as i64)).sql()?;
    let mut settlements = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let (number, leaf): (i64, Option<i64>) = (row.get(2).sql()?, row.get(3).sql()?);
        settlements.push(Settlement {
            number: number.max(0) as u64,
            record: codec::decode_record(&blob(row, 0)?)?,
            postings: codec::decode_postings(&blob(row, 1)?)?,
            leaf: leaf.map(|n| n.max(0) as u64),
        });
    }
    Ok(settlements)
}

pub(crate) fn spend(connection: &Connection, query: &SpendQuery) -> Result<Vec<SpendRow>, Error> {
    let mut statement = connection
        .prepare_cached(
            "SELECT * FROM spend
             WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR team = ?3) AND (?4 IS NULL OR key = ?4)
             ORDER BY day, team, key, model, target",
        )
        .sql()?;
    let team = query.team.map(|id| *id.0.as_bytes());
    let key = query.key.map(|id| *id.0.as_bytes());
    let rows = statement.query_map((query.from.0, query.to.0, team, key), read_total).sql()?;
    rows.map(|row| row.map(|(key, total)| total.row(&key))).collect::<Result<_, _>>().sql()
}

fn read_total(row: &Row<'_>) -> rusqlite::Result<(TotalKey, Total)> {
    let id = |at| -> rusqlite::Result<Uuid7> { row.get(at).map(Uuid7::from_bytes) };
    let count = |at| -> rusqlite::Result<u64> { row.get::<_, i64>(at).map(|n| n.max(0) as u64) };
    let mut usage = UsageRow::default();
    for (at, tokens) in (8..).zip(&mut usage.0) {
        *tokens = count(at)?;
    }
    let (usd, pico): (i64, i64) = (row.get(16)?, row.get(17)?);
    let key = TotalKey {
        day: Day(row.get(0)?),
        team: TeamId(id(1)?),
        key: KeyId(id(2)?),
        model: row.get(3)?,
        target: row.get(4)?,
    };
    let total = Total {
        attempts: count(5)?,
        estimated: count(6)?,
        unpriced: count(7)?,
        usage,
        cost_pico: i128::from(usd) * PICO + i128::from(pico),
    };
    Ok((key, total))
}

/// Reads every record: about 1 s per million here.
pub(crate) fn check(connection: &Connection) -> Result<LedgerCheck, Error> {
    // One transaction, so that the writer cannot move one side meanwhile.
    let transaction = connection.unchecked_transaction().sql()?;
    let mut check = LedgerCheck::default();
    let mut totals = Totals::default();
    let mut statement = transaction.prepare("SELECT record, postings FROM records").sql()?;
    let mut rows = statement.query([]).sql()?;
    while let Some(row) = rows.next().sql()? {
        totals.add(&codec::decode_record(&blob(row, 0)?)?);
        let postings = codec::decode_postings(&blob(row, 1)?)?;
        check.records += 1;
        check.postings += postings.len() as u64;
        check.unbalanced += count_unbalanced(&postings);
        check.sum_pico += Usd::sum(postings.iter().map(|p| p.amount));
    }
    let mut statement = transaction.prepare("SELECT * FROM spend").sql()?;
    let stored = statement.query_map([], read_total).sql()?;
    let stored = Totals(stored.collect::<Result<_, _>>().sql()?);
    let indexed: i64 = transaction
        .query_row("SELECT count(*) FROM requests JOIN records USING (seq)", [], |row| row.get(0))
        .sql()?;
    check.drifted = totals.drift(&stored) + check.records.abs_diff(indexed.max(0) as u64);
    Ok(check)
}

pub(crate) fn sealed_secret(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut statement = connection.prepare_cached("SELECT sealed FROM secrets WHERE name = ?1").sql()?;
    statement.query_row([name], |row| row.get(0)).optional().sql()
}

pub(crate) fn secret_names(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT name FROM secrets ORDER BY name").sql()?;
    let names = statement.query_map([], |row| row.get(0)).sql()?;
    names.collect::<Result<_, _>>().sql()
}
