//! Full text. FTS5 finds the chunks that hold a term; each is looked up in the
//! narrow table of what may be found, before anything is weighed or sorted. So
//! there are never fewer hits than `limit` while the reader may read more.

use rusqlite::Connection;
use store::Error;
use store::documents::{ChunkId, Classes, Hit, TERMS_MAX};
use units::CollectionId;

use super::{collections, schema, values};
use crate::error::Sqlite;

/// Bytes of one term that are looked at.
const TERM_BYTES_MAX: usize = 400;

pub(crate) fn search(
    connection: &Connection,
    classes: &Classes,
    collection: CollectionId,
    terms: &[String],
    limit: usize,
) -> Result<Vec<Hit>, Error> {
    let (Some(n), Some(expression)) = (collections::number(connection, collection)?, expression(terms))
    else {
        return Ok(Vec::new());
    };
    if classes.is_empty() {
        return Ok(Vec::new());
    }
    let fts = schema::fts(n);
    // CROSS JOIN: in this order, whatever the planner estimates.
    let sql = format!(
        "SELECT {fts}.rowid, {fts}.rank FROM {fts} CROSS JOIN acl
         WHERE {fts} MATCH ?1 AND acl.collection = ?2 AND acl.chunk = {fts}.rowid
           AND acl.class IN (SELECT value FROM json_each(?3))
         ORDER BY {fts}.rank, {fts}.rowid LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let classes = values::json_numbers(classes.iter().map(|class| u64::from(class.0)));
    let rows = statement.query_map((&expression, n, classes, values::limit(limit)), |row| {
        Ok(Hit { chunk: values::chunk(row, 0)?, score: -row.get::<_, f64>(1)? as f32 })
    });
    rows.sql()?.collect::<Result<_, _>>().sql()
}

/// What each chunk is worth for a term, in no order: what it adds to the score of a search for
/// several.
pub(crate) fn worth(connection: &Connection, n: i64, term: &str) -> Result<Vec<(ChunkId, f32)>, Error> {
    let fts = schema::fts(n);
    let sql = format!("SELECT rowid, rank FROM {fts} WHERE {fts} MATCH ?1");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let rows = statement
        .query_map([quoted(term)], |row| Ok((values::chunk(row, 0)?, -row.get::<_, f64>(1)? as f32)));
    rows.sql()?.collect::<Result<_, _>>().sql()
}

/// The terms as strings of FTS5's language, any of which may fit: what is quoted
/// is never an operator. `None` when there is none.
pub(crate) fn expression(terms: &[String]) -> Option<String> {
    let quoted: Vec<String> = looked_at(terms).map(|term| quoted(&term)).collect();
    (!quoted.is_empty()).then(|| quoted.join(" OR "))
}

fn quoted(term: &str) -> String {
    format!("\"{}\"", term.replace('"', "\"\""))
}

/// What is looked at of a query.
pub(crate) fn looked_at(terms: &[String]) -> impl Iterator<Item = String> {
    let terms = terms.iter().take(TERMS_MAX).map(|term| {
        let end = term.floor_char_boundary(TERM_BYTES_MAX);
        // A zero byte would end the expression.
        term[..end].replace('\0', " ")
    });
    terms.filter(|term| !term.trim().is_empty())
}
