//! Cypher over Neo4j's Query API: parameters are the protocol's own and never text of the query.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::sparql::quoted;
use crate::template::{Piece, Scanner, Template, Wrong, cut};
use crate::value::{Parameter, Value};
use crate::{Form, Request};

/// What changes a graph, or makes its server read from elsewhere. The access mode says so too; a
/// server that ignores it is told nothing that it could do.
const FORBIDDEN: [&str; 17] = [
    "ALTER",
    "CREATE",
    "DELETE",
    "DENY",
    "DETACH",
    "DROP",
    "FOREACH",
    "GRANT",
    "INSERT",
    "LOAD",
    "MERGE",
    "REMOVE",
    "REVOKE",
    "SET",
    "START",
    "STOP",
    "TERMINATE",
];

const BEGINS: [&str; 6] = ["CALL", "MATCH", "OPTIONAL", "RETURN", "UNWIND", "WITH"];

pub(crate) fn template(text: &str, parameters: &BTreeMap<String, Parameter>) -> Result<Template, Wrong> {
    let (template, words) = cut(text, parameters, &Cypher)?;
    // A property, a label, a key of a map is no word of the language.
    let own =
        |w: &crate::template::Word| !matches!(w.before, Some('.' | ':' | '$' | '`')) && w.after != Some(':');
    let first = words.first().map(|w| w.text.as_str()).unwrap_or_default();
    if !BEGINS.contains(&first) {
        return Err(Wrong::Begins(first.chars().take(40).collect(), "MATCH, WITH, UNWIND, CALL or RETURN"));
    }
    for (at, word) in words.iter().enumerate().filter(|(_, word)| own(word)) {
        if FORBIDDEN.contains(&word.text.as_str()) {
            return Err(Wrong::Forbidden(word.text.clone()));
        }
        // Procedures may do anything; those of `db` look things up. `CALL {` is a part of the query.
        let next = words.get(at + 1).map(|w| w.text.as_str());
        if word.text == "CALL" && !subquery(text, at, &words) && next != Some("DB") {
            return Err(Wrong::Forbidden(format!("CALL {}", next.unwrap_or_default())));
        }
    }
    Ok(template)
}

/// Whether the word at `at`, a `CALL`, is followed by a brace or a bracket.
fn subquery(text: &str, at: usize, words: &[crate::template::Word]) -> bool {
    // Which of the text's CALLs it is.
    let nth = words[..at].iter().filter(|w| w.text == "CALL").count();
    let upper = text.to_ascii_uppercase();
    let from = upper.match_indices("CALL").nth(nth).map(|(from, _)| from + 4);
    from.is_some_and(|from| upper[from..].trim_start().starts_with(['{', '(']))
}

/// Texts, quoted names and comments.
struct Cypher;

impl Scanner for Cypher {
    fn closed(&self, rest: &str) -> Option<Option<usize>> {
        if rest.starts_with("//") {
            return Some(Some(rest.find(['\n', '\r']).unwrap_or(rest.len())));
        }
        if let Some(comment) = rest.strip_prefix("/*") {
            return Some(comment.find("*/").map(|end| end + 4));
        }
        match rest.as_bytes()[0] {
            b'`' => Some(rest[1..].find('`').map(|end| end + 2)),
            b'"' | b'\'' => Some(quoted(rest, &rest[..1])),
            _ => None,
        }
    }
}

pub(crate) fn request(template: &Template, values: &BTreeMap<&str, Value>) -> Request {
    let mut statement = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => statement.push_str(text),
            Piece::Hole { name, .. } => {
                statement.push('$');
                statement.push_str(name);
            }
        }
    }
    let parameters: Map<String, Json> =
        values.iter().map(|(name, value)| ((*name).to_owned(), parameter(value))).collect();
    let body = json!({"statement": statement, "parameters": parameters, "accessMode": "Read"});
    Request {
        content_type: "application/json",
        accept: "application/json",
        answers: Form::QueryApi,
        body: body.to_string().into_bytes(),
    }
}

/// Days and times as texts: a template makes them what they are with `date($day)`.
fn parameter(value: &Value) -> Json {
    match value {
        Value::Text(text) | Value::Iri(text) | Value::Date(text) | Value::DateTime(text) => {
            text.as_str().into()
        }
        Value::Integer(n) => (*n).into(),
        Value::Decimal(text) => text.parse::<f64>().map_or(Json::Null, Json::from),
        Value::Boolean(is) => (*is).into(),
    }
}
