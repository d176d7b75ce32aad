//! Finding what matters in an event without parsing it.
//!
//! The quotes of a key inside a text are escaped, so `"usage"` with bare quotes
//! is a key or a whole string, never a part of what a model said.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

pub(super) struct Finders {
    pub(super) usage: Finder<'static>,
    pub(super) finish: Finder<'static>,
    pub(super) error: Finder<'static>,
    pub(super) message: Finder<'static>,
    pub(super) choices: Finder<'static>,
    pub(super) delta: Finder<'static>,
    pub(super) text: Finder<'static>,
}

pub(super) static FIND: LazyLock<Finders> = LazyLock::new(|| Finders {
    usage: Finder::new(b"\"usage\""),
    finish: Finder::new(b"\"finish_reason\""),
    error: Finder::new(b"\"error\""),
    message: Finder::new(b"message_"),
    choices: Finder::new(b"\"choices\""),
    delta: Finder::new(b"\"delta\""),
    text: Finder::new(b"\"text\""),
});

/// Where the first event ends, its blank line included. A CR as the last byte
/// may be half of a CRLF, so it decides nothing before the next byte is there.
pub(super) fn frame_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'\n', b'\r', &bytes[at..])?;
        at += line_end(&bytes[at..])?;
        match bytes.get(at)? {
            b'\n' => return Some(at + 1),
            // Its LF, if one follows later, is a blank line of its own: harmless.
            b'\r' => return Some(at + 1 + usize::from(bytes.get(at + 1) == Some(&b'\n'))),
            _ => {}
        }
    }
}

/// A LF before an event belongs to the CR that ended the one before.
pub(super) fn leftover(frame: &[u8]) -> usize {
    usize::from(frame.first() == Some(&b'\n'))
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    match (bytes.first()?, bytes.get(1)) {
        (b'\r', None) => None,
        (b'\r', Some(b'\n')) => Some(2),
        _ => Some(1),
    }
}

/// The first byte of the value of the last such key (`"usage" : {`).
pub(super) fn value_after(key: &Finder<'_>, frame: &[u8]) -> Option<u8> {
    let mut from = 0;
    let mut found = None;
    while let Some(at) = key.find(&frame[from..]) {
        from += at + key.needle().len();
        let rest = frame[from..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b":") {
            match value.trim_ascii_start().first().copied() {
                hit @ Some(b'{' | b'"') => return hit,
                other => found = other.or(found),
            }
        }
    }
    found
}

/// Bytes of the produced strings inside `"delta":{...}` or a legacy `"text":"..."`.
pub(super) fn text_bytes(frame: &[u8]) -> u64 {
    let find = &*FIND;
    let (mut at, mut total) = match find.delta.find(frame) {
        Some(at) => (at + 7, 0u64),
        None => match find.text.find(frame) {
            Some(at) => (at, 0),
            None => return 0,
        },
    };
    let mut key: &[u8] = b"";
    while let Some((start, end)) = next_string(frame, at) {
        let content = &frame[start..end];
        at = end + 1;
        let is_key = frame[at..].trim_ascii_start().first() == Some(&b':');
        if is_key {
            key = content;
            if matches!(key, b"finish_reason" | b"logprobs") {
                break;
            }
        } else if matches!(
            key,
            b"content"
                | b"text"
                | b"reasoning_content"
                | b"reasoning"
                | b"refusal"
                | b"arguments"
                | b"partial_json"
                | b"thinking"
        ) {
            total += content.len() as u64;
        }
    }
    total
}

/// The next JSON string at or after `at`: its content's start and end.
fn next_string(frame: &[u8], at: usize) -> Option<(usize, usize)> {
    let start = at + memchr(b'"', frame.get(at..)?)? + 1;
    let mut end = start;
    loop {
        end += memchr2(b'"', b'\\', frame.get(end..)?)?;
        if frame[end] == b'"' {
            return Some((start, end));
        }
        end += 2;
    }
}
