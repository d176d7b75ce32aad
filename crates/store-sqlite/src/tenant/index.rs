//! Rows for the indexes in memory.

use rusqlite::Connection;
use store::Error;
use store::documents::{AclClass, ChunkId, IndexRow, Unembedded};
use units::CollectionId;

use super::{collections, fetch, schema, values};
use crate::error::Sqlite;

pub(crate) fn classes(
    connection: &Connection,
    collection: CollectionId,
    after: Option<ChunkId>,
    limit: usize,
) -> Result<Vec<(ChunkId, AclClass)>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(Vec::new()) };
    let sql = "SELECT chunk, class FROM acl WHERE collection = ?1 AND chunk > ?2 ORDER BY chunk LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let after = after.map_or(0, |id| values::int(id.0));
    let rows = statement.query_map((n, after, values::limit(limit)), |row| {
        Ok((values::chunk(row, 0)?, AclClass(row.get(1)?)))
    });
    rows.sql()?.collect::<Result<_, _>>().sql()
}

pub(crate) fn rows(
    connection: &Connection,
    collection: CollectionId,
    generation: u32,
    after: Option<ChunkId>,
    limit: usize,
) -> Result<Vec<IndexRow>, Error> {
    let Some(n) = fetch::existing(connection, collection, generation)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT acl.chunk, class, vector FROM acl CROSS JOIN {} AS v ON v.chunk = acl.chunk
         WHERE acl.collection = ?1 AND acl.chunk > ?2 ORDER BY acl.chunk LIMIT ?3",
        schema::vectors(n, generation)
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows =
        statement.query((n, after.map_or(0, |id| values::int(id.0)), values::limit(limit))).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        found.push(IndexRow {
            chunk: values::chunk(row, 0).sql()?,
            class: AclClass(row.get(1).sql()?),
            vector: values::vector(row, 2)?,
        });
    }
    Ok(found)
}

pub(crate) fn unembedded(
    connection: &Connection,
    collection: CollectionId,
    generation: u32,
    limit: usize,
) -> Result<Vec<Unembedded>, Error> {
    let found = collections::get(connection, collection)?;
    collections::generation(&found, generation)?;
    let sql = format!(
        "SELECT chunks.id, heading, text, labels FROM documents CROSS JOIN chunks ON chunks.document = documents.n
         WHERE collection = ?1 AND NOT EXISTS (SELECT 1 FROM {} AS v WHERE v.chunk = chunks.id) LIMIT ?2",
        schema::vectors(found.n, generation)
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query((found.n, values::limit(limit))).sql()?;
    let mut without = Vec::new();
    while let Some(row) = rows.next().sql()? {
        without.push(Unembedded {
            chunk: values::chunk(row, 0).sql()?,
            heading: row.get(1).sql()?,
            text: row.get(2).sql()?,
            labels: values::labels(row, 3)?,
        });
    }
    Ok(without)
}

pub(crate) fn revision(connection: &Connection, collection: CollectionId) -> Result<u64, Error> {
    let n = collections::number(connection, collection)?.ok_or_else(|| collections::missing(collection))?;
    let sql = "SELECT revision FROM collections WHERE n = ?1";
    let mut statement = connection.prepare_cached(sql).sql()?;
    statement.query_row([n], |row| row.get::<_, i64>(0)).map(|revision| revision as u64).sql()
}
