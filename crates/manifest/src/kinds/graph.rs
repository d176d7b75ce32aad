//! `graph:` of a `Tool`: a knowledge graph that exists, and the queries that may be asked of it.

use std::collections::BTreeMap;

use graphquery::{Language, Parameter, Query, ROWS, ROWS_MAX, TEMPLATE_BYTES_MAX, Type};
use report::Report;

use crate::kinds::database::{self, Database};
use crate::kinds::provider::{KeyFrom, base_url, key};
use crate::kinds::tool::tool_name;
use crate::read::{Fields, long_text, text};
use crate::yaml::{Node, Value, clip};

#[derive(Clone, Debug, PartialEq)]
pub struct ToolGraph {
    pub server: GraphServer,
    pub allow_private: bool,
    pub key: Option<KeyFrom>,
    /// By the names that callers use.
    pub queries: BTreeMap<String, Query>,
}

/// Who answers, and how it is spoken to.
#[derive(Clone, Debug, PartialEq)]
pub enum GraphServer {
    /// `basic`: its key is `user:password`, and not a token.
    Http { url: String, basic: bool },
    /// Its key is `user:password`.
    Postgres(Database),
}

/// Queries of one graph.
const QUERIES_MAX: usize = 64;
/// Values that one parameter may be limited to.
const CHOICES_MAX: usize = 64;
const TIMEOUT_MS_MAX: u64 = 120_000;

const LANGUAGES: [(&str, Language); 3] =
    [("sparql", Language::Sparql), ("cypher", Language::Cypher), ("sql", Language::Sql)];

pub(crate) fn read(mut fields: Fields) -> Option<ToolGraph> {
    let at = fields.at;
    if !fields.has("language") {
        let hint = "say what it speaks: `language: sparql`, `cypher` or `sql`";
        fields.problems.missing("spec.graph.language", at, hint);
    }
    let language = fields.choice("language", &LANGUAGES);
    let allow_private = fields.boolean("allowPrivate").unwrap_or(false);
    let server = match (fields.take("url"), language) {
        (Some(node), Some(Language::Sql)) => {
            if !fields.has("keyEnv") && !fields.has("keySecret") {
                let hint = "name where its login is: `keySecret: NAME` with `user:password` in it";
                fields.problems.missing("spec.graph.keySecret", at, hint);
            }
            database::read(node, allow_private, "url", &fields).map(GraphServer::Postgres)
        }
        (Some(node), _) => {
            let basic = fields.choice("auth", &[("bearer", false), ("basic", true)]).unwrap_or(false);
            base_url(node, allow_private, "url", &fields).map(|url| GraphServer::Http { url, basic })
        }
        (None, _) => {
            fields.problems.missing("spec.graph.url", at, "write the address of its query endpoint");
            None
        }
    };
    let key = key(&mut fields);
    let queries = fields.take("queries").map(|node| queries(node, language, &fields)).unwrap_or_default();
    if queries.is_empty() {
        fields.problems.missing("spec.graph.queries", at, "declare what may be asked of it");
    }
    fields.finish();
    Some(ToolGraph { server: server?, allow_private, key, queries })
}

fn queries(node: &Node, language: Option<Language>, fields: &Fields) -> BTreeMap<String, Query> {
    let problems = fields.problems;
    let mut queries = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        problems.wrong("spec.graph.queries", node, "a map of names to queries");
        return queries;
    };
    if entries.len() > QUERIES_MAX {
        problems.wrong("spec.graph.queries", node, format!("at most {QUERIES_MAX} queries"));
    }
    for (key, node) in entries.iter().take(QUERIES_MAX) {
        let path = format!("spec.graph.queries.{}", clip(&key.text));
        if !tool_name(&key.text) {
            problems.wrong(&path, node, "a query whose name has 1 to 64 letters, digits, `_` and `-`");
        } else if let Some(fields) = Fields::open(node, &path, problems)
            && let Some(query) = query(fields, language)
        {
            queries.insert(key.text.clone(), query);
        }
    }
    queries
}

fn query(mut fields: Fields, language: Option<Language>) -> Option<Query> {
    let (at, problems) = (fields.at, fields.problems);
    let description = fields.text("description").unwrap_or_default();
    let rows_max = fields.number("maxRows", 1, ROWS_MAX as u64).map_or(ROWS, |n| n as usize);
    let timeout_ms = fields.number("timeoutMs", 1, TIMEOUT_MS_MAX);
    let parameters = fields.take("parameters").map(|node| parameters(node, &fields)).unwrap_or_default();
    let path = fields.path_of("template");
    let template = match fields.take("template") {
        Some(node) => long_text(node, &path, TEMPLATE_BYTES_MAX, problems),
        None => {
            problems.missing(&path, at, "write the query, with `$name` where a parameter stands");
            None
        }
    };
    fields.finish();
    match Query::new(language?, &template?, parameters) {
        Ok(mut query) => {
            (query.description, query.rows_max, query.timeout_ms) = (description, rows_max, timeout_ms);
            Some(query)
        }
        Err(why) => {
            let report = Report::new("MF0009", format!("`{path}` is not accepted"));
            problems.push(report.at(problems.place(at)).because(why.to_string()));
            None
        }
    }
}

fn parameters(node: &Node, fields: &Fields) -> BTreeMap<String, Parameter> {
    let (problems, path) = (fields.problems, fields.path_of("parameters"));
    let mut parameters = BTreeMap::new();
    let Value::Map(entries) = &node.value else {
        problems.wrong(&path, node, "a map of names to parameters");
        return parameters;
    };
    for (key, node) in entries {
        let path = format!("{path}.{}", clip(&key.text));
        let Some(mut fields) = Fields::open(node, &path, problems) else { continue };
        let kind = fields.choice("type", &Type::ALL).unwrap_or_default();
        let description = fields.text("description").unwrap_or_default();
        let under = fields.text("under");
        let choices = fields.list("choices", CHOICES_MAX).unwrap_or_default();
        let path = fields.path_of("choices");
        let choices = choices.iter().filter_map(|node| text(node, &path, problems)).collect();
        fields.finish();
        parameters.insert(key.text.clone(), Parameter { kind, description, choices, under });
    }
    parameters
}
