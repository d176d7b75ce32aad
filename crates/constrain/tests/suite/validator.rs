//! JSON Schema as its standard reads, written apart from what is tested.
//!
//! The keywords that the suite uses; anything else is an error of the suite.
//! (The `jsonschema` crate would cost 70 CPU-seconds of each cold build; this
//! was checked once against Python's, see the suite.)

use regex_lite::Regex;
use serde_json::{Map, Value};

pub fn validate(root: &Value, value: &Value) -> Result<(), String> {
    check(root, root, value, 0)
}

fn check(root: &Value, schema: &Value, value: &Value, depth: usize) -> Result<(), String> {
    if depth > 200 {
        return Err("too deep".into());
    }
    let fields = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Bool(false) => return Err("false".into()),
        Value::Object(fields) => fields,
        _ => return Err("not a schema".into()),
    };
    for (keyword, argument) in fields {
        keyword_holds(root, fields, keyword, argument, value, depth)
            .map_err(|e| format!("{keyword}: {e}").chars().take(300).collect::<String>())?;
    }
    Ok(())
}

fn keyword_holds(
    root: &Value,
    fields: &Map<String, Value>,
    keyword: &str,
    argument: &Value,
    value: &Value,
    depth: usize,
) -> Result<(), String> {
    let sub = |schema: &Value, value: &Value| check(root, schema, value, depth + 1);
    let list = || argument.as_array().ok_or("not a list");
    let number = || argument.as_f64().ok_or("not a number");
    let held = |holds: bool| if holds { Ok(()) } else { Err(format!("{value} against {argument}")) };
    match keyword {
        "type" => {
            let types: Vec<&str> = match argument {
                Value::String(one) => vec![one],
                Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
                _ => return Err("not a type".into()),
            };
            held(types.iter().any(|t| is_type(value, t)))
        }
        "const" => held(same(value, argument)),
        "enum" => held(list()?.iter().any(|a| same(value, a))),
        "allOf" => list()?.iter().try_for_each(|s| sub(s, value)),
        "anyOf" => held(list()?.iter().any(|s| sub(s, value).is_ok())),
        "oneOf" => held(list()?.iter().filter(|s| sub(s, value).is_ok()).count() == 1),
        "$ref" => {
            let pointer = argument.as_str().and_then(|r| r.strip_prefix('#')).ok_or("not a reference")?;
            sub(root.pointer(pointer).ok_or("leads nowhere")?, value)
        }
        "properties" | "patternProperties" | "additionalProperties" => match value {
            Value::Object(object) => {
                object.iter().try_for_each(|(name, v)| property(root, fields, keyword, name, v, depth))
            }
            _ => Ok(()),
        },
        "required" => match value {
            Value::Object(o) => {
                held(list()?.iter().filter_map(Value::as_str).all(|name| o.contains_key(name)))
            }
            _ => Ok(()),
        },
        "items" | "prefixItems" | "additionalItems" => match value {
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(i, v)| item(root, fields, keyword, i, v, depth))
            }
            _ => Ok(()),
        },
        "minItems" => {
            held(value.as_array().is_none_or(|a| a.len() as f64 >= argument.as_f64().unwrap_or(0.0)))
        }
        "maxItems" => {
            held(value.as_array().is_none_or(|a| a.len() as f64 <= argument.as_f64().unwrap_or(0.0)))
        }
        "minProperties" => {
            held(value.as_object().is_none_or(|o| o.len() as f64 >= argument.as_f64().unwrap_or(0.0)))
        }
        "maxProperties" => {
            held(value.as_object().is_none_or(|o| o.len() as f64 <= argument.as_f64().unwrap_or(0.0)))
        }
        "minLength" => {
            held(value.as_str().is_none_or(|s| s.chars().count() as f64 >= argument.as_f64().unwrap_or(0.0)))
        }
        "maxLength" => {
            held(value.as_str().is_none_or(|s| s.chars().count() as f64 <= argument.as_f64().unwrap_or(0.0)))
        }
        "pattern" => {
            let pattern = argument.as_str().ok_or("not a pattern")?;
            let regex = Regex::new(pattern).map_err(|e| e.to_string())?;
            held(value.as_str().is_none_or(|s| regex.is_match(s)))
        }
        "format" => held(value.as_str().is_none_or(|s| is_format(s, argument.as_str().unwrap_or("")))),
        "minimum" => {
            let n = number()?;
            held(value.as_f64().is_none_or(|v| v >= n))
        }
        "maximum" => {
            let n = number()?;
            held(value.as_f64().is_none_or(|v| v <= n))
        }
        "exclusiveMinimum" => {
            let n = number()?;
            held(value.as_f64().is_none_or(|v| v > n))
        }
        "exclusiveMaximum" => {
            let n = number()?;
            held(value.as_f64().is_none_or(|v| v < n))
        }
        "multipleOf" => {
            let n = number()?;
            held(value.as_f64().is_none_or(|v| {
                let q = v / n;
                (q - q.round()).abs() <= 1e-9 * q.abs().max(1.0)
            }))
        }
        "uniqueItems" => held(*argument == Value::Bool(false)),
        "title" | "description" | "default" | "examples" | "$schema" | "$id" | "$defs" | "definitions"
        | "$comment" | "deprecated" | "readOnly" | "nullable" => Ok(()),
        other => Err(format!("the validator does not know {other}")),
    }
}

fn property(
    root: &Value,
    fields: &Map<String, Value>,
    keyword: &str,
    name: &str,
    value: &Value,
    depth: usize,
) -> Result<(), String> {
    let declared = fields.get("properties").and_then(|p| p.get(name));
    let matching = fields
        .get("patternProperties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(pattern, _)| Regex::new(pattern).is_ok_and(|r| r.is_match(name)));
    match keyword {
        "properties" => declared.map_or(Ok(()), |s| check(root, s, value, depth + 1)),
        "patternProperties" => matching.map(|(_, s)| s).try_for_each(|s| check(root, s, value, depth + 1)),
        _ if declared.is_some() || matching.count() > 0 => Ok(()),
        _ => check(root, &fields["additionalProperties"], value, depth + 1)
            .map_err(|e| format!("{name:?}: {e}")),
    }
}

fn item(
    root: &Value,
    fields: &Map<String, Value>,
    keyword: &str,
    at: usize,
    value: &Value,
    depth: usize,
) -> Result<(), String> {
    let tuple = match (fields.get("prefixItems"), fields.get("items")) {
        (Some(Value::Array(t)), _) | (None, Some(Value::Array(t))) => t.as_slice(),
        _ => &[],
    };
    let schema = match (keyword, tuple.get(at)) {
        ("prefixItems", Some(s)) => s,
        ("items", Some(s)) if fields["items"].is_array() => s,
        ("items", None) if !fields["items"].is_array() => &fields["items"],
        ("additionalItems", None) if fields.get("items").is_some_and(Value::is_array) => {
            &fields["additionalItems"]
        }
        _ => return Ok(()),
    };
    check(root, schema, value, depth + 1).map_err(|e| format!("[{at}]: {e}"))
}

fn is_type(value: &Value, name: &str) -> bool {
    match (name, value) {
        ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => true,
        ("string", Value::String(_)) | ("array", Value::Array(_)) | ("object", Value::Object(_)) => true,
        ("integer", Value::Number(n)) => n.as_f64().is_some_and(|v| v.fract() == 0.0),
        _ => false,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

fn is_format(text: &str, format: &str) -> bool {
    let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
    match format {
        "date" => {
            let parts: Vec<&str> = text.split('-').collect();
            let [y, m, d] = parts[..] else { return false };
            if !digits(y, 4) || !digits(m, 2) || !digits(d, 2) {
                return false;
            }
            let (y, m, d): (u32, u32, u32) = (y.parse().unwrap(), m.parse().unwrap(), d.parse().unwrap());
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            (1..=12).contains(&m) && d >= 1 && d <= days[m as usize - 1]
        }
        "time" => {
            let Some(hms) = text.get(..8) else { return false };
            let parts: Vec<&str> = hms.split(':').collect();
            let zone = text[8..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
            let [h, m, s] = parts[..] else { return false };
            let below = |t: &str, max: u32| digits(t, 2) && t.parse::<u32>().unwrap() < max;
            let offset =
                |z: &str| z.len() == 6 && below(&z[1..3], 24) && &z[3..4] == ":" && below(&z[4..], 60);
            below(h, 24)
                && below(m, 60)
                && below(s, 60)
                && (zone == "Z" || (zone.starts_with(['+', '-']) && offset(zone)))
        }
        "date-time" => {
            text.split_once('T').is_some_and(|(d, t)| is_format(d, "date") && is_format(t, "time"))
        }
        "email" => text.split_once('@').is_some_and(|(l, d)| {
            !l.is_empty() && l.len() <= 64 && !l.contains("..") && is_format(d, "hostname")
        }),
        "hostname" => {
            text.len() <= 253
                && text.split('.').all(|l| {
                    (1..=63).contains(&l.len())
                        && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                        && !l.starts_with('-')
                        && !l.ends_with('-')
                })
        }
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            parts == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
        }
        "uri" => text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\\^`{|}\"".contains(&b))
        }),
        "duration" => Regex::new(r"^P(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?)$")
            .is_ok_and(|r| r.is_match(text) && text.len() > 2 && !text.ends_with('T')),
        _ => true,
    }
}
