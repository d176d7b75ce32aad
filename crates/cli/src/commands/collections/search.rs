//! `collection search`: what was found, and how its order came about.

use api::{Evidence, SearchCollection, SearchExplained, SearchResult};

use super::path_of;
use crate::client::Server;
use crate::commands::show;
use crate::table::{grouped, or_dash};
use crate::{Failure, args};

pub(super) fn run(server: &Server, args: args::CollectionSearch, json: bool) -> Result<(), Failure> {
    let asked = SearchCollection {
        query: args.query,
        also: args.also,
        k: Some(args.limit),
        source: args.source,
        graph: args.graph,
        explain: args.explain,
        as_user: args.as_user,
        rerank: args.rerank,
        no_rerank: args.no_rerank,
        rerank_deadline_ms: args.rerank_deadline_ms,
    };
    let result: SearchResult = server.post(&format!("{}/search", path_of(&args.name)), &asked)?;
    show(json, &result, result_text);
    Ok(())
}

fn result_text(result: &SearchResult) -> String {
    let mut text = String::new();
    for evidence in &result.evidence {
        text.push_str(&evidence_text(evidence, result.explain.is_some()));
    }
    if result.evidence.is_empty() {
        text.push_str("nothing that you may read bears on it\n");
    }
    text.push_str(&format!(
        "{} of {} parts that may be read, {}\n",
        result.evidence.len(),
        grouped(result.readable),
        result.accuracy
    ));
    result.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    let Some(explain) = &result.explain else { return text };
    text.push_str(&format!(
        "\ngate      {}\n{}arms      {} by words, {} by vectors ({})\nmask      {} lists of readers\n",
        explain.gate,
        order_text(explain),
        explain.lexical_hits,
        explain.dense_hits,
        explain.embedder,
        explain.classes
    ));
    if let Some(walk) = &explain.graph {
        let from =
            if walk.entities.is_empty() { "the best passages".into() } else { walk.entities.join(", ") };
        text.push_str(&format!("graph     {} names and {} edges around {from}\n", walk.names, walk.edges));
    }
    explain.left_out.iter().for_each(|why| text.push_str(&format!("left out  {why}\n")));
    let stages: Vec<String> = explain.stages.iter().map(stage_text).collect();
    text.push_str(&format!("took      {}\n", stages.join(", ")));
    text
}

/// What counts beside both arms, a line each.
fn order_text(explain: &SearchExplained) -> String {
    let reranker = explain.reranker.iter().map(|model| format!("reranker  {model}\n"));
    reranker.chain(explain.counted.iter().map(|what| format!("counts    {what}\n"))).collect()
}

/// `embed 312 us (9 tokens, 0.0000009 USD)`
fn stage_text(stage: &api::StageCost) -> String {
    let spent = stage.tokens.map(|tokens| {
        format!(" ({} tokens, {} USD)", grouped(tokens), stage.cost_usd.as_deref().unwrap_or("0"))
    });
    format!("{} {} us{}", stage.name, grouped(stage.us), spent.unwrap_or_default())
}

fn evidence_text(evidence: &Evidence, arms: bool) -> String {
    let heading = if evidence.heading.is_empty() {
        String::new()
    } else {
        format!(" > {}", evidence.heading.replace('\n', " > "))
    };
    // Of what may not be read, the id is all there is to say.
    let name = if evidence.source.is_empty() { &evidence.document } else { &evidence.source };
    let mut text = format!(
        "[{}] {name}{heading} (version {}, bytes {} to {})\n",
        evidence.rank, evidence.version, evidence.start, evidence.end
    );
    if arms {
        text.push_str(&format!(
            "    relevance {:.2}, by words {}, by vectors {}{}, {}, {}\n",
            evidence.relevance,
            or_dash(&evidence.lexical_rank),
            or_dash(&evidence.dense_rank),
            evidence.graph_rank.map_or_else(String::new, |rank| format!(", by the graph {rank}")),
            evidence.labels,
            evidence.trust
        ));
        if let (Some(before), Some(score)) = (evidence.fused_rank, evidence.rerank_score) {
            text.push_str(&format!("    reranked {score:.2}, place {before} before\n"));
        }
        evidence.lowered.iter().for_each(|why| text.push_str(&format!("    lowered {why}\n")));
        if evidence.copies > 0 {
            text.push_str(&format!("    {} parts say nearly the same\n", evidence.copies));
        }
        if !evidence.path.is_empty() {
            text.push_str(&format!("    by way of {}\n", evidence.path.join(" > ")));
        }
    }
    match &evidence.text {
        Some(passage) => passage.lines().for_each(|line| text.push_str(&format!("    {line}\n"))),
        None => text.push_str("    (you may not read it)\n"),
    }
    text
}
