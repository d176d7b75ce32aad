//! Edges between entities.

use rusqlite::Connection;
use store::Error;
use store::documents::{AclClass, Edge, Trust};
use units::Micros;

use super::fetch::Reading;
use super::values;
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

pub(crate) fn edges(
    connection: &Connection,
    reading: &Reading<'_>,
    entities: &[String],
    limit: usize,
) -> Result<Vec<Edge>, Error> {
    // By either index; an edge of an entity with itself comes once.
    let sql = "SELECT e.n, e.source, e.relation, e.target, e.chunk, e.valid_from, e.valid_to, class, trust
               FROM (SELECT * FROM edges WHERE source = ?1
                     UNION SELECT * FROM edges WHERE target = ?1) AS e
               JOIN chunks ON chunks.id = e.chunk JOIN documents ON documents.n = chunks.document
               ORDER BY e.n";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let limit = values::limit(limit) as usize;
    let mut found = std::collections::BTreeMap::new();
    for entity in entities {
        let mut rows = statement.query([entity]).sql()?;
        while let Some(row) = rows.next().sql()? {
            if !reading.may(AclClass(row.get(7).sql()?)) || values::trust(row, 8)? == Trust::Quarantined {
                continue;
            }
            let time = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(Micros)).sql();
            let edge = Edge {
                from: row.get(1).sql()?,
                relation: row.get(2).sql()?,
                to: row.get(3).sql()?,
                chunk: values::chunk(row, 4).sql()?,
                valid_from: time(5)?,
                valid_to: time(6)?,
            };
            found.insert(row.get::<_, i64>(0).sql()?, edge);
            if found.len() > 2 * limit {
                break;
            }
        }
    }
    Ok(found.into_values().take(limit).collect())
}
