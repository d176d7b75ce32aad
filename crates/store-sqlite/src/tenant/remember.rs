//! Turns and facts.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use store::Error;
use store::documents::{
    AclClass, Conversation, Ended, Fact, Forgotten, NewFact, Reader, Span, Speaker, Subject, Turn, TurnHit,
};
use units::{DocumentId, FactId, Micros, TurnId};

use super::fetch::Reading;
use super::{answers, search, values};
use crate::error::Sqlite;

/// Subjects whose memories are meant, for `json_each`.
pub(crate) fn owners<'s>(subjects: impl Iterator<Item = &'s Subject>) -> String {
    let quoted: Vec<String> = subjects.map(|subject| json_string(&subject.to_string())).collect();
    format!("[{}]", quoted.join(","))
}

fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c.is_control() => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    json
}

pub(crate) fn remember(connection: &Connection, turns: &[Turn]) -> Result<(), Error> {
    for turn in turns {
        let taken = "SELECT 1 FROM turns WHERE id = ?1";
        if connection.prepare_cached(taken).sql()?.exists([turn.id.0.as_bytes()]).sql()? {
            return Err(Error::Exists { kind: "turn", name: turn.id.to_string() });
        }
        let sql = "INSERT INTO turns (id, owner, conversation, speaker, text, at, labels)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING n";
        let speaker = values::number(&Speaker::ALL, &turn.speaker);
        let values = (
            turn.id.0.as_bytes(),
            turn.owner.to_string(),
            &turn.conversation,
            speaker,
            &turn.text,
            turn.at.0,
            turn.labels.to_string(),
        );
        let n: i64 = connection.prepare_cached(sql).sql()?.query_row(values, |row| row.get(0)).sql()?;
        let sql = "INSERT INTO turns_fts (rowid, text) VALUES (?1, ?2)";
        connection.prepare_cached(sql).sql()?.execute((n, &turn.text)).sql()?;
    }
    Ok(())
}

fn owner(row: &Row<'_>, column: usize) -> Result<Subject, Error> {
    let text: String = row.get(column).sql()?;
    text.parse::<Subject>().map_err(|e| Error::Damaged(format!("an owner: {e}")))
}

/// What [`turn_row`] reads.
const TURN: &str = "id, owner, conversation, speaker, turns.text, at, labels";

fn turn_row(row: &Row<'_>) -> Result<Turn, Error> {
    Ok(Turn {
        id: TurnId(values::id(row, 0)?),
        owner: owner(row, 1)?,
        conversation: row.get(2).sql()?,
        speaker: values::speaker(row, 3)?,
        text: row.get(4).sql()?,
        at: Micros(row.get(5).sql()?),
        labels: values::labels(row, 6)?,
    })
}

pub(crate) fn turns(
    connection: &Connection,
    reader: &Reader,
    conversation: &str,
    limit: usize,
) -> Result<Vec<Turn>, Error> {
    let sql = format!(
        "SELECT {TURN} FROM turns
         WHERE owner IN (SELECT value FROM json_each(?1)) AND conversation = ?2 ORDER BY n DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query((owners(reader.own()), conversation, values::limit(limit))).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        found.push(turn_row(row)?);
    }
    found.reverse();
    Ok(found)
}

pub(crate) fn turn(connection: &Connection, reader: &Reader, id: TurnId) -> Result<Option<Turn>, Error> {
    let sql =
        format!("SELECT {TURN} FROM turns WHERE id = ?1 AND owner IN (SELECT value FROM json_each(?2))");
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query((id.0.as_bytes(), owners(reader.own()))).sql()?;
    rows.next().sql()?.map(turn_row).transpose()
}

pub(crate) fn all_turns(
    connection: &Connection,
    reader: &Reader,
    after: Option<TurnId>,
    limit: usize,
) -> Result<Vec<Turn>, Error> {
    let owners = owners(reader.own());
    let behind: Option<i64> = match after {
        None => Some(0),
        Some(id) => {
            let sql = "SELECT n FROM turns WHERE id = ?1 AND owner IN (SELECT value FROM json_each(?2))";
            let mut statement = connection.prepare_cached(sql).sql()?;
            statement.query_row((id.0.as_bytes(), &owners), |row| row.get(0)).optional().sql()?
        }
    };
    let Some(behind) = behind else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {TURN} FROM turns
         WHERE owner IN (SELECT value FROM json_each(?1)) AND n > ?2 ORDER BY n LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let mut rows = statement.query((owners, behind, values::limit(limit))).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        found.push(turn_row(row)?);
    }
    Ok(found)
}

pub(crate) fn conversations(
    connection: &Connection,
    reader: &Reader,
    limit: usize,
) -> Result<Vec<Conversation>, Error> {
    // The times are those of the first turn and of the last, as they were kept: a clock may go back.
    let sql = "SELECT of.conversation, of.turns, first.at, last.at FROM (
                   SELECT conversation, count(*) AS turns, min(n) AS first, max(n) AS last FROM turns
                   WHERE owner IN (SELECT value FROM json_each(?1)) GROUP BY conversation
               ) AS of JOIN turns AS first ON first.n = of.first JOIN turns AS last ON last.n = of.last
               ORDER BY of.last DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query((owners(reader.own()), values::limit(limit))).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        found.push(Conversation {
            name: row.get(0).sql()?,
            turns: values::count(row, 1)?,
            began: Micros(row.get(2).sql()?),
            last: Micros(row.get(3).sql()?),
        });
    }
    Ok(found)
}

pub(crate) fn search(
    connection: &Connection,
    reader: &Reader,
    conversation: Option<&str>,
    terms: &[String],
    limit: usize,
) -> Result<Vec<TurnHit>, Error> {
    let Some(expression) = search::expression(terms) else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {TURN}, turns_fts.rank FROM turns_fts CROSS JOIN turns ON turns.n = turns_fts.rowid
         WHERE turns_fts MATCH ?1 AND owner IN (SELECT value FROM json_each(?2))
               AND (?3 IS NULL OR conversation = ?3)
         ORDER BY turns_fts.rank, turns_fts.rowid LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql).sql()?;
    let values = (&expression, owners(reader.own()), conversation, values::limit(limit));
    let mut rows = statement.query(values).sql()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().sql()? {
        found.push(TurnHit { turn: turn_row(row)?, score: -row.get::<_, f64>(7).sql()? as f32 });
    }
    Ok(found)
}

pub(crate) fn record(connection: &Connection, new: &NewFact) -> Result<(), Error> {
    let taken = "SELECT 1 FROM facts WHERE id = ?1";
    if connection.prepare_cached(taken).sql()?.exists([new.id.0.as_bytes()]).sql()? {
        return Err(Error::Exists { kind: "fact", name: new.id.to_string() });
    }
    // `octet_length`: spans are bytes, and SQLite's `length` counts characters.
    let said =
        "SELECT n FROM turns WHERE id = ?1 AND owner = ?2 AND speaker = 0 AND ?3 <= octet_length(text)";
    let owner = new.owner.to_string();
    let turn: Option<i64> = connection
        .query_row(said, (new.turn.0.as_bytes(), &owner, values::int(new.span.end)), |row| row.get(0))
        .optional()
        .sql()?;
    let Some(turn) = turn else {
        return Err(Error::Missing { kind: "turn of the user's own", name: new.turn.to_string() });
    };
    let document: Option<i64> = match new.document {
        None => None,
        Some(id) => {
            let sql = "SELECT n FROM documents WHERE id = ?1";
            let n = connection.query_row(sql, [id.0.as_bytes()], |row| row.get(0)).optional().sql()?;
            Some(n.ok_or_else(|| Error::Missing { kind: "document", name: id.to_string() })?)
        }
    };
    let last = "SELECT max(recorded) FROM facts WHERE owner = ?1";
    let last: Option<i64> = connection.query_row(last, [&owner], |row| row.get(0)).sql()?;
    let recorded = last.map_or(new.recorded.0, |last| last.max(new.recorded.0));
    let end = "UPDATE facts SET ended_at = ?3, ended_recorded = ?4, ended_by = ?5
               WHERE id = ?1 AND owner = ?2 AND ended_by IS NULL";
    for replaced in &new.replaces {
        let values = (replaced.0.as_bytes(), &owner, new.valid_from.0, recorded, new.id.0.as_bytes());
        connection.execute(end, values).sql()?;
    }
    let sql = "INSERT INTO facts (id, owner, about, relation, value, valid_from, valid_to, recorded, turn,
                                  start, stop, document)
               VALUES (:id, :owner, :about, :relation, :value, :from, :to, :recorded, :turn, :start, :stop,
                       :document)";
    let values = named_params! {
        ":id": new.id.0.as_bytes(),
        ":owner": owner,
        ":about": new.about,
        ":relation": new.relation,
        ":value": new.value,
        ":from": new.valid_from.0,
        ":to": new.valid_to.map(|at| at.0),
        ":recorded": recorded,
        ":turn": turn,
        ":start": values::int(new.span.start),
        ":stop": values::int(new.span.end),
        ":document": document,
    };
    connection.execute(sql, values).map(|_| ()).sql()
}

/// Those that hold at `when` (valid, known), or all, that the reader may read; with the
/// right to read the document that one came from.
pub(crate) fn facts(
    connection: &Connection,
    reading: &Reading<'_>,
    reader: &Reader,
    when: Option<(Micros, Micros)>,
    limit: usize,
) -> Result<Vec<Fact>, Error> {
    let sql = "SELECT facts.id, facts.owner, about, relation, value, valid_from, valid_to, recorded, ended_at,
                      ended_recorded, ended_by, turns.id, start, stop, documents.id, documents.class,
                      turns.conversation
               FROM facts JOIN turns ON turns.n = facts.turn LEFT JOIN documents ON documents.n = facts.document
               WHERE facts.owner IN (SELECT value FROM json_each(?1)) ORDER BY facts.n DESC";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let mut rows = statement.query([owners(reader.own())]).sql()?;
    let limit = values::limit(limit) as usize;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next().sql()? else { break };
        let class = row.get::<_, Option<u32>>(15).sql()?;
        if class.is_some_and(|class| !reading.may(AclClass(class))) {
            continue;
        }
        let fact = fact_row(row, class.is_some())?;
        if when.is_none_or(|(valid, known)| fact.holds(valid, known)) {
            found.push(fact);
        }
    }
    Ok(found)
}

fn fact_row(row: &Row<'_>, of_document: bool) -> Result<Fact, Error> {
    let time = |column: usize| row.get::<_, Option<i64>>(column).map(|at| at.map(Micros)).sql();
    let ended = match (time(8)?, time(9)?) {
        (Some(at), Some(recorded)) => Some(Ended { at, recorded, by: FactId(values::id(row, 10)?) }),
        _ => None,
    };
    Ok(Fact {
        id: FactId(values::id(row, 0)?),
        owner: owner(row, 1)?,
        about: row.get(2).sql()?,
        relation: row.get(3).sql()?,
        value: row.get(4).sql()?,
        valid_from: Micros(row.get(5).sql()?),
        valid_to: time(6)?,
        recorded: Micros(row.get(7).sql()?),
        ended,
        turn: TurnId(values::id(row, 11)?),
        conversation: row.get(16).sql()?,
        span: Span { start: values::count(row, 12)?, end: values::count(row, 13)? },
        document: of_document.then(|| values::id(row, 14)).transpose()?.map(DocumentId),
    })
}

pub(crate) fn forget(
    connection: &Connection,
    reader: &Reader,
    conversation: Option<&str>,
) -> Result<Forgotten, Error> {
    let chosen = "SELECT n FROM turns WHERE owner IN (SELECT value FROM json_each(?1))
                  AND (?2 IS NULL OR conversation = ?2)";
    let owners = owners(reader.alone());
    let run = |sql: &str| connection.execute(sql, (&owners, conversation)).sql();
    let turns: Vec<i64> = {
        let mut statement = connection.prepare_cached(chosen).sql()?;
        let rows = statement.query_map((&owners, conversation), |row| row.get(0)).sql()?;
        rows.collect::<Result<_, _>>().sql()?
    };
    let mut answers = 0;
    for turn in turns {
        answers += answers::forget_turn(connection, turn)?;
    }
    run(&format!(
        "UPDATE facts SET ended_at = NULL, ended_recorded = NULL, ended_by = NULL
         WHERE ended_by IN (SELECT id FROM facts WHERE turn IN ({chosen}))"
    ))?;
    let facts = run(&format!("DELETE FROM facts WHERE turn IN ({chosen})"))? as u64;
    run(&format!(
        "INSERT INTO turns_fts (turns_fts, rowid, text)
         SELECT 'delete', n, text FROM turns WHERE n IN ({chosen})"
    ))?;
    let turns = run(&format!("DELETE FROM turns WHERE n IN ({chosen})"))? as u64;
    Ok(Forgotten { turns, facts, answers })
}
