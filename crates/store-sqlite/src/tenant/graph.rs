//! Edges between entities.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use store::Error;
use store::documents::{AclClass, ChunkId, Edge, NewEdge, PAGE_MAX, Trust};
use units::{CollectionId, Micros};

use super::fetch::Reading;
use super::{collections, values};
use crate::error::Sqlite;

pub(crate) fn relate(connection: &Connection, edges: &[Edge]) -> Result<u64, Error> {
    let sql = "INSERT OR IGNORE INTO edges (source, relation, target, chunk, valid_from, valid_to)
               SELECT ?1, ?2, ?3, id, ?5, ?6 FROM chunks WHERE id = ?4";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut added = 0;
    for edge in edges {
        let times = (edge.valid_from.map(|at| at.0), edge.valid_to.map(|at| at.0));
        let values = (&edge.from, &edge.relation, &edge.to, values::int(edge.chunk.0), times.0, times.1);
        added += statement.execute(values).sql()? as u64;
    }
    Ok(added)
}

/// Edges of a document that is put, by the numbers that its chunks have got.
pub(crate) fn add(connection: &Connection, edges: &[NewEdge], chunks: &[ChunkId]) -> Result<(), Error> {
    let sql = "INSERT OR IGNORE INTO edges (source, relation, target, chunk) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = connection.prepare_cached(sql).sql()?;
    for edge in edges {
        let chunk = chunks[edge.chunk as usize];
        statement.execute((&edge.from, &edge.relation, &edge.to, values::int(chunk.0))).sql()?;
    }
    Ok(())
}

/// An edge with its number, and by what it may be read: the narrow table chooses, and the
/// document's own row is asked again, because names are text.
const EDGE: &str = "e.n, e.source, e.relation, e.target, e.chunk, e.valid_from, e.valid_to,
     documents.class, documents.trust";
const RIGHTS: &str = "JOIN chunks ON chunks.id = e.chunk JOIN documents ON documents.n = chunks.document";

pub(crate) fn edges(
    connection: &Connection,
    reading: &Reading<'_>,
    collection: CollectionId,
    entities: &[String],
    per_entity: usize,
) -> Result<Vec<Edge>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(Vec::new()) };
    let classes = values::json_numbers(reading.classes().iter().map(|class| u64::from(class.0)));
    let limit = values::limit(per_entity);
    // By an index of its own, in which an entity's edges stand in the order of their numbers,
    // so that the first few of many are found without looking at the others.
    let of_end = |end: &str, index: &str| {
        format!(
            "SELECT {EDGE} FROM edges AS e INDEXED BY {index}
             CROSS JOIN acl ON acl.collection = ?2 AND acl.chunk = e.chunk {RIGHTS}
             WHERE e.{end} = ?1 AND acl.class IN (SELECT value FROM json_each(?3))
             ORDER BY e.n LIMIT ?4"
        )
    };
    let mut found = BTreeMap::new();
    for entity in entities {
        let mut own = BTreeMap::new();
        for (end, index) in [("source", "edges_by_source"), ("target", "edges_by_target")] {
            let mut statement = connection.prepare_cached(&of_end(end, index)).sql()?;
            collect(statement.query((entity, n, &classes, limit)).sql()?, reading, &mut own)?;
        }
        found.extend(own.into_iter().take(limit as usize));
        if found.len() > PAGE_MAX {
            break;
        }
    }
    Ok(found.into_values().take(PAGE_MAX).collect())
}

pub(crate) fn edges_of_chunks(
    connection: &Connection,
    reading: &Reading<'_>,
    chunks: &[ChunkId],
    per_chunk: usize,
) -> Result<Vec<Edge>, Error> {
    let sql = format!("SELECT {EDGE} FROM edges AS e {RIGHTS} WHERE e.chunk = ?1 ORDER BY e.n LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut found = BTreeMap::new();
    for chunk in chunks.iter().take(PAGE_MAX) {
        let rows = statement.query((values::int(chunk.0), values::limit(per_chunk))).sql()?;
        collect(rows, reading, &mut found)?;
        if found.len() > PAGE_MAX {
            break;
        }
    }
    Ok(found.into_values().take(PAGE_MAX).collect())
}

fn collect(
    mut rows: rusqlite::Rows<'_>,
    reading: &Reading<'_>,
    found: &mut BTreeMap<i64, Edge>,
) -> Result<(), Error> {
    while let Some(row) = rows.next().sql()? {
        if reading.may(AclClass(row.get(7).sql()?)) && values::trust(row, 8)? != Trust::Quarantined {
            found.insert(row.get(0).sql()?, edge(row)?);
        }
    }
    Ok(())
}

fn edge(row: &Row<'_>) -> Result<Edge, Error> {
    let time = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(Micros)).sql();
    Ok(Edge {
        from: row.get(1).sql()?,
        relation: row.get(2).sql()?,
        to: row.get(3).sql()?,
        chunk: values::chunk(row, 4).sql()?,
        valid_from: time(5)?,
        valid_to: time(6)?,
    })
}
