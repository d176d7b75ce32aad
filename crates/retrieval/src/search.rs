//! A question's evidence: both arms behind the reader's mask, ranked by `context`.

mod order;
mod told;

use std::collections::BTreeMap;

use context::text;
use store::Spent;
use store::documents::{Chunk, ChunkId, Collection, Lexing, Reader};
use units::{Labels, Micros};

use crate::arms::Place;
use crate::embed::{self, Embed};
use crate::graph::Walked;
use crate::rerank::{self, READ_MAX, Rank};
use crate::settings::{Reranker, Settings};
use crate::{Collections, Error};
use order::Order;

/// Candidates of each arm: ten times what is asked for, within these.
const CANDIDATES: usize = 50;
const CANDIDATES_MAX: usize = 1_000;
/// Other phrasings of one question: each is a search of its own.
pub const ALSO_MAX: usize = 4;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub text: &'a str,
    /// The same in other words, or parts of it; the first [`ALSO_MAX`] are looked for.
    pub also: &'a [String],
    /// Passages at most.
    pub k: usize,
    /// Only documents whose source begins so.
    pub source: Option<&'a str>,
    /// Of the question, for the model that embeds it.
    pub labels: &'a Labels,
    /// Also walk the collection's graph, if it keeps one.
    pub graph: bool,
    pub rerank: Reranking<'a>,
    /// The time, by which documents have their age.
    pub now: Micros,
}

/// Who orders the best of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reranking<'a> {
    /// The collection's reranker, if it has one.
    #[default]
    Declared,
    Without,
    /// This model; the collection's deadline unless told.
    By {
        model: &'a str,
        deadline_ms: Option<u32>,
    },
}

impl<'a> Query<'a> {
    /// A question as it stands, in whatever order the collection says.
    pub fn new(text: &'a str, k: usize, labels: &'a Labels, now: Micros) -> Query<'a> {
        let rerank = Reranking::Declared;
        Query { text, also: &[], k, source: None, labels, graph: false, rerank, now }
    }
}

/// What was found, the best first: never fewer than asked for, unless nothing more that
/// the reader may read has anything to do with the question.
#[derive(Clone, Debug, Default)]
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
    /// Why it stands lower than what the arms or the reranker say of it.
    pub lowered: Vec<String>,
    /// Parts that say nearly the same, and are not given beside it.
    pub copies: u32,
}

/// How the answer came about.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    pub embedder: String,
    pub gate: String,
    /// The model that was asked for an order.
    pub reranker: Option<String>,
    /// What else the collection lets count: age, and what is not said yet.
    pub counted: Vec<String>,
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
    /// What stages asked models for.
    pub spent: Vec<Spent>,
}

/// Notes how long each stage took.
pub(crate) struct Stopwatch {
    since: u64,
    pub stages: Vec<(&'static str, u64)>,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { since: runtime::clock::monotonic_us(), stages: Vec::with_capacity(8) }
    }
    /// A stage that comes again is one.
    pub fn lap(&mut self, name: &'static str) {
        let now = runtime::clock::monotonic_us();
        let took = now.saturating_sub(self.since);
        match self.stages.iter_mut().find(|(stage, _)| *stage == name) {
            Some((_, all)) => *all += took,
            None => self.stages.push((name, took)),
        }
        self.since = now;
    }
}

impl Collections {
    /// What bears on a question, of what the reader may read, with no model lent for the order.
    /// Without the collection's embedder it is searched for by its words alone, and that is told.
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

    /// The same, and the best in the order of a model that has read them, if the query or the
    /// collection names one.
    ///
    /// # Errors
    /// As [`Collections::search`]: a model that is late or fails is a note.
    pub fn search_by(
        &self,
        reader: &Reader,
        collection: &Collection,
        query: &Query<'_>,
        lent: &dyn Embed,
        by: Option<&dyn Rank>,
    ) -> Result<Found, Error> {
        let tenant = self.tenant(reader.team())?;
        let place = Place { collections: self, tenant: &*tenant, reader, collection };
        let settings = Settings::read(&collection.settings)?;
        let mut watch = Stopwatch::start();
        let asked = phrased(query, lexing(collection.lexing));
        let vectors = question_vectors(lent, collection, query.labels, &asked);
        watch.lap("embed");
        let classes = tenant.classes(reader)?.iter().count() as u32;
        let fetch = (query.k * 10).clamp(CANDIDATES, CANDIDATES_MAX);
        let of_question = vectors.as_deref().unwrap_or_default();
        let source = query.source.map(|prefix| (prefix, query.k * 2));
        let mut arms = place.arms(&asked, of_question, query.graph, source, fetch, &mut watch)?;
        let order = Order::new(&asked, collection, &settings, query);
        let (mut ranked, counted) = order.first(&place, &mut arms, of_question)?;
        watch.lap("rank");
        let (mut fused, mut told, mut unheard) = (BTreeMap::new(), BTreeMap::new(), None);
        let reranker = reranker(query, &settings);
        if let Some(reranker) = &reranker {
            let before = order.ranked(&arms, READ_MAX, &told);
            fused = (1u32..).zip(&before.hits).map(|(place, hit)| (hit.chunk, place)).collect();
            match rerank::opinions(reranker, by, collection, query, &before, &arms.chunks) {
                Ok(opinions) => {
                    told = opinions;
                    ranked = order.ranked(&arms, query.k, &told);
                }
                Err(why) => unheard = Some(why),
            }
            watch.lap("rerank");
        }
        let evidence = ranked.hits.iter().filter_map(|hit| {
            let id = ChunkId(hit.chunk);
            let mut chunk = arms.chunks.iter().find(|chunk| chunk.id == id)?.clone();
            // What the collection is labelled now holds for what was put before, too.
            chunk.labels = chunk.labels.join(&collection.labels);
            Some(Evidence {
                chunk,
                score: f64::from(hit.score),
                relevance: f64::from(hit.relevance),
                lexical_rank: hit.lexical.map(|place| place.rank as u32),
                // What the dense arm has not found has no place in it.
                dense_rank: hit.dense.filter(|_| arms.dense.contains_key(&id)).map(|p| p.rank as u32),
                fused_rank: fused.get(&hit.chunk).copied(),
                rerank: told.get(&id).map(|score| f64::from(*score)),
                graph_rank: hit.graph.map(|place| place.rank as u32),
                path: arms.reached.get(&id).map_or_else(Vec::new, |reached| reached.path.clone()),
                lowered: hit.demoted.iter().map(told::lowered).collect(),
                copies: hit.copies.len() as u32,
            })
        });
        let without_graph = query.graph && !settings.graph;
        Ok(Found {
            evidence: evidence.collect(),
            exact: arms.exact,
            readable: arms.readable,
            notes: told::notes(&asked, query, vectors.err(), unheard, without_graph),
            explained: Explained {
                embedder: collection.live.embedder.clone(),
                gate: told::gate(&ranked.explain, settings.gate_of(&collection.live)),
                reranker: reranker.map(|reranker| reranker.model),
                counted,
                lexical_hits: arms.lexical.len() as u32,
                dense_hits: arms.dense.len() as u32,
                classes,
                left_out: told::left_out(&ranked.explain),
                by_words: told::sources(&arms.lexical, &arms.chunks, query.k),
                by_vectors: told::sources(&arms.dense, &arms.chunks, query.k),
                walk: arms.walk,
                stages: watch.stages,
                spent: spent(lent, by),
            },
        })
    }
}

/// The question with its other phrasings. One that says the very same is no other.
fn phrased(query: &Query<'_>, lexing: text::Lexing) -> text::Query {
    let mut asked = text::Query::read(query.text, lexing);
    for also in query.also.iter().take(ALSO_MAX) {
        let phrasing = text::Query::read(also, lexing);
        if !phrasing.text.is_empty() && asked.phrasings().all(|other| other.text != phrasing.text) {
            asked.also.push(phrasing);
        }
    }
    asked
}

/// What both models took. They may be lent as one.
fn spent(lent: &dyn Embed, by: Option<&dyn Rank>) -> Vec<Spent> {
    let mut all = lent.spent();
    for spent in by.map_or_else(Vec::new, |by| by.spent()) {
        if all.iter().all(|known| known.request != spent.request) {
            all.push(spent);
        }
    }
    all
}

/// Who is to order what is found.
fn reranker(query: &Query<'_>, settings: &Settings) -> Option<Reranker> {
    let declared = settings.ranking.reranker.as_ref();
    match query.rerank {
        Reranking::Without => None,
        Reranking::Declared => declared.cloned(),
        Reranking::By { model, deadline_ms } => {
            let of_collection = declared.map_or(crate::settings::RERANK_MS, |r| r.deadline_ms);
            Some(Reranker { model: model.into(), deadline_ms: deadline_ms.unwrap_or(of_collection) })
        }
    }
}

pub(crate) const fn lexing(lexing: Lexing) -> text::Lexing {
    match lexing {
        Lexing::Stemmed => text::Lexing::Stemmed,
        Lexing::Words => text::Lexing::Words,
        Lexing::Trigrams => text::Lexing::Trigrams,
    }
}

/// The question's vectors, one for each phrasing, or why there are none. A question without words
/// has the zero vector of the built-in embedder, which is near to nothing.
fn question_vectors(
    lent: &dyn Embed,
    collection: &Collection,
    labels: &Labels,
    asked: &text::Query,
) -> Result<Vec<Vec<f32>>, String> {
    if asked.text.trim().is_empty() && embed::model_of(&collection.live).is_some() {
        return Err("it has no words".into());
    }
    let texts: Vec<String> = asked.phrasings().map(|phrasing| phrasing.text.clone()).collect();
    embed::vectors(lent, &collection.live, labels, &texts).map_err(|error| {
        let report = error.report();
        format!("{} ({})", report.sentence(), report.code.0)
    })
}
