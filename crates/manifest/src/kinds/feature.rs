//! `Feature`: what a product team launches, under a name that its clients ask for like a model's.

use report::Report;
use units::Labels;

use crate::document::{model_name, object_name};
use crate::kinds::labels;
use crate::kinds::tool::tool_name;
use crate::read::{Fields, long_text, text};
use crate::yaml::clip;

/// Longest system prompt: 32 KiB are about 8,000 tokens, paid with every request.
const PROMPT_BYTES_MAX: usize = 32 << 10;

/// Rounds of a tool loop unless the manifest says otherwise: enough for a handful
/// of calls that need each other's results.
const ROUNDS: u64 = 8;
/// Each round pays for the whole prompt again: with 32 of them the last costs
/// more than the first dozen.
const ROUNDS_MAX: u64 = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// The model that answers: a `Model`'s name or alias.
    pub model: String,
    /// What the model is told before the client's own messages.
    pub prompt: Option<String>,
    /// What all data of its users is at least: joined to the model's and the team's.
    pub labels: Labels,
    /// Who may use it; `None`: every team whose key may use the name.
    pub teams: Option<Vec<String>>,
    /// Passages of a collection that are put before every question.
    pub retrieve: Option<Retrieve>,
    /// The same question may be given the same answer again.
    pub cache: Option<AnswerCache>,
    /// Guards by name, beside those of its model and those that are default.
    pub guards: Vec<String>,
    /// What its model may call, and Bedplate calls for it: `server` for all that a
    /// `Tool` offers, `server__tool` for one. Nothing is granted by it.
    pub tools: Vec<String>,
    /// How often the model is asked for one answer, at most.
    pub max_rounds: u32,
}

/// `retrieve: { collection: handbook, k: 4 }`: a collection of that name in the team of whoever asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieve {
    pub collection: String,
    /// Passages at most.
    pub k: Option<u32>,
    /// Also walk the collection's graph.
    pub graph: bool,
    /// A model that orders them; the collection's own unless told.
    pub rerank: Option<String>,
}

/// Which answers are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerCache {
    /// To the very same question, with the very same passages.
    Exact,
    /// Also to one that differs by its politeness, as far as the answer's record bounds the error.
    Semantic,
}

/// `cache: exact`, or `cache: semantic`.
pub(crate) fn cache(fields: &mut Fields) -> Option<AnswerCache> {
    fields.choice("cache", &[("exact", AnswerCache::Exact), ("semantic", AnswerCache::Semantic)])
}

/// Passages that one question may be given.
const PASSAGES_MAX: u64 = 32;

pub(crate) fn read(fields: &mut Fields) -> Option<Feature> {
    let (at, problems) = (fields.at, fields.problems);
    let model = fields.text("model").filter(|name| {
        let valid = model_name(name);
        if !valid {
            problems.push(
                Report::new("MF0011", format!("\"{}\" is not a valid name", clip(name)))
                    .at(problems.place(at))
                    .because("`spec.model` is the name of a model"),
            );
        }
        valid
    });
    if !fields.has("model") {
        problems.missing("spec.model", at, "name the model that answers: `model: fast`");
    }
    let prompt = fields.take("prompt").and_then(|n| long_text(n, "spec.prompt", PROMPT_BYTES_MAX, problems));
    let labels = labels::of_data(fields);
    let teams = fields.has("teams").then(|| fields.names("teams", 64, object_name));
    let _ = fields.take("teams");
    let retrieve = retrieve(fields);
    let cache = cache(fields);
    let guards = fields.names("guards", 16, object_name);
    let tools = fields.names("tools", 64, tool_reference);
    let max_rounds = fields.number("maxRounds", 1, ROUNDS_MAX).unwrap_or(ROUNDS) as u32;
    Some(Feature { model: model?, prompt, labels, teams, retrieve, cache, guards, tools, max_rounds })
}

/// `server` or `server__tool`.
fn tool_reference(name: &str) -> bool {
    match name.split_once("__") {
        Some((server, tool)) => object_name(server) && tool_name(tool),
        None => object_name(name),
    }
}

fn retrieve(fields: &mut Fields) -> Option<Retrieve> {
    let mut inner = fields.open_map("retrieve")?;
    if !inner.has("collection") {
        inner.problems.missing(
            "spec.retrieve.collection",
            inner.at,
            "name a collection: `collection: handbook`",
        );
    }
    let collection = inner.text("collection");
    let k = inner.number("k", 1, PASSAGES_MAX).and_then(|k| u32::try_from(k).ok());
    let graph = inner.boolean("graph").unwrap_or(false);
    let rerank = inner.take("rerank").and_then(|node| {
        let name = text(node, "spec.retrieve.rerank", inner.problems)?;
        let valid = model_name(&name);
        if !valid {
            inner.problems.wrong("spec.retrieve.rerank", node, "a model's name");
        }
        valid.then_some(name)
    });
    inner.finish();
    Some(Retrieve { collection: collection?, k, graph, rerank })
}
