//! PostgreSQL's SQL: one statement that reads, whose values are the protocol's parameters.

use std::collections::BTreeMap;

use crate::template::{Piece, Scanner, Template, Word, Wrong, cut};
use crate::value::{Parameter, Value};

/// What changes something inside of a statement that begins as a reading one. Further words could
/// only begin a statement.
const FORBIDDEN: [&str; 5] = ["DELETE", "INSERT", "INTO", "MERGE", "UPDATE"];

/// What functions are called that no read-only transaction holds back: they reach other servers,
/// sessions and files, or undo what a session was told. Others write only where the server lets them.
const REACHING: [&str; 14] = [
    "CURSOR_TO_XML",
    "DATABASE_TO_XML",
    "DBLINK",
    "LO_",
    "PG_ADVISORY_",
    "PG_CANCEL_BACKEND",
    "PG_FILE_",
    "PG_LOGICAL_",
    "PG_LS_",
    "PG_READ_",
    "PG_RELOAD_CONF",
    "PG_TERMINATE_BACKEND",
    "QUERY_TO_XML",
    "SET_CONFIG",
];

/// A statement and its arguments: `$1` is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    pub arguments: Vec<Argument>,
}

/// An argument in PostgreSQL's text format, and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub oid: u32,
    pub text: String,
}

pub(crate) fn template(text: &str, parameters: &BTreeMap<String, Parameter>) -> Result<Template, Wrong> {
    let text = text.trim();
    let (template, words) = cut(text.strip_suffix(';').unwrap_or(text), parameters, &Sql)?;
    let first = words.first().map(|word| word.text.as_str()).unwrap_or_default();
    if !matches!(first, "SELECT" | "WITH" | "VALUES") {
        return Err(Wrong::Begins(first.chars().take(40).collect(), "SELECT, WITH or VALUES"));
    }
    for word in &words {
        let text = word.text.as_str();
        if FORBIDDEN.contains(&text) || REACHING.iter().any(|name| text.starts_with(name)) {
            return Err(Wrong::Forbidden(text.chars().take(64).collect()));
        }
    }
    Ok(template)
}

/// Texts, quoted names and comments. Texts between dollars are none: their dollar is no parameter.
struct Sql;

impl Scanner for Sql {
    fn closed(&self, rest: &str) -> Option<Option<usize>> {
        if rest.starts_with("--") {
            return Some(Some(rest.find(['\n', '\r']).unwrap_or(rest.len())));
        }
        if rest.starts_with("/*") {
            return Some(comment(rest));
        }
        match rest.as_bytes()[0] {
            quote @ (b'"' | b'\'') => Some(doubled(rest, quote)),
            _ => None,
        }
    }
    fn unescapes(&self) -> bool {
        false
    }
    fn has_statements(&self) -> bool {
        true
    }
    /// In `E'..'` a backslash hides a quote, and in `U&'..'` other characters.
    fn misleads(&self, word: &Word) -> bool {
        matches!((word.text.as_str(), word.after), ("E", Some('\'')) | ("U", Some('&')))
    }
    /// `$1` is read to its last digit; before it, a letter would make it part of a name.
    fn stands_apart(&self, c: char) -> bool {
        c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$' | '\'' | '"')
    }
}

/// The length of a comment, which may hold others.
fn comment(rest: &str) -> Option<usize> {
    let (bytes, mut at, mut depth) = (rest.as_bytes(), 0, 0_usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of a quoted text, in which a quote is doubled.
fn doubled(rest: &str, quote: u8) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 1;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == quote)? + 1;
        if bytes.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

pub(crate) fn statement(template: &Template, values: &BTreeMap<&str, Value>) -> Statement {
    let (mut text, mut names) = (String::new(), Vec::<&str>::new());
    for piece in &template.pieces {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Hole { name, .. } => {
                let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                text.push_str(&format!("${}", at + 1));
            }
        }
    }
    Statement { text, arguments: names.iter().map(|name| argument(&values[name])).collect() }
}

/// The types are those of `pg_type`: `text`, `int8`, `numeric`, `bool`, `date`, `timestamptz`.
fn argument(value: &Value) -> Argument {
    let (oid, text) = match value {
        Value::Text(text) | Value::Iri(text) => (25, text.clone()),
        Value::Integer(n) => (20, n.to_string()),
        Value::Decimal(text) => (1700, text.clone()),
        Value::Boolean(is) => (16, is.to_string()),
        Value::Date(text) => (1082, text.clone()),
        Value::DateTime(text) => (1184, text.clone()),
    };
    Argument { oid, text }
}
