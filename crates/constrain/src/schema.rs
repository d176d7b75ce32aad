//! What of JSON Schema is taken, and what is narrowed first.
//!
//! llguidance enforces most of JSON Schema and says so when it cannot. This
//! walk comes before it, for three reasons. It bounds the cost: size, depth,
//! references, counts. It refuses by keyword and place what the library would
//! ignore: keywords of other drafts, general numbers beyond a double, counts of
//! properties that a repeated key would feign. And it narrows where the library
//! lets through what a validator refuses: 30 February, a leap second at noon, an
//! address longer than its standard allows, integers that no client can read,
//! white space without end.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{Error, productive};

/// Longest schema: 128 KiB is about 3,000 properties.
const BYTES_MAX: usize = 128 << 10;
/// Deepest nesting of schemas; references count when they are first followed.
const DEPTH_MAX: usize = 96;
/// Most schemas inside of the schema.
const SCHEMAS_MAX: usize = 4096;
/// Most different references.
const REFERENCES_MAX: usize = 128;
/// Largest count in `minItems` and the like: more tokens than a context holds.
const COUNT_MAX: u64 = 1 << 16;
/// Longest pattern.
const PATTERN_MAX: usize = 4096;
/// Most patterns and formats: each costs up to a millisecond.
const PATTERNS_MAX: usize = 512;
/// Most patterns of property names: each pair is compared.
const NAME_PATTERNS_MAX: usize = 32;
/// Largest common multiple of all `multipleOf`, in units of their last decimal:
/// it is the states of an automaton, and 10 million of them take a minute.
const MULTIPLE_MAX: u64 = 10_000;
/// Integers beyond are not the same number in every client (RFC 8259, section 6).
const INTEGER_MAX: i64 = (1 << 53) - 1;

/// Keywords with a meaning that cannot be kept.
const REFUSED: [&str; 21] = [
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "contains",
    "contentSchema",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "extends",
    "disallow",
    "divisibleBy",
    "if",
    "maxContains",
    "minContains",
    "not",
    "propertyNames",
    "then",
    "x-guidance",
    "unevaluatedItems",
];
/// Formats that only describe.
const DESCRIPTIVE: [&str; 14] = [
    "base64",
    "binary",
    "byte",
    "double",
    "float",
    "int32",
    "int64",
    "password",
    "path",
    "file-path",
    "directory-path",
    "textarea",
    "markdown",
    "html",
];
/// Formats of the library that are as narrow as the standard's.
const FORMATS: [&str; 4] = ["ipv4", "ipv6", "uuid", "uri"];

const DATE: &str = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|\
    02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
const TIME: &str = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?\
    (?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?";
const LOCAL: &str = "[a-zA-Z0-9_+-]{1,20}(?:\\.[a-zA-Z0-9_+-]{1,20}){0,2}";
const DURATION: &str = "P(?:[0-9]{1,9}W|(?:[0-9]{1,9}Y(?:[0-9]{1,9}M(?:[0-9]{1,9}D)?)?|\
    [0-9]{1,9}M(?:[0-9]{1,9}D)?|[0-9]{1,9}D)(?:T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|\
    [0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S))?|T(?:[0-9]{1,9}H(?:[0-9]{1,9}M(?:[0-9]{1,9}S)?)?|\
    [0-9]{1,9}M(?:[0-9]{1,9}S)?|[0-9]{1,9}S))";

/// Checks a schema and makes it what the library is given.
pub(crate) fn prepare(text: &str) -> Result<Value, Error> {
    if text.len() > BYTES_MAX {
        return Err(Error::TooLarge { what: "schema", size: text.len(), max: BYTES_MAX });
    }
    let root: Value =
        serde_json::from_str(text).map_err(|e| Error::Invalid(format!("the schema is not JSON: {e}")))?;
    let mut walk = Walk {
        root: &root,
        seen: BTreeSet::new(),
        schemas: 0,
        patterns: 0,
        name_patterns: 0,
        multiples: Vec::new(),
    };
    walk.schema(&root, "#", 0)?;
    productive::check(&root, &walk.seen)?;
    let mut narrowed = root.clone();
    narrow(&mut narrowed);
    if let Value::Bool(false) = narrowed {
        return Err(Error::Contradiction("the schema is false".into()));
    }
    if let Value::Bool(true) = narrowed {
        narrowed = json!({});
    }
    let Value::Object(fields) = &mut narrowed else {
        return Err(Error::Invalid("a schema is an object or a boolean".into()));
    };
    // One space or an indented line between tokens: a model that only ever
    // writes white space ends nowhere. No `\u`, which spells keys that are taken.
    let settings = json!({"whitespace_pattern": "( |\\n {0,24})", "json_allowed_escapes": "nrbtf\\\""});
    fields.insert("x-guidance".into(), settings);
    Ok(narrowed)
}

struct Walk<'a> {
    root: &'a Value,
    /// References that were followed.
    seen: BTreeSet<String>,
    schemas: usize,
    patterns: usize,
    name_patterns: usize,
    /// The `multipleOf` so far, as a count of units and the unit's decimals.
    multiples: Vec<(u64, u32)>,
}

impl<'a> Walk<'a> {
    fn schema(&mut self, schema: &'a Value, at: &str, depth: usize) -> Result<(), Error> {
        self.schemas += 1;
        if self.schemas > SCHEMAS_MAX {
            return Err(Error::TooLarge { what: "number of schemas", size: self.schemas, max: SCHEMAS_MAX });
        }
        if depth > DEPTH_MAX {
            return Err(Error::TooLarge { what: "depth of the schema", size: depth, max: DEPTH_MAX });
        }
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(_) => return Ok(()),
            _ => return Err(Error::Invalid(format!("{at} is not a schema"))),
        };
        for (keyword, value) in fields {
            self.count(keyword, value, at)?;
            self.keyword(fields, keyword, value, at)?;
            for (child, at) in children(keyword, value, at) {
                self.schema(child, &at, depth + 1)?;
            }
            if keyword == "$ref" {
                self.reference(value, at, depth)?;
            }
        }
        Ok(())
    }

    /// What is bounded over the whole schema.
    fn count(&mut self, keyword: &str, value: &Value, at: &str) -> Result<(), Error> {
        match keyword {
            "pattern" | "format" => self.patterns += 1,
            "patternProperties" => self.name_patterns += value.as_object().map_or(0, Map::len),
            "multipleOf" => {
                let of = value.as_f64().filter(|v| *v > 0.0).and_then(|_| decimal(&value.to_string()));
                let Some(of) = of else {
                    return Err(unsupported(keyword, at, "it is no plain number above zero"));
                };
                self.multiples.push(of);
                if common_multiple(&self.multiples).is_none_or(|m| m > MULTIPLE_MAX) {
                    let why = format!("it and the others have no common multiple below {MULTIPLE_MAX} units");
                    return Err(unsupported(keyword, at, &why));
                }
            }
            _ => {}
        }
        let limits = [
            ("number of patterns and formats", self.patterns, PATTERNS_MAX),
            ("number of patterns of names", self.name_patterns, NAME_PATTERNS_MAX),
        ];
        match limits.into_iter().find(|(_, size, max)| size > max) {
            Some((what, size, max)) => Err(Error::TooLarge { what, size, max }),
            None => Ok(()),
        }
    }

    fn reference(&mut self, value: &Value, at: &str, depth: usize) -> Result<(), Error> {
        let Some(reference) = value.as_str() else {
            return Err(Error::Invalid(format!("{at}/$ref is not a text")));
        };
        let Some(target) = resolve(self.root, reference) else {
            let why = "only references inside of the schema, by plain names, are followed";
            return Err(unsupported("$ref", at, why));
        };
        if self.seen.insert(reference.to_owned()) {
            if self.seen.len() > REFERENCES_MAX {
                let size = self.seen.len();
                return Err(Error::TooLarge { what: "number of references", size, max: REFERENCES_MAX });
            }
            self.schema(target, reference, depth + 1)?;
        }
        Ok(())
    }

    fn keyword(&self, all: &Map<String, Value>, keyword: &str, value: &Value, at: &str) -> Result<(), Error> {
        if REFUSED.contains(&keyword) {
            return Err(unsupported(keyword, at, "the engine has no form of it"));
        }
        match keyword {
            "uniqueItems" if *value != Value::Bool(false) => {
                Err(unsupported(keyword, at, "items that were written cannot be remembered"))
            }
            "unevaluatedProperties" if *value != Value::Bool(true) => {
                Err(unsupported(keyword, at, "use additionalProperties"))
            }
            "$id" if at != "#" => Err(unsupported(keyword, at, "it would change where references lead")),
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
                let Some(count) = value.as_u64() else {
                    return Err(Error::Invalid(format!("{at}/{keyword} is not a count")));
                };
                if count > COUNT_MAX && keyword.starts_with("min") {
                    let why = format!("{count} is more than an answer can hold");
                    return Err(unsupported(keyword, at, &why));
                }
                let required = all.get("required").and_then(Value::as_array).map_or(0, Vec::len) as u64;
                if keyword == "minProperties" && count > required + 1 {
                    let why = "a key written twice would count twice; list the keys in required";
                    return Err(unsupported(keyword, at, why));
                }
                Ok(())
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "const" => {
                exact(value, keyword, at)
            }
            "enum" => value.as_array().into_iter().flatten().try_for_each(|v| exact(v, keyword, at)),
            "pattern" => {
                let pattern =
                    value.as_str().ok_or_else(|| Error::Invalid(format!("{at}/pattern is not a text")))?;
                if pattern.len() > PATTERN_MAX {
                    return Err(Error::TooLarge { what: "pattern", size: pattern.len(), max: PATTERN_MAX });
                }
                if pattern.contains("(?=") || pattern.contains("(?!") || pattern.contains("(?<") {
                    return Err(unsupported(keyword, at, "it looks ahead, looks behind or names a group"));
                }
                Ok(())
            }
            "format" => match value.as_str() {
                Some(name) if pattern_of(name).is_some() => Ok(()),
                Some(name) if FORMATS.contains(&name) || DESCRIPTIVE.contains(&name) => Ok(()),
                _ => Err(unsupported(keyword, at, &format!("the format {value} is not known"))),
            },
            _ => Ok(()),
        }
    }
}

fn unsupported(keyword: &str, at: &str, why: &str) -> Error {
    let at = at.chars().take(200).collect();
    Error::Unsupported { keyword: keyword.chars().take(60).collect(), at, why: why.to_owned() }
}

/// Numbers that a double does not hold are compared wrongly.
fn exact(value: &Value, keyword: &str, at: &str) -> Result<(), Error> {
    match value {
        Value::Number(n) => {
            let whole = n.as_i64().map(|v| v.unsigned_abs()).or(n.as_u64());
            let wide = match whole {
                Some(v) => v > INTEGER_MAX as u64,
                None => n.as_f64().is_none_or(|v| v.abs() > 1e15 || v != 0.0 && v.abs() < 1e-9),
            };
            if wide {
                return Err(unsupported(keyword, at, &format!("{n} is not exact in every client")));
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|v| exact(v, keyword, at)),
        Value::Object(fields) => fields.values().try_for_each(|v| exact(v, keyword, at)),
        _ => Ok(()),
    }
}

/// `2.50` as 25 units of one decimal; `None` when it has an exponent or too many digits.
fn decimal(text: &str) -> Option<(u64, u32)> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    if part.len() > 9 {
        return None;
    }
    format!("{whole}{part}").parse().ok().map(|units| (units, part.len() as u32))
}

fn common_multiple(of: &[(u64, u32)]) -> Option<u64> {
    let decimals = of.iter().map(|(_, d)| *d).max().unwrap_or(0);
    of.iter().try_fold(1u64, |sum, (units, d)| {
        let units = units.checked_mul(10u64.checked_pow(decimals - d)?)?;
        let (mut a, mut b) = (sum, units);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        (sum / a).checked_mul(units)
    })
}

/// The schemas directly inside of a keyword's value, and where they stand.
fn children<'a>(keyword: &str, value: &'a Value, at: &str) -> Vec<(&'a Value, String)> {
    match (keyword, value) {
        ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(map)) => {
            map.iter().map(|(name, schema)| (schema, format!("{at}/{keyword}/{name}"))).collect()
        }
        ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => {
            list.iter().enumerate().map(|(i, schema)| (schema, format!("{at}/{keyword}/{i}"))).collect()
        }
        ("items" | "additionalItems" | "additionalProperties", schema) => {
            vec![(schema, format!("{at}/{keyword}"))]
        }
        _ => Vec::new(),
    }
}

/// Where a reference leads: the same places that the library finds.
pub(crate) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    if reference == "#" || reference == "#/" {
        return Some(root);
    }
    let mut here = root;
    for segment in reference.strip_prefix("#/")?.split('/') {
        here = match here {
            Value::Array(list) => list.get(segment.parse::<usize>().ok()?)?,
            other => other.get(segment)?,
        };
    }
    Some(here)
}

/// A pattern for the formats that the library takes too widely.
fn pattern_of(format: &str) -> Option<String> {
    Some(match format {
        "date" => format!("^{DATE}$"),
        "time" => format!("^{TIME}$"),
        "date-time" => format!("^{DATE}T{TIME}$"),
        "duration" => format!("^{DURATION}$"),
        "hostname" => format!("^{LABEL}(?:\\.{LABEL}){{0,3}}$"),
        "email" => format!("^{LOCAL}@{LABEL}(?:\\.{LABEL}){{1,3}}$"),
        _ => return None,
    })
}

/// Replaces what the library would take too widely.
fn narrow(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    for (keyword, value) in fields.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(map)) => {
                map.values_mut().for_each(narrow);
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(list)) => {
                list.iter_mut().for_each(narrow);
            }
            ("items" | "additionalItems" | "additionalProperties", schema) => narrow(schema),
            _ => {}
        }
    }
    for ignored in ["uniqueItems", "unevaluatedProperties", "discriminator", "nullable"] {
        fields.remove(ignored);
    }
    for count in ["maxItems", "maxLength", "maxProperties"] {
        if fields.get(count).and_then(Value::as_u64).is_some_and(|n| n > COUNT_MAX) {
            fields.remove(count);
        }
    }
    if let Some(format) = fields.get("format").and_then(Value::as_str).map(str::to_owned) {
        if let Some(pattern) = pattern_of(&format) {
            fields.remove("format");
            also(fields, json!({"pattern": pattern}));
        } else if !FORMATS.contains(&format.as_str()) {
            fields.remove("format");
        }
    }
    if fields.get("type").is_some_and(|t| t == "integer") {
        for (bound, strict, limit) in
            [("minimum", "exclusiveMinimum", -INTEGER_MAX), ("maximum", "exclusiveMaximum", INTEGER_MAX)]
        {
            if !fields.contains_key(bound) && !fields.contains_key(strict) {
                fields.insert(bound.into(), limit.into());
            }
        }
    }
}

/// Adds a keyword, beside one of the same name if there is one.
fn also(fields: &mut Map<String, Value>, more: Value) {
    let Value::Object(more) = more else { return };
    for (keyword, value) in more {
        if !fields.contains_key(&keyword) {
            fields.insert(keyword, value);
            continue;
        }
        let part = json!({keyword: value});
        match fields.get_mut("allOf").and_then(Value::as_array_mut) {
            Some(all) => all.push(part),
            None => {
                fields.insert("allOf".into(), json!([part]));
            }
        }
    }
}
