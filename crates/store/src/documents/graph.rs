//! Entities and what relates them, each relation with the chunk that says so.

use units::{CollectionId, Micros};

use super::{ChunkId, Reader};
use crate::Error;

/// Bytes of an entity's or a relation's name at most.
pub const NAME_BYTES_MAX: usize = 500;

/// An edge of a document that is put: it comes and goes with one of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEdge {
    /// The chunk's place among those of the document, from 0.
    pub chunk: u32,
    pub from: String,
    pub relation: String,
    pub to: String,
}

/// `from` stands in `relation` to `to`, as a chunk says.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    pub from: String,
    pub relation: String,
    pub to: String,
    /// It goes with this chunk, and is read by whoever may read it.
    pub chunk: ChunkId,
    pub valid_from: Option<Micros>,
    pub valid_to: Option<Micros>,
}

pub trait Graph: Send + Sync {
    /// Adds edges in one transaction; those whose chunk is gone are left out, and one that is
    /// there stays as it is. Returns how many were added.
    ///
    /// # Errors
    /// [`Error::Invalid`] beyond a bound.
    fn relate(&self, edges: Vec<Edge>) -> Result<u64, Error>;
    /// Edges of a collection from or to any of these entities that the reader may read, in the
    /// order in which they came: of each entity the first `per_entity`, and none twice. An
    /// entity in half of all chunks so costs no more than another.
    fn edges(
        &self,
        reader: &Reader,
        collection: CollectionId,
        entities: &[String],
        per_entity: usize,
    ) -> Result<Vec<Edge>, Error>;
    /// Edges of these chunks that the reader may read: of each chunk the first `per_chunk`.
    fn edges_of_chunks(
        &self,
        reader: &Reader,
        chunks: &[ChunkId],
        per_chunk: usize,
    ) -> Result<Vec<Edge>, Error>;
}
