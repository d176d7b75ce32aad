//! Questions to knowledge graphs that exist: declared templates, typed parameters, strict answers.
//!
//! Who asks chooses a template and gives values; the text of a query comes from a manifest and
//! from nowhere else. A template is read once, into pieces and holes, and refused unless it only
//! reads; a value becomes a term of the language by its declared type ([`Query::bind`]), so what
//! is in it is never syntax. [`read`] takes an endpoint's answer as what it is, bytes of a
//! stranger: bounded, exact in shape, rows beyond the declared number left out and counted.
//!
//! Pure: the caller sends [`Request`]s and brings bytes.
//!
//! Three languages: SPARQL 1.1 queries (its protocol's query form and JSON results), Cypher over
//! Neo4j's Query API, and PostgreSQL's SQL, whose parameters are the protocols' own.

mod answer;
mod cypher;
mod rows;
mod sparql;
mod sql;
mod template;
mod value;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use answer::{Table, read};
pub use rows::{Column, Rows};
pub use sql::{Argument, Statement};
pub use template::Wrong;
pub use value::{Parameter, Type};

use template::Template;

/// Bytes of a template.
pub const TEMPLATE_BYTES_MAX: usize = 16 << 10;
/// Parameters of a query, and bytes of one value.
pub const PARAMETERS_MAX: usize = 32;
pub const VALUE_BYTES_MAX: usize = 4 << 10;
/// Rows of one answer at most, whatever is declared, and unless it is.
pub const ROWS_MAX: usize = 1_000;
pub const ROWS: usize = 100;
/// Columns of one answer at most.
pub const COLUMNS_MAX: usize = 256;
/// Bytes of one answer: what an agent reads of a tool, too.
pub const ANSWER_BYTES_MAX: usize = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Sparql,
    Cypher,
    Sql,
}

/// A query that may be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub description: String,
    pub parameters: BTreeMap<String, Parameter>,
    /// Rows given of one answer.
    pub rows_max: usize,
    /// Until the whole answer is there; `None`: as its server's limits say.
    pub timeout_ms: Option<u64>,
    language: Language,
    template: Template,
}

/// A query with its values: what is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Http(Request),
    Sql(Statement),
}

/// A POST with this body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub content_type: &'static str,
    pub accept: &'static str,
    /// How what comes back is [`read`].
    pub answers: Form,
    pub body: Vec<u8>,
}

/// The shape of an answer over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// SPARQL 1.1 Query Results JSON Format.
    SparqlJson,
    /// Neo4j's Query API.
    QueryApi,
}

/// Why values do not fit a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it takes no parameter \"{0}\"")]
    Unknown(String),
    #[error("the parameter \"{0}\" is missing")]
    Missing(String),
    #[error("the parameter \"{name}\" is not {expected}")]
    Value { name: String, expected: String },
}

impl Query {
    /// Reads a template with its parameters.
    ///
    /// # Errors
    /// [`Wrong`]: it writes, it reaches elsewhere, or its holes are not its parameters.
    pub fn new(
        language: Language,
        template: &str,
        parameters: BTreeMap<String, Parameter>,
    ) -> Result<Query, Wrong> {
        let template = match language {
            Language::Sparql => sparql::template(template, &parameters)?,
            Language::Cypher => cypher::template(template, &parameters)?,
            Language::Sql => sql::template(template, &parameters)?,
        };
        let description = String::new();
        Ok(Query { description, parameters, rows_max: ROWS, timeout_ms: None, language, template })
    }

    pub fn language(&self) -> Language {
        self.language
    }

    /// What to send for these values.
    ///
    /// # Errors
    /// [`Unfit`] for a value that is missing, too much, or not of its type.
    pub fn bind(&self, given: &Map<String, Value>) -> Result<Bound, Unfit> {
        if let Some(name) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            return Err(Unfit::Unknown(name.chars().take(64).collect()));
        }
        let mut values = BTreeMap::new();
        for (name, parameter) in &self.parameters {
            let value = given.get(name).ok_or_else(|| Unfit::Missing(name.clone()))?;
            let value = parameter
                .read(value)
                .ok_or_else(|| Unfit::Value { name: name.clone(), expected: parameter.expected() })?;
            values.insert(name.as_str(), value);
        }
        Ok(match self.language {
            Language::Sparql => Bound::Http(sparql::request(&self.template, &values)),
            Language::Cypher => Bound::Http(cypher::request(&self.template, &values)),
            Language::Sql => Bound::Sql(sql::statement(&self.template, &values)),
        })
    }

    /// What it takes, as a JSON schema: for models and forms.
    pub fn schema(&self) -> Value {
        let properties: Map<String, Value> =
            self.parameters.iter().map(|(name, parameter)| (name.clone(), parameter.schema())).collect();
        let required: Vec<&String> = self.parameters.keys().collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

/// The entry of the fuzz target: any template, any value, any answer. Never panics, and what is
/// in a value is never syntax.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parameter = |kind| Parameter { kind, ..Parameter::default() };
    let parameters: BTreeMap<String, Parameter> =
        [("a".to_owned(), parameter(Type::Text)), ("b".to_owned(), parameter(Type::Iri))].into();
    for (form, rows_max) in [(Form::SparqlJson, 0), (Form::QueryApi, 3), (Form::SparqlJson, 3)] {
        if let Ok(table) = read(form, data, rows_max) {
            assert!(table.rows.len() <= rows_max);
            assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        }
    }
    for oid in rows::READ {
        let column = Column { name: "a".into(), oid };
        let mut rows = Rows::new(vec![column], 1).expect("one column");
        let _ = rows.push(&[Some(data)]);
    }
    for language in [Language::Sparql, Language::Cypher, Language::Sql] {
        if let Ok(query) = Query::new(language, &text, parameters.clone()) {
            let _ = query.bind(
                &[("a".to_owned(), json!("x")), ("b".to_owned(), json!("urn:x"))].into_iter().collect(),
            );
        }
        let template = match language {
            Language::Sparql => "SELECT * WHERE { ?x ?y $a . ?z ?y $b }",
            Language::Cypher => "MATCH (n {a: $a, b: $b}) RETURN n",
            Language::Sql => "SELECT * FROM t WHERE a = $a AND b = $b",
        };
        let query = Query::new(language, template, parameters.clone()).expect("it only reads");
        let given = [("a".to_owned(), json!(text)), ("b".to_owned(), json!(text))].into_iter().collect();
        let _ = query.bind(&given);
    }
}

#[cfg(test)]
mod tests;
