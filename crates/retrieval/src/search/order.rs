//! One order of what the arms have found, by what the collection and the query say.

use std::collections::BTreeMap;

use context::embed::Embedder;
use context::rank::{self, Candidate, Gate, Settings as Rules};
use context::text;
use store::documents::{Chunk, ChunkId, Collection, Trust};
use units::Micros;

use super::Query;
use crate::Error;
use crate::arms::{Arms, Place};
use crate::embed;
use crate::settings::Settings;

/// Results whose likeness to each other counts: what is behind these is given to nobody.
const LOOKED_AT: usize = 200;

pub(super) struct Order<'a> {
    asked: &'a text::Query,
    embedder: Embedder,
    gate: Gate,
    rules: Rules,
    now: Micros,
}

impl<'a> Order<'a> {
    pub fn new(
        asked: &'a text::Query,
        collection: &Collection,
        settings: &Settings,
        query: &Query<'_>,
    ) -> Order<'a> {
        let ranking = &settings.ranking;
        let half_life_us = ranking.half_life_s.and_then(|s| i64::try_from(s).ok()?.checked_mul(1_000_000));
        Order {
            asked,
            embedder: embed::known(&collection.live),
            gate: settings.gate_of(&collection.live).map_or_else(Gate::untrained, |f| f.gate.clone()),
            rules: Rules {
                k: query.k,
                mmr_lambda: ranking.mmr_percent.map(|percent| f32::from(percent) / 100.0),
                half_life_us,
                ..Rules::default()
            },
            now: query.now,
        }
    }

    /// The order before anybody has read the passages, once all is known that it takes; and what
    /// counts in it beside the arms.
    pub fn first(
        &self,
        place: &Place<'_>,
        arms: &mut Arms,
        vectors: &[Vec<f32>],
    ) -> Result<(rank::Ranked, Vec<String>), Error> {
        let none = BTreeMap::new();
        let (share, _) = self.gate.dense_weight(self.asked, &self.candidates(arms, &none), &self.embedder);
        if share > 0.0 {
            place.look_beside(arms, vectors)?;
        }
        let unknown = arms.chunks.iter().any(|chunk| trust(chunk) == rank::Trust::Unknown);
        // Likeness by vectors: for MMR, and for clusters of what nobody vouches for.
        if self.rules.mmr_lambda.is_some() || unknown {
            let best: Vec<ChunkId> =
                self.ranked(arms, LOOKED_AT, &none).hits.iter().map(|hit| ChunkId(hit.chunk)).collect();
            place.read_vectors(arms, &best)?;
        }
        let age = self.rules.half_life_us.map(|us| {
            format!("age: the half of a score that can fade halves in {} days", us / 86_400_000_000)
        });
        let mmr = self.rules.mmr_lambda.map(|lambda| format!("what is not said yet: MMR at {lambda:.2}"));
        let counted = age.into_iter().chain(mmr).collect();
        Ok((self.ranked(arms, self.rules.k, &none), counted))
    }

    /// The first `k`, with what a reranker says of some.
    pub fn ranked(&self, arms: &Arms, k: usize, told: &BTreeMap<ChunkId, f32>) -> rank::Ranked {
        let mut candidates = self.candidates(arms, told);
        // What only an arm without a say has found has nothing to do with the question.
        let (share, _) = self.gate.dense_weight(self.asked, &candidates, &self.embedder);
        candidates.retain(|c| {
            c.lexical.is_some() && share < 1.0 || c.dense.is_some() && share > 0.0 || c.graph.is_some()
        });
        rank::rank(self.asked, &candidates, &self.gate, &self.embedder, &Rules { k, ..self.rules })
    }

    fn candidates<'c>(&self, arms: &'c Arms, told: &BTreeMap<ChunkId, f32>) -> Vec<Candidate<'c>> {
        let candidate = |chunk: &'c Chunk| Candidate {
            chunk: chunk.id.0,
            lexical: arms.lexical.get(&chunk.id).copied(),
            dense: arms.cosine(chunk.id),
            graph: arms.reached.get(&chunk.id).map(|reached| reached.score),
            text: &chunk.text,
            vector: arms.vector(chunk.id),
            source: &chunk.source,
            batch: &chunk.batch,
            trust: trust(chunk),
            age_us: Some(age_us(chunk, self.now)),
            rerank: told.get(&chunk.id).copied(),
        };
        arms.chunks.iter().map(candidate).collect()
    }
}

fn trust(chunk: &Chunk) -> rank::Trust {
    match chunk.trust {
        Trust::Quarantined | Trust::Unknown => rank::Trust::Unknown,
        Trust::Known => rank::Trust::Known,
        Trust::Signed => rank::Trust::Signed,
    }
}

/// Since its content was changed, as its source says; not after it was put, whatever that says.
fn age_us(chunk: &Chunk, now: Micros) -> i64 {
    let changed = chunk.modified.map_or(chunk.updated, |modified| modified.min(chunk.updated));
    now.0.saturating_sub(changed.0)
}
