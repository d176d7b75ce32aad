//! `Collection`: documents that are searched together, and who may read them
//! unless a document says otherwise.

use report::Report;
use store::documents::{Acl, Lexing, SUBJECTS_MAX, Subject};
use units::Labels;

use crate::document::{model_name, object_name};
use crate::kinds::labels;
use crate::kinds::local::seconds;
use crate::kinds::source::{self, Source};
use crate::read::{Fields, text};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Whose documents they are: nobody outside of this team reads any.
    pub team: String,
    /// A BCP 47 tag; `und` where nobody says.
    pub language: String,
    /// How text becomes terms; by the language unless told.
    pub lexing: Option<Lexing>,
    /// What makes its vectors: a model's name, or `lexical-hash`, which is built in.
    pub embedder: String,
    /// Who reads a document that names nobody: the team unless told.
    pub acl: Acl,
    /// What every document has at least.
    pub labels: Labels,
    /// Whether documents are read for what they say relates names.
    pub graph: bool,
    /// A model that reads the best passages with each question and orders them.
    pub reranker: Option<String>,
    /// How long it may take, in milliseconds.
    pub rerank_deadline_ms: Option<u32>,
    /// After how many seconds the half of a score that can fade has halved.
    pub half_life_s: Option<u64>,
    /// Maximal marginal relevance, in hundredths.
    pub mmr_percent: Option<u8>,
    /// What the server reads by itself, in the order of the manifest.
    pub sources: Vec<Source>,
}

/// What a reranker may take at most: as long as a person waits.
const RERANK_MS_MAX: u64 = 60_000;

/// The embedder that is built in.
pub const BUILTIN_EMBEDDER: &str = "lexical-hash";

const LEXING: [(&str, Lexing); 3] =
    [("stemmed", Lexing::Stemmed), ("words", Lexing::Words), ("trigrams", Lexing::Trigrams)];

pub(crate) fn read(fields: &mut Fields) -> Option<Collection> {
    if !fields.has("team") {
        fields.problems.missing(
            "spec.team",
            fields.at,
            "name the team whose documents they are: `team: shop`",
        );
    }
    let (at, problems) = (fields.at, fields.problems);
    let team = fields.text("team").filter(|name| {
        let valid = object_name(name);
        if !valid {
            problems.push(
                Report::new("MF0011", "`spec.team` is not a valid name")
                    .at(problems.place(at))
                    .because("it is the name of a team"),
            );
        }
        valid
    });
    let language = language(fields);
    let lexing = fields.choice("lexing", &LEXING);
    let embedder = embedder(fields);
    let acl = if fields.has("acl") { acl(fields) } else { Some(Acl::team()) };
    let labels = labels::of_data(fields);
    let graph = fields.boolean("graph").unwrap_or(false);
    let reranker = fields.take("reranker").and_then(|node| model(fields, node, "spec.reranker"));
    let deadline = fields.number("rerankDeadlineMs", 1, RERANK_MS_MAX);
    let rerank_deadline_ms = deadline.and_then(|ms| u32::try_from(ms).ok());
    let half_life_s = half_life(fields);
    let mmr_percent = mmr(fields);
    let quarantine = fields.boolean("quarantine").unwrap_or(false);
    let sources = source::all(fields, quarantine);
    Some(Collection {
        team: team?,
        language: language?,
        lexing,
        embedder: embedder?,
        acl: acl?,
        labels,
        graph,
        reranker,
        rerank_deadline_ms,
        half_life_s,
        mmr_percent,
        sources,
    })
}

/// Letters, digits and `-`, as BCP 47 has them; what a tag means is not checked.
fn language(fields: &mut Fields) -> Option<String> {
    let Some(node) = fields.take("language") else { return Some("und".into()) };
    let tag = text(node, "spec.language", fields.problems)?;
    let sound = (2..=35).contains(&tag.len())
        && tag.as_bytes()[0].is_ascii_alphabetic()
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !sound {
        fields.problems.wrong("spec.language", node, "a language tag such as `en`, `de-CH` or `zh-Hant`");
    }
    sound.then_some(tag)
}

fn embedder(fields: &mut Fields) -> Option<String> {
    let Some(node) = fields.take("embedder") else { return Some(BUILTIN_EMBEDDER.into()) };
    let name = text(node, "spec.embedder", fields.problems)?;
    if !model_name(&name) {
        fields.problems.wrong("spec.embedder", node, format!("a model's name, or `{BUILTIN_EMBEDDER}`"));
        return None;
    }
    Some(name)
}

fn model(fields: &Fields, node: &Node, path: &str) -> Option<String> {
    let name = text(node, path, fields.problems)?;
    if !model_name(&name) {
        fields.problems.wrong(path, node, "a model's name");
        return None;
    }
    Some(name)
}

/// `decay: { halfLife: 30d }`
fn half_life(fields: &mut Fields) -> Option<u64> {
    let mut inner = fields.open_map("decay")?;
    if !inner.has("halfLife") {
        inner.problems.missing("spec.decay.halfLife", inner.at, "write a time: `halfLife: 30d`");
    }
    let node = inner.take("halfLife");
    let seconds = node.and_then(|node| {
        let read = text(node, "spec.decay.halfLife", inner.problems)?;
        let seconds = seconds(&read).filter(|seconds| *seconds > 0);
        if seconds.is_none() {
            let expected = "a whole number and a unit, at most a year: 12h, 30d";
            inner.problems.wrong("spec.decay.halfLife", node, expected);
        }
        seconds
    });
    inner.finish();
    seconds
}

/// `mmr: 0.7`: how much relevance counts against what is said already.
fn mmr(fields: &mut Fields) -> Option<u8> {
    let node = fields.take("mmr")?;
    let read = text(node, "spec.mmr", fields.problems)?;
    let lambda = read.parse::<f32>().ok().filter(|lambda| (0.0..=1.0).contains(lambda));
    if lambda.is_none() {
        fields.problems.wrong("spec.mmr", node, "a number from 0, all difference, to 1, all relevance");
    }
    lambda.map(|lambda| (lambda * 100.0).round() as u8)
}

/// A list of readers; `None`: there is none, or none that can be used.
pub(crate) fn acl(fields: &mut Fields) -> Option<Acl> {
    let nodes = fields.list("acl", SUBJECTS_MAX)?;
    let mut subjects: Vec<Subject> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = fields.path_of(&format!("acl[{index}]"));
        let word = text(node, &path, fields.problems)?;
        match word.parse() {
            Ok(subject) => subjects.push(subject),
            Err(_) => fields.problems.wrong(&path, node, "`team`, `user:EMAIL`, `key:ID` or `group:NAME`"),
        }
    }
    match Acl::new(subjects) {
        Ok(acl) => Some(acl),
        Err(why) => {
            fields.problems.push(
                Report::new("MF0009", format!("`{}` is no list of readers", fields.path_of("acl")))
                    .at(fields.problems.place(fields.at))
                    .because(why.to_string()),
            );
            None
        }
    }
}
