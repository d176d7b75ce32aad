//! Rows of collections, documents and chunks.

use units::{CollectionId, DocumentId, Labels, Micros};

use super::{Acl, AclClass, NewEdge};

/// Documents that are searched together, with one embedder.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    pub id: CollectionId,
    /// Unique in the tenant; at most 200 bytes.
    pub name: String,
    pub lexing: Lexing,
    /// A BCP 47 tag (`en`, `zh-Hant`), or `und`.
    pub language: String,
    /// What everything in it has at least.
    pub labels: Labels,
    /// The index generation that is searched.
    pub live: Generation,
    /// Others that are being filled, or were live before.
    pub beside: Vec<Generation>,
    /// Whatever else its owner decides, as text that means nothing here; at most 64 KiB.
    pub settings: String,
    pub created: Micros,
}

/// One embedder's vectors of a whole collection. A new embedder is a new
/// generation beside the old one; [`super::Collections::activate`] turns over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// From 1; never given again in its collection.
    pub number: u32,
    pub embedder: String,
    /// Of each vector; 1 to [`super::DIMENSIONS_MAX`].
    pub dimensions: u32,
}

/// How full text becomes terms. Fixed when the collection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lexing {
    /// Words folded to lower case without diacritics, then stemmed by Porter's rules: English.
    Stemmed,
    /// The same without stemming: other languages that put spaces between words.
    Words,
    /// Every three characters: Chinese, Japanese, Korean, code.
    Trigrams,
}

/// How far a source is trusted; who decides it, and by what, is policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Kept and listed, but neither searched nor given to a model.
    Quarantined,
    Unknown,
    Known,
    /// Its signature was verified.
    Signed,
}

/// A document's number of changes: 1 when new. What an answer depends on.
pub type Version = u32;

/// A document as it is put: all of it, with its chunks.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDocument {
    /// Taken if the source is new in the collection; else the document keeps its own.
    pub id: DocumentId,
    pub collection: CollectionId,
    /// Where it comes from: a path, an address. It is what a document is known
    /// by in its collection; at most 2,048 bytes.
    pub source: String,
    /// SHA-256 of the content and of how it was cut: the same hash from the same source
    /// has the same chunks.
    pub hash: [u8; 32],
    pub title: String,
    /// A media type.
    pub format: String,
    pub acl: Acl,
    pub labels: Labels,
    pub trust: Trust,
    /// What brought it in: one folder, feed or query, by which its share of an answer is bounded.
    pub batch: String,
    /// Of the content, as the source says.
    pub modified: Option<Micros>,
    /// What the source says of this very content: an entity tag; empty: nothing. For whoever
    /// brings it in again ([`super::Documents::brought`]); another one is no change.
    pub mark: String,
    pub at: Micros,
    /// The generation that the chunks' vectors are of: the live one.
    pub generation: u32,
    pub chunks: Vec<NewChunk>,
    /// What the chunks relate. As with them, another list takes another hash.
    pub edges: Vec<NewEdge>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NewChunk {
    pub text: String,
    /// The headings above it, from the outermost, one a line.
    pub heading: String,
    pub span: Span,
    /// Kept as 16-bit floats. Finite, of the generation's dimensions.
    pub vector: Vec<f32>,
}

/// A range of the document's extracted text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: u64,
    pub end: u64,
}

/// A document without its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub id: DocumentId,
    pub collection: CollectionId,
    pub source: String,
    pub version: Version,
    pub hash: [u8; 32],
    pub title: String,
    pub format: String,
    pub acl: Acl,
    pub class: AclClass,
    pub labels: Labels,
    pub trust: Trust,
    pub batch: String,
    pub modified: Option<Micros>,
    pub created: Micros,
    /// When this version was put.
    pub updated: Micros,
    pub chunks: u32,
    /// Of its chunks' texts.
    pub bytes: u64,
}

/// Who may read what a source has, and how far it is trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    pub acl: Acl,
    pub labels: Labels,
    pub trust: Trust,
    pub batch: String,
}

/// A document as whoever brought it in knows it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    pub source: String,
    pub hash: [u8; 32],
    /// As [`NewDocument::mark`].
    pub mark: String,
}

/// A chunk's number in its tenant: grows, and is never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub u64);

/// A chunk as it is shown to somebody who may read it: with where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    pub id: ChunkId,
    pub document: DocumentId,
    pub version: Version,
    pub collection: CollectionId,
    /// Its place in the document, from 0.
    pub n: u32,
    pub text: String,
    pub heading: String,
    pub span: Span,
    pub source: String,
    pub title: String,
    pub labels: Labels,
    pub trust: Trust,
    pub batch: String,
    pub modified: Option<Micros>,
    /// When the document's version was put.
    pub updated: Micros,
}

/// What putting a document did. The indexes in memory follow it: they forget
/// `removed`, learn `added`, and give `kept` the class `class`; when it is not
/// `searched`, they forget `added` and `kept`, and when it is again, they learn `kept`.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    pub document: DocumentId,
    pub version: Version,
    pub change: Change,
    pub class: AclClass,
    /// Whether its chunks may be found: it is not quarantined.
    pub searched: bool,
    /// The new chunks, in their order in the document.
    pub added: Vec<ChunkId>,
    pub kept: Vec<ChunkId>,
    pub removed: Vec<ChunkId>,
    pub invalidated: Invalidated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    /// Another content: another version, other chunks.
    Replaced,
    /// The same content, shared, labelled, trusted or called otherwise: the chunks stay, and
    /// what was said in them. A new version if its title, labels or trust changed, because
    /// answers were given under the old; not for its readers, who are asked at every reading.
    Regraded,
    Unchanged,
}

/// What was derived from a document, and went with it in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Invalidated {
    pub answers: u64,
    pub facts: u64,
    pub edges: u64,
}

impl Invalidated {
    pub fn add(&mut self, other: Invalidated) {
        self.answers += other.answers;
        self.facts += other.facts;
        self.edges += other.edges;
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Removed {
    pub document: DocumentId,
    pub chunks: Vec<ChunkId>,
    pub invalidated: Invalidated,
}

/// A hit of a search: a chunk that the reader may read, and how well it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub chunk: ChunkId,
    /// BM25 as SQLite's FTS5 computes it, turned so that more is better. It can
    /// be compared within one answer only.
    pub score: f32,
}

impl Lexing {
    /// In the order of their stored numbers: append only.
    pub const ALL: [Lexing; 3] = [Lexing::Stemmed, Lexing::Words, Lexing::Trigrams];
    pub const fn name(self) -> &'static str {
        match self {
            Lexing::Stemmed => "stemmed",
            Lexing::Words => "words",
            Lexing::Trigrams => "trigrams",
        }
    }
    pub fn from_name(name: &str) -> Option<Lexing> {
        Lexing::ALL.into_iter().find(|lexing| lexing.name() == name)
    }
}

impl Trust {
    /// In the order of their stored numbers: append only.
    pub const ALL: [Trust; 4] = [Trust::Quarantined, Trust::Unknown, Trust::Known, Trust::Signed];
    pub const fn name(self) -> &'static str {
        match self {
            Trust::Quarantined => "quarantined",
            Trust::Unknown => "unknown",
            Trust::Known => "known",
            Trust::Signed => "signed",
        }
    }
    pub fn from_name(name: &str) -> Option<Trust> {
        Trust::ALL.into_iter().find(|trust| trust.name() == name)
    }
}
