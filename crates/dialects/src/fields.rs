//! Reading JSON fields with errors that name the field and the value.
//!
//! Requests are read strictly: a field of the wrong type is refused. Answers of
//! providers are read leniently ([`Lenient`]): every field is optional, and what
//! has the wrong type is absent, because a stranger's odd chunk must not end a
//! stream (TRAPS S1).

use std::borrow::Cow;

use bytes::Bytes;

use crate::Error;
use crate::scan::{self, items, walk_part};

pub(crate) use crate::scan::{boolean, string, whole};

/// A field: its name, and its value as JSON text.
pub(crate) type Field<'a> = (Cow<'a, str>, &'a str);

/// The top-level fields of a whole body.
pub(crate) fn body(body: &[u8]) -> Result<Vec<(String, std::ops::Range<usize>)>, Error> {
    let mut fields = Vec::with_capacity(16);
    scan::walk(body, |key, span, _| {
        fields.push((key.to_string(), span));
        Ok(())
    })?;
    Ok(fields)
}

/// The text of a body that [`body`] accepted.
pub(crate) fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap_or("")
}

/// The fields of a nested object.
pub(crate) fn object<'a>(path: &str, value: &'a str) -> Result<Vec<Field<'a>>, Error> {
    read_object(path, value, true)
}

fn read_object<'a>(path: &str, value: &'a str, is_strict: bool) -> Result<Vec<Field<'a>>, Error> {
    if !value.starts_with('{') {
        return Err(Error::field(path, value, "an object"));
    }
    let mut fields = Vec::with_capacity(8);
    walk_part(value, is_strict, |key, span| {
        fields.push((key, &value[span]));
        Ok(())
    })?;
    Ok(fields)
}

pub(crate) fn list<'a>(path: &str, value: &'a str) -> Result<Vec<&'a str>, Error> {
    if value.starts_with('[') { items(value) } else { Err(Error::field(path, value, "a list")) }
}

pub(crate) fn text_of(path: &str, value: &str) -> Result<String, Error> {
    string(path, value).map(Cow::into_owned)
}

pub(crate) fn some_text(path: &str, value: &str) -> Result<Option<String>, Error> {
    if value == "null" { Ok(None) } else { text_of(path, value).map(Some) }
}

pub(crate) fn some_bool(path: &str, value: &str) -> Result<Option<bool>, Error> {
    if value == "null" { Ok(None) } else { boolean(path, value).map(Some) }
}

/// A finite number in `min..=max`, or `null` for none.
pub(crate) fn number(path: &str, value: &str, min: f32, max: f32) -> Result<Option<f32>, Error> {
    if value == "null" {
        return Ok(None);
    }
    match value.parse::<f32>() {
        Ok(n) if n.is_finite() && (min..=max).contains(&n) => Ok(Some(n)),
        _ => Err(Error::field(path, value, format!("a number from {min} to {max}"))),
    }
}

/// A signed whole number, or `null` for none.
pub(crate) fn signed(path: &str, value: &str) -> Result<Option<i64>, Error> {
    if value == "null" {
        return Ok(None);
    }
    value.parse::<i64>().map(Some).map_err(|_| Error::field(path, value, "a whole number of 64 bits"))
}

/// The output limit. Zero is refused: it asks for nothing and is billed for it.
pub(crate) fn max_tokens(path: &str, value: &str) -> Result<Option<u32>, Error> {
    Ok(whole(path, value, 1, scan::TOKENS_MAX)?.map(|n| n as u32))
}

/// One stop text or a list of at most 64 of at most 1,024 bytes.
pub(crate) fn stops(path: &str, value: &str) -> Result<Vec<String>, Error> {
    let texts = match value.as_bytes().first() {
        Some(b'n') => Vec::new(),
        Some(b'"') => vec![text_of(path, value)?],
        _ => list(path, value)?.into_iter().map(|v| text_of(path, v)).collect::<Result<_, _>>()?,
    };
    let sane = texts.len() <= 64 && texts.iter().all(|t| !t.is_empty() && t.len() <= 1024);
    if sane { Ok(texts) } else { Err(Error::field(path, value, "at most 64 texts of 1 to 1024 bytes")) }
}

/// Adds a name once.
pub(crate) fn add(names: &mut Vec<String>, name: impl Into<String>) {
    let name = name.into();
    if !names.contains(&name) {
        names.push(name);
    }
}

/// Keeps a top-level field that has no canonical meaning.
pub(crate) fn keep(rest: &mut Vec<(String, Bytes)>, body: &Bytes, key: String, span: std::ops::Range<usize>) {
    rest.push((key, body.slice(span)));
}

/// A provider's JSON object, every field optional.
#[derive(Default)]
pub(crate) struct Lenient<'a>(Vec<Field<'a>>);

impl<'a> Lenient<'a> {
    /// A whole body or event; `None` when it is not a JSON object.
    pub(crate) fn body(body: &'a [u8]) -> Option<Lenient<'a>> {
        let body = body.trim_ascii();
        let text = simdutf8::basic::from_utf8(body).ok()?;
        read_object("", text, false).ok().map(Lenient)
    }
    fn of(value: &'a str) -> Lenient<'a> {
        Lenient(read_object("", value, false).unwrap_or_default())
    }
    pub(crate) fn raw(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| *v).filter(|v| *v != "null")
    }
    pub(crate) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }
    /// The object under the key; an empty one when there is none.
    pub(crate) fn object(&self, key: &str) -> Lenient<'a> {
        self.raw(key).map(Lenient::of).unwrap_or_default()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn list(&self, key: &str) -> Vec<&'a str> {
        self.raw(key).filter(|v| v.starts_with('[')).and_then(|v| items(v).ok()).unwrap_or_default()
    }
    pub(crate) fn objects(&self, key: &str) -> Vec<Lenient<'a>> {
        self.list(key).into_iter().map(Lenient::of).collect()
    }
    pub(crate) fn str(&self, key: &str) -> Option<Cow<'a, str>> {
        let value = self.raw(key).filter(|v| v.starts_with('"'))?;
        string(key, value).ok().or_else(|| {
            // Half a surrogate pair, from a provider that cut a token in two.
            Some(Cow::Owned(lossy(value)))
        })
    }
    pub(crate) fn text(&self, key: &str) -> String {
        self.str(key).unwrap_or_default().into_owned()
    }
    pub(crate) fn u64(&self, key: &str) -> Option<u64> {
        whole(key, self.raw(key)?, 0, scan::TOKENS_MAX * 1000).ok().flatten()
    }
    pub(crate) fn i64(&self, key: &str) -> Option<i64> {
        self.f64(key).map(|f| f as i64)
    }
    /// Read as f32 at once: by way of f64 it would be rounded twice.
    pub(crate) fn f32(&self, key: &str) -> Option<f32> {
        self.raw(key)?.parse().ok().filter(|f: &f32| f.is_finite())
    }
    pub(crate) fn f64(&self, key: &str) -> Option<f64> {
        self.raw(key)?.parse().ok()
    }
}

/// A JSON string with lone surrogates replaced.
fn lossy(value: &str) -> String {
    let mut fixed = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\u") {
        fixed.push_str(&rest[..at]);
        let unit = rest.get(at + 2..at + 6).unwrap_or("");
        let pair =
            rest.get(at..at + 12).filter(|p| serde_json::from_str::<String>(&format!("\"{p}\"")).is_ok());
        let is_surrogate = matches!(unit.as_bytes().first(), Some(b'd' | b'D'))
            && matches!(unit.as_bytes().get(1), Some(b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F'));
        let take = if is_surrogate && pair.is_some() { 12 } else { 6.min(rest.len() - at) };
        if is_surrogate && pair.is_none() {
            fixed.push('\u{fffd}');
        } else {
            fixed.push_str(&rest[at..at + take]);
        }
        rest = &rest[at + take..];
    }
    fixed.push_str(rest);
    serde_json::from_str(&fixed).unwrap_or_default()
}
