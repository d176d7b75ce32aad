//! A cross-encoder's opinion of the best that both arms have found: it reads each passage
//! with the question, which tells more than any two vectors, and takes its time.

use std::collections::BTreeMap;

use context::rank::Ranked;
use report::Report;
use store::Spent;
use store::documents::{Chunk, ChunkId, Collection};
use units::Labels;

use crate::search::Query;
use crate::settings::Reranker;

/// Passages that it reads at most: what is behind these rarely belongs into the first ten, and
/// each costs as much as the first.
pub(crate) const READ_MAX: usize = 32;

/// A model that orders passages, lent by whoever has some.
pub trait Rank {
    /// How well each passage answers the question, 0 to 1, in their order. `labels` are of all of it.
    ///
    /// # Errors
    /// As a person is told; also when the deadline has passed.
    fn rank(
        &self,
        model: &str,
        labels: &Labels,
        question: &str,
        passages: &[String],
        deadline_ms: u32,
    ) -> Result<Vec<f32>, Report>;

    /// What that took so far, where it was paid for.
    fn spent(&self) -> Vec<Spent> {
        Vec::new()
    }
}

/// What it thinks of the best, or why it was not heard.
pub(crate) fn opinions(
    reranker: &Reranker,
    by: Option<&dyn Rank>,
    collection: &Collection,
    query: &Query<'_>,
    ranked: &Ranked,
    chunks: &[Chunk],
) -> Result<BTreeMap<ChunkId, f32>, String> {
    let find = |id: u64| chunks.iter().find(|chunk| chunk.id.0 == id);
    let read: Vec<&Chunk> =
        ranked.hits.iter().filter_map(|hit| find(hit.chunk)).filter(|c| !c.text.trim().is_empty()).collect();
    if read.is_empty() || query.text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let labels = query.labels.join(&collection.labels);
    let labels = read.iter().fold(labels, |all, chunk| all.join(&chunk.labels));
    let passages: Vec<String> = read.iter().map(|chunk| chunk.text.clone()).collect();
    let by = by.ok_or_else(|| "nobody lends a model here".to_owned())?;
    let told = by
        .rank(&reranker.model, &labels, query.text, &passages, reranker.deadline_ms)
        .map_err(|report| format!("{} ({})", report.sentence(), report.code.0))?;
    if told.len() != passages.len() || told.iter().any(|score| !score.is_finite()) {
        return Err(format!(
            "it gave {} scores for {} passages, or one that is none",
            told.len(),
            passages.len()
        ));
    }
    Ok(read.iter().map(|chunk| chunk.id).zip(told).collect())
}
