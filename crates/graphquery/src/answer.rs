//! Answers of endpoints, read exactly.

use serde_json::{Map, Value};

use crate::{ANSWER_BYTES_MAX, COLUMNS_MAX, Form};

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    /// As many values as columns each. An address is a text; a number and a truth are themselves
    /// where JSON can hold them exactly, and what is not bound is null.
    pub rows: Vec<Vec<Value>>,
    /// Rows that came and were left out.
    pub left_out: usize,
}

/// Reads an answer; `rows_max` rows of it are kept.
///
/// # Errors
/// What of it is not as the protocol says, for the operator.
pub fn read(form: Form, bytes: &[u8], rows_max: usize) -> Result<Table, String> {
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(format!("its answer has more than {ANSWER_BYTES_MAX} bytes; give the query a LIMIT"));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("its answer is no JSON: {e}"))?;
    let Value::Object(whole) = value else { return Err("its answer is not a JSON object".into()) };
    let mut table = match form {
        Form::SparqlJson => sparql(whole),
        Form::QueryApi => cypher(whole),
    }?;
    table.left_out = table.rows.len().saturating_sub(rows_max);
    table.rows.truncate(rows_max);
    Ok(table)
}

/// SPARQL 1.1 Query Results JSON Format.
fn sparql(mut whole: Map<String, Value>) -> Result<Table, String> {
    let Some(Value::Object(mut head)) = whole.remove("head") else {
        return Err("its answer has no head".into());
    };
    if let Some(truth) = whole.remove("boolean") {
        let truth = truth.is_boolean().then_some(truth).ok_or("its boolean is none")?;
        return Ok(Table { columns: vec!["boolean".into()], rows: vec![vec![truth]], left_out: 0 });
    }
    let columns = names(head.remove("vars"), "vars")?;
    let bindings = match whole.remove("results") {
        Some(Value::Object(mut results)) => results.remove("bindings"),
        _ => None,
    };
    let Some(Value::Array(bindings)) = bindings else { return Err("its answer has no bindings".into()) };
    let row = |binding: Value| {
        let Value::Object(mut binding) = binding else {
            return Err("a row of it is not an object".to_owned());
        };
        let row: Result<Vec<Value>, String> =
            columns.iter().map(|name| binding.remove(name).map_or(Ok(Value::Null), term)).collect();
        match binding.keys().next() {
            Some(name) => Err(format!("a row of it binds \"{name:.64}\", which its head does not name")),
            None => row,
        }
    };
    let rows = bindings.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok(Table { columns, rows, left_out: 0 })
}

fn term(term: Value) -> Result<Value, String> {
    let text = |key: &str| term.get(key).and_then(Value::as_str);
    let (Some(kind), Some(value)) = (text("type"), text("value")) else {
        return Err("a value of it has no type or no text".into());
    };
    match kind {
        "uri" => Ok(value.into()),
        "bnode" => Ok(format!("_:{value}").into()),
        // Early drafts, and some engines to this day.
        "literal" | "typed-literal" => Ok(literal(value, text("datatype"))),
        other => Err(format!("a value of it is a \"{other:.40}\"")),
    }
}

fn literal(value: &str, datatype: Option<&str>) -> Value {
    let exact = match datatype.and_then(|d| d.strip_prefix("http://www.w3.org/2001/XMLSchema#")) {
        Some("integer" | "int" | "long" | "short" | "byte" | "nonNegativeInteger" | "positiveInteger") => {
            // What JSON's readers take for another number stays a text.
            value.parse::<i64>().ok().filter(|n| n.unsigned_abs() <= 1 << 53).map(Value::from)
        }
        Some("boolean") => match value {
            "true" | "1" => Some(true.into()),
            "false" | "0" => Some(false.into()),
            _ => None,
        },
        Some("double" | "float") => value.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        _ => None,
    };
    exact.unwrap_or_else(|| value.into())
}

/// Neo4j's Query API: the status says nothing, so errors are looked for first.
fn cypher(mut whole: Map<String, Value>) -> Result<Table, String> {
    if let Some(error) = whole.get("errors").and_then(|e| e.get(0)) {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        return Err(format!("it says: {:.80}: {:.300}", text("code"), text("message")));
    }
    let Some(Value::Object(mut data)) = whole.remove("data") else {
        return Err("its answer has no data".into());
    };
    let columns = names(data.remove("fields"), "fields")?;
    let Some(Value::Array(values)) = data.remove("values") else {
        return Err("its answer has no values".into());
    };
    let row = |row: Value| match row {
        Value::Array(row) if row.len() == columns.len() => Ok(row),
        _ => Err("a row of it has another number of values than of fields".to_owned()),
    };
    let rows = values.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok(Table { columns, rows, left_out: 0 })
}

/// Names of columns, each once.
fn names(value: Option<Value>, what: &str) -> Result<Vec<String>, String> {
    let Some(Value::Array(names)) = value else { return Err(format!("its answer has no {what}")) };
    if names.len() > COLUMNS_MAX {
        return Err(format!("it names {} {what}; at most {COLUMNS_MAX} are read", names.len()));
    }
    let names: Option<Vec<String>> = names.into_iter().map(|n| n.as_str().map(str::to_owned)).collect();
    let names = names.ok_or_else(|| format!("one of its {what} is no text"))?;
    if each_once(&names) { Ok(names) } else { Err(format!("one of its {what} stands twice")) }
}

pub(crate) fn each_once(names: &[String]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().all(|name| seen.insert(name))
}
