//! Collections: documents, who may read them, and what a search finds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Documents that are searched together. What is counted is what the caller may read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Collection {
    /// No secret: whoever knows it reads what they may read, and nothing more.
    pub id: String,
    /// Unique in its team; takes the place of the id in paths.
    pub name: String,
    pub team: String,
    /// A BCP 47 tag, or `und`.
    pub language: String,
    /// `stemmed`, `words` or `trigrams`.
    pub lexing: String,
    /// What makes its vectors: `lexical-hash-1`, or a model and the very weights that its name led to.
    pub embedder: String,
    /// The number of the set of vectors that is searched: a new one for each embedder.
    #[serde(default)]
    pub generation: u32,
    /// The embedder that it is to have, where that is another: see `reindex_collection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedder_wanted: Option<String>,
    /// Who reads a document that names nobody: `team`, `user:EMAIL`, `key:ID`, `group:NAME`.
    pub acl: Vec<String>,
    /// What every document has at least.
    pub labels: String,
    /// Whether it keeps a graph: what its documents say relates names.
    #[serde(default)]
    pub graph: bool,
    /// How what is found is ordered, beside both arms.
    #[serde(default)]
    pub ranking: CollectionRanking,
    /// How much vectors count, fitted to judged questions; absent where nobody has fitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<CollectionGate>,
    pub documents: u64,
    pub chunks: u64,
    /// Documents that are kept and not searched, because their source is not trusted.
    pub quarantined: u64,
    pub created: String,
}

/// What counts in a collection's order, beside words and vectors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CollectionRanking {
    /// A model that reads the best 32 with each query and orders them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker: Option<String>,
    /// Milliseconds that it may take, 1,000 unless told; later, the order of both arms is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank_deadline_ms: Option<u32>,
    /// Seconds after which the half of a score that can fade has halved; age does not count unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life_s: Option<u64>,
    /// Maximal marginal relevance: 0 is all difference, 1 all relevance; off unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mmr: Option<f32>,
}

/// A gate that was fitted: how much vectors count by the query's script. Another embedder is
/// another gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CollectionGate {
    pub embedder: String,
    /// The share of vectors by script, 0 to 1; scripts that are not there had too few questions.
    pub vectors_weigh: std::collections::BTreeMap<String, f32>,
    /// Judged questions that it was fitted to.
    pub questions: u64,
    /// Of these the mean nDCG@10 of words alone, of vectors alone, and of both by the gate, which
    /// is never less.
    pub words: f64,
    pub vectors: f64,
    pub both: f64,
    /// The same of a gate that was fitted to half of them and judged by the other half.
    pub held_out: f64,
    pub fitted: String,
}

/// Questions whose documents are judged, for a gate to be fitted to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitGate {
    /// At most 1,000.
    pub questions: Vec<JudgedQuestion>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgedQuestion {
    pub query: String,
    /// Grades by source; 0, and what is not there, is not relevant.
    pub relevant: std::collections::BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCollection {
    pub name: String,
    /// A BCP 47 tag such as `en`; `und` unless told.
    #[serde(default)]
    pub language: Option<String>,
    /// `stemmed`, `words` or `trigrams`; by the language unless told.
    #[serde(default)]
    pub lexing: Option<String>,
    /// Who reads a document that names nobody; the team unless told.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// What every document has at least: `internal`, `confidential eu`.
    #[serde(default)]
    pub labels: Option<String>,
    /// The model that makes its vectors; `lexical-hash`, which is built in, unless told.
    #[serde(default)]
    pub embedder: Option<String>,
    /// Keep a graph: read documents that are put for what they say relates names.
    #[serde(default)]
    pub graph: bool,
    #[serde(default)]
    pub ranking: CollectionRanking,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReindexCollection {
    /// A model, or `lexical-hash`; the embedder that the collection is to have unless told.
    #[serde(default)]
    pub embedder: Option<String>,
}

/// How far a collection's new vectors are. What there was is searched until `live`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reindexed {
    pub collection: String,
    pub embedder: String,
    /// The number of its set of vectors.
    pub generation: u32,
    /// Parts that this call embedded.
    pub embedded: u64,
    /// Parts that are left: call again.
    pub left: u64,
    /// Whether searches use it.
    pub live: bool,
}

/// A document without its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    pub id: String,
    /// Where it comes from: a path, an address. Unique in its collection.
    pub source: String,
    /// How often it has changed; 1 when new. What an answer that used it depends on.
    pub version: u32,
    /// SHA-256 of the content, in hexadecimal.
    pub hash: String,
    pub title: String,
    /// A media type.
    pub format: String,
    pub acl: Vec<String>,
    pub labels: String,
    /// `quarantined`, `unknown`, `known` or `signed`.
    pub trust: String,
    /// What brought it in; its share of an answer is bounded.
    pub batch: String,
    pub chunks: u32,
    pub bytes: u64,
    pub created: String,
    pub updated: String,
}

/// A document and its extracted text, for whoever may read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentPreview {
    pub document: Document,
    /// The first of its parts, as they are searched.
    pub parts: Vec<Passage>,
    /// It has more parts than are shown.
    pub more: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Passage {
    /// The headings above it, the outermost first.
    pub heading: String,
    /// Where it stands in the extracted text, in bytes.
    pub start: u64,
    pub end: u64,
    pub text: String,
}

/// What putting or removing a document did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentChange {
    pub id: String,
    pub source: String,
    pub version: u32,
    /// `added`, `replaced`, `regraded` (the same content, shared or labelled otherwise), `unchanged` or `removed`.
    pub change: String,
    /// Parts that were made or removed.
    pub chunks: u64,
    /// Answers in the cache that used it, and went with it.
    pub answers_invalidated: u64,
    /// What was left out of the index, and why: hidden text, parts over a limit.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// An answer that is kept to be given again, and why it may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CachedAnswer {
    pub id: String,
    /// What the user said last.
    pub question: String,
    /// Of all that it was made from.
    pub labels: String,
    /// What it cost to make, in USD: what each hit saves.
    pub saves_usd: String,
    /// It is given to whoever may read every one of these, and goes with any of them.
    pub documents: Vec<UsedDocument>,
    /// Turns of the caller's memory that it goes with; it is given to nobody else.
    #[serde(default)]
    pub turns: Vec<String>,
    /// Where near questions may be given it too: how often it was compared, and was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<NearRecord>,
    pub created: String,
    pub expires: String,
}

/// What is known of an answer for questions that say the same in other words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NearRecord {
    /// Near questions that were answered anew to compare.
    pub compared: u32,
    /// Of those, how often the answer was the same.
    pub right: u32,
    /// With a confidence of 95 % it is right at least this share of the time.
    pub right_at_least: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UsedDocument {
    pub id: String,
    pub version: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchCollection {
    pub query: String,
    /// The same in other words, or parts of it, at most 4: what any of them finds is found.
    #[serde(default)]
    pub also: Vec<String>,
    /// How many parts at most; 8 unless told, 100 at most.
    #[serde(default)]
    pub k: Option<u32>,
    /// Only documents whose source begins so.
    #[serde(default)]
    pub source: Option<String>,
    /// Also walk the collection's graph, for questions whose answer takes several documents.
    #[serde(default)]
    pub graph: bool,
    /// Also how the answer came about.
    #[serde(default)]
    pub explain: bool,
    /// Search as this user of the team would. Takes the right to manage access; texts
    /// that the caller may not read themselves are withheld.
    #[serde(default, rename = "as")]
    pub as_user: Option<String>,
    /// A model that reads the best 32 with the query and orders them; the collection's own unless told.
    #[serde(default)]
    pub rerank: Option<String>,
    /// Leave the order as both arms have it, whatever the collection says.
    #[serde(default)]
    pub no_rerank: bool,
    /// Milliseconds that it may take, as the collection says unless told; later, the order of both
    /// arms is given with a note.
    #[serde(default)]
    pub rerank_deadline_ms: Option<u32>,
}

/// What a search found, the best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchResult {
    pub evidence: Vec<Evidence>,
    /// Whether every vector that may be read was compared: `exact` or `approximate`.
    pub accuracy: String,
    /// Parts that the caller may read, of which these are the best.
    pub readable: u64,
    /// What may be wrong with the answer: an unknown language, a part of the index that is being built.
    #[serde(default)]
    pub notes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<SearchExplained>,
}

/// A part of a document that bears on the query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// From 1; what an answer cites.
    pub rank: u32,
    pub document: String,
    pub version: u32,
    pub source: String,
    pub title: String,
    pub heading: String,
    /// Where it stands in the document's extracted text, in bytes.
    pub start: u64,
    pub end: u64,
    /// Absent where the caller may not read what another may.
    pub text: Option<String>,
    /// Of the order; comparable within one answer.
    pub score: f64,
    /// How relevant it is by itself, 0 to 1; comparable between questions.
    pub relevance: f64,
    pub labels: String,
    pub trust: String,
    /// Its place by words alone, and by vectors alone.
    #[serde(default)]
    pub lexical_rank: Option<u32>,
    #[serde(default)]
    pub dense_rank: Option<u32>,
    /// Its place by both, before the reranker was heard, and what that says of it, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused_rank: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank_score: Option<f64>,
    /// Its place by the walk over the graph alone, and the names by which the walk came to it.
    #[serde(default)]
    pub graph_rank: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
    /// Why it stands lower than what the arms or the reranker say of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lowered: Vec<String>,
    /// Parts that say nearly the same and are not given beside it.
    #[serde(default)]
    pub copies: u32,
}

/// How an answer came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchExplained {
    pub embedder: String,
    /// Which arms were used, and why.
    pub gate: String,
    /// The model that was asked for an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker: Option<String>,
    /// What else counts in this collection: age, and what is not said yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<String>,
    pub lexical_hits: u32,
    pub dense_hits: u32,
    /// Lists of readers that the caller is on, by which the scan was masked.
    pub classes: u32,
    /// The walk over the graph, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphWalk>,
    /// What was left out after ranking, and why: caps, near-duplicates.
    pub left_out: Vec<String>,
    /// Sources in the order of words alone, and of vectors alone; as many as parts were asked for.
    /// Not told to whoever searches as another.
    #[serde(default)]
    pub by_words: Vec<String>,
    #[serde(default)]
    pub by_vectors: Vec<String>,
    /// Microseconds by stage.
    pub stages: Vec<StageCost>,
}

/// A walk over what the caller may see of a collection's graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphWalk {
    /// Names in the question that the graph knows.
    pub entities: Vec<String>,
    /// Names and edges that were walked over.
    pub names: u32,
    pub edges: u32,
}

/// What a collection's documents say of a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CollectionGraph {
    pub entity: String,
    /// In the order in which they came; empty also where the caller may read none of them.
    pub edges: Vec<GraphEdge>,
}

/// `from` stands in `relation` to `to`, as a part of a document says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GraphEdge {
    pub from: String,
    pub relation: String,
    pub to: String,
    /// The document that says so, and where in its extracted text, in bytes.
    pub document: String,
    pub version: u32,
    pub source: String,
    pub heading: String,
    pub start: u64,
    pub end: u64,
    pub labels: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageCost {
    pub name: String,
    pub us: u64,
    /// What it asked a model for, in a request of its own: `tokens` and `cost_usd` of `request_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
