//! Collections end to end: a document's bytes become parts that are found, and a
//! question becomes the evidence that the asker may read.
//!
//! The decisions are `context`'s (how a text is read, cut, embedded, ranked) and
//! the truth is the store's (one file per tenant, and who may read what). This
//! crate is the way between them, and keeps what is derived: an index in memory
//! per collection, made when it is first asked (from its snapshot, which a restart
//! leaves behind) and made again when in doubt. A model that makes vectors is lent for
//! a call ([`Embed`]).
//!
//! Invariants: no function that shows a document, or that there is one, works
//! without a [`Reader`](store::documents::Reader); the mask is in the scan, and what leaves
//! with text is asked of the store once more; an index never answers for a
//! revision that it is not of; nothing here is written to a log.

mod answers;
mod arms;
mod embed;
mod error;
mod gate;
mod graph;
mod index;
mod ingest;
mod memory;
mod near;
mod open;
mod reindex;
mod rerank;
mod restart;
mod search;
mod settings;
mod sources;
mod sync;

#[cfg(test)]
mod tests;

pub use embed::{Embed, Embedded};
pub use error::Error;
pub use gate::{Judged, QUESTIONS_MAX};
pub use graph::{Neighbour, Walked};
pub use ingest::{Content, DOCUMENT_BYTES_MAX, Stored, sha256 as digest};
pub use memory::{Heard, Recall, Recalled, Stated, Statement, owner};
pub use near::{Kept, Nearest, Question};
pub use open::{Collections, EMBEDDER, Shown, Wish};
pub use reindex::Reindexed;
pub use rerank::Rank;
pub use search::{ALSO_MAX, Evidence, Explained, Found, Query, Reranking};
pub use settings::{Fitted, RERANK_MS, Ranking, Reranker};
pub use sources::{Origin, Released, Standing};
pub use sync::{Counts, Failed, Outcome, Progress, Synced, Wanted};
pub use vectors::Snapshots;
