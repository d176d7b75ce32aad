//! Near vectors, among those that somebody may read.
//!
//! An index in memory is derived: the tenant's file is the truth, and whatever
//! is doubted is built again from [`store::documents::IndexRows`]. It holds each
//! chunk's vector in four bits a dimension, with the chunk's id and class; a
//! search scans all of them under a mask of the classes that its reader may read.
//! A scan costs the same whatever the mask lets through and misses nothing that
//! it lets through, which a graph of neighbours cannot say at one document in a
//! thousand: figures and what lost in `docs/decisions/020-a-flat-scan-for-dense-search.md`.
//!
//! Four bits rank roughly. So a search returns more candidates than are wanted
//! ([`candidates_for`]), and [`rescore`] ranks them by the originals, which the
//! caller fetches for the same reader: the second check of rights comes with it.
//!
//! **Threads.** An index is shared. Searches run beside each other; a change waits
//! for those that run and holds up those that come, for about 2 µs a vector.

mod error;
mod flat;
mod snapshot;

#[cfg(test)]
mod tests;

use store::documents::{AclClass, ChunkId, Classes, Hit};

pub use error::Error;
pub use flat::FlatIndex;
pub use snapshot::{FRAME_BYTES, Place, load, save};

/// Candidates that one search returns at most.
pub const CANDIDATES_MAX: usize = 10_000;

/// A vector that is to be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub chunk: ChunkId,
    pub class: AclClass,
    /// Any length but zero's direction counts, not its size: nearness is the cosine.
    pub vector: Vec<f32>,
}

/// What a dense search found.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Found {
    /// The nearest first, by their four bits; equals in the order of their ids.
    pub candidates: Vec<Hit>,
    /// How many vectors the reader may read at all.
    pub allowed: usize,
}

impl Found {
    /// Whether every vector that the reader may read is a candidate: then ranking them by
    /// their originals gives the exact answer.
    pub fn is_exact(&self) -> bool {
        self.candidates.len() == self.allowed
    }
}

/// An index over one generation of a collection's vectors.
pub trait DenseIndex: Send + Sync {
    fn dimensions(&self) -> usize;
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What it holds in memory, in bytes, about.
    fn bytes(&self) -> usize;
    /// Adds vectors; one whose chunk is there replaces that one's.
    ///
    /// # Errors
    /// [`Error::Dimensions`], [`Error::NotFinite`]; then nothing was added.
    fn add(&self, entries: &[Entry]) -> Result<(), Error>;
    /// Gives chunks another class; those that are not there are left out.
    fn classify(&self, chunks: &[ChunkId], class: AclClass);
    /// Forgets chunks; those that are not there are left out.
    fn remove(&self, chunks: &[ChunkId]);
    /// The nearest of those that `allowed` lets through: never fewer than `candidates` of
    /// them while there are more, capped at [`CANDIDATES_MAX`].
    ///
    /// # Errors
    /// As [`DenseIndex::add`].
    fn search(&self, query: &[f32], allowed: &Classes, candidates: usize) -> Result<Found, Error>;
    /// Every chunk with its class, in the order of their ids: to compare with the store.
    fn entries(&self) -> Vec<(ChunkId, AclClass)>;
}

/// How many candidates to ask for when `k` are wanted: four bits put the nearest ten
/// among the first twenty on 15,882 real vectors of 384 dimensions (recall 1.000), and
/// among the first forty on harder ones.
pub const fn candidates_for(k: usize) -> usize {
    let four = k.saturating_mul(4);
    let least = if four < 40 { 40 } else { four };
    if least > CANDIDATES_MAX { CANDIDATES_MAX } else { least }
}

/// The best `k` by the cosine with their originals, the nearest first, equals in the order
/// of their ids. A vector without a direction is as far as an unrelated one.
pub fn rescore(query: &[f32], originals: &[(ChunkId, Vec<f32>)], k: usize) -> Vec<Hit> {
    let norm = |vector: &[f32]| dot(vector, vector).sqrt();
    let of_query = norm(query);
    let cosine = |vector: &[f32]| {
        let product = norm(vector) * of_query;
        if product > 0.0 { dot(query, vector) / product } else { 0.0 }
    };
    let mut hits: Vec<Hit> =
        originals.iter().map(|(chunk, vector)| Hit { chunk: *chunk, score: cosine(vector) }).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    hits.truncate(k);
    hits
}

/// In eight lanes, which the compiler keeps in registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0f32; 8];
    for (x, y) in a8.iter().zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}
