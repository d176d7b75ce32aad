//! Edits on a body that is otherwise sent as it came.
//!
//! A body is a list of slices of the client's bytes with the few new pieces
//! between them: nothing is copied, re-ordered or forgotten, and what was not
//! declared as an edit is the client's own byte (TRAPS S2).

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::Envelope;

/// What to change; the default changes nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewrite<'a> {
    /// The target's own name for the model.
    pub model: Option<&'a str>,
    /// Ask the target for usage inside the stream (only for streams).
    pub include_usage: bool,
    /// Set when the client gave no limit of its own: field name and tokens.
    pub max_tokens_if_absent: Option<(&'a str, u64)>,
    /// Rename `max_tokens` for targets that only know `max_completion_tokens`
    /// (`Some("max_completion_tokens")`), or the other way round.
    pub max_tokens_field: Option<&'a str>,
}

/// A body in pieces, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pieces(pub Vec<Bytes>);

impl Pieces {
    /// Bytes of all pieces: the `content-length`.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One piece, copied unless it is one already.
    pub fn join(mut self) -> Bytes {
        if self.0.len() == 1 {
            return self.0.remove(0);
        }
        let mut whole = BytesMut::with_capacity(self.len());
        self.0.iter().for_each(|p| whole.extend_from_slice(p));
        whole.freeze()
    }
}

/// One declared change: these bytes of the body become those.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    pub span: Range<usize>,
    pub with: Bytes,
}

/// Applies the changes to a body whose envelope was scanned.
pub fn rewrite(body: &Bytes, envelope: &Envelope, rewrite: &Rewrite<'_>) -> Pieces {
    apply(body, edits(envelope, body, rewrite))
}

/// The changes as a list, ascending and without overlap.
pub fn edits(envelope: &Envelope, body: &[u8], rewrite: &Rewrite<'_>) -> Vec<Edit> {
    let mut edits = Vec::with_capacity(4);
    let mut fresh = String::new();
    if let Some(model) = rewrite.model.filter(|m| *m != envelope.model) {
        edits.push(Edit { span: envelope.model_span.clone(), with: json_string(model).into() });
    }
    if rewrite.include_usage && envelope.stream && !envelope.include_usage {
        match (&envelope.include_usage_span, &envelope.stream_options_span) {
            (Some(value), _) => edits.push(Edit { span: value.clone(), with: Bytes::from_static(b"true") }),
            (None, Some(object)) => edits.push(open_usage(body, object)),
            (None, None) => fresh.push_str("\"stream_options\":{\"include_usage\":true},"),
        }
    }
    let (old, new) = (&envelope.max_tokens_span, &envelope.max_completion_tokens_span);
    match (rewrite.max_tokens_field, old, new) {
        (Some("max_completion_tokens"), Some(value), None) => {
            edits.extend(rename(body, value, "\"max_tokens\"", "\"max_completion_tokens\""));
        }
        (Some("max_tokens"), None, Some(value)) => {
            edits.extend(rename(body, value, "\"max_completion_tokens\"", "\"max_tokens\""));
        }
        _ => {}
    }
    if let Some((field, tokens)) = rewrite.max_tokens_if_absent {
        // An explicit null is a key already: its value is replaced.
        match (envelope.max_tokens, old.as_ref().or(new.as_ref())) {
            (Some(_), _) => {}
            (None, Some(null)) => {
                edits.push(Edit { span: null.clone(), with: tokens.to_string().into() });
            }
            (None, None) => fresh.push_str(&format!("{}:{tokens},", json_string(field))),
        }
    }
    if !fresh.is_empty() {
        // The body holds at least `model`, so the trailing comma is right.
        edits.push(Edit { span: envelope.open..envelope.open, with: fresh.into() });
    }
    edits.sort_by_key(|e| e.span.start);
    edits
}

/// `include_usage` as the first field of the `stream_options` there is.
fn open_usage(body: &[u8], object: &Range<usize>) -> Edit {
    let value = &body[object.clone()];
    if value == b"null" {
        return Edit { span: object.clone(), with: Bytes::from_static(b"{\"include_usage\":true}") };
    }
    let empty = value[1..].trim_ascii_start().starts_with(b"}");
    let with: &'static [u8] = if empty { b"\"include_usage\":true" } else { b"\"include_usage\":true," };
    Edit { span: object.start + 1..object.start + 1, with: Bytes::from_static(with) }
}

/// The key before a value, found backwards over the colon; a key written with
/// escapes is left alone.
fn rename(body: &[u8], value: &Range<usize>, from: &str, to: &'static str) -> Option<Edit> {
    let before = body[..value.start].trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    before.ends_with(from.as_bytes()).then(|| Edit {
        span: before.len() - from.len()..before.len(),
        with: Bytes::from_static(to.as_bytes()),
    })
}

fn apply(body: &Bytes, edits: Vec<Edit>) -> Pieces {
    let mut pieces = Vec::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for Edit { span, with } in edits {
        if span.start > at {
            pieces.push(body.slice(at..span.start));
        }
        if !with.is_empty() {
            pieces.push(with);
        }
        at = span.end;
    }
    if at < body.len() {
        pieces.push(body.slice(at..));
    }
    Pieces(pieces)
}

pub(crate) fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

#[cfg(test)]
mod tests;
