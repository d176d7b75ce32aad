//! Each collection's index in memory, and how it keeps to the store.
//!
//! The store has the truth and a revision of it. An index that is not of the
//! store's revision is made again before it answers; one that follows every put
//! stays, because that is all that ever changes a collection.
//!
//! It is made from its snapshot ([`crate::restart`]), or else from every row.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use context::plan;
use store::documents::{ChunkId, Classes, Collection, Hit, Put, Reader, Removed, Tenant};
use units::TeamId;
use vectors::{DenseIndex, Entry, FlatIndex, Place, Snapshots, ranked};

use crate::{Error, restart};

/// An index that has changed by so many vectors, and by a quarter, is saved again: what a
/// crash leaves to catch up is bounded, and what saving costs is a share of the changing.
const UNSAVED: usize = 10_000;

/// One collection's place: an index or none, and who changes the collection.
#[derive(Default)]
pub(crate) struct Slot {
    snapshots: Option<Arc<Snapshots>>,
    live: RwLock<Option<Live>>,
    /// Held over a change of the store and the index's following it.
    changing: Mutex<()>,
    used: AtomicU64,
    bytes: AtomicUsize,
}

#[derive(Clone)]
struct Live {
    place: Place,
    revision: u64,
    index: Arc<FlatIndex>,
    /// Vectors that changed since the snapshot; `None`: there is no snapshot.
    unsaved: Option<usize>,
}

/// What the dense arm found.
pub(crate) struct Near {
    /// The nearest first, by their original vectors.
    pub hits: Vec<Hit>,
    /// Whether every vector that may be read was compared by its original.
    pub exact: bool,
    /// Parts that the reader may read.
    pub readable: u64,
}

impl Slot {
    pub fn new(snapshots: Option<Arc<Snapshots>>) -> Slot {
        Slot { snapshots, ..Slot::default() }
    }
    pub fn touch(&self) {
        self.used.store(runtime::clock::monotonic_us(), Ordering::Relaxed);
    }
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Puts something into the store, and lets the index follow. One at a time.
    pub fn put(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        put: impl FnOnce() -> Result<Put, Error>,
        vectors: Vec<Vec<f32>>,
    ) -> Result<Put, Error> {
        self.change(tenant, collection, put, |index, put| {
            let count = put.removed.len() + put.added.len() + put.kept.len();
            index.remove(&put.removed);
            if !put.searched {
                index.remove(&put.added);
                index.remove(&put.kept);
                return Some(count);
            }
            index.classify(&put.kept, put.class);
            let entries = put.added.iter().zip(vectors);
            let entries: Vec<Entry> =
                entries.map(|(chunk, vector)| Entry { chunk: *chunk, class: put.class, vector }).collect();
            index.add(&entries).is_ok().then_some(count)
        })
    }

    /// Trusts documents otherwise. The index is made again when it is next asked: whose vectors
    /// it is to learn, the store knows.
    pub fn entrust(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        entrust: impl FnOnce() -> Result<Vec<Put>, Error>,
    ) -> Result<Vec<Put>, Error> {
        self.change(tenant, collection, entrust, |_, puts| puts.is_empty().then_some(0))
    }

    /// Removes something from the store, and from the index.
    pub fn remove(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        remove: impl FnOnce() -> Result<Vec<Removed>, Error>,
    ) -> Result<Vec<Removed>, Error> {
        self.change(tenant, collection, remove, |index, removed| {
            removed.iter().for_each(|r| index.remove(&r.chunks));
            Some(removed.iter().map(|r| r.chunks.len()).sum())
        })
    }

    /// `follow` says how many vectors of the index changed, or that it did not follow; then
    /// it is made again.
    fn change<T>(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        change: impl FnOnce() -> Result<T, Error>,
        follow: impl FnOnce(&FlatIndex, &T) -> Option<usize>,
    ) -> Result<T, Error> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = tenant.revision(collection.id)?;
        let done = change()?;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let kept = live.take().filter(|l| l.is_of(before, collection));
        if let Some(mut kept) = kept
            && let Some(changed) = follow(&kept.index, &done)
        {
            self.bytes.store(kept.index.bytes(), Ordering::Relaxed);
            kept.revision = tenant.revision(collection.id)?;
            kept.unsaved = kept.unsaved.map(|count| count + changed);
            let count = kept.unsaved.unwrap_or(usize::MAX);
            let many = count >= UNSAVED && count >= kept.index.len() / 4;
            let index = Arc::clone(&kept.index);
            *live = Some(kept);
            drop(live);
            index.settle();
            if many {
                self.save_now(tenant.team());
            }
        }
        Ok(done)
    }

    /// Writes the index as it is, unless its snapshot has it already. One that cannot be
    /// written costs the next start its time, and nothing else.
    pub fn save(&self, team: TeamId) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.save_now(team);
    }

    /// While nobody changes the collection.
    fn save_now(&self, team: TeamId) {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (Some(snapshots), Some(live)) = (&self.snapshots, live) else { return };
        if live.unsaved == Some(0) {
            return;
        }
        if snapshots.save(team, live.place, &live.index, live.revision).is_ok() {
            snapshots.remove(team, live.place.collection, Some(live.place.generation));
            if let Some(live) = &mut *self.live.write().unwrap_or_else(PoisonError::into_inner) {
                live.unsaved = Some(0);
            }
        }
    }

    /// The nearest `limit` of what the reader may read, as `context::plan` has it. Four bits
    /// choose the candidates under the reader's mask; their originals, of what the mask lets through
    /// or asked of the store for the same reader, rank them.
    pub fn nearest(
        &self,
        tenant: &dyn Tenant,
        reader: &Reader,
        collection: &Collection,
        query: &[f32],
        limit: usize,
    ) -> Result<Near, Error> {
        let index = self.index(tenant, collection)?;
        pause::at("indexed");
        let classes: Arc<Classes> = tenant.classes(reader)?;
        pause::at("masked");
        let allowed = index.allowed(&classes);
        let plan = plan::plan(limit, allowed as u64, plan::Index { quantised: true });
        let found = index.search(query, &classes, plan.scan.candidates(allowed))?;
        pause::at("scanned");
        let read = |ids: &[ChunkId]| {
            let mut originals = index.originals(&classes, ids);
            let known: BTreeSet<ChunkId> = originals.iter().map(|(chunk, _)| *chunk).collect();
            let rest: Vec<ChunkId> = ids.iter().copied().filter(|id| !known.contains(id)).collect();
            if !rest.is_empty() {
                originals.extend(tenant.vectors(reader, collection.id, collection.live.number, &rest)?);
            }
            Ok::<_, Error>(originals)
        };
        let mut hits = ranked(query, &found, plan.k, read)?;
        pause::at("ranked");
        // What shares nothing with the question is no find.
        hits.retain(|hit| hit.score > 0.0);
        Ok(Near { hits, exact: found.is_exact(), readable: found.allowed as u64 })
    }

    /// The index of the store's revision, made if there is none.
    fn index(&self, tenant: &dyn Tenant, collection: &Collection) -> Result<Arc<FlatIndex>, Error> {
        let revision = tenant.revision(collection.id)?;
        if let Some(index) = self.live_of(revision, collection) {
            return Ok(index);
        }
        // Nobody changes the collection meanwhile, so what is read is of one revision.
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = tenant.revision(collection.id)?;
        // Others may have waited for the same.
        if let Some(index) = self.live_of(revision, collection) {
            return Ok(index);
        }
        let made = restart::make(tenant, collection, revision, self.snapshots.as_deref())?;
        let index = Arc::new(made.index);
        self.bytes.store(index.bytes(), Ordering::Relaxed);
        let place = restart::place(collection);
        let live = Live { place, revision, index: Arc::clone(&index), unsaved: made.unsaved };
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live);
        if made.unsaved.is_none() {
            self.save_now(tenant.team());
        }
        Ok(index)
    }

    fn live_of(&self, revision: u64, collection: &Collection) -> Option<Arc<FlatIndex>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().filter(|live| live.is_of(revision, collection)).map(|live| Arc::clone(&live.index))
    }
}

impl Live {
    fn is_of(&self, revision: u64, collection: &Collection) -> bool {
        self.revision == revision && self.place == restart::place(collection)
    }
}

/// Where a search can be interrupted by a change: a test does something there.
mod pause {
    #[cfg(not(test))]
    pub fn at(_: &'static str) {}

    #[cfg(test)]
    pub fn at(place: &'static str) {
        // Taken out while it runs: what it does may search, too.
        let Some(mut act) = ACT.take() else { return };
        act(place);
        ACT.set(Some(act));
    }

    #[cfg(test)]
    type Act = Box<dyn FnMut(&'static str)>;

    #[cfg(test)]
    thread_local! {
        pub static ACT: std::cell::Cell<Option<Act>> = const { std::cell::Cell::new(None) };
    }
}

/// In this thread's searches from now on, at each place.
#[cfg(test)]
pub(crate) fn at_each_place(act: impl FnMut(&'static str) + 'static) {
    pause::ACT.set(Some(Box::new(act)));
}
