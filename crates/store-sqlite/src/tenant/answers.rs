//! Answers with the documents they were made from. Whether one may be given is
//! asked of every document at the moment it is wanted.

use rusqlite::{Connection, OptionalExtension, named_params};
use store::Error;
use store::documents::{AclClass, Answer, AnswerVector, Dependency, NewAnswer, OBSERVATIONS_MAX, half};
use units::{AnswerId, DocumentId, Micros, TurnId};

use super::fetch::Reading;
use super::{remember, values};
use crate::error::Sqlite;

pub(crate) fn keep(connection: &Connection, mut answer: NewAnswer) -> Result<bool, Error> {
    let taken = "SELECT 1 FROM answers WHERE id = ?1";
    if connection.prepare_cached(taken).sql()?.exists([answer.id.0.as_bytes()]).sql()? {
        return Err(Error::Exists { kind: "answer", name: answer.id.to_string() });
    }
    answer.dependencies.sort();
    answer.dependencies.dedup();
    let mut documents = Vec::with_capacity(answer.dependencies.len());
    for Dependency { document, version } in &answer.dependencies {
        let sql = "SELECT n FROM documents WHERE id = ?1 AND version = ?2";
        let mut statement = connection.prepare_cached(sql).sql()?;
        let found: Option<i64> =
            statement.query_row((document.0.as_bytes(), version), |row| row.get(0)).optional().sql()?;
        match found {
            Some(n) => documents.push((n, *version)),
            None => return Ok(false),
        }
    }
    answer.turns.sort();
    answer.turns.dedup();
    let mut turns = Vec::with_capacity(answer.turns.len());
    for turn in &answer.turns {
        let mut statement = connection.prepare_cached("SELECT n FROM turns WHERE id = ?1").sql()?;
        let found: Option<i64> =
            statement.query_row([turn.0.as_bytes()], |row| row.get(0)).optional().sql()?;
        match found {
            Some(n) => turns.push(n),
            None => return Ok(false),
        }
    }
    let sql = "SELECT n FROM answers WHERE partition = ?1 AND key = ?2";
    let replaced: Option<i64> = connection
        .prepare_cached(sql)
        .sql()?
        .query_row((answer.partition, answer.key), |row| row.get(0))
        .optional()
        .sql()?;
    if let Some(n) = replaced {
        delete(connection, n)?;
    }
    let sql = "INSERT INTO answers
                   (id, partition, key, vector, question, body, labels, cost_pico, created, expires)
               VALUES (:id, :partition, :key, :vector, :question, :body, :labels, :cost, :created, :expires)
               RETURNING n";
    let values = named_params! {
        ":id": answer.id.0.as_bytes(),
        ":partition": answer.partition,
        ":key": answer.key,
        ":vector": half::encode(&answer.vector),
        ":question": answer.question,
        ":body": answer.body,
        ":labels": answer.labels.to_string(),
        ":cost": answer.cost_pico,
        ":created": answer.created.0,
        ":expires": answer.expires.0,
    };
    let n: i64 = connection.prepare_cached(sql).sql()?.query_row(values, |row| row.get(0)).sql()?;
    let mut depend = connection.prepare_cached("INSERT INTO dependencies VALUES (?1, ?2, ?3)").sql()?;
    documents
        .iter()
        .try_for_each(|(document, version)| depend.execute((n, document, version)).map(|_| ()))
        .sql()?;
    let mut recall = connection.prepare_cached("INSERT INTO recollections VALUES (?1, ?2)").sql()?;
    turns.iter().try_for_each(|turn| recall.execute((n, turn)).map(|_| ())).sql()?;
    Ok(true)
}

pub(crate) fn delete(connection: &Connection, n: i64) -> Result<(), Error> {
    let run = |sql: &str| connection.prepare_cached(sql).sql()?.execute([n]).sql();
    run("DELETE FROM dependencies WHERE answer = ?1")?;
    run("DELETE FROM recollections WHERE answer = ?1")?;
    run("DELETE FROM observations WHERE answer = ?1")?;
    run("DELETE FROM answers WHERE n = ?1").map(|_| ())
}

/// Removes those that came from a turn. Returns how many.
pub(crate) fn forget_turn(connection: &Connection, turn: i64) -> Result<u64, Error> {
    let sql = "SELECT answer FROM recollections WHERE turn = ?1";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let rows = statement.query_map([turn], |row| row.get(0)).sql()?;
    let answers: Vec<i64> = rows.collect::<Result<_, _>>().sql()?;
    answers.iter().try_for_each(|answer| delete(connection, *answer))?;
    Ok(answers.len() as u64)
}

/// Its documents, if each may be read and is still as it was; else `None`.
fn dependencies(
    connection: &Connection,
    reading: &Reading<'_>,
    answer: i64,
) -> Result<Option<Vec<Dependency>>, Error> {
    let sql = "SELECT documents.id, documents.class, documents.version, dependencies.version
               FROM dependencies LEFT JOIN documents ON documents.n = dependencies.document
               WHERE answer = ?1 ORDER BY documents.id";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query([answer]).sql()?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().sql()? {
        let Some(class) = row.get::<_, Option<u32>>(1).sql()? else { return Ok(None) };
        let (now, then): (u32, u32) = (row.get(2).sql()?, row.get(3).sql()?);
        if !reading.may(AclClass(class)) || now != then {
            return Ok(None);
        }
        all.push(Dependency { document: DocumentId(values::id(row, 0)?), version: then });
    }
    Ok(Some(all))
}

/// Its turns, if each is one of the reader's; else `None`.
fn turns(connection: &Connection, reading: &Reading<'_>, answer: i64) -> Result<Option<Vec<TurnId>>, Error> {
    let sql = "SELECT turns.id, turns.owner IN (SELECT value FROM json_each(?2))
               FROM recollections JOIN turns ON turns.n = recollections.turn
               WHERE answer = ?1 ORDER BY turns.id";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((answer, remember::owners(reading.reader().own()))).sql()?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().sql()? {
        if !row.get::<_, bool>(1).sql()? {
            return Ok(None);
        }
        all.push(TurnId(values::id(row, 0)?));
    }
    Ok(Some(all))
}

/// Documents and turns.
type MadeFrom = (Vec<Dependency>, Vec<TurnId>);

/// What it is made from, if the reader may be given all of it.
fn made_from(connection: &Connection, reading: &Reading<'_>, answer: i64) -> Result<Option<MadeFrom>, Error> {
    let Some(documents) = dependencies(connection, reading, answer)? else { return Ok(None) };
    Ok(turns(connection, reading, answer)?.map(|turns| (documents, turns)))
}

/// The one that `condition` finds, unless it expired or the reader may not have it.
fn find(
    connection: &Connection,
    reading: &Reading<'_>,
    condition: &str,
    by: impl rusqlite::Params,
    now: Micros,
) -> Result<Option<Answer>, Error> {
    let sql = format!(
        "SELECT n, id, question, body, labels, cost_pico, created, expires FROM answers WHERE {condition}"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query(by).sql()?;
    let Some(row) = rows.next().sql()? else { return Ok(None) };
    let expires = Micros(row.get(7).sql()?);
    if expires <= now {
        return Ok(None);
    }
    let Some((dependencies, turns)) = made_from(connection, reading, row.get(0).sql()?)? else {
        return Ok(None);
    };
    Ok(Some(Answer {
        id: AnswerId(values::id(row, 1)?),
        question: row.get(2).sql()?,
        body: row.get(3).sql()?,
        labels: values::labels(row, 4)?,
        cost_pico: row.get(5).sql()?,
        dependencies,
        turns,
        created: Micros(row.get(6).sql()?),
        expires,
    }))
}

pub(crate) fn by_key(
    connection: &Connection,
    reading: &Reading<'_>,
    partition: &[u8; 32],
    key: &[u8; 32],
    now: Micros,
) -> Result<Option<Answer>, Error> {
    find(connection, reading, "partition = ?1 AND key = ?2", (partition, key), now)
}

pub(crate) fn by_id(
    connection: &Connection,
    reading: &Reading<'_>,
    id: AnswerId,
    now: Micros,
) -> Result<Option<Answer>, Error> {
    find(connection, reading, "id = ?1", [id.0.as_bytes()], now)
}

pub(crate) fn vectors(
    connection: &Connection,
    reading: &Reading<'_>,
    partition: &[u8; 32],
    now: Micros,
    limit: usize,
) -> Result<Vec<AnswerVector>, Error> {
    let sql = "SELECT n, id, vector FROM answers
               WHERE partition = ?1 AND expires > ?2 AND length(vector) > 0 ORDER BY created DESC, id DESC";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((partition, now.0)).sql()?;
    let limit = values::limit(limit) as usize;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next().sql()? else { break };
        if made_from(connection, reading, row.get(0).sql()?)?.is_some() {
            found.push(AnswerVector { id: AnswerId(values::id(row, 1)?), vector: values::vector(row, 2)? });
        }
    }
    Ok(found)
}

pub(crate) fn observe(
    connection: &Connection,
    id: AnswerId,
    similarity: f32,
    right: bool,
) -> Result<bool, Error> {
    let sql =
        "INSERT INTO observations (answer, similarity, good) SELECT n, ?2, ?3 FROM answers WHERE id = ?1";
    let values = (id.0.as_bytes(), f64::from(similarity), right);
    if connection.prepare_cached(sql).sql()?.execute(values).sql()? == 0 {
        return Ok(false);
    }
    let oldest = "DELETE FROM observations WHERE n IN (
                      SELECT observations.n FROM observations JOIN answers ON answers.n = observations.answer
                      WHERE answers.id = ?1 ORDER BY observations.n DESC LIMIT -1 OFFSET ?2
                  )";
    connection.prepare_cached(oldest).sql()?.execute((id.0.as_bytes(), OBSERVATIONS_MAX as i64)).sql()?;
    Ok(true)
}

pub(crate) fn observations(
    connection: &Connection,
    reading: &Reading<'_>,
    id: AnswerId,
    now: Micros,
) -> Result<Vec<(f32, bool)>, Error> {
    if by_id(connection, reading, id, now)?.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT similarity, good FROM observations JOIN answers ON answers.n = observations.answer
               WHERE answers.id = ?1 ORDER BY observations.n";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let rows = statement.query_map([id.0.as_bytes()], |row| Ok((row.get::<_, f64>(0)? as f32, row.get(1)?)));
    rows.sql()?.collect::<Result<_, _>>().sql()
}

pub(crate) fn revoke(connection: &Connection, id: AnswerId) -> Result<bool, Error> {
    let sql = "SELECT n FROM answers WHERE id = ?1";
    let found = connection.query_row(sql, [id.0.as_bytes()], |row| row.get(0)).optional().sql()?;
    found.map_or(Ok(false), |n| delete(connection, n).map(|()| true))
}

pub(crate) fn expire(connection: &Connection, now: Micros) -> Result<u64, Error> {
    let mut statement = connection
        .prepare_cached("SELECT n FROM answers WHERE expires <= ?1 ORDER BY expires LIMIT ?2")
        .sql()?;
    let rows = statement.query_map((now.0, values::limit(usize::MAX)), |row| row.get(0)).sql()?;
    let expired: Vec<i64> = rows.collect::<Result<_, _>>().sql()?;
    expired.iter().try_for_each(|n| delete(connection, *n))?;
    Ok(expired.len() as u64)
}
