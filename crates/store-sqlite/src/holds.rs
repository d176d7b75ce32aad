//! Holds: kept in memory for a moment, written only when the request lasts.
//!
//! Most requests settle before their hold is due, and then one append says it
//! all. A hold that is due is written before a long answer could be lost in a
//! crash with its money forgotten.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Row};
use store::{Done, Error, HoldRow};
use units::{BudgetId, KeyId, Micros, RequestId, TeamId, Usd, Uuid7};

use crate::error::Sqlite;

/// How long a hold may wait for its settle.
pub(crate) const DELAY: Duration = Duration::from_millis(50);

struct Pending {
    hold: HoldRow,
    since: Instant,
    waiting: Vec<Done>,
}

#[derive(Default)]
pub(crate) struct Holds {
    pending: HashMap<RequestId, Pending>,
    /// Those pending by age, and some that no longer are.
    order: VecDeque<(Instant, RequestId)>,
    /// Those in the table.
    written: HashSet<RequestId>,
}

/// What a transaction did, to be kept or forgotten with it.
#[derive(Default)]
pub(crate) struct Outcome {
    opened: Vec<RequestId>,
    closed: HashSet<RequestId>,
}

impl Holds {
    pub fn open(connection: &Connection) -> Result<Holds, Error> {
        let written = read(connection)?.into_iter().map(|hold| hold.request).collect();
        Ok(Holds { written, ..Holds::default() })
    }
    /// A hold again replaces the one before, and is due with it.
    pub fn add(&mut self, hold: HoldRow, done: Done, now: Instant) {
        match self.pending.entry(hold.request) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().hold = hold;
                entry.get_mut().waiting.push(done);
            }
            Entry::Vacant(entry) => {
                self.order.push_back((now, hold.request));
                entry.insert(Pending { hold, since: now, waiting: vec![done] });
            }
        }
    }
    /// How long until the oldest must be written.
    pub fn due_in(&mut self, now: Instant) -> Option<Duration> {
        while let Some((since, request)) = self.order.front() {
            if self.pending.get(request).is_some_and(|p| p.since == *since) {
                return Some(DELAY.saturating_sub(now.saturating_duration_since(*since)));
            }
            self.order.pop_front();
        }
        None
    }
    /// The request settles in this transaction.
    pub fn settle(
        &self,
        connection: &Connection,
        request: RequestId,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        if self.written.contains(&request) {
            connection
                .prepare_cached("DELETE FROM holds WHERE request = ?1")
                .sql()?
                .execute([request.0.as_bytes()])
                .sql()?;
            outcome.closed.insert(request);
        } else if self.pending.contains_key(&request) {
            outcome.closed.insert(request);
        }
        Ok(())
    }
    /// Writes those that are due `when`, but not those that have settled.
    pub fn write_due(
        &self,
        connection: &Connection,
        when: Due,
        settled: impl Fn(RequestId) -> Result<bool, Error>,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        for (request, pending) in self.due(when) {
            if outcome.closed.contains(&request) {
                continue;
            }
            if settled(request)? {
                outcome.closed.insert(request);
                continue;
            }
            write(connection, &pending.hold)?;
            outcome.opened.push(request);
        }
        Ok(())
    }
    /// After the commit: what is open now, and whom to tell.
    pub fn keep(&mut self, outcome: Outcome) -> Vec<Done> {
        let mut told = Vec::new();
        for request in outcome.opened.iter().chain(&outcome.closed) {
            if let Some(pending) = self.pending.remove(request) {
                told.extend(pending.waiting);
            }
        }
        self.written.extend(outcome.opened);
        for request in &outcome.closed {
            self.written.remove(request);
        }
        told
    }
    /// After a failure: those that were due are given up, and their callers told.
    pub fn give_up(&mut self, when: Due) -> Vec<Done> {
        let due: Vec<RequestId> = self.due(when).map(|(request, _)| request).collect();
        let pending = due.iter().filter_map(|request| self.pending.remove(request));
        pending.flat_map(|p| p.waiting).collect()
    }
    fn due(&self, when: Due) -> impl Iterator<Item = (RequestId, &Pending)> {
        let is_due = move |since: Instant| match when {
            Due::At(now) => now.saturating_duration_since(since) >= DELAY,
            Due::All => true,
        };
        self.order.iter().take_while(move |(since, _)| is_due(*since)).filter_map(|(since, request)| {
            let pending = self.pending.get(request).filter(|p| p.since == *since)?;
            Some((*request, pending))
        })
    }
}

/// Which holds are to be written.
#[derive(Clone, Copy)]
pub(crate) enum Due {
    At(Instant),
    /// Now, because there will be no later.
    All,
}

fn write(connection: &Connection, hold: &HoldRow) -> Result<(), Error> {
    let budgets: Vec<u8> = hold.budgets.iter().flat_map(|id| *id.0.as_bytes()).collect();
    connection
        .prepare_cached("INSERT OR REPLACE INTO holds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
        .sql()?
        .execute((
            hold.request.0.as_bytes(),
            hold.team.0.as_bytes(),
            hold.key.0.as_bytes(),
            budgets,
            &hold.model,
            hold.amount.pico(),
            hold.at.0,
        ))
        .map(|_| ())
        .sql()
}

/// The open holds, the oldest first.
pub(crate) fn read(connection: &Connection) -> Result<Vec<HoldRow>, Error> {
    let mut rows = connection
        .prepare_cached(
            "SELECT request, team, key, budgets, model, amount, at FROM holds ORDER BY at, request",
        )
        .sql()?;
    let holds = rows.query_map([], read_row).sql()?;
    holds.collect::<Result<_, _>>().sql()
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<HoldRow> {
    let id = |at| -> rusqlite::Result<Uuid7> { row.get(at).map(Uuid7::from_bytes) };
    let budgets: Vec<u8> = row.get(3)?;
    Ok(HoldRow {
        request: RequestId(id(0)?),
        team: TeamId(id(1)?),
        key: KeyId(id(2)?),
        budgets: budgets
            .chunks_exact(16)
            .map(|id| BudgetId(Uuid7::from_bytes(id.try_into().expect("a chunk has 16 bytes"))))
            .collect(),
        model: row.get(4)?,
        amount: Usd::from_pico(row.get(5)?),
        at: Micros(row.get(6)?),
    })
}
