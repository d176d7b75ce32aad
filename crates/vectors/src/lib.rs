//! Near vectors, among those that somebody may read.
//!
//! An index in memory is derived: the tenant's file is the truth, and whatever
//! is doubted is built again from [`store::documents::IndexRows`]. It holds each
//! chunk's vector in four bits a dimension, with the chunk's id and class; a
//! search scans them under a mask of the classes that its reader may read.
//! A scan misses nothing that the mask lets through, which a graph of neighbours
//! cannot say at one document in a thousand: figures and what lost in
//! `docs/decisions/020-a-flat-scan-for-dense-search.md`.
//!
//! Four bits rank roughly. So a search returns more candidates than are wanted
//! (`context::plan` says how many), and [`ranked`] ranks them by the originals, which the
//! caller fetches for the same reader: the second check of rights comes with it.
//!
//! **Threads.** An index is shared. Each search runs on its caller's thread, beside
//! others; a change waits for those that run and holds up those that come, for about 2 µs a vector.
//! Settling ([`FlatIndex::settle`]) copies beside the searches, and holds up changes meanwhile.

mod error;
mod flat;
mod kept;
mod members;
mod originals;
mod places;
mod settled;
mod snapshot;

#[cfg(test)]
mod tests;

use store::documents::{AclClass, ChunkId, Classes, Hit};

pub use error::Error;
pub use flat::FlatIndex;
pub use originals::{ranked, rescore};
pub use snapshot::{FRAME_BYTES, Place, Snapshots, load, save};

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
    /// The nearest first, by their four bits; equals in the order of their ids. When they are
    /// all that the reader may read, in the order of their ids and without a score: no scan
    /// was needed.
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
    /// How many vectors `allowed` lets through: what a search is planned by.
    fn allowed(&self, allowed: &Classes) -> usize;
    /// The nearest of those that `allowed` lets through: never fewer than `candidates` of
    /// them while there are more, capped at [`CANDIDATES_MAX`].
    ///
    /// # Errors
    /// As [`DenseIndex::add`].
    fn search(&self, query: &[f32], allowed: &Classes, candidates: usize) -> Result<Found, Error>;
    /// Every chunk with its class, in the order of their ids: to compare with the store.
    fn entries(&self) -> Vec<(ChunkId, AclClass)>;
}
