//! Sessions of agents.

use rusqlite::Connection;
use store::{Error, PARTS_MAX, SessionChange, SessionPart};
use units::{TeamId, Uuid7};

use crate::error::Sqlite;

pub(crate) fn write(connection: &Connection, change: &SessionChange) -> Result<(), Error> {
    match change {
        SessionChange::Put(part) => connection
            .prepare_cached(
                "INSERT INTO sessions (session, number, team, sealed) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (session, number) DO UPDATE SET team = excluded.team, sealed = excluded.sealed",
            )
            .sql()?
            .execute((part.session, part.number, part.team.0.as_bytes(), &part.sealed)),
        SessionChange::End(session) => {
            connection.prepare_cached("DELETE FROM sessions WHERE session = ?1").sql()?.execute([session])
        }
    }
    .map(|_| ())
    .sql()
}

pub(crate) fn erase(connection: &Connection, team: TeamId) -> Result<(), Error> {
    connection.execute("DELETE FROM sessions WHERE team = ?1", [team.0.as_bytes()]).map(|_| ()).sql()
}

pub(crate) fn read(
    connection: &Connection,
    from: ([u8; 32], u32),
    limit: usize,
) -> Result<Vec<SessionPart>, Error> {
    let sql = "SELECT session, number, team, sealed FROM sessions WHERE (session, number) >= (?1, ?2)
               ORDER BY session, number LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).sql()?;
    let parts = statement.query_map((from.0, from.1, limit.min(PARTS_MAX) as i64), |row| {
        Ok(SessionPart {
            session: row.get(0)?,
            number: row.get(1)?,
            team: TeamId(Uuid7::from_bytes(row.get(2)?)),
            sealed: row.get(3)?,
        })
    });
    parts.sql()?.collect::<Result<_, _>>().sql()
}
