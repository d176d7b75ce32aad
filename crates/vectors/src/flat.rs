//! A flat scan over four bits a dimension: turbovec's kernel, and beside it the
//! ids and classes by position.
//!
//! Ids are found by binary search in a list of (id, position) that is sorted
//! because ids only grow: 12 bytes a vector, where a hash map takes up to 37.

use std::collections::BTreeMap;
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use store::documents::{AclClass, ChunkId, Classes, Hit};
use turbovec::TurboQuantIndex;

use crate::members::Members;
use crate::{CANDIDATES_MAX, DenseIndex, Entry, Error, Found};

/// Bits of a dimension: with two the first forty no longer hold the nearest ten
/// of real vectors (recall .9998), with four they do.
const BITS: usize = 4;
/// A position that stands for none: the id's vector was removed.
const NOWHERE: u32 = u32::MAX;

/// See the module.
pub struct FlatIndex {
    dimensions: usize,
    inner: RwLock<Inner>,
}

pub(crate) struct Inner {
    codes: TurboQuantIndex,
    /// By position.
    ids: Vec<u64>,
    members: Members,
    places: Places,
}

/// Where each id is: sorted by id.
#[derive(Default)]
struct Places {
    ids: Vec<u64>,
    positions: Vec<u32>,
    /// How many of them are nowhere.
    gone: usize,
}

impl Places {
    fn get(&self, id: u64) -> Option<u32> {
        let at = self.ids.binary_search(&id).ok()?;
        Some(self.positions[at]).filter(|position| *position != NOWHERE)
    }
    fn set(&mut self, id: u64, position: u32) {
        match self.ids.binary_search(&id) {
            Ok(at) => {
                self.gone -= usize::from(self.positions[at] == NOWHERE);
                self.gone += usize::from(position == NOWHERE);
                self.positions[at] = position;
            }
            // At the end, unless a chunk is released from quarantine.
            Err(at) => {
                self.ids.insert(at, id);
                self.positions.insert(at, position);
            }
        }
    }
    /// Forgets the ids that are nowhere, once they are many.
    fn tidy(&mut self) {
        if self.gone < 1_024 || self.gone < self.ids.len() / 4 {
            return;
        }
        let kept = self.ids.iter().zip(&self.positions).filter(|(_, position)| **position != NOWHERE);
        let (ids, positions) = kept.map(|(id, position)| (*id, *position)).unzip();
        *self = Places { ids, positions, gone: 0 };
    }
}

impl FlatIndex {
    /// An empty index.
    ///
    /// # Panics
    /// For no dimensions, or more than [`store::documents::DIMENSIONS_MAX`].
    pub fn new(dimensions: usize) -> FlatIndex {
        on_one_thread();
        let codes =
            TurboQuantIndex::new(padded(dimensions), BITS).expect("dimensions are within the store's bound");
        let inner = Inner { codes, ids: Vec::new(), members: Members::default(), places: Places::default() };
        FlatIndex { dimensions, inner: RwLock::new(inner) }
    }
    /// From a snapshot's parts; `None` when they do not fit together.
    pub(crate) fn from_parts(
        dimensions: usize,
        ids: Vec<u64>,
        classes: Vec<u32>,
        codes: &[u8],
    ) -> Option<FlatIndex> {
        on_one_thread();
        let codes = TurboQuantIndex::from_bytes(codes).ok()?;
        let sound = codes.dim_opt() == Some(padded(dimensions))
            && codes.bit_width() == BITS
            && codes.len() == ids.len()
            && classes.len() == ids.len();
        if !sound {
            return None;
        }
        let mut order: Vec<u32> = (0..u32::try_from(ids.len()).ok()?).collect();
        order.sort_unstable_by_key(|position| ids[*position as usize]);
        let sorted: Vec<u64> = order.iter().map(|position| ids[*position as usize]).collect();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        codes.prepare();
        let places = Places { ids: sorted, positions: order, gone: 0 };
        let members = Members::from_classes(classes);
        Some(FlatIndex { dimensions, inner: RwLock::new(Inner { codes, ids, members, places }) })
    }
    /// Reads ids, classes and codes at one moment.
    pub(crate) fn with_parts<T>(&self, read: impl FnOnce(&[u64], &[u32], Vec<u8>) -> T) -> T {
        let inner = self.read();
        read(&inner.ids, inner.members.classes(), inner.codes.to_bytes())
    }
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every change below is checked before the first step of it.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
    /// A unit vector of the kernel's dimensions.
    fn prepared(&self, vector: &[f32]) -> Result<Vec<f32>, Error> {
        if vector.len() != self.dimensions {
            return Err(Error::Dimensions { given: vector.len(), expected: self.dimensions });
        }
        if let Some(at) = vector.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { at, value: vector[at] });
        }
        // In 64 bits: squares of large numbers are no infinity there.
        let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        let mut unit: Vec<f32> = vector.iter().map(|x| (f64::from(*x) * scale) as f32).collect();
        unit.resize(padded(self.dimensions), 0.0);
        Ok(unit)
    }
}

/// Makes rayon's global pool one thread, so that a search runs on its caller's thread
/// alone. turbovec, the one crate here that uses rayon, spreads a single query over that
/// pool otherwise: every core for a moment, beside an engine that wants them all.
fn on_one_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Refused when somebody built the pool before: then it is as they wanted it.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
    });
}

/// The kernel takes eight dimensions at once.
fn padded(dimensions: usize) -> usize {
    dimensions.next_multiple_of(8)
}

impl Inner {
    /// Takes a vector out; the last one takes its position.
    fn take(&mut self, id: u64) {
        let Some(position) = self.places.get(id) else { return };
        let at = position as usize;
        self.codes.swap_remove(at);
        self.ids.swap_remove(at);
        self.members.swap_remove(position);
        self.places.set(id, NOWHERE);
        if let Some(moved) = self.ids.get(at) {
            self.places.set(*moved, position);
        }
    }
}

impl DenseIndex for FlatIndex {
    fn dimensions(&self) -> usize {
        self.dimensions
    }
    fn len(&self) -> usize {
        self.read().ids.len()
    }
    fn bytes(&self) -> usize {
        let inner = self.read();
        // Codes, a scale, the id and class by position, the position by class, the place by id.
        inner.ids.len() * (padded(self.dimensions) * BITS / 8 + 4 + 8 + 4 + 8) + inner.places.ids.len() * 12
    }
    fn add(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut units = Vec::with_capacity(entries.len());
        for entry in entries {
            units.push(self.prepared(&entry.vector)?);
        }
        // Of a chunk that comes twice the last counts. In the order of their ids they
        // go to the end of the places.
        let last: BTreeMap<u64, (u32, &Vec<f32>)> =
            entries.iter().zip(&units).map(|(entry, unit)| (entry.chunk.0, (entry.class.0, unit))).collect();
        if last.is_empty() {
            return Ok(());
        }
        let flat: Vec<f32> = last.values().flat_map(|(_, unit)| unit.iter().copied()).collect();
        let mut inner = self.write();
        let inner = &mut *inner;
        last.keys().for_each(|id| inner.take(*id));
        inner.codes.add_2d(&flat, padded(self.dimensions)).expect("they were checked");
        for (id, (class, _)) in last {
            inner.places.set(id, inner.ids.len() as u32);
            inner.ids.push(id);
            inner.members.push(class);
        }
        inner.codes.prepare();
        inner.places.tidy();
        Ok(())
    }
    fn classify(&self, chunks: &[ChunkId], class: AclClass) {
        let mut inner = self.write();
        for chunk in chunks {
            if let Some(position) = inner.places.get(chunk.0) {
                inner.members.set(position, class.0);
            }
        }
    }
    fn remove(&self, chunks: &[ChunkId]) {
        let mut inner = self.write();
        chunks.iter().for_each(|chunk| inner.take(chunk.0));
        inner.codes.prepare();
        inner.places.tidy();
    }
    fn allowed(&self, allowed: &Classes) -> usize {
        self.read().members.count(allowed)
    }
    fn search(&self, query: &[f32], allowed: &Classes, candidates: usize) -> Result<Found, Error> {
        let query = self.prepared(query)?;
        let inner = self.read();
        let count = inner.members.count(allowed);
        let wanted = candidates.min(CANDIDATES_MAX).min(count);
        if wanted == count {
            let all = inner.members.positions(allowed);
            let mut ids: Vec<u64> = all.into_iter().map(|position| inner.ids[position as usize]).collect();
            ids.sort_unstable();
            let hit = |id| Hit { chunk: ChunkId(id), score: 0.0 };
            return Ok(Found { candidates: ids.into_iter().map(hit).collect(), allowed: count });
        }
        if wanted == 0 {
            return Ok(Found { candidates: Vec::new(), allowed: count });
        }
        let mask = (count < inner.ids.len()).then(|| inner.members.mask(allowed));
        let found = inner.codes.try_search_with_mask(&query, wanted, mask.as_deref());
        let found = found.expect("query and mask were checked");
        let hit = |(position, score): (&i64, &f32)| {
            let chunk = inner.ids[usize::try_from(*position).expect("a position of the index")];
            Hit { chunk: ChunkId(chunk), score: *score }
        };
        // What the kernel could not fill is infinitely far.
        let scored = found.indices.iter().zip(&found.scores).filter(|(_, score)| score.is_finite());
        let mut hits: Vec<Hit> = scored.map(hit).collect();
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
        Ok(Found { candidates: hits, allowed: count })
    }
    fn entries(&self) -> Vec<(ChunkId, AclClass)> {
        let inner = self.read();
        let there = inner.places.ids.iter().zip(&inner.places.positions).filter(|(_, at)| **at != NOWHERE);
        there.map(|(id, at)| (ChunkId(*id), AclClass(inner.members.classes()[*at as usize]))).collect()
    }
}
