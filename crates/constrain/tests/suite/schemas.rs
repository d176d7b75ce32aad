//! Schemas of the shapes that products send, and some that nobody should.

use serde_json::{Value, json};

/// What must become of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Compiled, and every answer is valid.
    Held,
    /// Refused before anything is computed.
    Refused,
}

pub fn all() -> Vec<(String, Value, Fate)> {
    let mut out = Vec::new();
    held(&mut |name: &str, schema| out.push((name.to_owned(), schema, Fate::Held)));
    refused(&mut |name: &str, schema| out.push((name.to_owned(), schema, Fate::Refused)));
    out
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn held(add: &mut dyn FnMut(&str, Value)) {
    scalars(add);
    strings(add);
    objects(add);
    arrays(add);
    combined(add);
    referring(add);
    products(add);
}

fn scalars(add: &mut dyn FnMut(&str, Value)) {
    for kind in ["null", "boolean", "integer", "number", "string", "array", "object"] {
        add(&format!("type {kind}"), json!({"type": kind}));
        add(&format!("type {kind} or null"), json!({"type": [kind, "null"]}));
    }
    for (low, high) in [(0, 10), (-5, 5), (1, 1), (-1000, -1), (0, 65_535), (999, 1001)] {
        add(&format!("integer {low}..{high}"), json!({"type": "integer", "minimum": low, "maximum": high}));
        add(&format!("number {low}..{high}"), json!({"type": "number", "minimum": low, "maximum": high}));
    }
    add("positive", json!({"type": "integer", "exclusiveMinimum": 0}));
    add("probability", json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}));
    add("temperature", json!({"type": "number", "minimum": -273.15, "maximum": 1000.5}));
    add("at least", json!({"type": "number", "minimum": 3.5}));
    add("negative", json!({"type": "number", "exclusiveMaximum": 0}));
    add("multiple of 5", json!({"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100}));
    add("cents", json!({"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 99.99}));
    add("multiple of 0.5", json!({"type": "number", "multipleOf": 0.5, "minimum": 0, "maximum": 10}));
    for value in
        [json!(1), json!("x"), json!(null), json!(true), json!(1.5), json!([1, "a"]), json!({"a": {"b": []}})]
    {
        add(&format!("const {value}"), json!({"const": value}));
    }
    add("enum of texts", json!({"enum": ["red", "green", "blue"]}));
    add("enum of all kinds", json!({"enum": [1, "1", null, false, {"a": 1}, [2]]}));
    add("enum with quotes", json!({"enum": ["a\"b", "c\\d", "e\nf", "{}", "日本", ""]}));
    add("typed enum", json!({"type": "string", "enum": ["low", "high"]}));
    let many: Vec<String> = (0..500).map(|i| format!("category/{i:03}")).collect();
    add("enum of 500", json!({"type": "string", "enum": many}));
    let numbers: Vec<i32> = (0..200).map(|i| i * i - 5000).collect();
    add("enum of 200 numbers", json!({"enum": numbers}));
    add("true", json!(true));
    add("empty", json!({}));
    add("annotations only", json!({"title": "T", "description": "d", "default": 3, "examples": [1]}));
}

fn strings(add: &mut dyn FnMut(&str, Value)) {
    for (least, most) in [(0, 0), (1, 1), (2, 5), (0, 40), (10, 12)] {
        add(
            &format!("text of {least}..{most}"),
            json!({"type": "string", "minLength": least, "maxLength": most}),
        );
    }
    add("text of at least 3", json!({"type": "string", "minLength": 3}));
    for pattern in [
        "^[a-z]+$",
        "^[A-Z]{2}[0-9]{4}$",
        "^\\d{3}-\\d{4}$",
        "abc",
        "^(foo|bar)$",
        "^#[0-9a-f]{6}$",
        "^v\\d+\\.\\d+\\.\\d+$",
        "^[^\\s]+$",
        "^https?://[a-z.]{3,10}$",
        "^[a-zA-Z0-9_-]{1,12}$",
        "[0-9]$",
        "^\\+?[1-9]\\d{1,14}$",
        "^.{2,4}$",
        "^\\w+$",
        "^é+$",
        "^a?b*c+$",
        "^(?:[01]\\d|2[0-3]):[0-5]\\d$",
    ] {
        add(&format!("pattern {pattern}"), json!({"type": "string", "pattern": pattern}));
    }
    add(
        "pattern and length",
        json!({"type": "string", "pattern": "^[ab]+$", "minLength": 3, "maxLength": 6}),
    );
    for format in [
        "date",
        "time",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
        "uri",
        "password",
        "int32",
    ] {
        add(&format!("format {format}"), json!({"type": "string", "format": format}));
    }
    add("format and pattern", json!({"type": "string", "format": "date", "pattern": "^20"}));
}

fn objects(add: &mut dyn FnMut(&str, Value)) {
    add("no properties", object(json!({}), &[]));
    add("one required", object(json!({"name": {"type": "string"}}), &["name"]));
    add("one optional", object(json!({"name": {"type": "string"}}), &[]));
    let three = json!({"a": {"type": "integer"}, "b": {"type": "boolean"}, "c": {"type": "null"}});
    for required in [&[] as &[&str], &["a"], &["c"], &["a", "c"], &["c", "b", "a"]] {
        add(&format!("three, required {required:?}"), object(three.clone(), required));
        add(
            &format!("three and more, required {required:?}"),
            json!({"type": "object", "properties": three, "required": required}),
        );
    }
    add("required without a property", json!({"type": "object", "required": ["x", "y"]}));
    add("map of numbers", json!({"type": "object", "additionalProperties": {"type": "number"}}));
    add(
        "map beside properties",
        json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "additionalProperties": {"type": "string"}}),
    );
    add(
        "pattern properties",
        json!({"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": false}),
    );
    add(
        "pattern and plain",
        json!({"type": "object", "properties": {"n": {"type": "integer"}}, "patternProperties": {"^s_[a-z]+$": {"type": "string"}}, "additionalProperties": {"type": "boolean"}}),
    );
    add(
        "some property",
        json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}}),
    );
    add(
        "few properties",
        json!({"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}}),
    );
    add(
        "one of two",
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}),
    );
    add(
        "odd names",
        object(
            json!({"a b": {"type": "integer"}, "\"q\"": {"type": "boolean"}, "日本": {"type": "null"}, "$ref": {"type": "null"}, "type": {"type": "string"}}),
            &["a b", "\"q\"", "日本", "$ref", "type"],
        ),
    );
    add("untyped object", json!({"properties": {"a": {"type": "integer"}}, "required": ["a"]}));
    let wide: serde_json::Map<String, Value> =
        (0..60).map(|i| (format!("field_{i}"), json!({"type": "integer"}))).collect();
    let names: Vec<String> = wide.keys().cloned().collect();
    add(
        "60 required",
        json!({"type": "object", "properties": wide, "required": names, "additionalProperties": false}),
    );
    add("60 optional", json!({"type": "object", "properties": wide, "additionalProperties": false}));
    let mut deep = json!({"type": "integer"});
    for i in 0..20 {
        deep = object(json!({format!("level_{i}"): deep}), &[&format!("level_{i}")]);
    }
    add("20 deep", deep);
}

fn arrays(add: &mut dyn FnMut(&str, Value)) {
    for (least, most) in [(0, 0), (1, 1), (2, 4), (0, 3), (5, 5)] {
        add(
            &format!("{least}..{most} items"),
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": least, "maxItems": most}),
        );
    }
    add("some items", json!({"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 1}));
    add("any items", json!({"type": "array"}));
    add(
        "no further items",
        json!({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false}),
    );
    add(
        "tuple",
        json!({"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "minItems": 2, "maxItems": 2}),
    );
    add(
        "tuple and rest",
        json!({"type": "array", "prefixItems": [{"const": "v1"}], "items": {"type": "integer"}, "minItems": 1}),
    );
    add(
        "old tuple",
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"type": "integer"}, {"type": "boolean"}], "additionalItems": false}),
    );
    add(
        "matrix",
        json!({"type": "array", "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "minItems": 3, "maxItems": 3}, "minItems": 2, "maxItems": 2}),
    );
    add(
        "array of objects",
        json!({"type": "array", "items": object(json!({"id": {"type": "integer"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}}}), &["id", "tags"]), "maxItems": 3}),
    );
    add("not unique", json!({"type": "array", "items": {"type": "boolean"}, "uniqueItems": false}));
}

fn combined(add: &mut dyn FnMut(&str, Value)) {
    add("anyOf", json!({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]}));
    add(
        "anyOf with null",
        json!({"anyOf": [{"type": "null"}, object(json!({"x": {"type": "number"}}), &["x"])]}),
    );
    add("oneOf by type", json!({"oneOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}));
    add(
        "oneOf by constant",
        json!({"oneOf": [
            object(json!({"kind": {"const": "circle"}, "r": {"type": "number", "minimum": 0}}), &["kind", "r"]),
            object(json!({"kind": {"const": "square"}, "side": {"type": "number", "minimum": 0}}), &["kind", "side"]),
        ]}),
    );
    add("allOf of bounds", json!({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 8}]}));
    add(
        "allOf of objects",
        json!({"allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]}),
    );
    add("allOf narrows", json!({"allOf": [{"type": "string"}, {"enum": ["a", "b", 3]}]}));
    add(
        "siblings of anyOf",
        json!({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "anyOf": [{"required": ["email"]}, {"required": ["phone"]}]}),
    );
    add(
        "number or its text",
        json!({"type": "object", "properties": {"n": {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^\\d+$"}]}}, "required": ["n"], "additionalProperties": false}),
    );
    add("nullable property", object(json!({"note": {"type": ["string", "null"]}}), &["note"]));
    add(
        "nested anyOf",
        json!({"anyOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": "a"}]}]}),
    );
    add("false in an option", json!({"anyOf": [false, {"type": "boolean"}]}));
    add("optional that cannot be", object(json!({"never": false, "a": {"type": "integer"}}), &["a"]));
    add(
        "contradiction in an option",
        json!({"anyOf": [{"type": "integer", "minimum": 5, "maximum": 1}, {"const": "ok"}]}),
    );
}

fn referring(add: &mut dyn FnMut(&str, Value)) {
    add("reference", json!({"$ref": "#/$defs/id", "$defs": {"id": {"type": "integer", "minimum": 1}}}));
    add(
        "references in properties",
        json!({"type": "object", "properties": {"from": {"$ref": "#/definitions/point"}, "to": {"$ref": "#/definitions/point"}}, "required": ["from", "to"], "additionalProperties": false,
        "definitions": {"point": object(json!({"x": {"type": "integer"}, "y": {"type": "integer"}}), &["x", "y"])}}),
    );
    add(
        "tree",
        json!({"$ref": "#/$defs/node", "$defs": {"node": object(json!({"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}}), &["value", "children"])}}),
    );
    add(
        "list",
        json!({"$ref": "#/$defs/list", "$defs": {"list": {"anyOf": [{"type": "null"}, object(json!({"head": {"type": "boolean"}, "tail": {"$ref": "#/$defs/list"}}), &["head", "tail"])]}}}),
    );
    add(
        "whole of itself",
        json!({"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false}),
    );
    add(
        "mutual",
        json!({"$ref": "#/$defs/a", "$defs": {"a": object(json!({"b": {"$ref": "#/$defs/b"}}), &[]), "b": object(json!({"a": {"$ref": "#/$defs/a"}}), &[])}}),
    );
    add(
        "reference with a sibling",
        json!({"$defs": {"s": {"type": "string"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/s", "maxLength": 3}}, "required": ["a"], "additionalProperties": false}),
    );
    let chain: serde_json::Map<String, Value> = (0..50)
        .map(|i| {
            (
                format!("d{i}"),
                if i < 49 {
                    json!({"$ref": format!("#/$defs/d{}", i + 1)})
                } else {
                    json!({"type": "boolean"})
                },
            )
        })
        .collect();
    add("chain of 50", json!({"$ref": "#/$defs/d0", "$defs": chain}));
    add(
        "expression",
        json!({"$ref": "#/$defs/e", "$defs": {"e": {"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 99},
            object(json!({"op": {"enum": ["+", "-"]}, "left": {"$ref": "#/$defs/e"}, "right": {"$ref": "#/$defs/e"}}), &["op", "left", "right"]),
        ]}}}),
    );
}

/// What products ask of models.
fn products(add: &mut dyn FnMut(&str, Value)) {
    let text = json!({"type": "string", "maxLength": 12});
    add(
        "sentiment",
        object(
            json!({"label": {"enum": ["positive", "neutral", "negative"]}, "score": {"type": "number", "minimum": 0, "maximum": 1}}),
            &["label", "score"],
        ),
    );
    add(
        "person",
        object(
            json!({"name": text, "age": {"type": "integer", "minimum": 0, "maximum": 130}, "email": {"type": "string", "format": "email"}}),
            &["name", "age"],
        ),
    );
    add(
        "calendar event",
        object(
            json!({"title": text, "start": {"type": "string", "format": "date-time"}, "end": {"type": "string", "format": "date-time"}, "people": {"type": "array", "items": text, "maxItems": 4}}),
            &["title", "start", "end"],
        ),
    );
    add(
        "invoice",
        json!({"type": "object", "properties": {"number": {"type": "string", "pattern": "^INV-[0-9]{5}$"}, "currency": {"enum": ["EUR", "USD", "CHF"]}, "lines": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/line"}}, "total": {"type": "number", "minimum": 0}},
        "required": ["number", "currency", "lines", "total"], "additionalProperties": false,
        "$defs": {"line": object(json!({"text": text, "quantity": {"type": "integer", "minimum": 1, "maximum": 999}, "price": {"type": "number", "minimum": 0, "maximum": 10000}}), &["text", "quantity", "price"])}}),
    );
    add(
        "entities",
        object(
            json!({"entities": {"type": "array", "maxItems": 3, "items": object(json!({"text": text, "kind": {"enum": ["person", "place", "company"]}, "span": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 5000}, "minItems": 2, "maxItems": 2}}), &["text", "kind", "span"])}}),
            &["entities"],
        ),
    );
    add(
        "weather call",
        object(
            json!({"location": text, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}),
            &["location"],
        ),
    );
    add(
        "reasoning steps",
        object(
            json!({"steps": {"type": "array", "items": object(json!({"explanation": text, "output": text}), &["explanation", "output"]), "maxItems": 3}, "final_answer": text}),
            &["steps", "final_answer"],
        ),
    );
    add(
        "user interface",
        json!({"$ref": "#/$defs/view", "$defs": {"view": object(json!({"type": {"enum": ["div", "button", "form"]}, "label": text, "children": {"type": "array", "items": {"$ref": "#/$defs/view"}, "maxItems": 2}}), &["type", "label", "children"])}}),
    );
    add(
        "search filter",
        object(
            json!({"field": {"enum": ["price", "date"]}, "op": {"enum": ["<", ">", "="]}, "value": {"anyOf": [{"type": "number"}, {"type": "string", "format": "date"}]}}),
            &["field", "op", "value"],
        ),
    );
    add(
        "pydantic model",
        json!({"title": "Address", "type": "object", "properties": {"street": {"title": "Street", "type": "string", "maxLength": 9}, "zip": {"title": "Zip", "type": "string", "pattern": "^\\d{5}$"}, "floor": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "title": "Floor"}}, "required": ["street", "zip"], "additionalProperties": false}),
    );
    add(
        "strict pydantic",
        json!({"$defs": {"Step": {"properties": {"n": {"title": "N", "type": "integer"}}, "required": ["n"], "title": "Step", "type": "object", "additionalProperties": false}}, "properties": {"steps": {"items": {"$ref": "#/$defs/Step"}, "title": "Steps", "type": "array", "maxItems": 4}}, "required": ["steps"], "title": "Plan", "type": "object", "additionalProperties": false}),
    );
    add(
        "zod model",
        json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"ok": {"type": "boolean"}, "at": {"type": "integer", "exclusiveMinimum": 0}, "who": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}}, "required": ["ok", "at", "who"], "additionalProperties": false}),
    );
    add(
        "configuration",
        json!({"type": "object", "properties": {"listen": {"type": "string", "format": "ipv4"}, "port": {"type": "integer", "minimum": 1, "maximum": 65535}, "tls": {"type": "boolean"}, "limits": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}}, "required": ["listen", "port"], "additionalProperties": false}),
    );
    add(
        "geo feature",
        object(
            json!({"type": {"const": "Feature"}, "geometry": object(json!({"type": {"const": "Point"}, "coordinates": {"type": "array", "items": {"type": "number", "minimum": -180, "maximum": 180}, "minItems": 2, "maxItems": 2}}), &["type", "coordinates"]), "properties": {"type": ["object", "null"], "maxProperties": 2}}),
            &["type", "geometry", "properties"],
        ),
    );
}

fn refused(add: &mut dyn FnMut(&str, Value)) {
    // Contradictions.
    add("false", json!(false));
    add("bounds the wrong way", json!({"type": "integer", "minimum": 5, "maximum": 4}));
    add("bounds in allOf", json!({"allOf": [{"type": "number", "minimum": 5}, {"maximum": 4}]}));
    add("no integer between", json!({"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 4}));
    add("empty enum", json!({"enum": []}));
    add("empty anyOf", json!({"anyOf": []}));
    add("two types", json!({"allOf": [{"type": "string"}, {"type": "integer"}]}));
    add("constant of another type", json!({"type": "string", "const": 3}));
    add("required that cannot be", object(json!({"a": false}), &["a"]));
    add(
        "required and not allowed",
        json!({"type": "object", "properties": {}, "required": ["a"], "additionalProperties": false}),
    );
    add("lengths the wrong way", json!({"type": "string", "minLength": 5, "maxLength": 2}));
    add("items the wrong way", json!({"type": "array", "minItems": 3, "maxItems": 1}));
    add("pattern against length", json!({"type": "string", "pattern": "^a{5}$", "maxLength": 3}));
    add(
        "itself for ever",
        json!({"$ref": "#/$defs/n", "$defs": {"n": object(json!({"n": {"$ref": "#/$defs/n"}}), &["n"])}}),
    );
    add(
        "a list of itself",
        json!({"$ref": "#/$defs/l", "$defs": {"l": {"type": "array", "items": {"$ref": "#/$defs/l"}, "minItems": 1}}}),
    );
    add("a reference to itself", json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}));
    // What cannot be enforced.
    add("not", json!({"type": "string", "not": {"const": "a"}}));
    add("if", json!({"if": {"const": 1}, "then": {"const": 2}}));
    add("unique", json!({"type": "array", "items": {"type": "integer"}, "uniqueItems": true}));
    add("contains", json!({"type": "array", "contains": {"const": 1}}));
    add("property names", json!({"type": "object", "propertyNames": {"pattern": "^a"}}));
    add("dependent", json!({"type": "object", "dependentRequired": {"a": ["b"]}}));
    add("old dependencies", json!({"type": "object", "dependencies": {"a": ["b"]}}));
    add("unevaluated", json!({"type": "object", "unevaluatedProperties": false}));
    add(
        "oneOf that overlaps",
        json!({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "integer", "maximum": 9}]}),
    );
    add("look ahead", json!({"type": "string", "pattern": "^(?!bad).*$"}));
    add("back reference", json!({"type": "string", "pattern": "^(a)\\1$"}));
    add("unknown format", json!({"type": "string", "format": "iri-template-of-ours"}));
    add("elsewhere", json!({"$ref": "https://example.com/schema.json"}));
    add("nowhere", json!({"$ref": "#/$defs/none"}));
    add("dynamic", json!({"$dynamicRef": "#node"}));
    add("too large for a number", json!({"const": 9_007_199_254_740_993_u64}));
    add("properties that a repeated key feigns", json!({"type": "object", "minProperties": 3}));
    add("settings of the library", json!({"type": "integer", "minimum": 9, "x-guidance": {"lenient": true}}));
    add("settings inside", json!({"type": "array", "items": {"x-guidance": {"lenient": true}}}));
    // What is no schema.
    add("a text", json!("string"));
    add("a list", json!([{"type": "string"}]));
    add("an unknown type", json!({"type": "text"}));
    add("properties as a list", json!({"type": "object", "properties": [1]}));
    add("a broken pattern", json!({"type": "string", "pattern": "(["}));
    add("a negative count", json!({"type": "string", "minLength": -1}));
    add("a minimum in words", json!({"type": "number", "minimum": "é".repeat(80)}));
    add("required as a text", json!({"type": "object", "required": "a"}));
    // Explosions.
    add("a million items", json!({"type": "array", "minItems": 1_000_000, "items": {"type": "integer"}}));
    let slow = json!({"type": "string", "pattern": "^(a?b?){60}c[a-z]*(x|y){1,40}$", "minLength": 9, "maxLength": 90});
    let slow: serde_json::Map<String, Value> = (0..1500).map(|i| (format!("p{i}"), slow.clone())).collect();
    add("slow patterns", json!({"type": "object", "properties": slow}));
    add("multiples of a large number", json!({"type": "integer", "multipleOf": 9_999_991}));
    add(
        "multiples with a large common one",
        json!({"allOf": [{"type": "integer", "multipleOf": 997}, {"multipleOf": 991}]}),
    );
    add("multiples of a hair", json!({"type": "number", "multipleOf": 1e-8}));
    let names: serde_json::Map<String, Value> =
        (0..300).map(|i| (format!("^k{i}[a-z]*x{{1,50}}$"), json!(true))).collect();
    add("300 patterns of names", json!({"type": "object", "patternProperties": names}));
    let mut nested = json!({"type": "integer"});
    for _ in 0..110 {
        nested = json!({"items": nested});
    }
    add("110 deep", nested);
    let chain: serde_json::Map<String, Value> =
        (0..3000).map(|i| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)}))).collect();
    add("chain of 3,000", json!({"$ref": "#/$defs/d0", "$defs": chain}));
    let many: Vec<Value> = (0..40)
        .map(|i| json!({"anyOf": [{"required": [format!("a{i}")]}, {"required": [format!("b{i}")]}]}))
        .collect();
    add("2^40 branches", json!({"type": "object", "allOf": many}));
    add("huge", json!({"enum": (0..20_000).map(|i| format!("value-{i:06}")).collect::<Vec<_>>()}));
}
