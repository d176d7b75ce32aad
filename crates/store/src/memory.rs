//! The store in memory: for tests, simulations and the planner. Durable means
//! nothing here; everything else is as the conformance suite demands.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use units::{RequestId, TeamId};

use crate::totals::{Totals, check_balance, count_unbalanced};
use crate::{
    AuditLog, CHECKPOINTS_KEPT, Change, CheckpointRow, Done, Entry, Error, HoldRow, Identity, LEAVES_MAX,
    Ledger, LedgerCheck, PARTS_MAX, Posting, Record, Records, SETTLEMENTS_MAX, Secrets, SessionChange,
    SessionPart, Sessions, Settlement, SpendQuery, SpendRow, State, Store, TileRow, check_leaf, check_secret,
    check_session,
};

#[derive(Default)]
pub struct MemoryStore(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    closed: bool,
    state: State,
    rows: Vec<(Arc<Record>, Vec<Posting>)>,
    by_request: HashMap<RequestId, usize>,
    holds: BTreeMap<RequestId, HoldRow>,
    totals: Totals,
    secrets: BTreeMap<String, Vec<u8>>,
    leaves: Vec<Vec<u8>>,
    leaf_of: HashMap<RequestId, u64>,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
    checkpoints: BTreeMap<u64, CheckpointRow>,
    sessions: BTreeMap<([u8; 32], u32), SessionPart>,
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No step below leaves the books half changed, so a panic elsewhere
        // does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn writable(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.inner();
        if inner.closed { Err(Error::Closed) } else { Ok(inner) }
    }
}

impl Inner {
    fn append(&mut self, entry: Entry) -> Result<(), Error> {
        match entry {
            Entry::Hold(hold) => {
                if !self.by_request.contains_key(&hold.request) {
                    self.holds.insert(hold.request, hold);
                }
            }
            Entry::Leaf(leaf) => {
                check_leaf(&leaf)?;
                self.leaves.push(leaf);
            }
            Entry::Session(change) => {
                check_session(&change)?;
                match change {
                    SessionChange::Put(part) => {
                        self.sessions.insert((part.session, part.number), part);
                    }
                    SessionChange::End(session) => self.sessions.retain(|(name, _), _| *name != session),
                }
            }
            Entry::Settle { record, postings, leaf } => {
                check_balance(&postings)?;
                leaf.as_deref().map_or(Ok(()), check_leaf)?;
                if let Some(leaf) = leaf {
                    self.leaf_of.entry(record.id).or_insert(self.leaves.len() as u64);
                    self.leaves.push(leaf);
                }
                self.holds.remove(&record.id);
                if !self.by_request.contains_key(&record.id) {
                    self.by_request.insert(record.id, self.rows.len());
                    self.totals.add(&record);
                    self.rows.push((record, postings));
                }
            }
        }
        Ok(())
    }
}

impl Identity for MemoryStore {
    fn load(&self) -> Result<State, Error> {
        Ok(self.inner().state.clone())
    }
    fn change(&self, changes: &[Change]) -> Result<u64, Error> {
        let mut inner = self.writable()?;
        let mut state = inner.state.clone();
        for change in changes {
            state.apply(change)?;
        }
        state.generation += u64::from(!changes.is_empty());
        inner.state = state;
        Ok(inner.state.generation)
    }
}

impl Ledger for MemoryStore {
    fn append(&self, entry: Entry, done: Done) {
        let result = self.writable().and_then(|mut inner| inner.append(entry));
        done(result);
    }
    fn open_holds(&self) -> Result<Vec<HoldRow>, Error> {
        let mut holds: Vec<HoldRow> = self.inner().holds.values().cloned().collect();
        holds.sort_by_key(|hold| (hold.at, hold.request));
        Ok(holds)
    }
    fn postings(&self, request: RequestId) -> Result<Vec<Posting>, Error> {
        let inner = self.inner();
        Ok(inner.by_request.get(&request).map(|at| inner.rows[*at].1.clone()).unwrap_or_default())
    }
    fn settlements(&self, number: u64, limit: usize) -> Result<Vec<Settlement>, Error> {
        let inner = self.inner();
        let rows = (0u64..).zip(&inner.rows).skip_while(|(n, _)| *n < number);
        let settlement = |(number, (record, postings)): (u64, &(Arc<Record>, Vec<Posting>))| Settlement {
            number,
            record: Record::clone(record),
            postings: postings.clone(),
            leaf: inner.leaf_of.get(&record.id).copied(),
        };
        Ok(rows.take(limit.min(SETTLEMENTS_MAX)).map(settlement).collect())
    }
    fn spend(&self, query: &SpendQuery) -> Result<Vec<SpendRow>, Error> {
        Ok(self.inner().totals.select(query).collect())
    }
    fn check(&self) -> Result<LedgerCheck, Error> {
        let inner = self.inner();
        let mut check = LedgerCheck { records: inner.rows.len() as u64, ..LedgerCheck::default() };
        let mut totals = Totals::default();
        for (record, postings) in &inner.rows {
            totals.add(record);
            check.postings += postings.len() as u64;
            check.unbalanced += count_unbalanced(postings);
            check.sum_pico += postings.iter().map(|p| i128::from(p.amount.pico())).sum::<i128>();
        }
        check.drifted = totals.drift(&inner.totals);
        Ok(check)
    }
}

impl Records for MemoryStore {
    fn record(&self, id: RequestId) -> Result<Option<Record>, Error> {
        let inner = self.inner();
        Ok(inner.by_request.get(&id).map(|at| Record::clone(&inner.rows[*at].0)))
    }
    fn recent(&self, limit: usize) -> Result<Vec<Record>, Error> {
        let newest = self.inner();
        Ok(newest
            .rows
            .iter()
            .rev()
            .take(limit.min(crate::RECENT_MAX))
            .map(|(r, _)| Record::clone(r))
            .collect())
    }
}

impl Secrets for MemoryStore {
    fn put_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        check_secret(name, value)?;
        self.writable()?.secrets.insert(name.to_owned(), value.to_vec());
        Ok(())
    }
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner().secrets.get(name).cloned())
    }
    fn secret_names(&self) -> Result<Vec<String>, Error> {
        Ok(self.inner().secrets.keys().cloned().collect())
    }
    fn remove_secret(&self, name: &str) -> Result<bool, Error> {
        Ok(self.writable()?.secrets.remove(name).is_some())
    }
}

impl AuditLog for MemoryStore {
    fn log_size(&self) -> Result<u64, Error> {
        Ok(self.inner().leaves.len() as u64)
    }
    fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, Error> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.inner().leaves.iter().skip(from).take(limit.min(LEAVES_MAX)).cloned().collect())
    }
    fn leaf_of(&self, request: RequestId) -> Result<Option<u64>, Error> {
        Ok(self.inner().leaf_of.get(&request).copied())
    }
    fn publish(&self, tiles: &[TileRow], checkpoint: &CheckpointRow) -> Result<(), Error> {
        let mut inner = self.writable()?;
        for tile in tiles {
            inner.tiles.insert((tile.level, tile.n), tile.hashes.clone());
        }
        inner.checkpoints.insert(checkpoint.size, checkpoint.clone());
        if let Some(oldest) = inner.checkpoints.keys().rev().nth(CHECKPOINTS_KEPT - 1).copied() {
            inner.checkpoints.retain(|size, row| *size >= oldest || row.cosigned);
        }
        Ok(())
    }
    fn tile(&self, level: u8, n: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner().tiles.get(&(level, n)).cloned())
    }
    fn checkpoints(&self, limit: usize) -> Result<Vec<CheckpointRow>, Error> {
        Ok(self.inner().checkpoints.values().rev().take(limit).cloned().collect())
    }
    fn last_cosigned(&self) -> Result<Option<CheckpointRow>, Error> {
        Ok(self.inner().checkpoints.values().rev().find(|row| row.cosigned).cloned())
    }
}

impl Sessions for MemoryStore {
    fn session_parts(&self, from: ([u8; 32], u32), limit: usize) -> Result<Vec<SessionPart>, Error> {
        let inner = self.inner();
        let parts = inner.sessions.range(from..).map(|(_, part)| part.clone());
        Ok(parts.take(limit.min(PARTS_MAX)).collect())
    }
    fn erase_sessions(&self, team: TeamId) -> Result<(), Error> {
        self.writable()?.sessions.retain(|_, part| part.team != team);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn close(&self) -> Result<(), Error> {
        self.inner().closed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_memory_store_conforms() {
        crate::conformance::run(|| Box::new(super::MemoryStore::new()));
    }
}
