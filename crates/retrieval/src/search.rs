//! A question's evidence: both arms behind the reader's mask, ranked by `context`.

use std::collections::BTreeMap;

use context::embed::Embedder;
use context::graph::Reached;
use context::rank::{self, Candidate, Gate, Reason, Settings};
use context::text;
use store::documents::{Chunk, ChunkId, Collection, Hit, Lexing, PAGE_MAX, Reader, Tenant, TextQuery, Trust};
use units::Labels;

use crate::embed::{self, Embed};
use crate::graph::{Walked, walk};
use crate::index::Near;
use crate::rerank::{self, READ_MAX, Reranker};
use crate::{Collections, Error};

/// Candidates of each arm: ten times what is asked for, within these.
const CANDIDATES: usize = 50;
const CANDIDATES_MAX: usize = 1_000;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub text: &'a str,
    /// Passages at most.
    pub k: usize,
    /// Only documents whose source begins so.
    pub source: Option<&'a str>,
    /// Of the question, for the model that embeds it.
    pub labels: &'a Labels,
    /// Also walk the collection's graph, if it keeps one.
    pub graph: bool,
}

/// What was found, the best first: never fewer than asked for, unless nothing more that
/// the reader may read has anything to do with the question.
#[derive(Clone, Debug)]
pub struct Found {
    pub evidence: Vec<Evidence>,
    /// Whether every vector that may be read was compared.
    pub exact: bool,
    /// Parts that the reader may read.
    pub readable: u64,
    /// What may be wrong with the answer.
    pub notes: Vec<String>,
    pub explained: Explained,
}

/// A passage that the reader may read.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub chunk: Chunk,
    /// Of the order; comparable within one answer.
    pub score: f64,
    /// How relevant it is by itself, 0 to 1: comparable between questions.
    pub relevance: f64,
    /// Its place by words alone, from 1.
    pub lexical_rank: Option<u32>,
    /// Its place by vectors alone, from 1.
    pub dense_rank: Option<u32>,
    /// Its place by both, before a reranker was asked; `None` without one, or behind what it reads.
    pub fused_rank: Option<u32>,
    /// What the reranker says of it, 0 to 1.
    pub rerank: Option<f64>,
    /// Its place by the walk over the graph alone, from 1.
    pub graph_rank: Option<u32>,
    /// The names by which the walk came to it.
    pub path: Vec<String>,
}

/// How the answer came about.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    pub embedder: String,
    pub gate: String,
    pub lexical_hits: u32,
    pub dense_hits: u32,
    /// Lists of readers that the reader is on.
    pub classes: u32,
    /// The walk over the graph, if there was one.
    pub walk: Option<Walked>,
    pub left_out: Vec<String>,
    /// Sources in the order of each arm alone, at most as many as parts were asked for.
    pub by_words: Vec<String>,
    pub by_vectors: Vec<String>,
    /// Microseconds by stage.
    pub stages: Vec<(&'static str, u64)>,
}

/// Notes how long each stage took.
struct Stopwatch {
    since: u64,
    stages: Vec<(&'static str, u64)>,
}

impl Stopwatch {
    fn start() -> Stopwatch {
        Stopwatch { since: runtime::clock::monotonic_us(), stages: Vec::with_capacity(6) }
    }
    fn lap(&mut self, name: &'static str) {
        let now = runtime::clock::monotonic_us();
        self.stages.push((name, now.saturating_sub(self.since)));
        self.since = now;
    }
}

impl Collections {
    /// What bears on a question, of what the reader may read.
    /// Without the collection's model it is searched for by its words alone, and that is told.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search(
        &self,
        reader: &Reader,
        collection: &Collection,
        query: &Query<'_>,
        lent: &dyn Embed,
    ) -> Result<Found, Error> {
        self.search_by(reader, collection, query, lent, None)
    }

    /// The same, and the best in the order of a model that has read them.
    ///
    /// # Errors
    /// As [`Collections::search`]: a model that is late or fails is a note.
    pub fn search_by(
        &self,
        reader: &Reader,
        collection: &Collection,
        query: &Query<'_>,
        lent: &dyn Embed,
        reranker: Option<&Reranker<'_>>,
    ) -> Result<Found, Error> {
        let tenant = self.tenant(reader.team())?;
        let mut watch = Stopwatch::start();
        let asked = text::Query::read(query.text, lexing(collection.lexing));
        let vector = question_vector(lent, collection, query.labels, &asked.text);
        watch.lap("embed");
        let classes = tenant.classes(reader)?.iter().count() as u32;
        let mut fetch = (query.k * 10).clamp(CANDIDATES, CANDIDATES_MAX);
        // A filter on the source comes after the arms, so with one they may have to reach further.
        let (arms, chunks) = loop {
            let words = TextQuery { terms: &asked.terms, limit: fetch };
            let lexical = tenant.search_text(reader, collection.id, &words)?;
            watch.lap("words");
            let near = match &vector {
                Ok(vector) => {
                    let slot = self.slot(reader.team(), collection.id);
                    slot.nearest(&*tenant, reader, collection, vector, fetch)?
                }
                Err(_) => Near {
                    hits: Vec::new(),
                    exact: false,
                    readable: tenant.counts(reader, collection.id)?.chunks,
                },
            };
            watch.lap("vectors");
            let whole = lexical.len() < fetch && near.hits.len() < fetch;
            let mut arms = Arms {
                lexical: scores(&lexical),
                dense: scores(&near.hits),
                reached: BTreeMap::new(),
                walk: None,
                readable: near.readable,
                exact: near.exact,
            };
            if query.graph {
                let walk = walk(&*tenant, reader, collection, &asked.text, &lexical)?;
                arms.reached = walk.reached;
                arms.walk = walk.walked;
                watch.lap("graph");
            }
            let chunks = fetch_chunks(&*tenant, reader, &arms, query.source)?;
            watch.lap("fetch");
            if whole || query.source.is_none() || chunks.len() >= query.k * 2 || fetch >= PAGE_MAX {
                break (arms, chunks);
            }
            fetch = (fetch * 8).min(PAGE_MAX);
        };
        let embedder = embed::known(&collection.live);
        let ordered =
            |k: usize, told: &BTreeMap<ChunkId, f32>| order(&asked, &arms, &chunks, &embedder, k, told);
        let mut told = BTreeMap::new();
        let mut ranked = ordered(query.k, &told);
        watch.lap("rank");
        let (mut fused, mut unheard) = (BTreeMap::new(), None);
        if let Some(reranker) = reranker {
            let before = ordered(READ_MAX, &told);
            fused = (1u32..).zip(&before.hits).map(|(place, hit)| (hit.chunk, place)).collect();
            match rerank::opinions(reranker, collection, query, &before, &chunks) {
                Ok(opinions) => {
                    told = opinions;
                    ranked = ordered(query.k, &told);
                }
                Err(why) => unheard = Some(why),
            }
            watch.lap("rerank");
        }
        let no_graph = query.graph && !crate::settings::Settings::read(&collection.settings)?.graph;
        let evidence = ranked.hits.iter().filter_map(|hit| {
            let mut chunk = chunks.iter().find(|chunk| chunk.id.0 == hit.chunk)?.clone();
            // What the collection is labelled now holds for what was put before, too.
            chunk.labels = chunk.labels.join(&collection.labels);
            Some(Evidence {
                chunk,
                score: f64::from(hit.score),
                relevance: f64::from(hit.relevance),
                lexical_rank: hit.lexical.map(|place| place.rank as u32),
                dense_rank: hit.dense.map(|place| place.rank as u32),
                fused_rank: fused.get(&hit.chunk).copied(),
                rerank: told.get(&ChunkId(hit.chunk)).map(|score| f64::from(*score)),
                graph_rank: hit.graph.map(|place| place.rank as u32),
                path: arms.reached.get(&ChunkId(hit.chunk)).map_or_else(Vec::new, |r| r.path.clone()),
            })
        });
        Ok(Found {
            evidence: evidence.collect(),
            exact: arms.exact,
            readable: arms.readable,
            notes: notes(&asked, vector.err(), unheard, no_graph),
            explained: Explained {
                embedder: collection.live.embedder.clone(),
                gate: gate_text(&ranked.explain),
                lexical_hits: arms.lexical.len() as u32,
                dense_hits: arms.dense.len() as u32,
                classes,
                walk: arms.walk,
                left_out: left_out(&ranked.explain),
                by_words: arm_sources(&arms.lexical, &chunks, query.k),
                by_vectors: arm_sources(&arms.dense, &chunks, query.k),
                stages: watch.stages,
            },
        })
    }
}

/// What each arm found, by chunk.
struct Arms {
    lexical: BTreeMap<ChunkId, f32>,
    dense: BTreeMap<ChunkId, f32>,
    reached: BTreeMap<ChunkId, Reached>,
    walk: Option<Walked>,
    readable: u64,
    exact: bool,
}

fn scores(hits: &[Hit]) -> BTreeMap<ChunkId, f32> {
    hits.iter().map(|hit| (hit.chunk, hit.score)).collect()
}

/// The candidates with their texts: what the reader may not read *now* does not come out.
fn fetch_chunks(
    tenant: &dyn Tenant,
    reader: &Reader,
    arms: &Arms,
    source: Option<&str>,
) -> Result<Vec<Chunk>, Error> {
    let found = arms.lexical.keys().chain(arms.dense.keys()).chain(arms.reached.keys());
    let mut ids: Vec<ChunkId> = found.copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let mut chunks = tenant.chunks(reader, &ids)?;
    if let Some(prefix) = source {
        chunks.retain(|chunk| chunk.source.starts_with(prefix));
    }
    Ok(chunks)
}

fn order(
    asked: &text::Query,
    arms: &Arms,
    chunks: &[Chunk],
    embedder: &Embedder,
    k: usize,
    told: &BTreeMap<ChunkId, f32>,
) -> rank::Ranked {
    let mut candidates: Vec<Candidate<'_>> = chunks
        .iter()
        .map(|chunk| Candidate {
            chunk: chunk.id.0,
            lexical: arms.lexical.get(&chunk.id).copied(),
            dense: arms.dense.get(&chunk.id).copied(),
            graph: arms.reached.get(&chunk.id).map(|reached| reached.score),
            text: &chunk.text,
            vector: None,
            source: &chunk.source,
            batch: &chunk.batch,
            trust: match chunk.trust {
                Trust::Quarantined | Trust::Unknown => rank::Trust::Unknown,
                Trust::Known => rank::Trust::Known,
                Trust::Signed => rank::Trust::Signed,
            },
            age_us: None,
            rerank: told.get(&chunk.id).copied(),
        })
        .collect();
    let (gate, settings) = (Gate::untrained(), Settings { k, ..Settings::default() });
    // What only an arm without a say has found has nothing to do with the question.
    let (dense_weight, _) = gate.dense_weight(asked, &candidates, embedder);
    candidates.retain(|c| {
        c.lexical.is_some() && dense_weight < 1.0
            || c.dense.is_some() && dense_weight > 0.0
            || c.graph.is_some()
    });
    rank::rank(asked, &candidates, &gate, embedder, &settings)
}

/// The sources of an arm's candidates, the best first, each once. Of chunks that the
/// reader may read, which is all that `chunks` has.
fn arm_sources(arm: &BTreeMap<ChunkId, f32>, chunks: &[Chunk], k: usize) -> Vec<String> {
    let mut order: Vec<(ChunkId, f32)> = arm.iter().map(|(id, score)| (*id, *score)).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut sources: Vec<&str> = Vec::new();
    for (id, _) in order {
        let Some(chunk) = chunks.iter().find(|chunk| chunk.id == id) else { continue };
        if sources.len() == k {
            break;
        }
        if !sources.contains(&chunk.source.as_str()) {
            sources.push(&chunk.source);
        }
    }
    sources.into_iter().map(str::to_owned).collect()
}

const fn lexing(lexing: Lexing) -> text::Lexing {
    match lexing {
        Lexing::Stemmed => text::Lexing::Stemmed,
        Lexing::Words => text::Lexing::Words,
        Lexing::Trigrams => text::Lexing::Trigrams,
    }
}

/// The question's vector, or why there is none. A question without words has the zero
/// vector of the built-in embedder, which is near to nothing.
fn question_vector(
    lent: &dyn Embed,
    collection: &Collection,
    labels: &Labels,
    text: &str,
) -> Result<Vec<f32>, String> {
    if text.trim().is_empty() && embed::model_of(&collection.live).is_some() {
        return Err("it has no words".into());
    }
    match embed::vectors(lent, &collection.live, labels, &[text.to_owned()]) {
        Ok(mut vectors) => vectors.pop().ok_or_else(|| "the embedder made none".into()),
        Err(error) => {
            let report = error.report();
            Err(format!("{} ({})", report.sentence(), report.code.0))
        }
    }
}

fn notes(
    asked: &text::Query,
    without_vector: Option<String>,
    unheard: Option<String>,
    no_graph: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    if no_graph {
        notes.push("the collection keeps no graph: declare `graph: true` and ingest again".into());
    }
    if let Some(why) = unheard {
        notes.push(format!("in the order of both arms, because the reranker was not heard: {why}"));
    }
    if let Some(why) = without_vector.filter(|_| !asked.terms.is_empty()) {
        notes.push(format!("searched by words alone, because the question has no vector: {why}"));
    }
    if let Some(cut) = &asked.cut {
        notes.push(format!(
            "the question has {} bytes; {} were read, and {} of its words were left out",
            cut.bytes, cut.bytes_read, cut.terms_left_out
        ));
    }
    if asked.removed > 0 {
        notes.push(format!("{} characters of the question are not seen, and were taken out", asked.removed));
    }
    if asked.terms.is_empty() {
        notes.push("the question has no words that are searched for".into());
    }
    notes
}

fn gate_text(explain: &rank::Explain) -> String {
    let why = match explain.reason {
        Reason::Fitted => "fitted to judged questions",
        Reason::Untrained => "not fitted; the embedder knows the script",
        Reason::NotSemantic => "the embedder finds only what words find better",
        Reason::UnknownScript => "the embedder has not learned the question's script",
        Reason::Lexical => "searched by its words",
        Reason::NoTerms => "words found nothing",
        Reason::NoDense => "vectors found nothing",
    };
    format!("vectors weigh {:.2}: {why}", explain.dense_weight)
}

fn left_out(explain: &rank::Explain) -> Vec<String> {
    let line = |count: usize, why: &str| (count > 0).then(|| format!("{count} {why}"));
    let lines = [
        line(explain.copies, "parts that say nearly the same as a better one"),
        line(explain.capped, "parts beyond what one source or batch may have"),
        line(explain.moved, "parts moved behind those of other sources"),
    ];
    lines.into_iter().flatten().collect()
}
