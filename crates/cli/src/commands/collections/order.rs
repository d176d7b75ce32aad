//! How a collection orders what is found: `collection gate`, and a line of its status.

use api::{Collection, CollectionGate};

use super::path_of;
use crate::Failure;
use crate::client::Server;
use crate::commands::show;
use crate::table::{grouped, short_time};

/// How a collection orders what is found, where it says so.
pub(super) fn ranking_text(c: &Collection) -> String {
    let ranking = &c.ranking;
    let mut parts = Vec::new();
    if let (Some(model), Some(ms)) = (&ranking.reranker, ranking.rerank_deadline_ms) {
        parts.push(format!("reranked by {model} within {} ms", grouped(u64::from(ms))));
    }
    if let Some(seconds) = ranking.half_life_s {
        parts.push(format!("age counts, by half in {} days", seconds as f64 / 86_400.0));
    }
    if let Some(mmr) = ranking.mmr {
        parts.push(format!("MMR at {mmr:.2}"));
    }
    parts.extend(c.gate.as_ref().map(gate_text));
    if parts.is_empty() { String::new() } else { format!("\norder: {}", parts.join("; ")) }
}

/// `vectors weigh 0.45 (latin), fitted to 43 judged questions`
pub(super) fn gate_text(gate: &CollectionGate) -> String {
    let shares: Vec<String> =
        gate.vectors_weigh.iter().map(|(script, share)| format!("{share:.2} ({script})")).collect();
    format!("vectors weigh {}, fitted to {} judged questions", shares.join(", "), grouped(gate.questions))
}

pub(super) fn gate(server: &Server, name: &str, forget: bool, json: bool) -> Result<(), Failure> {
    let path = path_of(name);
    let collection: Collection = match forget {
        true => server.delete(&format!("{path}/gate"))?,
        false => server.get(&path)?,
    };
    show(json, &collection.gate, |gate| match gate {
        None => format!(
            "no gate is fitted to {name}: `bedplate collection eval {name} --judged FILE --fit` does it"
        ),
        Some(gate) => format!(
            "{}, {}, for the vectors of {}\nnDCG@10 of these: words {:.3}, vectors {:.3}, both {:.3}; of questions not seen: {:.3}",
            gate_text(gate),
            short_time(&gate.fitted),
            gate.embedder,
            gate.words,
            gate.vectors,
            gate.both,
            gate.held_out
        ),
    });
    Ok(())
}
