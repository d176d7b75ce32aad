//! What a collection keeps of itself as text that means nothing to the store.

use context::rank::Gate;
use serde_json::{Value, json};
use store::documents::{AccessError, Acl, Generation, Subject};
use units::Micros;

use crate::Error;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Who reads a document that names nobody.
    pub acl: Acl,
    /// The model that is to make its vectors; `None`: the built-in embedder. Which one does
    /// now, the live generation says.
    pub embedder: Option<String>,
    /// Whether documents that are put are read for what they relate. Collections that were made
    /// before there was a graph keep none.
    pub graph: bool,
    pub ranking: Ranking,
    /// Fitted to judged questions; not declared, so no manifest takes it back.
    pub gate: Option<Fitted>,
}

/// What a collection says of its order beside the gate.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ranking {
    /// Reads the best with the question, and orders them; `None`: nobody.
    pub reranker: Option<Reranker>,
    /// After how long the half of a score that can fade has halved; `None`: age does not count.
    pub half_life_s: Option<u64>,
    /// Maximal marginal relevance, in hundredths: 0 is all difference, 100 all relevance; `None`: off.
    pub mmr_percent: Option<u8>,
}

/// A model that orders what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reranker {
    pub model: String,
    /// When it comes later, the order of both arms is given, and that is told.
    pub deadline_ms: u32,
}

/// A gate that was fitted, and to what. It is of one set of vectors: with another embedder live
/// it means nothing, and is not used.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    pub gate: Gate,
    pub generation: u32,
    /// Judged questions, in scripts with enough of them.
    pub questions: u64,
    /// Of these the mean nDCG@10 of each arm alone, and of both by the gate.
    pub words: f64,
    pub vectors: f64,
    pub both: f64,
    /// The same of a gate that was fitted to half of them and judged by the other half.
    pub held_out: f64,
    pub at: Micros,
}

/// How long a reranker may take unless told: what a person waits without wondering.
pub const RERANK_MS: u32 = 1_000;

impl Settings {
    /// The gate of the vectors that are searched.
    pub fn gate_of(&self, live: &Generation) -> Option<&Fitted> {
        self.gate.as_ref().filter(|fitted| fitted.generation == live.number)
    }

    pub fn to_text(&self) -> String {
        let words: Vec<String> = self.acl.subjects().map(ToString::to_string).collect();
        let mut value = json!({ "acl": words });
        if let Some(model) = &self.embedder {
            value["embedder"] = Value::from(model.as_str());
        }
        if self.graph {
            value["graph"] = Value::Bool(true);
        }
        if let Some(Reranker { model, deadline_ms }) = &self.ranking.reranker {
            value["reranker"] = json!({ "model": model, "deadline_ms": deadline_ms });
        }
        if let Some(half_life) = self.ranking.half_life_s {
            value["half_life_s"] = half_life.into();
        }
        if let Some(percent) = self.ranking.mmr_percent {
            value["mmr_percent"] = percent.into();
        }
        if let Some(fitted) = &self.gate {
            value["gate"] = json!({
                "text": fitted.gate.to_text(),
                "generation": fitted.generation,
                "questions": fitted.questions,
                "words": fitted.words,
                "vectors": fitted.vectors,
                "both": fitted.both,
                "held_out": fitted.held_out,
                "at": fitted.at.0,
            });
        }
        value.to_string()
    }

    /// # Errors
    /// [`Error::Settings`] for what [`Settings::to_text`] did not write.
    pub fn read(text: &str) -> Result<Settings, Error> {
        let broken = |why: String| Error::Settings(why);
        let value: Value = serde_json::from_str(text).map_err(|e| broken(e.to_string()))?;
        let words = value["acl"].as_array().ok_or_else(|| broken("no list of readers".into()))?;
        let subjects: Result<Vec<Subject>, _> =
            words.iter().map(|w| w.as_str().unwrap_or_default().parse()).collect();
        let subjects = subjects.map_err(|e: AccessError| broken(e.to_string()))?;
        let acl = Acl::new(subjects).map_err(|e| broken(e.to_string()))?;
        let embedder = value["embedder"].as_str().map(str::to_owned);
        let ranking = Ranking {
            reranker: reranker(&value["reranker"]),
            half_life_s: value["half_life_s"].as_u64(),
            mmr_percent: value["mmr_percent"].as_u64().and_then(|n| u8::try_from(n).ok()),
        };
        let gate = fitted(&value["gate"]);
        Ok(Settings { acl, embedder, graph: value["graph"] == true, ranking, gate })
    }
}

fn reranker(value: &Value) -> Option<Reranker> {
    let deadline_ms = value["deadline_ms"].as_u64().and_then(|ms| u32::try_from(ms).ok());
    Some(Reranker { model: value["model"].as_str()?.into(), deadline_ms: deadline_ms.unwrap_or(RERANK_MS) })
}

/// `None` also for one that a later version wrote: then the rule holds that needs no fitting.
fn fitted(value: &Value) -> Option<Fitted> {
    Some(Fitted {
        gate: Gate::from_text(value["text"].as_str()?)?,
        generation: value["generation"].as_u64().and_then(|n| u32::try_from(n).ok())?,
        questions: value["questions"].as_u64()?,
        words: value["words"].as_f64()?,
        vectors: value["vectors"].as_f64()?,
        both: value["both"].as_f64()?,
        held_out: value["held_out"].as_f64()?,
        at: Micros(value["at"].as_i64()?),
    })
}
