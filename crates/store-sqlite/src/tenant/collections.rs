//! Collections and their index generations.

use rusqlite::{Connection, OptionalExtension};
use store::Error;
use store::documents::{COLLECTIONS_MAX, Collection, Generation, Invalidated, Lexing, check};
use units::{CollectionId, Micros};

use super::{put, schema, values};
use crate::error::Sqlite;

/// A collection with the number by which the other tables know it.
pub(crate) struct Numbered {
    pub n: i64,
    pub row: Collection,
}

pub(crate) fn missing(id: CollectionId) -> Error {
    Error::Missing { kind: "collection", name: id.to_string() }
}

const COLUMNS: &str =
    "SELECT n, id, name, lexing, language, labels, settings, live, created FROM collections";

/// Those that `condition` says, in the order of their names.
fn select(
    connection: &Connection,
    condition: &str,
    value: impl rusqlite::Params,
) -> Result<Vec<Numbered>, Error> {
    let sql = format!("{COLUMNS} {condition} ORDER BY name");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query(value).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let n: i64 = row.get(0).sql()?;
        let live: u32 = row.get(7).sql()?;
        let (mut beside, mut searched) = (Vec::new(), None);
        for generation in generations(connection, n)? {
            if generation.number == live { searched = Some(generation) } else { beside.push(generation) }
        }
        let row = Collection {
            id: CollectionId(values::id(row, 1)?),
            name: row.get(2).sql()?,
            lexing: values::lexing(row, 3)?,
            language: row.get(4).sql()?,
            labels: values::labels(row, 5)?,
            settings: row.get(6).sql()?,
            live: searched.ok_or_else(|| Error::Damaged(format!("index generation {live} is missing")))?,
            beside,
            created: Micros(row.get(8).sql()?),
        };
        found.push(Numbered { n, row });
    }
    Ok(found)
}

fn generations(connection: &Connection, collection: i64) -> Result<Vec<Generation>, Error> {
    let sql = "SELECT number, embedder, dimensions FROM generations WHERE collection = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let rows = statement.query_map([collection], |row| {
        Ok(Generation { number: row.get(0)?, embedder: row.get(1)?, dimensions: row.get(2)? })
    });
    rows.sql()?.collect::<Result<_, _>>().sql()
}

pub(crate) fn all(connection: &Connection) -> Result<Vec<Collection>, Error> {
    Ok(select(connection, "", [])?.into_iter().map(|c| c.row).collect())
}

pub(crate) fn by_name(connection: &Connection, name: &str) -> Result<Option<Collection>, Error> {
    Ok(select(connection, "WHERE name = ?1", [name])?.pop().map(|c| c.row))
}

pub(crate) fn find(connection: &Connection, id: CollectionId) -> Result<Option<Numbered>, Error> {
    Ok(select(connection, "WHERE id = ?1", [id.0.as_bytes()])?.pop())
}

pub(crate) fn get(connection: &Connection, id: CollectionId) -> Result<Numbered, Error> {
    find(connection, id)?.ok_or_else(|| missing(id))
}

/// The number alone: what searches need of it.
pub(crate) fn number(connection: &Connection, id: CollectionId) -> Result<Option<i64>, Error> {
    let sql = "SELECT n FROM collections WHERE id = ?1";
    connection.prepare_cached(sql).sql()?.query_row([id.0.as_bytes()], |row| row.get(0)).optional().sql()
}

pub(crate) fn create(connection: &Connection, new: &Collection) -> Result<(), Error> {
    let taken = "SELECT (SELECT count(*) FROM collections),
                        EXISTS (SELECT 1 FROM collections WHERE id = ?1 OR name = ?2)";
    let (count, exists): (usize, bool) = connection
        .query_row(taken, (new.id.0.as_bytes(), &new.name), |row| {
            Ok((row.get::<_, i64>(0)? as usize, row.get(1)?))
        })
        .sql()?;
    if exists {
        return Err(Error::Exists { kind: "collection", name: new.name.clone() });
    }
    if count >= COLLECTIONS_MAX {
        return Err(check::too_many_collections());
    }
    let sql = "INSERT INTO collections
                   (id, name, lexing, language, labels, settings, live, begun, revision, created)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 1, 0, ?7) RETURNING n";
    let values = (
        new.id.0.as_bytes(),
        &new.name,
        values::number(&Lexing::ALL, &new.lexing),
        &new.language,
        new.labels.to_string(),
        &new.settings,
        new.created.0,
    );
    let n: i64 = connection.query_row(sql, values, |row| row.get(0)).sql()?;
    add_generation(connection, n, &new.live)?;
    schema::create_fts(connection, n, new.lexing)
}

fn add_generation(connection: &Connection, n: i64, generation: &Generation) -> Result<(), Error> {
    let sql = "INSERT INTO generations VALUES (?1, ?2, ?3, ?4, 0)";
    connection.execute(sql, (n, generation.number, &generation.embedder, generation.dimensions)).sql()?;
    schema::create_vectors(connection, n, generation.number)
}

pub(crate) fn update(connection: &Connection, new: &Collection) -> Result<(), Error> {
    let old = get(connection, new.id)?;
    check::update(&old.row, new)?;
    let sql = "UPDATE collections SET language = ?2, labels = ?3, settings = ?4 WHERE n = ?1";
    connection.execute(sql, (old.n, &new.language, new.labels.to_string(), &new.settings)).map(|_| ()).sql()
}

pub(crate) fn remove(connection: &Connection, id: CollectionId) -> Result<Option<Invalidated>, Error> {
    let Some(found) = find(connection, id)? else { return Ok(None) };
    let documents: Vec<i64> = {
        let mut statement = connection.prepare("SELECT n FROM documents WHERE collection = ?1").sql()?;
        let rows = statement.query_map([found.n], |row| row.get(0)).sql()?;
        rows.collect::<Result<_, _>>().sql()?
    };
    // The tables of their own go whole; only what others share is taken out row by row.
    schema::drop_table(connection, &schema::fts(found.n))?;
    for generation in std::iter::once(&found.row.live).chain(&found.row.beside) {
        schema::drop_table(connection, &schema::vectors(found.n, generation.number))?;
    }
    let mut all = Invalidated::default();
    for document in documents {
        all.add(put::forget_dependants(connection, document)?);
        connection
            .prepare_cached("DELETE FROM chunks WHERE document = ?1")
            .sql()?
            .execute([document])
            .sql()?;
    }
    for table in ["acl", "documents", "generations", "notes"] {
        connection.execute(&format!("DELETE FROM {table} WHERE collection = ?1"), [found.n]).sql()?;
    }
    connection.execute("DELETE FROM collections WHERE n = ?1", [found.n]).sql()?;
    Ok(Some(all))
}

pub(crate) fn begin_generation(
    connection: &Connection,
    id: CollectionId,
    embedder: &str,
    dimensions: u32,
) -> Result<u32, Error> {
    let found = get(connection, id)?;
    let sql = "UPDATE collections SET begun = begun + 1 WHERE n = ?1 RETURNING begun";
    let number = connection.query_row(sql, [found.n], |row| row.get(0)).sql()?;
    let generation = Generation { number, embedder: embedder.to_owned(), dimensions };
    check::generation(&generation)?;
    add_generation(connection, found.n, &generation)?;
    Ok(number)
}

/// One of a collection's generations.
pub(crate) fn generation(found: &Numbered, number: u32) -> Result<&Generation, Error> {
    let mut all = std::iter::once(&found.row.live).chain(&found.row.beside);
    all.find(|generation| generation.number == number)
        .ok_or_else(|| Error::Missing { kind: "index generation", name: number.to_string() })
}

/// Chunks of the collection, quarantined ones too, that have no vector in a generation.
pub(crate) fn count_unembedded(connection: &Connection, n: i64, generation: u32) -> Result<u64, Error> {
    // Vectors are only ever of chunks that there are, so counting both is enough.
    let sql = "SELECT (SELECT coalesce(sum(chunks), 0) FROM documents WHERE collection = ?1)
                    - (SELECT filled FROM generations WHERE collection = ?1 AND number = ?2)";
    let missing: i64 = connection.query_row(sql, (n, generation), |row| row.get(0)).sql()?;
    u64::try_from(missing).map_err(|_| Error::Damaged(format!("{} vectors too many", -missing)))
}

/// So many vectors more, or fewer.
pub(crate) fn fill(connection: &Connection, n: i64, generation: u32, more: i64) -> Result<(), Error> {
    let sql = "UPDATE generations SET filled = filled + ?3 WHERE collection = ?1 AND number = ?2";
    connection.prepare_cached(sql).sql()?.execute((n, generation, more)).map(|_| ()).sql()
}

pub(crate) fn activate(connection: &Connection, id: CollectionId, number: u32) -> Result<(), Error> {
    let found = get(connection, id)?;
    generation(&found, number)?;
    let missing = count_unembedded(connection, found.n, number)?;
    if missing > 0 {
        return Err(Error::Incomplete { generation: number, missing });
    }
    let sql = "UPDATE collections SET live = ?2 WHERE n = ?1";
    connection.execute(sql, (found.n, number)).map(|_| ()).sql()
}

pub(crate) fn drop_generation(connection: &Connection, id: CollectionId, number: u32) -> Result<bool, Error> {
    let found = get(connection, id)?;
    if found.row.live.number == number {
        return Err(check::live_generation(number));
    }
    let sql = "DELETE FROM generations WHERE collection = ?1 AND number = ?2";
    if connection.execute(sql, (found.n, number)).sql()? == 0 {
        return Ok(false);
    }
    schema::drop_table(connection, &schema::vectors(found.n, number))?;
    Ok(true)
}

pub(crate) fn note(connection: &Connection, id: CollectionId, name: &str) -> Result<Option<String>, Error> {
    let Some(n) = number(connection, id)? else { return Ok(None) };
    let sql = "SELECT note FROM notes WHERE collection = ?1 AND name = ?2";
    connection.prepare_cached(sql).sql()?.query_row((n, name), |row| row.get(0)).optional().sql()
}

pub(crate) fn put_note(
    connection: &Connection,
    id: CollectionId,
    name: &str,
    note: Option<&str>,
) -> Result<(), Error> {
    let n = number(connection, id)?.ok_or_else(|| missing(id))?;
    let sql = "SELECT count(*) FROM notes WHERE collection = ?1 AND name != ?2";
    let others: i64 = connection.prepare_cached(sql).sql()?.query_row((n, name), |row| row.get(0)).sql()?;
    check::note(name, note, others as usize)?;
    match note {
        Some(note) => connection.execute("INSERT OR REPLACE INTO notes VALUES (?1, ?2, ?3)", (n, name, note)),
        None => connection.execute("DELETE FROM notes WHERE collection = ?1 AND name = ?2", (n, name)),
    }
    .map(|_| ())
    .sql()
}

pub(crate) fn touch(connection: &Connection, n: i64) -> Result<(), Error> {
    let sql = "UPDATE collections SET revision = revision + 1 WHERE n = ?1";
    connection.prepare_cached(sql).sql()?.execute([n]).map(|_| ()).sql()
}
