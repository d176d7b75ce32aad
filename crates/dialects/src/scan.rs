//! One forward pass over a request body.
//!
//! The pass is strict (RFC 8259, UTF-8, a depth limit, no repeated top-level
//! key), builds no tree and allocates only the model's name, because on a
//! same-dialect route it is all the reading that a body gets: 400 KB of prompt
//! must not cost more than the copy that the kernel makes of it. Long strings
//! are crossed by memchr; nested values are only checked.

mod scanner;

use std::borrow::Cow;
use std::ops::Range;

use crate::Error;
use scanner::Scanner;

/// Nesting that no real request reaches; just under serde_json's own limit of
/// 127, so that what passes here never meets that one.
pub const DEPTH_MAX: usize = 126;
/// Above any context window in sight; a larger number is a mistake or an attack
/// on the arithmetic behind it.
pub const TOKENS_MAX: u64 = 100_000_000;
/// OpenAI's own limit for `n`.
pub const CHOICES_MAX: u32 = 128;

/// What the gateway needs to know of a body without reading it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Envelope {
    pub model: String,
    /// The model's JSON string, quotes included.
    pub model_span: Range<usize>,
    pub stream: bool,
    pub stream_span: Option<Range<usize>>,
    /// The larger of `max_tokens` and `max_completion_tokens`.
    pub max_tokens: Option<u64>,
    /// The values of `max_tokens` and `max_completion_tokens`, where present.
    pub max_tokens_span: Option<Range<usize>>,
    pub max_completion_tokens_span: Option<Range<usize>>,
    /// How many choices; 1 when not said.
    pub n: u32,
    pub user: Option<String>,
    /// The whole value of `stream_options`.
    pub stream_options_span: Option<Range<usize>>,
    /// What the client asked; `false` when it did not.
    pub include_usage: bool,
    /// The value of `stream_options.include_usage`.
    pub include_usage_span: Option<Range<usize>>,
    /// `tools` (or `functions`) is a list with something in it.
    pub has_tools: bool,
    /// The value of `tools`.
    pub tools_span: Option<Range<usize>>,
    /// `service_tier` as asked.
    pub service_tier: Option<String>,
    /// The value of `bedplate`: see [`crate::extension`].
    pub extension_span: Option<Range<usize>>,
    pub body_len: usize,
    /// Bytes of text in all string values, inline images left out; each number in a list counts as four.
    /// Divide by about 4 for tokens of English.
    pub text_bytes: usize,
    /// Where a new first field goes: just after `{`.
    pub open: usize,
    /// `{}`: a new field needs no comma.
    pub is_empty: bool,
}

/// Checks a request body and reads its envelope.
///
/// # Errors
/// DI0001 syntax or UTF-8, DI0002 a repeated top-level key, DI0003 too deep,
/// DI0004 a known field of the wrong type or range, DI0005 no `model`.
pub fn scan(body: &[u8]) -> Result<Envelope, Error> {
    let mut envelope = Envelope { n: 1, body_len: body.len(), ..Envelope::default() };
    let shape = walk(body, |key, span, text| note(&mut envelope, key, span, text))?;
    if envelope.model_span.is_empty() {
        return Err(Error::missing("model"));
    }
    envelope.text_bytes = shape.text_bytes;
    envelope.open = shape.open;
    envelope.is_empty = shape.is_empty;
    Ok(envelope)
}

fn note(envelope: &mut Envelope, key: &str, span: Range<usize>, text: &str) -> Result<(), Error> {
    let value = &text[span.clone()];
    match key {
        "model" => {
            envelope.model = string(key, value)?.into_owned();
            if envelope.model.is_empty() {
                return Err(Error::field(key, value, "the name of a model"));
            }
            envelope.model_span = span;
        }
        "stream" => {
            envelope.stream = boolean(key, value)?;
            envelope.stream_span = Some(span);
        }
        "max_tokens" | "max_completion_tokens" => {
            let tokens = whole(key, value, 0, TOKENS_MAX)?;
            envelope.max_tokens = envelope.max_tokens.max(tokens);
            let place = if key == "max_tokens" {
                &mut envelope.max_tokens_span
            } else {
                &mut envelope.max_completion_tokens_span
            };
            *place = Some(span);
        }
        "n" => envelope.n = whole(key, value, 1, CHOICES_MAX.into())?.unwrap_or(1) as u32,
        "user" if value != "null" => envelope.user = Some(string(key, value)?.into_owned()),
        "service_tier" if value != "null" => envelope.service_tier = Some(string(key, value)?.into_owned()),
        "stream_options" => {
            if value.starts_with('{') {
                walk_part(value, true, |inner, at| {
                    if inner == "include_usage" {
                        envelope.include_usage = boolean("stream_options.include_usage", &value[at.clone()])?;
                        envelope.include_usage_span = Some(span.start + at.start..span.start + at.end);
                    }
                    Ok(())
                })
                .map_err(|e| shift(e, span.start))?;
            } else if value != "null" {
                return Err(Error::field(key, value, "an object"));
            }
            envelope.stream_options_span = Some(span);
        }
        crate::extension::FIELD => envelope.extension_span = Some(span),
        "tools" | "functions" => {
            envelope.has_tools |= value.starts_with('[') && !is_empty_list(value);
            if key == "tools" {
                envelope.tools_span = Some(span);
            }
        }
        _ => {}
    }
    Ok(())
}

/// What [`walk`] learns of the whole body.
pub(crate) struct Shape {
    pub text_bytes: usize,
    pub open: usize,
    pub is_empty: bool,
}

/// Calls `field(key, span of the value, whole text)` for each top-level field in order.
pub(crate) fn walk(
    body: &[u8],
    mut field: impl FnMut(&str, Range<usize>, &str) -> Result<(), Error>,
) -> Result<Shape, Error> {
    let text = simdutf8::compat::from_utf8(body)
        .map_err(|e| Error::Syntax { at: e.valid_up_to(), expected: "UTF-8" })?;
    let mut scanner = Scanner::new(text, 0);
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.expected("an object"));
    }
    let open = scanner.at + 1;
    let is_empty = scanner.object(true, &mut |key, span| field(&key, span, text))?;
    scanner.space();
    if scanner.at < body.len() {
        return Err(scanner.expected("the end of the body"));
    }
    Ok(Shape { text_bytes: scanner.text_bytes, open, is_empty })
}

/// The same over one object inside a body that has been checked already: `value` starts with `{`.
pub(crate) fn walk_part<'a>(
    value: &'a str,
    is_strict: bool,
    mut field: impl FnMut(Cow<'a, str>, Range<usize>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut scanner = Scanner::new(value, 0);
    scanner.object(is_strict, &mut field).map(drop)
}

/// The values of a list inside a body that has been checked already: `value` starts with `[`.
pub(crate) fn items(value: &str) -> Result<Vec<&str>, Error> {
    let mut scanner = Scanner::new(value, 1);
    let mut items = Vec::new();
    loop {
        scanner.space();
        if scanner.peek() == Some(b']') {
            return Ok(items);
        }
        let start = scanner.at;
        scanner.value()?;
        items.push(&value[start..scanner.at]);
        scanner.space();
        match scanner.peek() {
            Some(b',') => scanner.at += 1,
            Some(b']') => return Ok(items),
            _ => return Err(scanner.expected("`,` or `]`")),
        }
    }
}

fn shift(error: Error, by: usize) -> Error {
    match error {
        Error::DuplicateKey { at, key } => Error::DuplicateKey { at: at + by, key },
        other => other,
    }
}

fn is_empty_list(value: &str) -> bool {
    value[1..].trim_start().starts_with(']')
}

/// A JSON string's text.
pub(crate) fn string<'a>(path: &str, value: &'a str) -> Result<Cow<'a, str>, Error> {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    match inner {
        None => Err(Error::field(path, value, "a string")),
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => serde_json::from_str::<String>(value)
            .map(Cow::Owned)
            .map_err(|_| Error::field(path, value, "a string of whole Unicode characters")),
    }
}

/// `true`, `false`, or `null` for false.
pub(crate) fn boolean(path: &str, value: &str) -> Result<bool, Error> {
    match value {
        "true" => Ok(true),
        "false" | "null" => Ok(false),
        _ => Err(Error::field(path, value, "true or false")),
    }
}

/// A whole number in `min..=max`, or `null` for none.
pub(crate) fn whole(path: &str, value: &str, min: u64, max: u64) -> Result<Option<u64>, Error> {
    if value == "null" {
        return Ok(None);
    }
    // `1e3` and `1024.0` are legal JSON for a whole number, and clients send them.
    let number = value.parse::<u64>().ok().or_else(|| {
        let float = value.parse::<f64>().ok().filter(|_| !value.starts_with('"'))?;
        (float.fract() == 0.0 && (0.0..9e15).contains(&float)).then_some(float as u64)
    });
    match number {
        Some(n) if (min..=max).contains(&n) => Ok(Some(n)),
        _ => Err(Error::field(path, value, format!("a whole number from {min} to {max}"))),
    }
}

#[cfg(test)]
mod tests;
