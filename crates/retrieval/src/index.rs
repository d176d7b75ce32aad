//! Each collection's index in memory, and how it keeps to the store.
//!
//! The store has the truth and a revision of it. An index that is not of the
//! store's revision is built again before it answers; one that follows every put
//! stays, because that is all that ever changes a collection.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use context::plan::{self, Scan};
use store::documents::{ChunkId, Classes, Collection, Hit, IndexRow, PAGE_MAX, Put, Reader, Removed, Tenant};
use vectors::{DenseIndex, Entry, FlatIndex, ranked};

use crate::Error;

/// One collection's place: an index or none, and who changes the collection.
#[derive(Default)]
pub(crate) struct Slot {
    live: RwLock<Option<Live>>,
    /// Held over a change of the store and the index's following it.
    changing: Mutex<()>,
    used: AtomicU64,
    bytes: AtomicUsize,
}

#[derive(Clone)]
struct Live {
    revision: u64,
    generation: u32,
    index: Arc<FlatIndex>,
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
            index.remove(&put.removed);
            if !put.searched {
                index.remove(&put.added);
                index.remove(&put.kept);
                return true;
            }
            index.classify(&put.kept, put.class);
            let entries = put.added.iter().zip(vectors);
            let entries: Vec<Entry> =
                entries.map(|(chunk, vector)| Entry { chunk: *chunk, class: put.class, vector }).collect();
            index.add(&entries).is_ok()
        })
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
            true
        })
    }

    /// `follow` says whether the index followed; one that did not is built again.
    fn change<T>(
        &self,
        tenant: &dyn Tenant,
        collection: &Collection,
        change: impl FnOnce() -> Result<T, Error>,
        follow: impl FnOnce(&FlatIndex, &T) -> bool,
    ) -> Result<T, Error> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = tenant.revision(collection.id)?;
        let done = change()?;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let kept = live.take().filter(|l| l.is_of(before, collection));
        if let Some(kept) = kept
            && follow(&kept.index, &done)
        {
            self.bytes.store(kept.index.bytes(), Ordering::Relaxed);
            *live = Some(Live { revision: tenant.revision(collection.id)?, ..kept });
        }
        Ok(done)
    }

    /// The nearest `limit` of what the reader may read, as `context::plan` has it. Four bits
    /// choose the candidates under the reader's mask; their originals, asked of the store for
    /// the same reader, rank them.
    pub fn nearest(
        &self,
        tenant: &dyn Tenant,
        reader: &Reader,
        collection: &Collection,
        query: &[f32],
        limit: usize,
    ) -> Result<Near, Error> {
        let index = self.index(tenant, collection)?;
        let classes: Arc<Classes> = tenant.classes(reader)?;
        let allowed = index.allowed(&classes);
        let plan = plan::plan(limit, allowed as u64, plan::Index { quantised: true });
        let candidates = match plan.scan {
            Scan::Nothing => 0,
            Scan::Direct => allowed,
            Scan::Masked { fetch } => fetch,
        };
        let found = index.search(query, &classes, candidates)?;
        let read = |ids: &[ChunkId]| tenant.vectors(reader, collection.id, collection.live.number, ids);
        let mut hits = ranked(query, &found, plan.k, read)?;
        // What shares nothing with the question is no find.
        hits.retain(|hit| hit.score > 0.0);
        Ok(Near { hits, exact: found.is_exact(), readable: found.allowed as u64 })
    }

    /// The index of the store's revision, built if there is none.
    fn index(&self, tenant: &dyn Tenant, collection: &Collection) -> Result<Arc<FlatIndex>, Error> {
        let revision = tenant.revision(collection.id)?;
        if let Some(live) = self.live.read().unwrap_or_else(PoisonError::into_inner).as_ref()
            && live.is_of(revision, collection)
        {
            return Ok(Arc::clone(&live.index));
        }
        // Nobody changes the collection meanwhile, so what is read is of one revision.
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = tenant.revision(collection.id)?;
        let index = Arc::new(built(tenant, collection)?);
        self.bytes.store(index.bytes(), Ordering::Relaxed);
        let live = Live { revision, generation: collection.live.number, index: Arc::clone(&index) };
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Some(live);
        Ok(index)
    }
}

impl Live {
    fn is_of(&self, revision: u64, collection: &Collection) -> bool {
        self.revision == revision && self.generation == collection.live.number
    }
}

fn built(tenant: &dyn Tenant, collection: &Collection) -> Result<FlatIndex, Error> {
    let index = FlatIndex::new(collection.live.dimensions as usize);
    let mut after = None;
    loop {
        let rows = tenant.index_rows(collection.id, collection.live.number, after, PAGE_MAX)?;
        let full = rows.len() == PAGE_MAX;
        after = rows.last().map(|row| row.chunk);
        let entry = |row: IndexRow| Entry { chunk: row.chunk, class: row.class, vector: row.vector };
        index.add(&rows.into_iter().map(entry).collect::<Vec<_>>())?;
        if !full {
            return Ok(index);
        }
    }
}
