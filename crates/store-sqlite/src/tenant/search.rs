//! Full text. FTS5 finds the chunks that hold a term; each is looked up in the
//! narrow table of what may be found, before anything is weighed or sorted. So
//! there are never fewer hits than `limit` while the reader may read more.

use rusqlite::Connection;
use store::Error;
use store::documents::{Classes, Hit, TERMS_MAX};
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

/// The terms as strings of FTS5's language, any of which may fit: what is quoted
/// is never an operator. `None` when there is none.
pub(crate) fn expression(terms: &[String]) -> Option<String> {
    let mut all = String::new();
    for term in terms.iter().take(TERMS_MAX) {
        let mut end = term.len().min(TERM_BYTES_MAX);
        while !term.is_char_boundary(end) {
            end -= 1;
        }
        // A zero byte would end the expression.
        let term = term[..end].replace('\0', " ").replace('"', "\"\"");
        if term.trim().is_empty() {
            continue;
        }
        if !all.is_empty() {
            all.push_str(" OR ");
        }
        all.push('"');
        all.push_str(&term);
        all.push('"');
    }
    (!all.is_empty()).then_some(all)
}
