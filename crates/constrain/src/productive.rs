//! Whether a schema that refers to itself can ever be complete.
//!
//! A list that must hold itself has no finite value: a grammar writes it
//! without end. The least fixed point over the references tells: a reference
//! is finite when its target is, given those that are known to be.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Error, schema::resolve};

pub(crate) fn check(root: &Value, references: &BTreeSet<String>) -> Result<(), Error> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = known.len();
        for reference in references {
            if !known.contains(reference.as_str())
                && resolve(root, reference).is_some_and(|target| finite(target, &known))
            {
                known.insert(reference);
            }
        }
        if known.len() == before {
            break;
        }
    }
    if finite(root, &known) {
        return Ok(());
    }
    Err(Error::Contradiction("it requires itself inside of itself, without end".into()))
}

/// False only where no value of finite length exists.
fn finite(schema: &Value, known: &BTreeSet<&str>) -> bool {
    let Value::Object(fields) = schema else { return *schema != Value::Bool(false) };
    let holds = |keyword: &str| fields.get(keyword).and_then(Value::as_array);
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str)
        && !known.contains(reference)
    {
        return false;
    }
    if holds("allOf").is_some_and(|all| !all.iter().all(|s| finite(s, known))) {
        return false;
    }
    for keyword in ["anyOf", "oneOf"] {
        if holds(keyword).is_some_and(|any| !any.iter().any(|s| finite(s, known))) {
            return false;
        }
    }
    let types: Vec<&str> = match fields.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    types.is_empty() || types.iter().any(|t| finite_as(t, fields, known))
}

fn finite_as(kind: &str, fields: &serde_json::Map<String, Value>, known: &BTreeSet<&str>) -> bool {
    match kind {
        "object" => {
            let required = fields.get("required").and_then(Value::as_array);
            required.into_iter().flatten().filter_map(Value::as_str).all(|name| {
                fields.get("properties").and_then(|p| p.get(name)).is_none_or(|s| finite(s, known))
            })
        }
        "array" => {
            let least = fields.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            least == 0 || fields.get("items").is_none_or(|s| s.is_array() || finite(s, known))
        }
        _ => true,
    }
}
