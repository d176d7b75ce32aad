//! One forward pass over a request body.
//!
//! The pass is strict (RFC 8259, UTF-8, a depth limit, no repeated top-level
//! key), builds no tree and allocates only the model's name, because on a
//! same-dialect route it is all the reading that a body gets: 400 KB of prompt
//! must not cost more than the copy that the kernel makes of it. Long strings
//! are crossed by memchr; nested values are only checked.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use memchr::memchr2;

use crate::Error;

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
    /// `service_tier` as asked.
    pub service_tier: Option<String>,
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
                walk_part(value, |inner, at| {
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
        "tools" | "functions" => envelope.has_tools |= value.starts_with('[') && !is_empty_list(value),
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
    let mut scanner = Scanner { text, bytes: body, at: 0, text_bytes: 0 };
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.expected("an object"));
    }
    let open = scanner.at + 1;
    let is_empty = scanner.object(&mut |key, span| field(&key, span, text))?;
    scanner.space();
    if scanner.at < body.len() {
        return Err(scanner.expected("the end of the body"));
    }
    Ok(Shape { text_bytes: scanner.text_bytes, open, is_empty })
}

/// The same over one object inside a body that has been checked already: `value` starts with `{`.
pub(crate) fn walk_part<'a>(
    value: &'a str,
    mut field: impl FnMut(Cow<'a, str>, Range<usize>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut scanner = Scanner { text: value, bytes: value.as_bytes(), at: 0, text_bytes: 0 };
    scanner.object(&mut field).map(drop)
}

/// The values of a list inside a body that has been checked already: `value` starts with `[`.
pub(crate) fn items(value: &str) -> Result<Vec<&str>, Error> {
    let mut scanner = Scanner { text: value, bytes: value.as_bytes(), at: 1, text_bytes: 0 };
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

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    text_bytes: usize,
}

/// Top-level keys beyond this many are compared through a set instead of a list.
const KEYS_LISTED: usize = 48;

/// The keys of one object so far.
#[derive(Default)]
struct Keys<'a> {
    listed: Vec<Cow<'a, str>>,
    set: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Whether the key is new.
    fn add(&mut self, key: Cow<'a, str>) -> bool {
        if self.listed.len() < KEYS_LISTED {
            if self.listed.capacity() == 0 {
                self.listed.reserve(16);
            }
            let new = !self.listed.contains(&key);
            self.listed.push(key);
            return new;
        }
        !self.listed.contains(&key) && self.set.insert(key)
    }
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }
    fn expected(&self, expected: &'static str) -> Error {
        Error::Syntax { at: self.at, expected }
    }

    /// The object at `at`, field by field. Returns whether it is empty.
    fn object(
        &mut self,
        field: &mut dyn FnMut(Cow<'a, str>, Range<usize>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut keys = Keys::default();
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(true);
        }
        loop {
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.expected("a key in double quotes"));
            }
            self.string()?;
            let text = self.text;
            let key = string("key", &text[at..self.at])
                .map_err(|_| Error::Syntax { at, expected: "a key of whole Unicode characters" })?;
            self.colon()?;
            let start = self.at;
            self.value()?;
            if !keys.add(key.clone()) {
                return Err(Error::DuplicateKey { at, key: crate::error::quote(&key) });
            }
            field(key, start..self.at)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(false);
                }
                _ => return Err(self.expected("`,` or `}`")),
            }
            self.space();
        }
    }

    fn colon(&mut self) -> Result<(), Error> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("`:`"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// One value, nested ones with it, without recursion: bit `depth` of
    /// `objects` says what the open bracket at that depth is.
    fn value(&mut self) -> Result<(), Error> {
        let mut objects = 0u128;
        let mut depth = 0usize;
        loop {
            self.space();
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if depth + 1 >= DEPTH_MAX {
                        return Err(Error::Depth { at: self.at, limit: DEPTH_MAX });
                    }
                    self.at += 1;
                    self.space();
                    let close = if open == b'{' { b'}' } else { b']' };
                    if self.peek() == Some(close) {
                        self.at += 1;
                    } else {
                        depth += 1;
                        objects = objects & !(1 << depth) | u128::from(open == b'{') << depth;
                        if open == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.text_value()?,
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    if depth > 0 && objects >> depth & 1 == 0 {
                        self.text_bytes += 4;
                    }
                }
                Some(b't') => self.word(b"true")?,
                Some(b'f') => self.word(b"false")?,
                Some(b'n') => self.word(b"null")?,
                _ => return Err(self.expected("a value")),
            }
            // The value is complete; close what it completes.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.space();
                let in_object = objects >> depth & 1 == 1;
                match (self.peek(), in_object) {
                    (Some(b','), true) => {
                        self.at += 1;
                        self.space();
                        self.key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.at += 1;
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        depth -= 1;
                    }
                    (_, true) => return Err(self.expected("`,` or `}`")),
                    (_, false) => return Err(self.expected("`,` or `]`")),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Error> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        self.string()?;
        self.colon()
    }

    /// A string value; long base64 is not text (an inline image or audio).
    fn text_value(&mut self) -> Result<(), Error> {
        let start = self.at + 1;
        self.string()?;
        let content = &self.bytes[start..self.at - 1];
        let is_data = content.starts_with(b"data:") || is_base64_blob(content);
        if !is_data {
            self.text_bytes += content.len();
        }
        Ok(())
    }

    /// Crosses the string at `at`: up to each quote or backslash by memchr, the
    /// stretch between checked for raw control characters in one vector loop.
    fn string(&mut self) -> Result<(), Error> {
        let bytes = self.bytes;
        let mut at = self.at + 1;
        loop {
            let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else {
                self.at = bytes.len();
                return Err(self.expected("the closing quote of a string"));
            };
            let stretch = &bytes[at..at + found];
            if stretch.iter().fold(false, |bad, b| bad | (*b < 0x20)) {
                self.at = at + stretch.iter().position(|b| *b < 0x20).unwrap_or(0);
                return Err(self.expected("an escape for a control character"));
            }
            at += found;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(());
            }
            at += match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u')
                    if bytes.get(at + 2..at + 6).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)) =>
                {
                    6
                }
                _ => {
                    self.at = at;
                    return Err(self.expected("a valid escape"));
                }
            };
        }
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), Error> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), Error> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.expected("a value"))
    }
}

/// Whether the head of a long string looks like base64 rather than words.
fn is_base64_blob(content: &[u8]) -> bool {
    content.len() > 1024
        && content[..256].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests;
