//! Which blocks there are, in the order of their use, within the quota.
//!
//! Held under a lock for a few microseconds and never during I/O: room is
//! reserved first, the file written without the lock, and then the block kept
//! or the room given back.

use std::collections::{BTreeMap, HashMap};

use scheduler::BlockKey;

use crate::block::OVERHEAD;

/// A block among those of all fingerprints.
pub(crate) type Id = (u128, BlockKey);

/// What a file takes on a disk that gives space by the page; also bounds the
/// index, at one entry for each page of the quota.
const PAGE: u64 = 4096;

/// What a block of that many bytes is charged.
fn charge(length: u64) -> u64 {
    (length.saturating_add(OVERHEAD)).div_ceil(PAGE).saturating_mul(PAGE)
}

#[derive(Clone, Copy)]
struct Entry {
    length: u64,
    /// When it was used last; no two have the same.
    used: u64,
    /// When it was put here: tells it from a later one of the same name.
    born: u64,
    kept: bool,
}

pub(crate) struct Index {
    quota: u64,
    charged: u64,
    /// The part of `charged` that is being written.
    reserved: u64,
    now: u64,
    entries: HashMap<Id, Entry>,
    by_use: BTreeMap<u64, Id>,
}

/// The answer to a wish to write.
pub(crate) enum Room {
    /// It is there already, or somebody is writing it.
    Known,
    /// It can never fit.
    Refused,
    /// There is room after the files of these are removed; see [`Index::keep`]
    /// and [`Index::forget`].
    Reserved { born: u64, evicted: Vec<Id> },
}

impl Index {
    pub(crate) fn new(quota: u64) -> Index {
        let (entries, by_use) = Default::default();
        Index { quota, charged: 0, reserved: 0, now: 0, entries, by_use }
    }

    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// A block found on the disk, the next by use.
    pub(crate) fn found(&mut self, id: Id, length: u64) {
        let now = self.tick();
        if self.entries.insert(id, Entry { length, used: now, born: now, kept: true }).is_none() {
            self.by_use.insert(now, id);
            self.charged += charge(length);
        }
    }

    /// Takes out the least recently used until `more` bytes fit.
    pub(crate) fn shrink(&mut self, more: u64) -> Vec<Id> {
        let mut evicted = Vec::new();
        while self.charged.saturating_add(more) > self.quota {
            let Some((_, id)) = self.by_use.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&id) {
                self.charged -= charge(entry.length);
            }
            evicted.push(id);
        }
        evicted
    }

    pub(crate) fn reserve(&mut self, id: Id, length: u64) -> Room {
        if self.entries.contains_key(&id) {
            self.touch(id);
            return Room::Known;
        }
        let more = charge(length);
        if self.reserved.saturating_add(more) > self.quota {
            return Room::Refused;
        }
        let evicted = self.shrink(more);
        let now = self.tick();
        self.entries.insert(id, Entry { length, used: now, born: now, kept: false });
        self.charged += more;
        self.reserved += more;
        Room::Reserved { born: now, evicted }
    }

    /// The reserved block is on the disk.
    pub(crate) fn keep(&mut self, id: Id, born: u64) {
        let now = self.tick();
        let Some(entry) = self.entries.get_mut(&id).filter(|e| e.born == born && !e.kept) else { return };
        entry.kept = true;
        entry.used = now;
        self.reserved -= charge(entry.length);
        self.by_use.insert(now, id);
    }

    /// The block was used: when it was put here, if it is kept.
    pub(crate) fn touch(&mut self, id: Id) -> Option<u64> {
        let now = self.tick();
        let entry = self.entries.get_mut(&id).filter(|e| e.kept)?;
        self.by_use.remove(&entry.used);
        entry.used = now;
        self.by_use.insert(now, id);
        Some(entry.born)
    }

    /// Takes out the block that was put here then; true if it still was here.
    pub(crate) fn forget(&mut self, id: Id, born: u64) -> bool {
        let Some(entry) = self.entries.get(&id).copied().filter(|e| e.born == born) else { return false };
        self.entries.remove(&id);
        self.charged -= charge(entry.length);
        if entry.kept {
            self.by_use.remove(&entry.used);
        } else {
            self.reserved -= charge(entry.length);
        }
        true
    }

    /// The blocks of a fingerprint and their lengths, the least recently used first.
    pub(crate) fn of(&self, fingerprint: u128) -> Vec<(BlockKey, u64)> {
        let mine = self.by_use.values().filter(|id| id.0 == fingerprint);
        mine.filter_map(|id| Some((id.1, self.entries.get(id)?.length))).collect()
    }

    /// Blocks kept, and bytes charged for them and for those being written.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.by_use.len() as u64, self.charged)
    }
}
