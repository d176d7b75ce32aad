//! What each arm finds for a question in all its phrasings, behind the reader's mask.

use std::collections::BTreeMap;

use context::embed::cosine;
use context::graph::Reached;
use context::text;
use store::documents::{Chunk, ChunkId, Collection, Hit, PAGE_MAX, Reader, Tenant, TextQuery};

use crate::graph::{Walked, walk};
use crate::index::Near;
use crate::search::Stopwatch;
use crate::{Collections, Error};

/// Vectors that are read beside those of the dense arm, at most: about a millisecond.
const VECTORS_MAX: usize = 400;

/// What each arm found, by chunk, and the chunks that the reader may read of it now.
pub(crate) struct Arms {
    pub lexical: BTreeMap<ChunkId, f32>,
    pub dense: BTreeMap<ChunkId, f32>,
    /// How near the question is what full text has found and the dense arm has not.
    pub beside: BTreeMap<ChunkId, f32>,
    pub reached: BTreeMap<ChunkId, Reached>,
    pub walk: Option<Walked>,
    pub readable: u64,
    pub exact: bool,
    pub chunks: Vec<Chunk>,
    vectors: BTreeMap<ChunkId, Vec<f32>>,
}

/// Where and for whom is searched.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub collections: &'a Collections,
    pub tenant: &'a dyn Tenant,
    pub reader: &'a Reader,
    pub collection: &'a Collection,
}

impl Place<'_> {
    /// Both arms, each with at most `fetch` hits for each phrasing. `vectors`: the phrasings', or
    /// none at all. A filter on the source comes after the arms, so with one they may have to
    /// reach further: until there are `wanted`.
    pub fn arms(
        &self,
        asked: &text::Query,
        vectors: &[Vec<f32>],
        graph: bool,
        source: Option<(&str, usize)>,
        mut fetch: usize,
        watch: &mut Stopwatch,
    ) -> Result<Arms, Error> {
        loop {
            let (mut arms, whole) = self.once(asked, vectors, graph, fetch, watch)?;
            arms.chunks = self.chunks(&arms)?;
            if let Some((prefix, _)) = source {
                arms.chunks.retain(|chunk| chunk.source.starts_with(prefix));
            }
            watch.lap("fetch");
            let enough = source.is_none_or(|(_, wanted)| arms.chunks.len() >= wanted);
            if whole || enough || fetch >= PAGE_MAX {
                return Ok(arms);
            }
            fetch = (fetch * 8).min(PAGE_MAX);
        }
    }

    /// Also whether each arm has given all that it has.
    fn once(
        &self,
        asked: &text::Query,
        vectors: &[Vec<f32>],
        graph: bool,
        fetch: usize,
        watch: &mut Stopwatch,
    ) -> Result<(Arms, bool), Error> {
        let Place { collections, tenant, reader, collection } = *self;
        let mut lists = Vec::new();
        for phrasing in asked.phrasings() {
            let words = TextQuery { terms: &phrasing.terms, limit: fetch };
            lists.push(tenant.search_text(reader, collection.id, &words)?);
        }
        watch.lap("words");
        let slot = collections.slot(reader.team(), collection.id);
        let near: Result<Vec<Near>, Error> =
            vectors.iter().map(|v| slot.nearest(tenant, reader, collection, v, fetch)).collect();
        let near = near?;
        watch.lap("vectors");
        let whole = lists.iter().chain(near.iter().map(|n| &n.hits)).all(|hits| hits.len() < fetch);
        let mut arms = Arms {
            lexical: lexical(&lists),
            dense: best(near.iter().flat_map(|near| &near.hits).map(|hit| (hit.chunk, hit.score))),
            beside: BTreeMap::new(),
            reached: BTreeMap::new(),
            walk: None,
            readable: match near.first() {
                Some(near) => near.readable,
                None => tenant.counts(reader, collection.id)?.chunks,
            },
            exact: !near.is_empty() && near.iter().all(|near| near.exact),
            chunks: Vec::new(),
            vectors: BTreeMap::new(),
        };
        if graph {
            let walk = walk(tenant, reader, collection, &asked.text, &lists[0])?;
            (arms.reached, arms.walk) = (walk.reached, walk.walked);
            watch.lap("graph");
        }
        Ok((arms, whole))
    }

    /// The candidates with their texts: what the reader may not read *now* does not come out.
    fn chunks(&self, arms: &Arms) -> Result<Vec<Chunk>, Error> {
        let found = arms.lexical.keys().chain(arms.dense.keys()).chain(arms.reached.keys());
        let mut ids: Vec<ChunkId> = found.copied().collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(self.tenant.chunks(self.reader, &ids)?)
    }

    /// How near the question is what only full text has found, so that both arms say something of
    /// the best: else what words find first would count as unlike by vectors.
    pub fn look_beside(&self, arms: &mut Arms, vectors: &[Vec<f32>]) -> Result<(), Error> {
        let mut lexical: Vec<(ChunkId, f32)> = arms.lexical.iter().map(|(id, score)| (*id, *score)).collect();
        lexical.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let ids = lexical.into_iter().map(|(id, _)| id).filter(|id| !arms.dense.contains_key(id));
        let ids: Vec<ChunkId> = ids.take(VECTORS_MAX).collect();
        self.read_vectors(arms, &ids)?;
        for id in ids {
            let Some(vector) = arms.vectors.get(&id) else { continue };
            let near = vectors.iter().map(|asked| cosine(asked, vector)).fold(0.0, f32::max);
            if near > 0.0 {
                arms.beside.insert(id, near);
            }
        }
        Ok(())
    }

    /// Reads the vectors of chunks, for their likeness to each other. Those that the reader may
    /// not read now are left out.
    pub fn read_vectors(&self, arms: &mut Arms, ids: &[ChunkId]) -> Result<(), Error> {
        let ids: Vec<ChunkId> =
            ids.iter().filter(|id| !arms.vectors.contains_key(id)).take(VECTORS_MAX).copied().collect();
        let number = self.collection.live.number;
        arms.vectors.extend(self.tenant.vectors(self.reader, self.collection.id, number, &ids)?);
        Ok(())
    }
}

impl Arms {
    pub fn vector(&self, id: ChunkId) -> Option<&[f32]> {
        self.vectors.get(&id).map(Vec::as_slice)
    }

    pub fn cosine(&self, id: ChunkId) -> Option<f32> {
        self.dense.get(&id).or_else(|| self.beside.get(&id)).copied()
    }
}

/// Full text's scores compare within one list. Of several phrasings each is taken by its best,
/// and a chunk has its best place among them.
fn lexical(lists: &[Vec<Hit>]) -> BTreeMap<ChunkId, f32> {
    if let [hits] = lists {
        return hits.iter().map(|hit| (hit.chunk, hit.score)).collect();
    }
    let scaled = lists.iter().flat_map(|hits| {
        let most = hits.iter().map(|hit| hit.score).fold(0.0, f32::max);
        hits.iter().filter(move |_| most > 0.0).map(move |hit| (hit.chunk, hit.score / most))
    });
    best(scaled)
}

fn best(scores: impl Iterator<Item = (ChunkId, f32)>) -> BTreeMap<ChunkId, f32> {
    let mut all = BTreeMap::new();
    for (id, score) in scores {
        let best = all.entry(id).or_insert(score);
        *best = best.max(score);
    }
    all
}
