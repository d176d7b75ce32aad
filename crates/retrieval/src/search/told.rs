//! How an answer came about, in words.

use std::collections::BTreeMap;

use context::rank::{self, Demoted, Reason};
use context::text;
use store::documents::{Chunk, ChunkId};

use super::{ALSO_MAX, Query};
use crate::settings::Fitted;

/// The sources of an arm's candidates, the best first, each once. Of chunks that the
/// reader may read, which is all that `chunks` has.
pub(super) fn sources(arm: &BTreeMap<ChunkId, f32>, chunks: &[Chunk], k: usize) -> Vec<String> {
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

pub(super) fn notes(
    asked: &text::Query,
    query: &Query<'_>,
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
    if query.also.len() > ALSO_MAX {
        notes.push(format!("of {} other phrasings the first {ALSO_MAX} were looked for", query.also.len()));
    }
    if asked.terms.is_empty() {
        notes.push("the question has no words that are searched for".into());
    }
    notes
}

pub(super) fn gate(explain: &rank::Explain, fitted: Option<&Fitted>) -> String {
    let why = match explain.reason {
        Reason::Fitted => {
            let to = fitted.map_or_else(String::new, |f| {
                format!(
                    " ({}; nDCG@10 words {:.3}, vectors {:.3}, both {:.3})",
                    f.questions, f.words, f.vectors, f.both
                )
            });
            return format!(
                "vectors weigh {:.2}: fitted to the collection's judged questions{to}",
                explain.dense_weight
            );
        }
        Reason::Untrained => "not fitted; the embedder knows the script",
        Reason::NotSemantic => "the embedder finds only what words find better",
        Reason::UnknownScript => "the embedder has not learned the question's script",
        Reason::NoTerms => "words found nothing",
        Reason::NoDense => "vectors found nothing",
    };
    format!("vectors weigh {:.2}: {why}", explain.dense_weight)
}

pub(super) fn left_out(explain: &rank::Explain) -> Vec<String> {
    let line = |count: usize, why: &str| (count > 0).then(|| format!("{count} {why}"));
    let lines = [
        line(explain.copies, "parts that say nearly the same as a better one"),
        line(explain.capped, "parts beyond what one source or batch may have"),
        line(explain.moved, "parts moved behind those of other sources"),
    ];
    lines.into_iter().flatten().collect()
}

/// Why a passage stands lower, and by what factor.
pub(super) fn lowered(why: &Demoted) -> String {
    match why {
        Demoted::Age(factor) => format!("by its age, to {factor:.2}"),
        Demoted::Trust(factor) => format!("because its source is not known, to {factor:.2}"),
        Demoted::Echo(factor) => format!("because it repeats the question, to {factor:.2}"),
        Demoted::Cluster(factor) => format!("because others of unknown source say the same, to {factor:.2}"),
        Demoted::Cap => "because its source has its share".into(),
        Demoted::Similar(like) => format!("because it resembles a better one, by {like:.2}"),
    }
}
