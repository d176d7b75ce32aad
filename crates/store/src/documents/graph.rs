//! Entities and what relates them, each relation with the chunk that says so.

use units::Micros;

use super::{ChunkId, Reader};
use crate::Error;

/// Bytes of an entity's or a relation's name at most.
pub const NAME_BYTES_MAX: usize = 500;

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
    /// Edges from or to any of these entities that the reader may read; at most `limit`.
    fn edges(&self, reader: &Reader, entities: &[String], limit: usize) -> Result<Vec<Edge>, Error>;
}
