//! Documents and chunks for a reader. Every row is asked by the list of readers
//! that its document has in the same transaction: the second check, which knows
//! nothing of what the search before it filtered by. A vector only ranks what this
//! check then lets out, so it is asked by the narrow table `acl` instead: its
//! document's own row lies behind a page of texts, whose decryption cost more than
//! the vector's.

use std::sync::Arc;

use rusqlite::{Connection, Row};
use store::Error;
use store::documents::{
    Acl, AclClass, Brought, Chunk, ChunkId, Classes, Counts, Document, Grade, Reader, Span, Trust, Version,
};
use units::{CollectionId, DocumentId, Micros};

use super::classes::KnownClasses;
use super::{collections, schema, values};
use crate::error::Sqlite;

/// A reader with the classes that it may read, and what they stand for.
pub(crate) struct Reading<'a> {
    known: &'a KnownClasses,
    reader: &'a Reader,
    may: Arc<Classes>,
}

impl<'a> Reading<'a> {
    pub fn new(known: &'a KnownClasses, reader: &'a Reader) -> Reading<'a> {
        Reading { known, reader, may: known.mask(reader) }
    }
    pub fn reader(&self) -> &'a Reader {
        self.reader
    }
    pub fn classes(&self) -> &Arc<Classes> {
        &self.may
    }
    pub fn may(&self, class: AclClass) -> bool {
        self.may.has(class)
    }
}

const DOCUMENT: &str = "documents.id, collections.id, source, version, hash, title, format, class,
     documents.labels, trust, batch, modified, documents.created, updated, chunks, bytes";

fn document_row(row: &Row<'_>, reading: &Reading<'_>) -> Result<Option<Document>, Error> {
    let class = AclClass(row.get(7).sql()?);
    if !reading.may(class) {
        return Ok(None);
    }
    let Some(acl) = reading.known.acl(class) else { return Ok(None) };
    Ok(Some(Document {
        id: DocumentId(values::id(row, 0)?),
        collection: CollectionId(values::id(row, 1)?),
        source: row.get(2).sql()?,
        version: row.get(3).sql()?,
        hash: row.get(4).sql()?,
        title: row.get(5).sql()?,
        format: row.get(6).sql()?,
        acl,
        class,
        labels: values::labels(row, 8)?,
        trust: values::trust(row, 9)?,
        batch: row.get(10).sql()?,
        modified: row.get::<_, Option<i64>>(11).sql()?.map(Micros),
        created: Micros(row.get(12).sql()?),
        updated: Micros(row.get(13).sql()?),
        chunks: row.get(14).sql()?,
        bytes: values::count(row, 15)?,
    }))
}

pub(crate) fn document(
    connection: &Connection,
    reading: &Reading<'_>,
    id: DocumentId,
) -> Result<Option<Document>, Error> {
    let sql = format!(
        "SELECT {DOCUMENT} FROM documents JOIN collections ON collections.n = collection WHERE documents.id = ?1"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query([id.0.as_bytes()]).sql()?;
    rows.next().sql()?.map_or(Ok(None), |row| document_row(row, reading))
}

pub(crate) fn documents(
    connection: &Connection,
    reading: &Reading<'_>,
    collection: CollectionId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Document>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {DOCUMENT} FROM documents JOIN collections ON collections.n = collection
         WHERE collection = ?1 AND source > ?2 ORDER BY source"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    // Every source is longer than nothing.
    let mut rows = statement.query((n, after.unwrap_or(""))).sql()?;
    let limit = values::limit(limit) as usize;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next().sql()? else { break };
        found.extend(document_row(row, reading)?);
    }
    Ok(found)
}

const CHUNK: &str = "chunks.id, documents.id, version, collections.id, chunks.n, text, heading, start, stop,
     source, title, documents.labels, trust, batch, modified, updated, class";
const CHUNK_FROM: &str = "chunks JOIN documents ON documents.n = chunks.document
     JOIN collections ON collections.n = documents.collection";

fn chunk_row(row: &Row<'_>) -> Result<Chunk, Error> {
    Ok(Chunk {
        id: values::chunk(row, 0).sql()?,
        document: DocumentId(values::id(row, 1)?),
        version: row.get::<_, Version>(2).sql()?,
        collection: CollectionId(values::id(row, 3)?),
        n: row.get(4).sql()?,
        text: row.get(5).sql()?,
        heading: row.get(6).sql()?,
        span: Span { start: values::count(row, 7)?, end: values::count(row, 8)? },
        source: row.get(9).sql()?,
        title: row.get(10).sql()?,
        labels: values::labels(row, 11)?,
        trust: values::trust(row, 12)?,
        batch: row.get(13).sql()?,
        modified: row.get::<_, Option<i64>>(14).sql()?.map(Micros),
        updated: Micros(row.get(15).sql()?),
    })
}

pub(crate) fn chunks(
    connection: &Connection,
    reading: &Reading<'_>,
    ids: &[ChunkId],
) -> Result<Vec<Chunk>, Error> {
    let sql = format!("SELECT {CHUNK} FROM {CHUNK_FROM} WHERE chunks.id = ?1");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids.iter().take(store::documents::PAGE_MAX) {
        let mut rows = statement.query([values::int(id.0)]).sql()?;
        let Some(row) = rows.next().sql()? else { continue };
        if reading.may(AclClass(row.get(16).sql()?)) && values::trust(row, 12)? != Trust::Quarantined {
            found.push(chunk_row(row)?);
        }
    }
    Ok(found)
}

pub(crate) fn document_chunks(
    connection: &Connection,
    reading: &Reading<'_>,
    id: DocumentId,
    from: u32,
    limit: usize,
) -> Result<Vec<Chunk>, Error> {
    let sql = format!(
        "SELECT {CHUNK} FROM {CHUNK_FROM} WHERE documents.id = ?1 AND chunks.n >= ?2 ORDER BY chunks.n LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query((id.0.as_bytes(), from, values::limit(limit))).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        if reading.may(AclClass(row.get(16).sql()?)) {
            found.push(chunk_row(row)?);
        }
    }
    Ok(found)
}

pub(crate) fn vectors(
    connection: &Connection,
    reading: &Reading<'_>,
    collection: CollectionId,
    generation: u32,
    ids: &[ChunkId],
) -> Result<Vec<(ChunkId, Vec<f32>)>, Error> {
    let Some(n) = existing(connection, collection, generation)? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT vector, class FROM {} AS v JOIN acl ON acl.collection = ?2 AND acl.chunk = v.chunk
         WHERE v.chunk = ?1",
        schema::vectors(n, generation)
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids.iter().take(store::documents::PAGE_MAX) {
        let mut rows = statement.query((values::int(id.0), n)).sql()?;
        let Some(row) = rows.next().sql()? else { continue };
        if reading.may(AclClass(row.get(1).sql()?)) {
            found.push((*id, values::vector(row, 0)?));
        }
    }
    Ok(found)
}

/// The collection's number, if it has that generation.
pub(crate) fn existing(
    connection: &Connection,
    collection: CollectionId,
    generation: u32,
) -> Result<Option<i64>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(None) };
    let sql = "SELECT 1 FROM generations WHERE collection = ?1 AND number = ?2";
    let exists = connection.prepare_cached(sql).sql()?.exists((n, generation)).sql()?;
    Ok(exists.then_some(n))
}

pub(crate) fn counts(
    connection: &Connection,
    reading: &Reading<'_>,
    collection: CollectionId,
) -> Result<Counts, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(Counts::default()) };
    let sql = "SELECT class, count(*), sum(chunks), sum(trust = 0) FROM documents WHERE collection = ?1
               GROUP BY class";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query([n]).sql()?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next().sql()? {
        if reading.may(AclClass(row.get(0).sql()?)) {
            counts.documents += values::count(row, 1)?;
            counts.chunks += values::count(row, 2)?;
            counts.quarantined += values::count(row, 3)?;
        }
    }
    Ok(counts)
}

pub(crate) fn are_current(
    connection: &Connection,
    collection: CollectionId,
    sources: &[(String, [u8; 32])],
) -> Result<Vec<bool>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(vec![false; sources.len()]) };
    let sql = "SELECT 1 FROM documents WHERE collection = ?1 AND source = ?2 AND hash = ?3";
    let mut statement = connection.prepare_cached(sql).sql()?;
    sources.iter().map(|(source, hash)| statement.exists((n, source, hash)).sql()).collect()
}

pub(crate) fn grade_of(
    connection: &Connection,
    collection: CollectionId,
    source: &str,
) -> Result<Option<Grade>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(None) };
    let sql = "SELECT acl, labels, trust, batch FROM classes JOIN documents ON documents.class = classes.id
               WHERE collection = ?1 AND source = ?2";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((n, source)).sql()?;
    let Some(row) = rows.next().sql()? else { return Ok(None) };
    let text: String = row.get(0).sql()?;
    let acl = Acl::parse(&text).map_err(|e| Error::Damaged(format!("a list of readers: {e}")))?;
    let (labels, trust) = (values::labels(row, 1)?, values::trust(row, 2)?);
    Ok(Some(Grade { acl, labels, trust, batch: row.get(3).sql()? }))
}

pub(crate) fn brought(
    connection: &Connection,
    collection: CollectionId,
    batch: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Brought>, Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(Vec::new()) };
    let sql = "SELECT source, hash, mark FROM documents
               WHERE collection = ?1 AND batch = ?2 AND source > ?3 ORDER BY source LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let rows = statement.query_map((n, batch, after.unwrap_or(""), values::limit(limit)), |row| {
        Ok(Brought { source: row.get(0)?, hash: row.get(1)?, mark: row.get(2)? })
    });
    rows.sql()?.collect::<Result<_, _>>().sql()
}
