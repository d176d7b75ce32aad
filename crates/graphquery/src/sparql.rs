//! SPARQL 1.1: templates, values as RDF terms, the query form of its protocol.

use std::collections::BTreeMap;

use crate::template::{Piece, Scanner, Template, Wrong, cut};
use crate::value::{Parameter, Type, Value};
use crate::{Form, Request};

/// What changes a graph, or makes its server read from elsewhere.
const FORBIDDEN: [&str; 12] = [
    "ADD", "CLEAR", "COPY", "CREATE", "DELETE", "DROP", "FROM", "INSERT", "LOAD", "MOVE", "SERVICE", "USING",
];

const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

pub(crate) fn template(text: &str, parameters: &BTreeMap<String, Parameter>) -> Result<Template, Wrong> {
    let (template, words) = cut(text, parameters, &Sparql)?;
    // What belongs to a variable, a prefixed name or a language tag is no word of the language.
    let own: Vec<&str> = words
        .iter()
        .filter(|w| {
            !matches!(w.before, Some('?' | '$' | ':' | '@' | '-' | '.' | '^' | '%' | '\\'))
                && w.after != Some(':')
        })
        .map(|w| w.text.as_str())
        .collect();
    let first = own.iter().find(|word| !matches!(**word, "PREFIX" | "BASE")).copied().unwrap_or_default();
    if !matches!(first, "SELECT" | "ASK") {
        return Err(Wrong::Begins(first.chars().take(40).collect(), "SELECT or ASK, behind its prefixes"));
    }
    if let Some(word) = own.iter().find(|word| FORBIDDEN.contains(word)) {
        return Err(Wrong::Forbidden((*word).to_owned()));
    }
    for piece in &template.pieces {
        if let Piece::Hole { name, counts: true } = piece
            && parameters[name].kind != Type::Integer
        {
            return Err(Wrong::Count(name.clone()));
        }
    }
    Ok(template)
}

/// Texts, addresses and comments.
struct Sparql;

impl Scanner for Sparql {
    fn closed(&self, rest: &str) -> Option<Option<usize>> {
        match rest.as_bytes()[0] {
            b'#' => Some(Some(rest.find(['\n', '\r']).unwrap_or(rest.len()))),
            // Else it is less-than.
            b'<' => {
                let end = rest[1..].find(|c: char| {
                    matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '^' | '`' | '\\') || c <= ' '
                })?;
                rest[1 + end..].starts_with('>').then_some(Some(end + 2))
            }
            b'"' | b'\'' => {
                let quote = &rest[..1];
                let long = quote.repeat(3);
                Some(if rest.starts_with(&long) { quoted(rest, &long) } else { quoted(rest, quote) })
            }
            _ => None,
        }
    }
}

/// The length of a quoted text, with its quotes.
pub(crate) fn quoted(rest: &str, quote: &str) -> Option<usize> {
    let mut at = quote.len();
    while at < rest.len() {
        if rest[at..].starts_with(quote) {
            return Some(at + quote.len());
        }
        let mut chars = rest[at..].chars();
        let c = chars.next()?;
        at += c.len_utf8();
        if c == '\\' {
            at += chars.next()?.len_utf8();
        } else if quote.len() == 1 && c == '\n' {
            return None;
        }
    }
    None
}

pub(crate) fn request(template: &Template, values: &BTreeMap<&str, Value>) -> Request {
    let mut body = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Text(text) => body.push_str(text),
            Piece::Hole { name, counts } => {
                body.push(' ');
                body.push_str(&term(&values[name.as_str()], *counts));
                body.push(' ');
            }
        }
    }
    Request {
        content_type: "application/sparql-query",
        accept: "application/sparql-results+json",
        answers: Form::SparqlJson,
        body: body.into_bytes(),
    }
}

/// A value as a term: an address in angle brackets, a number behind `LIMIT`, else a quoted text with
/// its type, which is one token whatever is in it.
fn term(value: &Value, counts: bool) -> String {
    let typed = |text: &str, of: &str| format!("{}^^<{XSD}{of}>", literal(text));
    match value {
        Value::Text(text) => literal(text),
        // Read by `Parameter::read`: nothing in it ends it.
        Value::Iri(iri) => format!("<{iri}>"),
        // A negative count is an error of the language, and stays the endpoint's to tell.
        Value::Integer(n) if counts => n.max(&0).to_string(),
        Value::Integer(n) => typed(&n.to_string(), "integer"),
        Value::Decimal(text) => typed(text, "decimal"),
        Value::Boolean(is) => typed(&is.to_string(), "boolean"),
        Value::Date(text) => typed(text, "date"),
        Value::DateTime(text) => typed(text, "dateTime"),
    }
}

/// A text in quotes. SPARQL 1.1 replaces `\uXXXX` before it looks at anything else (19.2), and
/// engines differ in whether `\\u` counts: so that sequence is never written. The `u` behind a
/// backslash is itself an escape, which every reading turns into the same text.
pub(crate) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            'u' | 'U' if before == '\\' => quoted.push_str(if c == 'u' { "\\u0075" } else { "\\u0055" }),
            c => quoted.push(c),
        }
        before = c;
    }
    quoted.push('"');
    quoted
}
