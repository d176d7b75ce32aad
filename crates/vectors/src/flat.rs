//! A flat scan over four bits a dimension: turbovec's kernel, and beside it the
//! ids and classes by position.
//!
//! Most vectors are in segments ([`crate::settled`]), and no code of those ever moves:
//! what is removed is in no class from then on. New ones are in `fresh`, which is scanned after them,
//! until [`FlatIndex::settle`] makes segments of all. So they are held once in memory: turbovec
//! keeps a second copy of whatever is changed in place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use seal::TenantKeys;
use store::documents::{AclClass, ChunkId, Classes, Hit};
use turbovec::TurboQuantIndex;

use crate::kept::{Kept, NO_SLOT};
use crate::members::Members;
use crate::places::Places;
use crate::settled::{KeptIn, OWN, Packed, Segment, Settled, Unsettled};
use crate::{CANDIDATES_MAX, DenseIndex, Entry, Error, Found, Place};

/// Bits of a dimension: with two the first forty no longer hold the nearest ten
/// of real vectors (recall .9998), with four they do.
pub(crate) const BITS: usize = 4;
/// Fresh or removed vectors that are not worth settling.
const UNSETTLED: usize = 4_096;

/// See the module.
pub struct FlatIndex {
    dimensions: usize,
    inner: RwLock<Inner>,
    /// Held over a change: settling copies beside the searches, and nothing may come between.
    changing: Mutex<()>,
}

struct Inner {
    segments: Vec<Segment>,
    fresh: TurboQuantIndex,
    /// By position: first those of the segments, then those of `fresh`.
    ids: Vec<u64>,
    /// By position: where its original is kept.
    slots: Vec<u32>,
    members: Members,
    places: Places,
    /// Positions of segments that stand for nothing.
    gone: usize,
    /// Vectors of segments that were given another class.
    moved: usize,
    kept: Option<Kept>,
}

impl FlatIndex {
    /// An empty index.
    ///
    /// # Panics
    /// For no dimensions, or more than [`store::documents::DIMENSIONS_MAX`].
    pub fn new(dimensions: usize) -> FlatIndex {
        on_one_thread();
        let inner = Inner {
            segments: Vec::new(),
            fresh: no_codes(dimensions),
            ids: Vec::new(),
            slots: Vec::new(),
            members: Members::default(),
            places: Places::default(),
            gone: 0,
            moved: 0,
            kept: None,
        };
        FlatIndex { dimensions, inner: RwLock::new(inner), changing: Mutex::default() }
    }
    /// The same, which keeps its originals in a file of its own, beside `snapshot`; an older
    /// file there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`].
    ///
    /// # Panics
    /// As [`FlatIndex::new`].
    pub fn keeping(
        dimensions: usize,
        snapshot: &Path,
        keys: &TenantKeys,
        place: Place,
    ) -> Result<FlatIndex, Error> {
        let index = FlatIndex::new(dimensions);
        index.write().kept = Some(Kept::create(&crate::kept::path_of(snapshot), keys, place, dimensions)?);
        Ok(index)
    }
    /// From a snapshot's parts; `None` when they do not fit together.
    pub(crate) fn from_settled(dimensions: usize, settled: Settled, kept: Option<Kept>) -> Option<FlatIndex> {
        on_one_thread();
        let inner = Inner::of(dimensions, settled, kept)?;
        Some(FlatIndex { dimensions, inner: RwLock::new(inner), changing: Mutex::default() })
    }
    /// All in order, at one moment, and which file its originals are in; they are durable.
    pub(crate) fn settled(&self) -> Result<(Settled, Option<KeptIn>), Error> {
        let inner = self.read();
        inner.kept.as_ref().map_or(Ok(()), Kept::sync)?;
        Ok((
            inner.unsettled(self.dimensions).settle(OWN),
            inner.kept.as_ref().map(|kept| (kept.instance, kept.count())),
        ))
    }
    /// Puts all codes in order and takes what was removed out, when enough came or went for it
    /// to pay: a copy beside the searches, then its place. Takes about 2 µs a vector.
    pub fn settle(&self) {
        self.settle_beyond(UNSETTLED, OWN);
    }
    /// With other bounds than [`UNSETTLED`] and [`OWN`].
    pub(crate) fn settle_beyond(&self, few: usize, own: usize) {
        let _one = self.changing();
        let inner = self.read();
        let unsettled = inner.fresh.len() + inner.gone + inner.moved;
        if unsettled < few || unsettled < inner.ids.len() / 8 {
            return;
        }
        let mut settled = inner.unsettled(self.dimensions).settle(own);
        let dead = |kept: &&Kept| kept.count() as usize > 2 * settled.ids.len() + few;
        let renewed = inner.kept.as_ref().filter(dead).map(|k| k.renewed(&settled.slots, &settled.ids));
        if renewed.is_some() {
            settled.slots = (0..settled.ids.len() as u32).collect();
        }
        drop(inner);
        let mut new = Inner::of(self.dimensions, settled, None).expect("it was made of a sound index");
        let mut inner = self.write();
        new.kept = match renewed {
            Some(kept) => kept.ok(),
            None => inner.kept.take(),
        };
        *inner = new;
    }
    /// The originals of these chunks as far as they are kept here and `allowed` lets them
    /// through; whoever asks finds the others in the tenant's file.
    pub fn originals(&self, allowed: &Classes, chunks: &[ChunkId]) -> Vec<(ChunkId, Vec<f32>)> {
        let inner = self.read();
        let Some(kept) = &inner.kept else { return Vec::new() };
        let mut part = Vec::new();
        let read = |chunk: &ChunkId| {
            let at = inner.places.get(chunk.0)? as usize;
            let may = allowed.has(AclClass(inner.members.classes()[at]));
            let vector = may.then(|| kept.read(inner.slots[at], chunk.0, &mut part))?;
            Some((*chunk, vector?))
        };
        chunks.iter().filter_map(read).collect()
    }
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // Every change below is checked before the first step of it.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
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

fn no_codes(dimensions: usize) -> TurboQuantIndex {
    TurboQuantIndex::new(padded(dimensions), BITS).expect("dimensions are within the store's bound")
}

impl Inner {
    fn of(dimensions: usize, settled: Settled, kept: Option<Kept>) -> Option<Inner> {
        let Settled { ids, classes, slots, segments: packed } = settled;
        let mut segments = Vec::with_capacity(packed.len());
        let mut first = 0_usize;
        for Packed { class, count, codes } in packed {
            let codes = TurboQuantIndex::from_bytes(&codes).ok()?;
            let of_class = classes.get(first..first.checked_add(count)?)?;
            let sound = codes.dim_opt() == Some(padded(dimensions))
                && codes.bit_width() == BITS
                && codes.len() == count
                && class.is_none_or(|class| of_class.iter().all(|c| *c == class));
            if !sound {
                return None;
            }
            codes.prepare();
            segments.push(Segment { codes, first, class, stirred: false });
            first += count;
        }
        if first != ids.len() || classes.len() != first || slots.len() != first {
            return None;
        }
        let (places, members) = (Places::of(&ids)?, Members::from_classes(classes));
        let fresh = no_codes(dimensions);
        Some(Inner { segments, fresh, ids, slots, members, places, gone: 0, moved: 0, kept })
    }
    fn unsettled(&self, dimensions: usize) -> Unsettled<'_> {
        let segments = self.segments.iter().map(|s| &s.codes).chain([&self.fresh]).collect();
        let Inner { ids, slots, members, .. } = self;
        Unsettled { dimensions: padded(dimensions), segments, ids, classes: members.classes(), slots }
    }
    /// Positions before the fresh ones.
    fn settled(&self) -> usize {
        self.ids.len() - self.fresh.len()
    }
    /// Notes that something changed at a position of a segment; whether it is of one.
    fn stir(&mut self, at: usize, removed: bool) -> bool {
        let next = self.segments.partition_point(|segment| segment.first <= at);
        let Some(segment) = next.checked_sub(1).map(|n| &mut self.segments[n]) else { return false };
        let within = segment.range().contains(&at);
        segment.stirred |= within && !(removed && segment.class.is_none());
        within
    }
    /// By position of a segment, what may be found in it; `None`: all of it, if its class may be.
    fn mask(&self, segment: &Segment, allowed: &Classes) -> Option<Vec<bool>> {
        let range = segment.range();
        match segment.class {
            Some(_) if !segment.stirred => None,
            None if !segment.stirred => {
                // What has a segment of its own is here only once something was stirred.
                let own = |class| self.segments.iter().any(|segment| segment.class == Some(class));
                Some(self.members.mask(allowed, range, own))
            }
            _ => {
                let classes = &self.members.classes()[range];
                Some(classes.iter().map(|class| allowed.has(AclClass(*class))).collect())
            }
        }
    }
    /// The nearest of some codes, `first` being the position of the first.
    fn scan(
        &self,
        codes: &TurboQuantIndex,
        first: usize,
        query: &[f32],
        wanted: usize,
        mask: Option<&[bool]>,
        hits: &mut Vec<Hit>,
    ) {
        let found = codes.try_search_with_mask(query, wanted, mask);
        let found = found.expect("query and mask were checked");
        // What the kernel could not fill is infinitely far.
        let scored = found.indices.iter().zip(&found.scores).filter(|(_, score)| score.is_finite());
        hits.extend(scored.map(|(position, score)| {
            let at = first + usize::try_from(*position).expect("a position of the index");
            Hit { chunk: ChunkId(self.ids[at]), score: *score }
        }));
    }
    /// Takes a vector out. Of the fresh ones the last takes its position.
    fn take(&mut self, id: u64) {
        let Some(position) = self.places.get(id) else { return };
        let at = position as usize;
        if let (Some(kept), slot) = (&self.kept, self.slots[at])
            && slot != NO_SLOT
        {
            kept.erase(slot);
        }
        self.places.forget(id);
        if self.stir(at, true) {
            self.members.remove(position);
            self.gone += 1;
            return;
        }
        self.fresh.swap_remove(at - self.settled());
        self.ids.swap_remove(at);
        self.slots.swap_remove(at);
        self.members.swap_remove(position);
        if let Some(moved) = self.ids.get(at) {
            self.places.set(*moved, position);
        }
    }
    /// Where the originals of these are kept from now on, one slot after the other.
    fn keep(&mut self, entries: &[&Entry]) -> impl Iterator<Item = u32> + use<> {
        let first = self.kept.as_mut().and_then(|kept| kept.push(entries.iter().copied()).ok());
        (0..entries.len() as u32).map(move |n| first.map_or(NO_SLOT, |first| first + n))
    }
}

impl DenseIndex for FlatIndex {
    fn dimensions(&self) -> usize {
        self.dimensions
    }
    fn len(&self) -> usize {
        let inner = self.read();
        inner.ids.len() - inner.gone
    }
    fn bytes(&self) -> usize {
        let inner = self.read();
        let code = padded(self.dimensions) * BITS / 8;
        // A code and a scale, the second copy of what is fresh, and by position the id, the class,
        // its place in the class, and the slot.
        inner.ids.len() * (code + 4 + 8 + 4 + 8 + 4) + inner.fresh.len() * code + inner.places.len() * 12
    }
    fn add(&self, entries: &[Entry]) -> Result<(), Error> {
        let mut units = Vec::with_capacity(entries.len());
        for entry in entries {
            units.push(self.prepared(&entry.vector)?);
        }
        // Of a chunk that comes twice the last counts. In the order of their ids they
        // go to the end of the places.
        let last: BTreeMap<u64, (&Entry, &Vec<f32>)> =
            entries.iter().zip(&units).map(|(entry, unit)| (entry.chunk.0, (entry, unit))).collect();
        if last.is_empty() {
            return Ok(());
        }
        let flat: Vec<f32> = last.values().flat_map(|(_, unit)| unit.iter().copied()).collect();
        let entries: Vec<&Entry> = last.values().map(|(entry, _)| *entry).collect();
        let _one = self.changing();
        let mut inner = self.write();
        let inner = &mut *inner;
        last.keys().for_each(|id| inner.take(*id));
        inner.fresh.add_2d(&flat, padded(self.dimensions)).expect("they were checked");
        let slots = inner.keep(&entries);
        for (entry, slot) in entries.into_iter().zip(slots) {
            inner.places.set(entry.chunk.0, inner.ids.len() as u32);
            inner.ids.push(entry.chunk.0);
            inner.slots.push(slot);
            inner.members.push(entry.class.0);
        }
        inner.fresh.prepare();
        inner.places.tidy();
        Ok(())
    }
    fn classify(&self, chunks: &[ChunkId], class: AclClass) {
        let _one = self.changing();
        let mut inner = self.write();
        for chunk in chunks {
            let Some(position) = inner.places.get(chunk.0) else { continue };
            let at = position as usize;
            if inner.members.classes()[at] != class.0 {
                inner.moved += usize::from(inner.stir(at, false));
                inner.members.set(position, class.0);
            }
        }
    }
    fn remove(&self, chunks: &[ChunkId]) {
        let _one = self.changing();
        let mut inner = self.write();
        chunks.iter().for_each(|chunk| inner.take(chunk.0));
        inner.fresh.prepare();
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
        let mut hits = Vec::with_capacity(2 * wanted);
        for segment in &inner.segments {
            if segment.class.is_some_and(|class| !segment.stirred && !allowed.has(AclClass(class))) {
                continue;
            }
            let mask = inner.mask(segment, allowed);
            inner.scan(&segment.codes, segment.first, &query, wanted, mask.as_deref(), &mut hits);
        }
        if !inner.fresh.is_empty() {
            let first = inner.settled();
            let classes = &inner.members.classes()[first..];
            let mask: Vec<bool> = classes.iter().map(|class| allowed.has(AclClass(*class))).collect();
            inner.scan(&inner.fresh, first, &query, wanted, Some(&mask), &mut hits);
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
        hits.truncate(wanted);
        Ok(Found { candidates: hits, allowed: count })
    }
    fn entries(&self) -> Vec<(ChunkId, AclClass)> {
        let inner = self.read();
        let class = |at: u32| AclClass(inner.members.classes()[at as usize]);
        inner.places.iter().map(|(id, at)| (ChunkId(id), class(at))).collect()
    }
}
