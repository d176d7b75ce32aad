//! Codes in the order of their classes, in segments.
//!
//! A class of many vectors has a segment of its own: a reader who may read it needs no mask over it,
//! and for whoever may not it costs nothing. All others share one, under a mask, in the order of
//! their classes, because the kernel passes over 32 vectors of which the mask has none. New vectors
//! come as they come; now and then all are put in order, beside the searches: a copy, and its
//! place taken at once.

use turbovec::TurboQuantIndex;

use crate::flat::BITS;
use crate::members::GONE;

/// Vectors of a class that has a segment of its own. Below, a mask over all that are
/// shared costs less than one more scan.
pub(crate) const OWN: usize = 8_192;

/// Vectors behind each other.
pub(crate) struct Segment {
    pub codes: TurboQuantIndex,
    /// Its first position in the index.
    pub first: usize,
    /// Whose it is alone.
    pub class: Option<u32>,
    /// Whether something changed in it but removals from a shared one: then only a look at
    /// each position tells its class.
    pub stirred: bool,
}

impl Segment {
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.codes.len()
    }
}

/// A segment as it is kept.
#[derive(Debug, PartialEq)]
pub(crate) struct Packed {
    pub class: Option<u32>,
    pub count: usize,
    /// The codes as turbovec writes them.
    pub codes: Vec<u8>,
}

/// Which file the originals are in, and how many parts of it.
pub(crate) type KeptIn = ([u8; 16], u32);

/// What an index consists of, all of it in order and none of it removed.
pub(crate) struct Settled {
    pub ids: Vec<u64>,
    pub classes: Vec<u32>,
    pub slots: Vec<u32>,
    pub segments: Vec<Packed>,
}

/// Segments behind each other, with what is known of them by position.
pub(crate) struct Unsettled<'a> {
    pub dimensions: usize,
    pub segments: Vec<&'a TurboQuantIndex>,
    pub ids: &'a [u64],
    pub classes: &'a [u32],
    pub slots: &'a [u32],
}

impl Unsettled<'_> {
    /// Classes of `own` vectors and more first, each in the order of its ids, then the others by
    /// class and id.
    pub fn settle(&self, own: usize) -> Settled {
        let count = u32::try_from(self.ids.len()).expect("positions are 32 bits");
        let mut order: Vec<u32> = (0..count).filter(|at| self.class(*at) != GONE).collect();
        order.sort_unstable_by_key(|at| (self.class(*at), self.ids[*at as usize]));
        let runs = order.chunk_by(|a, b| self.class(*a) == self.class(*b));
        let (owned, shared): (Vec<&[u32]>, Vec<&[u32]>) = runs.partition(|run| run.len() >= own);
        let shared = shared.concat();
        let rows = Rows::of(self);
        let alone = owned.iter().map(|run| rows.packed(run, Some(self.class(run[0]))));
        let others = (!shared.is_empty()).then(|| rows.packed(&shared, None));
        let segments = alone.chain(others).collect();
        let order = owned.into_iter().chain([&shared[..]]).flatten().map(|at| *at as usize);
        let mut settled = Settled { ids: Vec::new(), classes: Vec::new(), slots: Vec::new(), segments };
        for at in order {
            settled.ids.push(self.ids[at]);
            settled.classes.push(self.classes[at]);
            settled.slots.push(self.slots[at]);
        }
        settled
    }
    fn class(&self, at: u32) -> u32 {
        self.classes[at as usize]
    }
}

/// The codes of an index, row by row.
struct Rows {
    dimensions: usize,
    /// With the position of the first.
    segments: Vec<(usize, TurboQuantIndex)>,
}

impl Rows {
    /// Asked of copies: turbovec keeps the rows that it is asked for, and the index goes without.
    fn of(unsettled: &Unsettled<'_>) -> Rows {
        let mut segments = Vec::new();
        let mut first = 0;
        for codes in unsettled.segments.iter().filter(|codes| !codes.is_empty()) {
            let copy = TurboQuantIndex::from_bytes(&codes.to_bytes()).expect("it wrote them itself");
            segments.push((first, copy));
            first += codes.len();
        }
        Rows { dimensions: unsettled.dimensions, segments }
    }
    fn packed(&self, order: &[u32], class: Option<u32>) -> Packed {
        let bytes = self.dimensions * BITS / 8;
        let mut packed = Vec::with_capacity(order.len() * bytes);
        let mut scales = Vec::with_capacity(order.len());
        for position in order {
            let position = *position as usize;
            let segment = self.segments.partition_point(|(first, _)| *first <= position) - 1;
            let (first, codes) = &self.segments[segment];
            let at = position - first;
            packed.extend_from_slice(&codes.packed_codes()[at * bytes..][..bytes]);
            scales.push(codes.scales()[at]);
        }
        let (dimensions, count) = (Some(self.dimensions), order.len());
        let codes =
            TurboQuantIndex::from_parts(dimensions, BITS, count, packed, scales, Vec::new(), Vec::new());
        Packed { class, count, codes: codes.expect("its parts are those of sound indexes").to_bytes() }
    }
}
