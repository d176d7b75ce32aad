//! Documents come, change and go: each function is part of one transaction.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, named_params};
use store::Error;
use store::documents::{
    Acl, AclClass, Change, ChunkId, Invalidated, NewChunk, NewDocument, Put, Reader, Removed, Trust, check,
    half,
};
use units::{CollectionId, DocumentId, Micros};

use super::classes::intern;
use super::collections::{self, Numbered};
use super::{graph, schema, values};
use crate::error::Sqlite;

/// What is compared of a document that there is.
struct Old {
    n: i64,
    id: DocumentId,
    version: u32,
    hash: [u8; 32],
    class: AclClass,
    /// Title, labels, trust: what answers were given under.
    said: (String, String, Trust),
    /// Format, batch, time.
    noted: (String, String, Option<i64>),
    mark: String,
}

fn old(connection: &Connection, collection: i64, source: &str) -> Result<Option<Old>, Error> {
    let sql = "SELECT n, id, version, hash, class, title, labels, trust, format, batch, modified, mark
               FROM documents WHERE collection = ?1 AND source = ?2";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((collection, source)).sql()?;
    let Some(row) = rows.next().sql()? else { return Ok(None) };
    Ok(Some(Old {
        n: row.get(0).sql()?,
        id: DocumentId(values::id(row, 1)?),
        version: row.get(2).sql()?,
        hash: row.get(3).sql()?,
        class: AclClass(row.get(4).sql()?),
        said: (row.get(5).sql()?, row.get(6).sql()?, values::trust(row, 7)?),
        noted: (row.get(8).sql()?, row.get(9).sql()?, row.get(10).sql()?),
        mark: row.get(11).sql()?,
    }))
}

pub(crate) fn put(connection: &Connection, documents: Vec<NewDocument>) -> Result<Vec<Put>, Error> {
    let mut known: Option<Numbered> = None;
    let mut puts = Vec::with_capacity(documents.len());
    for new in documents {
        // A batch is of one collection as a rule.
        let collection = match known.take().filter(|c| c.row.id == new.collection) {
            Some(collection) => collection,
            None => collections::get(connection, new.collection)?,
        };
        check::document(&new, &collection.row.live)?;
        puts.push(put_one(connection, &collection, new)?);
        known = Some(collection);
    }
    Ok(puts)
}

fn put_one(connection: &Connection, collection: &Numbered, new: NewDocument) -> Result<Put, Error> {
    let class = intern(connection, &new.acl)?;
    let old = old(connection, collection.n, &new.source)?;
    let mut put = Put {
        document: old.as_ref().map_or(new.id, |old| old.id),
        version: old.as_ref().map_or(1, |old| old.version),
        change: Change::Added,
        class,
        searched: new.trust != Trust::Quarantined,
        added: Vec::new(),
        kept: Vec::new(),
        removed: Vec::new(),
        invalidated: Invalidated::default(),
    };
    let Some(old) = old else {
        let n = insert(connection, collection.n, &new, class)?;
        put.added = add_chunks(connection, collection, n, &new, class)?;
        collections::touch(connection, collection.n)?;
        return Ok(put);
    };
    let said = (new.title.clone(), new.labels.to_string(), new.trust);
    let noted = (new.format.clone(), new.batch.clone(), new.modified.map(|at| at.0));
    put.change = if old.hash != new.hash {
        Change::Replaced
    } else if (class, &said, &noted) != (old.class, &old.said, &old.noted) {
        Change::Regraded
    } else {
        put.kept = chunk_ids(connection, old.n)?;
        put.change = Change::Unchanged;
        if old.mark != new.mark {
            set_mark(connection, collection.n, &new.source, &new.mark)?;
        }
        return Ok(put);
    };
    let anew = put.change == Change::Replaced || said != old.said;
    if put.change == Change::Replaced {
        put.invalidated = forget_dependants(connection, old.n)?;
        put.removed = remove_chunks(connection, collection.n, old.n)?;
        put.added = add_chunks(connection, collection, old.n, &new, class)?;
    } else {
        if anew {
            put.invalidated.answers = forget_answers(connection, old.n)?;
        }
        put.kept = chunk_ids(connection, old.n)?;
        allow(connection, collection.n, &put.kept, put.searched.then_some(class))?;
    }
    put.version += u32::from(anew);
    update(connection, old.n, &new, &put, anew)?;
    collections::touch(connection, collection.n)?;
    Ok(put)
}

fn bytes(chunks: &[NewChunk]) -> u64 {
    chunks.iter().map(|chunk| chunk.text.len() as u64).sum()
}

fn insert(
    connection: &Connection,
    collection: i64,
    new: &NewDocument,
    class: AclClass,
) -> Result<i64, Error> {
    let taken = "SELECT 1 FROM documents WHERE id = ?1";
    if connection.prepare_cached(taken).sql()?.exists([new.id.0.as_bytes()]).sql()? {
        return Err(Error::Exists { kind: "document", name: new.id.to_string() });
    }
    let sql = "INSERT INTO documents
                   (id, collection, source, version, hash, title, format, class, labels, trust, batch,
                    modified, mark, created, updated, chunks, bytes)
               VALUES (:id, :collection, :source, 1, :hash, :title, :format, :class, :labels, :trust, :batch,
                       :modified, :mark, :at, :at, :chunks, :bytes) RETURNING n";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let values = named_params! {
        ":id": new.id.0.as_bytes(),
        ":collection": collection,
        ":source": new.source,
        ":hash": new.hash,
        ":title": new.title,
        ":format": new.format,
        ":class": class.0,
        ":labels": new.labels.to_string(),
        ":trust": values::number(&Trust::ALL, &new.trust),
        ":batch": new.batch,
        ":modified": new.modified.map(|at| at.0),
        ":mark": new.mark,
        ":at": new.at.0,
        ":chunks": new.chunks.len() as i64,
        ":bytes": values::int(bytes(&new.chunks)),
    };
    statement.query_row(values, |row| row.get(0)).sql()
}

/// `anew`: it is another version, with the chunks that it now has if it was replaced.
fn update(connection: &Connection, n: i64, new: &NewDocument, put: &Put, anew: bool) -> Result<(), Error> {
    let sql = "UPDATE documents SET
                   version = :version, hash = :hash, title = :title, format = :format, class = :class,
                   labels = :labels, trust = :trust, batch = :batch, modified = :modified, mark = :mark,
                   updated = iif(:anew, :at, updated), chunks = iif(:replaced, :chunks, chunks),
                   bytes = iif(:replaced, :bytes, bytes)
               WHERE n = :n";
    let values = named_params! {
        ":n": n,
        ":version": put.version,
        ":hash": new.hash,
        ":title": new.title,
        ":format": new.format,
        ":class": put.class.0,
        ":labels": new.labels.to_string(),
        ":trust": values::number(&Trust::ALL, &new.trust),
        ":batch": new.batch,
        ":modified": new.modified.map(|at| at.0),
        ":mark": new.mark,
        ":anew": anew,
        ":at": new.at.0,
        ":replaced": put.change == Change::Replaced,
        ":chunks": new.chunks.len() as i64,
        ":bytes": values::int(bytes(&new.chunks)),
    };
    connection.prepare_cached(sql).sql()?.execute(values).map(|_| ()).sql()
}

/// Numbers, texts, terms, vectors, edges and, unless it is quarantined, the right to be found.
fn add_chunks(
    connection: &Connection,
    collection: &Numbered,
    document: i64,
    new: &NewDocument,
    class: AclClass,
) -> Result<Vec<ChunkId>, Error> {
    let count = new.chunks.len() as u64;
    let sql = "UPDATE meta SET value = value + ?1 WHERE name = 'chunk' RETURNING value";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let last: i64 = statement.query_row([values::int(count)], |row| row.get(0)).sql()?;
    let ids: Vec<ChunkId> = (last as u64 - count + 1..=last as u64).map(ChunkId).collect();
    let fts = schema::fts(collection.n);
    let live = collection.row.live.number;
    let mut chunk =
        connection.prepare_cached("INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)").sql()?;
    let terms = format!("INSERT INTO {fts} (rowid, heading, text) VALUES (?1, ?2, ?3)");
    let mut terms = connection.prepare_cached(&terms).sql()?;
    let vector = format!("INSERT INTO {} VALUES (?1, ?2)", schema::vectors(collection.n, live));
    let mut vector = connection.prepare_cached(&vector).sql()?;
    for ((n, id), new) in (0u32..).zip(&ids).zip(&new.chunks) {
        let span = (values::int(new.span.start), values::int(new.span.end));
        chunk.execute((values::int(id.0), document, n, &new.heading, &new.text, span.0, span.1)).sql()?;
        terms.execute((values::int(id.0), &new.heading, &new.text)).sql()?;
        vector.execute((values::int(id.0), half::encode(&new.vector))).sql()?;
    }
    graph::add(connection, &new.edges, &ids)?;
    collections::fill(connection, collection.n, live, count as i64)?;
    allow(connection, collection.n, &ids, (new.trust != Trust::Quarantined).then_some(class))?;
    Ok(ids)
}

/// What searches may find these chunks by; `None`: nothing.
fn allow(
    connection: &Connection,
    collection: i64,
    ids: &[ChunkId],
    class: Option<AclClass>,
) -> Result<(), Error> {
    match class {
        Some(class) => {
            let mut put =
                connection.prepare_cached("INSERT OR REPLACE INTO acl VALUES (?1, ?2, ?3)").sql()?;
            ids.iter()
                .try_for_each(|id| put.execute((collection, values::int(id.0), class.0)).map(|_| ()))
                .sql()
        }
        None => {
            let sql = "DELETE FROM acl WHERE collection = ?1 AND chunk = ?2";
            let mut remove = connection.prepare_cached(sql).sql()?;
            ids.iter().try_for_each(|id| remove.execute((collection, values::int(id.0))).map(|_| ())).sql()
        }
    }
}

fn chunk_ids(connection: &Connection, document: i64) -> Result<Vec<ChunkId>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM chunks WHERE document = ?1 ORDER BY n").sql()?;
    let rows = statement.query_map([document], |row| values::chunk(row, 0)).sql()?;
    rows.collect::<Result<_, _>>().sql()
}

/// A document's chunks with their terms and vectors in every generation.
fn remove_chunks(connection: &Connection, collection: i64, document: i64) -> Result<Vec<ChunkId>, Error> {
    let ids = chunk_ids(connection, document)?;
    // Terms are taken out by the text that put them in: before the text goes.
    let fts = schema::fts(collection);
    let terms = format!(
        "INSERT INTO {fts} ({fts}, rowid, heading, text)
         SELECT 'delete', id, heading, text FROM chunks WHERE document = ?1"
    );
    connection.prepare_cached(&terms).sql()?.execute([document]).sql()?;
    let numbers: Vec<u32> = {
        let mut statement =
            connection.prepare_cached("SELECT number FROM generations WHERE collection = ?1").sql()?;
        statement.query_map([collection], |row| row.get(0)).sql()?.collect::<Result<_, _>>().sql()?
    };
    for number in numbers {
        let sql = format!(
            "DELETE FROM {} WHERE chunk IN (SELECT id FROM chunks WHERE document = ?1)",
            schema::vectors(collection, number)
        );
        let gone = connection.prepare_cached(&sql).sql()?.execute([document]).sql()?;
        collections::fill(connection, collection, number, -(gone as i64))?;
    }
    allow(connection, collection, &ids, None)?;
    connection.prepare_cached("DELETE FROM chunks WHERE document = ?1").sql()?.execute([document]).sql()?;
    Ok(ids)
}

/// What was derived from a document: before its chunks go, by which edges are found.
pub(crate) fn forget_dependants(connection: &Connection, document: i64) -> Result<Invalidated, Error> {
    let answers = forget_answers(connection, document)?;
    let run = |sql: &str| connection.prepare_cached(sql).sql()?.execute([document]).sql();
    run("UPDATE facts SET ended_at = NULL, ended_recorded = NULL, ended_by = NULL
         WHERE ended_by IN (SELECT id FROM facts WHERE document = ?1)")?;
    let facts = run("DELETE FROM facts WHERE document = ?1")? as u64;
    let edges = run("DELETE FROM edges WHERE chunk IN (SELECT id FROM chunks WHERE document = ?1)")? as u64;
    Ok(Invalidated { answers, facts, edges })
}

fn forget_answers(connection: &Connection, document: i64) -> Result<u64, Error> {
    let sql = "SELECT answer FROM dependencies WHERE document = ?1";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let answers: Vec<i64> =
        statement.query_map([document], |row| row.get(0)).sql()?.collect::<Result<_, _>>().sql()?;
    for answer in &answers {
        super::answers::delete(connection, *answer)?;
    }
    Ok(answers.len() as u64)
}

pub(crate) fn share(
    connection: &Connection,
    reader: &Reader,
    id: DocumentId,
    acl: &Acl,
) -> Result<Option<Put>, Error> {
    let sql = "SELECT n, collection, version, class, trust FROM documents WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query([id.0.as_bytes()]).sql()?;
    let Some(row) = rows.next().sql()? else { return Ok(None) };
    let (n, collection): (i64, i64) = (row.get(0).sql()?, row.get(1).sql()?);
    let (version, old) = (row.get(2).sql()?, AclClass(row.get(3).sql()?));
    let searched = values::trust(row, 4)? != Trust::Quarantined;
    // By what stands in the file now, not by what was known of it a moment ago.
    let text: String =
        connection.query_row("SELECT acl FROM classes WHERE id = ?1", [old.0], |row| row.get(0)).sql()?;
    let now = Acl::parse(&text).map_err(|e| Error::Damaged(format!("list of readers {}: {e}", old.0)))?;
    if !reader.may(&now) {
        return Ok(None);
    }
    let class = intern(connection, acl)?;
    let kept = chunk_ids(connection, n)?;
    let change = if class == old { Change::Unchanged } else { Change::Regraded };
    if change == Change::Regraded {
        connection.execute("UPDATE documents SET class = ?2 WHERE n = ?1", (n, class.0)).sql()?;
        allow(connection, collection, &kept, searched.then_some(class))?;
        collections::touch(connection, collection)?;
    }
    Ok(Some(Put {
        document: id,
        version,
        change,
        class,
        searched,
        added: Vec::new(),
        kept,
        removed: Vec::new(),
        invalidated: Invalidated::default(),
    }))
}

pub(crate) fn remove(connection: &Connection, ids: &[DocumentId]) -> Result<Vec<Removed>, Error> {
    let mut removed = Vec::new();
    for id in ids {
        let sql = "SELECT n, collection FROM documents WHERE id = ?1";
        let mut statement = connection.prepare_cached(sql).sql()?;
        let found: Option<(i64, i64)> =
            statement.query_row([id.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional().sql()?;
        let Some((n, collection)) = found else { continue };
        let invalidated = forget_dependants(connection, n)?;
        let chunks = remove_chunks(connection, collection, n)?;
        connection.prepare_cached("DELETE FROM documents WHERE n = ?1").sql()?.execute([n]).sql()?;
        collections::touch(connection, collection)?;
        removed.push(Removed { document: *id, chunks, invalidated });
    }
    Ok(removed)
}

pub(crate) fn remove_absent(
    connection: &Connection,
    collection: CollectionId,
    batch: &str,
    present: &BTreeSet<String>,
) -> Result<Vec<Removed>, Error> {
    let collection = collections::get(connection, collection)?.n;
    let sql = "SELECT id, source FROM documents WHERE collection = ?1 AND batch = ?2 ORDER BY id";
    let mut statement = connection.prepare(sql).sql()?;
    let mut rows = statement.query((collection, batch)).sql()?;
    let mut gone = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let source: String = row.get(1).sql()?;
        if !present.contains(&source) {
            gone.push(DocumentId(values::id(row, 0)?));
        }
    }
    drop(rows);
    remove(connection, &gone)
}

fn set_mark(connection: &Connection, collection: i64, source: &str, mark: &str) -> Result<(), Error> {
    let sql = "UPDATE documents SET mark = ?3 WHERE collection = ?1 AND source = ?2";
    connection.prepare_cached(sql).sql()?.execute((collection, source, mark)).map(|_| ()).sql()
}

pub(crate) fn mark(
    connection: &Connection,
    collection: CollectionId,
    marks: &[(String, String)],
) -> Result<(), Error> {
    let Some(n) = collections::number(connection, collection)? else { return Ok(()) };
    marks.iter().try_for_each(|(source, mark)| set_mark(connection, n, source, mark))
}

/// As a put that says another trust: another version, without what was answered under the old.
pub(crate) fn entrust(
    connection: &Connection,
    collection: CollectionId,
    batch: &str,
    trust: Trust,
    limit: usize,
    at: Micros,
) -> Result<Vec<Put>, Error> {
    let collection = collections::get(connection, collection)?.n;
    let trusted = values::number(&Trust::ALL, &trust);
    let rows: Vec<(i64, DocumentId, u32, AclClass)> = {
        let sql = "SELECT n, id, version, class FROM documents
                   WHERE collection = ?1 AND batch = ?2 AND trust != ?3 ORDER BY id LIMIT ?4";
        let mut statement = connection.prepare_cached(sql).sql()?;
        let mut rows = statement.query((collection, batch, trusted, values::limit(limit))).sql()?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().sql()? {
            let id = DocumentId(values::id(row, 1)?);
            found.push((row.get(0).sql()?, id, row.get(2).sql()?, AclClass(row.get(3).sql()?)));
        }
        found
    };
    let searched = trust != Trust::Quarantined;
    let sql = "UPDATE documents SET trust = ?2, version = version + 1, updated = ?3 WHERE n = ?1";
    let mut puts = Vec::with_capacity(rows.len());
    for (n, document, version, class) in rows {
        connection.prepare_cached(sql).sql()?.execute((n, trusted, at.0)).sql()?;
        let answers = forget_answers(connection, n)?;
        let kept = chunk_ids(connection, n)?;
        allow(connection, collection, &kept, searched.then_some(class))?;
        puts.push(Put {
            document,
            version: version + 1,
            change: Change::Regraded,
            class,
            searched,
            added: Vec::new(),
            kept,
            removed: Vec::new(),
            invalidated: Invalidated { answers, ..Invalidated::default() },
        });
    }
    if !puts.is_empty() {
        collections::touch(connection, collection)?;
    }
    Ok(puts)
}

pub(crate) fn put_vectors(
    connection: &Connection,
    collection: CollectionId,
    number: u32,
    vectors: &[(ChunkId, Vec<f32>)],
) -> Result<u64, Error> {
    let found = collections::get(connection, collection)?;
    let generation = collections::generation(&found, number)?;
    if found.row.live.number == number {
        return Err(check::live_generation(number));
    }
    vectors.iter().try_for_each(|(_, vector)| check::vector(vector, generation))?;
    let sql = format!(
        "INSERT OR IGNORE INTO {} SELECT chunks.id, ?2 FROM chunks JOIN documents ON documents.n = chunks.document
         WHERE chunks.id = ?1 AND documents.collection = ?3",
        schema::vectors(found.n, number)
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut added = 0;
    for (chunk, vector) in vectors {
        added += statement.execute((values::int(chunk.0), half::encode(vector), found.n)).sql()?;
    }
    collections::fill(connection, found.n, number, added as i64)?;
    collections::count_unembedded(connection, found.n, number)
}
