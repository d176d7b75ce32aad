//! Parameters: a type each, and the values that are of it.

use serde_json::{Value as Json, json};

use crate::VALUE_BYTES_MAX;

/// A parameter of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameter {
    pub kind: Type,
    pub description: String,
    /// Only these, if there are any.
    pub choices: Vec<String>,
    /// What an address begins with: a caller then names things of one place only.
    pub under: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    #[default]
    Text,
    /// An absolute address.
    Iri,
    Integer,
    Decimal,
    Boolean,
    /// `2026-11-28`
    Date,
    /// `2026-11-28T06:00:00Z`
    DateTime,
}

/// A value that was read: what can be written as a term.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Iri(String),
    Integer(i64),
    /// As it was written: digits, a sign, one point.
    Decimal(String),
    Boolean(bool),
    Date(String),
    DateTime(String),
}

impl Type {
    pub const ALL: [(&'static str, Type); 7] = [
        ("text", Type::Text),
        ("iri", Type::Iri),
        ("integer", Type::Integer),
        ("decimal", Type::Decimal),
        ("boolean", Type::Boolean),
        ("date", Type::Date),
        ("dateTime", Type::DateTime),
    ];
}

impl Parameter {
    /// What a value has to be, for whoever gave another.
    pub(crate) fn expected(&self) -> String {
        if !self.choices.is_empty() {
            return format!("one of: {}", self.choices.join(", "));
        }
        match (self.kind, &self.under) {
            (Type::Text, _) => {
                format!("a text of at most {VALUE_BYTES_MAX} bytes without control characters")
            }
            (Type::Iri, Some(under)) => format!("an address that begins with {under}"),
            (Type::Iri, None) => "an absolute address, such as https://example.org/id/7".into(),
            (Type::Integer, _) => "a whole number of 64 bits".into(),
            (Type::Decimal, _) => "a decimal number, such as 3.50".into(),
            (Type::Boolean, _) => "true or false".into(),
            (Type::Date, _) => "a day, such as 2026-11-28".into(),
            (Type::DateTime, _) => "a time, such as 2026-11-28T06:00:00Z".into(),
        }
    }

    pub(crate) fn schema(&self) -> Json {
        let mut schema = match self.kind {
            Type::Text | Type::Iri | Type::Decimal => json!({"type": "string"}),
            Type::Integer => json!({"type": "integer"}),
            Type::Boolean => json!({"type": "boolean"}),
            Type::Date => json!({"type": "string", "format": "date"}),
            Type::DateTime => json!({"type": "string", "format": "date-time"}),
        };
        if !self.description.is_empty() {
            schema["description"] = self.description.as_str().into();
        }
        if self.kind == Type::Iri && self.description.is_empty() {
            schema["description"] = self.expected().into();
        }
        if !self.choices.is_empty() {
            schema["enum"] = self.choices.clone().into();
        }
        schema
    }

    /// A value of this type, from JSON's own types or written out.
    pub(crate) fn read(&self, given: &Json) -> Option<Value> {
        let text = match given {
            Json::String(text) if text.len() <= VALUE_BYTES_MAX => text.clone(),
            Json::Number(number) => number.to_string(),
            Json::Bool(is) => is.to_string(),
            _ => return None,
        };
        if !self.choices.is_empty() && !self.choices.contains(&text) {
            return None;
        }
        match self.kind {
            Type::Text => (given.is_string() && is_plain(&text)).then_some(Value::Text(text)),
            Type::Iri => {
                let under = self.under.as_deref().is_none_or(|under| text.starts_with(under));
                (under && is_iri(&text)).then_some(Value::Iri(text))
            }
            Type::Integer => text.parse().ok().filter(|_| !text.starts_with('+')).map(Value::Integer),
            Type::Decimal => is_decimal(&text).then_some(Value::Decimal(text)),
            Type::Boolean => text.parse().ok().map(Value::Boolean),
            Type::Date => is_date(&text).then_some(Value::Date(text)),
            Type::DateTime => is_date_time(&text).then_some(Value::DateTime(text)),
        }
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

/// A scheme, a colon, and none of the characters that end one in SPARQL.
fn is_iri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let inside = |c: char| {
        !matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '^' | '`' | '\\') && c > ' ' && !c.is_control()
    };
    // A way up would leave the place that `under` names.
    scheme
        && !rest.is_empty()
        && text.chars().all(inside)
        && !rest.split(['/', '?', '#']).any(|part| part == "..")
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    all(whole) && all(part)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let within = |text: &str, length: usize, max: u32| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|n| (1..=max).contains(&n))
    };
    within(year, 4, 9_999) && within(month, 2, 12) && within(day, 2, 31)
}

fn is_date_time(text: &str) -> bool {
    let Some((date, rest)) = text.split_once('T') else { return false };
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let digits = |text: &str, length: usize, max: u32| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|n| n <= max)
    };
    let clock: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = clock[..] else { return false };
    let (second, part) = second.split_once('.').unwrap_or((second, "0"));
    let part = (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let zone =
        zone == "Z" || zone[1..].split_once(':').is_some_and(|(h, m)| digits(h, 2, 14) && digits(m, 2, 59));
    is_date(date) && digits(hour, 2, 23) && digits(minute, 2, 59) && digits(second, 2, 59) && part && zone
}
