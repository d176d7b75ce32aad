//! A tenant's documents, and what is derived from them: full text, vectors,
//! cached answers, memory, a graph.
//!
//! **Rights.** Whatever shows a text, a title, or that either exists takes a
//! [`Reader`]; a call without one writes, or gives the indexes in memory their
//! rows ([`IndexRows`]). What a reader may not read is as if it were not there:
//! no error tells the two apart. A chunk carries its list of readers as an
//! [`AclClass`], by which searches filter *before* they rank; whatever leaves with
//! text is asked a second time, by the list that holds then.
//!
//! **One transaction.** A put or a removal changes the document, its chunks, their
//! terms and vectors, and removes the answers, facts and edges that came from what
//! it replaces: nobody sees one without the other, and a crash leaves all of it or nothing.
//!
//! The calls are synchronous and durable when they return; callers beside each
//! other share a commit. Roles call them where waiting holds up nobody.

mod access;
mod answers;
pub mod check;
pub mod conformance;
mod graph;
pub mod half;
mod memory;
mod remember;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use units::{CollectionId, DocumentId, Labels, Micros, TeamId};

use crate::Error;

pub use access::{AccessError, Acl, AclClass, Classes, Reader, SUBJECT_BYTES_MAX, SUBJECTS_MAX, Subject};
pub use answers::{
    ANSWER_BYTES_MAX, Answer, AnswerVector, Answers, DEPENDENCIES_MAX, Dependency, NewAnswer,
    OBSERVATIONS_MAX,
};
pub use graph::{Edge, Graph, NAME_BYTES_MAX, NewEdge};
pub use memory::MemoryTenants;
pub use remember::{
    Conversation, Ended, Fact, Forgotten, Memory, NewFact, Speaker, TURN_BYTES_MAX, Turn, TurnHit,
};
pub use rows::{
    Brought, Change, Chunk, ChunkId, Collection, Document, Generation, Grade, Hit, Invalidated, Lexing,
    NewChunk, NewDocument, Put, Removed, Span, Trust, Version,
};

/// Collections of one tenant at most: each has a full-text table of its own.
pub const COLLECTIONS_MAX: usize = 1_000;
/// Chunks of one document at most: what one transaction writes is bounded by it.
pub const CHUNKS_MAX: usize = 100_000;
/// Edges of one document at most, for the same reason.
pub const EDGES_MAX: usize = 1_000_000;
/// Bytes of one chunk's text, and of its heading, at most.
pub const CHUNK_BYTES_MAX: usize = 64 << 10;
/// Bytes of one note of a collection at most, and notes of one collection.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
pub const NOTES_MAX: usize = 256;
/// Dimensions of a vector at most.
pub const DIMENSIONS_MAX: u32 = 8_192;
/// Terms of one full-text query at most; later ones are not looked at.
pub const TERMS_MAX: usize = 64;
/// Hits, chunks, vectors, rows that one call returns at most.
pub const PAGE_MAX: usize = 10_000;

/// Opens tenants. A tenant is a team.
pub trait Tenants: Send + Sync {
    /// A team's documents, made when there are none. Keep it no longer than the
    /// work at hand: what nobody holds may be closed to make room for others.
    ///
    /// # Errors
    /// [`Error::Missing`] when the team's keys were destroyed.
    fn tenant(&self, team: TeamId) -> Result<Arc<dyn Tenant>, Error>;
    /// Removes what is stored of the team. Destroying its keys comes first and is what
    /// counts: this frees the space. `false` when there was nothing.
    fn remove_tenant(&self, team: TeamId) -> Result<bool, Error>;
}

/// All of one tenant's ports.
pub trait Tenant: Collections + Documents + IndexRows + Answers + Memory + Graph {
    /// Whose it is. A [`Reader`] of another team finds nothing here.
    fn team(&self) -> TeamId;
}

pub trait Collections: Send + Sync {
    /// In the order of their names. Names are no secrets within a team.
    fn collections(&self) -> Result<Vec<Collection>, Error>;
    /// By its name; `None` when there is none.
    fn collection(&self, name: &str) -> Result<Option<Collection>, Error>;
    /// Makes one. Its `beside` must be empty.
    ///
    /// # Errors
    /// [`Error::Exists`] for a name that is taken; [`Error::Invalid`] beyond a bound.
    fn create_collection(&self, collection: Collection) -> Result<(), Error>;
    /// Changes language, labels and settings; nothing else can change.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Invalid`] beyond a bound, or when something else differs.
    fn update_collection(&self, collection: Collection) -> Result<(), Error>;
    /// Removes it with all that is in it. `None` when there was none.
    fn remove_collection(&self, id: CollectionId) -> Result<Option<Invalidated>, Error>;
    /// Begins a generation beside the live one and returns its number. Chunks that exist
    /// get their vectors by [`Documents::put_vectors`].
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Invalid`] for dimensions that no vector has.
    fn begin_generation(&self, id: CollectionId, embedder: &str, dimensions: u32) -> Result<u32, Error>;
    /// Makes a generation the live one, at once and whole; the one before stays beside it,
    /// so that the same call goes back.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such generation; [`Error::Incomplete`] while a
    /// chunk has no vector in it.
    fn activate(&self, id: CollectionId, generation: u32) -> Result<(), Error>;
    /// Removes a generation that is not live, with its vectors. `false` when there was none.
    fn drop_generation(&self, id: CollectionId, generation: u32) -> Result<bool, Error>;
    /// What its owner keeps of a collection beside its settings: a text by its name. They go
    /// with the collection.
    fn note(&self, id: CollectionId, name: &str) -> Result<Option<String>, Error>;
    /// Keeps a note in place of the one of that name; `None`: none.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Invalid`] beyond a bound.
    fn put_note(&self, id: CollectionId, name: &str, note: Option<&str>) -> Result<(), Error>;
}

/// What a full-text search is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextQuery<'a> {
    /// Words, or phrases of several, any of which may fit. They are taken as they
    /// are: nothing in them is an operator. At most [`TERMS_MAX`] are looked at.
    pub terms: &'a [String],
    /// Hits at most, capped at [`PAGE_MAX`].
    pub limit: usize,
}

pub trait Documents: Send + Sync {
    /// Puts documents in one durable transaction, in their order, or nothing. A source
    /// that is known is replaced when its hash differs.
    ///
    /// # Errors
    /// [`Error::Missing`] without its collection; [`Error::Stale`] for vectors of another
    /// generation than the live one; [`Error::Invalid`] for a vector that is not finite or
    /// has other dimensions, and beyond a bound.
    fn put(&self, documents: Vec<NewDocument>) -> Result<Vec<Put>, Error>;
    /// Shares a document with others than before. `None` when the reader cannot see it.
    fn share(&self, reader: &Reader, document: DocumentId, acl: &Acl) -> Result<Option<Put>, Error>;
    /// Removes documents in one durable transaction; those that there are none of are left out.
    fn remove(&self, documents: &[DocumentId]) -> Result<Vec<Removed>, Error>;
    /// Removes what a source no longer has: the documents of a batch whose sources are
    /// not among `present`.
    fn remove_absent(
        &self,
        collection: CollectionId,
        batch: &str,
        present: &BTreeSet<String>,
    ) -> Result<Vec<Removed>, Error>;
    /// Whether each source is there with this very hash: what need not be parsed again.
    /// Whoever knows neither learns nothing.
    fn are_current(
        &self,
        collection: CollectionId,
        sources: &[(String, [u8; 32])],
    ) -> Result<Vec<bool>, Error>;
    /// How what a source has now is graded; `None` when it has nothing. For whoever puts it
    /// again: nobody replaces what they may not read, no list is widened by being left out,
    /// labels do not fall, and quarantine does not end. Nothing of it is shown.
    fn grade_of(&self, collection: CollectionId, source: &str) -> Result<Option<Grade>, Error>;
    /// What a batch brought in, in the order of the sources, from behind `after` on; at most
    /// `limit`, capped at [`PAGE_MAX`]. For whoever brings it in again. Nothing of it is shown.
    fn brought(
        &self,
        collection: CollectionId,
        batch: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Brought>, Error>;
    /// Notes what sources now say of contents that are the same. Those that there are none of
    /// are left out.
    fn mark(&self, collection: CollectionId, marks: Vec<(String, String)>) -> Result<(), Error>;
    /// Trusts documents of a batch otherwise: at most `limit` of those that are not trusted so,
    /// capped at [`PAGE_MAX`], in one durable transaction. Each is regraded as by a put.
    fn entrust(
        &self,
        collection: CollectionId,
        batch: &str,
        trust: Trust,
        limit: usize,
        at: Micros,
    ) -> Result<Vec<Put>, Error>;
    /// Gives chunks their vectors in a generation that is not live. Chunks that are gone are
    /// left out, and those that have one keep it. Returns how many of the collection's chunks still have none.
    ///
    /// # Errors
    /// As [`Documents::put`].
    fn put_vectors(
        &self,
        collection: CollectionId,
        generation: u32,
        vectors: Vec<(ChunkId, Vec<f32>)>,
    ) -> Result<u64, Error>;

    /// The classes that the reader may read: the mask of a dense search. Holds until the next
    /// put or share: ask for each search, it is cheap.
    fn classes(&self, reader: &Reader) -> Result<Arc<Classes>, Error>;
    /// Full text: the best `limit` chunks that the reader may read and whose document is not
    /// quarantined, best first, equals in the order of their ids.
    fn search_text(
        &self,
        reader: &Reader,
        collection: CollectionId,
        query: &TextQuery<'_>,
    ) -> Result<Vec<Hit>, Error>;
    /// Chunks by id, in the order of the ids; those that are gone, or that the reader may not
    /// read now, are left out, and quarantined ones. The check before text leaves.
    fn chunks(&self, reader: &Reader, ids: &[ChunkId]) -> Result<Vec<Chunk>, Error>;
    /// Vectors by chunk, of one generation, as [`Documents::chunks`] chooses them: the
    /// originals by which a scan's best are ranked again.
    fn vectors(
        &self,
        reader: &Reader,
        collection: CollectionId,
        generation: u32,
        ids: &[ChunkId],
    ) -> Result<Vec<(ChunkId, Vec<f32>)>, Error>;
    fn document(&self, reader: &Reader, id: DocumentId) -> Result<Option<Document>, Error>;
    /// Those of a collection that the reader may read, in the order of their sources, from
    /// behind `after` on; at most `limit`, capped at [`PAGE_MAX`]. Quarantined ones too.
    fn documents(
        &self,
        reader: &Reader,
        collection: CollectionId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Document>, Error>;
    /// A document's chunks in their order, from number `from` on; empty when the reader may not.
    fn document_chunks(
        &self,
        reader: &Reader,
        id: DocumentId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<Chunk>, Error>;
    /// How many documents and chunks of a collection the reader may read.
    fn counts(&self, reader: &Reader, collection: CollectionId) -> Result<Counts, Error>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    pub documents: u64,
    pub chunks: u64,
    pub quarantined: u64,
}

/// What the indexes in memory are built from. For whoever keeps them, and nobody else: the
/// rows are not filtered, and a vector says as much as its text.
pub trait IndexRows: Send + Sync {
    /// Every chunk that is searched (none that is quarantined) with its class, in the order of
    /// their ids, from behind `after` on; at most `limit`, capped at [`PAGE_MAX`]. Narrow: what
    /// an older snapshot lacks, has too much, or has with another class, is found by it.
    fn index_classes(
        &self,
        collection: CollectionId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, AclClass)>, Error>;
    /// The same with the vectors of a generation; chunks without one are left out.
    fn index_rows(
        &self,
        collection: CollectionId,
        generation: u32,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Result<Vec<IndexRow>, Error>;
    /// Chunks without a vector in a generation, with what is to be embedded; at most `limit`.
    fn unembedded(
        &self,
        collection: CollectionId,
        generation: u32,
        limit: usize,
    ) -> Result<Vec<Unembedded>, Error>;
    /// Grows with every change of the collection's chunks or of their classes: a snapshot of
    /// the same revision needs no comparison.
    fn revision(&self, collection: CollectionId) -> Result<u64, Error>;
}

#[derive(Clone, Debug, PartialEq)]
pub struct IndexRow {
    pub chunk: ChunkId,
    pub class: AclClass,
    pub vector: Vec<f32>,
}

/// A chunk that an embedder has not read. Its document's labels say which embedder may.
#[derive(Clone, Debug, PartialEq)]
pub struct Unembedded {
    pub chunk: ChunkId,
    /// As [`NewChunk::heading`].
    pub heading: String,
    pub text: String,
    pub labels: Labels,
}
