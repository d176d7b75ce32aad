//! `Collection`: documents that are searched together, and who may read them
//! unless a document says otherwise.

use report::Report;
use store::documents::{Acl, Lexing, SUBJECTS_MAX, Subject};
use units::Labels;

use crate::document::{model_name, object_name};
use crate::kinds::labels;
use crate::read::{Fields, text};

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
}

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
    let acl = acl(fields);
    let labels = labels::of_data(fields);
    let graph = fields.boolean("graph").unwrap_or(false);
    Some(Collection {
        team: team?,
        language: language?,
        lexing,
        embedder: embedder?,
        acl: acl?,
        labels,
        graph,
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

fn acl(fields: &mut Fields) -> Option<Acl> {
    let Some(nodes) = fields.list("acl", SUBJECTS_MAX) else { return Some(Acl::team()) };
    let mut subjects: Vec<Subject> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = format!("spec.acl[{index}]");
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
                Report::new("MF0009", "`spec.acl` is no list of readers")
                    .at(fields.problems.place(fields.at))
                    .because(why.to_string()),
            );
            None
        }
    }
}
