//! A collection's graph: edges that come with a document's parts, and the walk over those that
//! a reader may see. What is read and how it is walked is `context::graph`'s.

use std::collections::BTreeMap;

use context::chunk::{Size, chunks};
use context::graph::{About, Edge as Way, PER_CHUNK, PER_ENTITY, Reached, Walk, entity, relations};
use context::parse::Parsed;
use store::documents::{Chunk, ChunkId, Collection, Edge, Hit, NewEdge, Reader, Tenant};

use crate::{Collections, Error};

/// Chunks of full text that a walk begins at.
const BEGIN: usize = 5;
/// Chunks of a walk that are candidates: those with the most weight.
const REACHED_MAX: usize = 50;

/// How a walk went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The question's names that the graph knows, to its reader.
    pub named: Vec<String>,
    /// Names and edges that were walked over.
    pub names: u32,
    pub edges: u32,
}

/// What one passage says of an entity.
#[derive(Clone, Debug)]
pub struct Neighbour {
    pub from: String,
    pub relation: String,
    pub to: String,
    /// Where it stands.
    pub chunk: Chunk,
}

pub(crate) struct Outcome {
    pub reached: BTreeMap<ChunkId, Reached>,
    pub walked: Option<Walked>,
}

/// What a document's parts relate, by their places in it.
pub(crate) fn new_edges(parsed: &Parsed, source: &str, title: &str, language: &str) -> Vec<NewEdge> {
    let pieces = chunks(parsed, &Size::default());
    let all = relations(parsed, &pieces, &About { source, title, language });
    let of_chunk = |(n, relations): (u32, Vec<context::graph::Relation>)| {
        relations.into_iter().map(move |r| NewEdge { chunk: n, from: r.from, relation: r.relation, to: r.to })
    };
    (0..).zip(all).flat_map(of_chunk).collect()
}

/// Edges of parts that were there before: put again, a document of a collection that has begun
/// to keep a graph gets its edges. What is there stays as it is.
pub(crate) fn relate_kept(tenant: &dyn Tenant, kept: &[ChunkId], edges: Vec<NewEdge>) -> Result<(), Error> {
    let edges: Vec<Edge> = edges
        .into_iter()
        .filter_map(|NewEdge { chunk, from, relation, to }| {
            let chunk = *kept.get(chunk as usize)?;
            Some(Edge { from, relation, to, chunk, valid_from: None, valid_to: None })
        })
        .collect();
    if !edges.is_empty() {
        tenant.relate(edges)?;
    }
    Ok(())
}

/// Walks from a question and the best of full text over the edges that the reader may see.
pub(crate) fn walk(
    tenant: &dyn Tenant,
    reader: &Reader,
    collection: &Collection,
    question: &str,
    lexical: &[Hit],
) -> Result<Outcome, Error> {
    let best: Vec<(u64, f32)> = lexical.iter().take(BEGIN).map(|hit| (hit.chunk.0, hit.score)).collect();
    let mut walk = Walk::new(question, &best);
    let begin: Vec<ChunkId> = walk.begins_at().map(ChunkId).collect();
    walk.learn_of_chunks(tenant.edges_of_chunks(reader, &begin, PER_CHUNK)?.into_iter().map(way));
    while !walk.asks().is_empty() {
        let edges = tenant.edges(reader, collection.id, walk.asks(), PER_ENTITY)?;
        walk.learn(edges.into_iter().map(way));
    }
    let walked = Walked {
        named: walk.named().map(str::to_owned).collect(),
        names: walk.names() as u32,
        edges: walk.edges() as u32,
    };
    let reached = walk.reached().into_iter().take(REACHED_MAX).map(|r| (ChunkId(r.chunk), r)).collect();
    Ok(Outcome { reached, walked: Some(walked) })
}

fn way(edge: Edge) -> Way {
    Way { from: edge.from, relation: edge.relation, to: edge.to, chunk: edge.chunk.0 }
}

impl Collections {
    /// What a collection says of a name (or of a document's source) to this reader, at most
    /// `limit`, with the passage that says it. Empty also where the reader may see none of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn neighbours(
        &self,
        reader: &Reader,
        collection: &Collection,
        name: &str,
        limit: usize,
    ) -> Result<Vec<Neighbour>, Error> {
        let tenant = self.tenant(reader.team())?;
        let mut names = vec![name.to_owned()];
        names.extend(Some(entity(name)).filter(|key| !key.is_empty() && *key != name));
        let edges = tenant.edges(reader, collection.id, &names, limit)?;
        let mut ids: Vec<ChunkId> = edges.iter().map(|edge| edge.chunk).collect();
        ids.sort_unstable();
        ids.dedup();
        let chunks = tenant.chunks(reader, &ids)?;
        let of = |edge: Edge| {
            let chunk = chunks.iter().find(|chunk| chunk.id == edge.chunk)?.clone();
            Some(Neighbour { from: edge.from, relation: edge.relation, to: edge.to, chunk })
        };
        Ok(edges.into_iter().filter_map(of).take(limit).collect())
    }
}
