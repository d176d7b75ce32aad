//! A plausible value for a JSON schema: what a model would fill in.

use serde_json::{Map, Value, json};

const MAX_DEPTH: u32 = 16;

/// The smallest value that satisfies the parts of JSON Schema that tool
/// definitions use: type, properties, required, enum, const, items, anyOf, $ref.
pub fn instance(schema: &Value) -> Value {
    fill(schema, schema, 0)
}

fn fill(schema: &Value, root: &Value, depth: u32) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return root.pointer(target).map_or(Value::Null, |target| fill(target, root, depth + 1));
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    for any in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[any].as_array().and_then(|all| all.first()) {
            return fill(first, root, depth + 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("object").to_owned(),
        Value::String(kind) => kind.clone(),
        _ if schema.get("properties").is_some() => "object".to_owned(),
        _ => "string".to_owned(),
    };
    match kind.as_str() {
        "object" => {
            let mut object = Map::new();
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                object.insert(name.clone(), fill(property, root, depth + 1));
            }
            Value::Object(object)
        }
        "array" => json!([fill(&schema["items"], root, depth + 1)]),
        "integer" => schema["minimum"].as_i64().unwrap_or(7).into(),
        "number" => schema["minimum"].as_f64().unwrap_or(1.5).into(),
        "boolean" => true.into(),
        "null" => Value::Null,
        _ => match schema["format"].as_str() {
            Some("date") => "2026-11-23".into(),
            Some("date-time") => "2026-11-23T16:00:00Z".into(),
            _ => "Paris".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_filled_in() {
        let schema = json!({"type":"object","properties":{
            "city":{"type":"string"},"unit":{"enum":["c","f"]},"days":{"type":"integer"},
            "tags":{"type":"array","items":{"$ref":"#/$defs/tag"}}},"$defs":{"tag":{"type":"boolean"}}});
        assert_eq!(instance(&schema), json!({"city":"Paris","unit":"c","days":7,"tags":[true]}));
        let endless = json!({"$ref":"#"});
        assert_eq!(instance(&endless), Value::Null);
    }
}
